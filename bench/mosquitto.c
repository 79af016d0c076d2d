/* SPDX-License-Identifier: MIT */
/*
 * What an MQTT broker can do with libmosquitto as its client, without a
 * database: bare loops that publish or consume with QoS 1.
 *
 *	bench-mosquitto subscribe|publish|consume COUNT PORT NAME
 *
 * `subscribe` leaves a session behind, in which the broker keeps what
 * `publish` sends until `consume` takes it; topics and client ids begin with
 * NAME. Prints the seconds from the first
 * publish to the last confirm, or from the first delivery to the last; 0 for
 * subscribe.
 */
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "message.h"

/* As the config of the relay and the intake have them. */
enum { WINDOW = 1024, RECEIVE_MAXIMUM = 1000, QOS = 1 };
enum { KEEP_ALIVE = 30, SESSION_EXPIRY = 3600, PATIENCE_MS = 1000 };

struct bench {
	struct mosquitto *client;
	const char *name;
	uint64_t count;
	bool connected;
	bool subscribed;
	uint64_t published;
	uint64_t done; /* confirmed, or received */
	usec_t began;
};

static void die(const char *text)
{
	fprintf(stderr, "bench-mosquitto: %s\n", text);
	exit(1);
}

static void check(int code)
{
	if (code != MOSQ_ERR_SUCCESS)
		die(mosquitto_strerror(code));
}

/* ---- what the library tells ---- */

static void on_connect(struct mosquitto *client, void *context, int code)
{
	struct bench *bench = context;

	(void)client;
	if (code != 0)
		die(mosquitto_reason_string(code));
	bench->connected = true;
}

static void on_subscribe(struct mosquitto *client, void *context, int id,
			 int count, const int *granted)
{
	struct bench *bench = context;

	(void)client, (void)id;
	if (count != 1 || granted[0] != QOS)
		die("the subscription was refused");
	bench->subscribed = true;
}

static void on_publish(struct mosquitto *client, void *context, int id,
		       int reason, const mosquitto_property *properties)
{
	struct bench *bench = context;

	(void)client, (void)id, (void)properties;
	if (reason >= 0x80)
		die(mosquitto_reason_string(reason));
	bench->done++;
}

static void on_message(struct mosquitto *client, void *context,
		       const struct mosquitto_message *message)
{
	struct bench *bench = context;

	(void)client;
	if (message->payloadlen != MESSAGE_BYTES)
		die("a message came that is none of ours");
	if (bench->done++ == 0)
		bench->began = clock_monotonic();
}

static void turn(struct bench *bench)
{
	check(mosquitto_loop(bench->client, PATIENCE_MS, 1));
}

/* ---- the three loops ---- */

static const char *joined(const struct bench *bench, const char *end)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s%s", bench->name, end);
	return text;
}

static void subscribe(struct bench *bench)
{
	check(mosquitto_subscribe(bench->client, NULL,
				  joined(bench, "/event/#"), QOS));
	while (!bench->subscribed)
		turn(bench);
}

/* What the relay says beside the payload. */
static mosquitto_property *describe(const struct envelope *envelope)
{
	mosquitto_property *list = NULL;
	char id[64];

	snprintf(id, sizeof(id), "%.*s", SPAN_ARG(envelope->message_id));
	check(mosquitto_property_add_byte(
		&list, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, 1));
	check(mosquitto_property_add_string(&list, MQTT_PROP_CONTENT_TYPE,
					    "application/json"));
	check(mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY,
						 "message_id", id));
	check(mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY,
						 "type", "event"));
	check(mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY,
						 "source", "bench"));
	return list;
}

static void publish(struct bench *bench)
{
	struct envelope envelope;
	struct buffer body = {0};
	mosquitto_property *properties;
	const char *topic = joined(bench, "/event/bench/message/sent");

	message_build(&envelope, &body);
	properties = describe(&envelope);
	bench->began = clock_monotonic();
	while (bench->done < bench->count) {
		while (bench->published < bench->count &&
		       bench->published - bench->done < WINDOW) {
			check(mosquitto_publish_v5(
				bench->client, NULL, topic, MESSAGE_BYTES,
				buffer_span(&body).at, QOS, false, properties));
			bench->published++;
		}
		turn(bench);
	}
	mosquitto_property_free_all(&properties);
	buffer_finish(&body);
}

static void consume(struct bench *bench)
{
	while (bench->done < bench->count)
		turn(bench);
}

/* ---- the program ---- */

static void make_client(struct bench *bench, const char *id)
{
	static const struct {
		enum mosq_opt_t option;
		int value;
	} options[] = {
		{MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5},
		{MOSQ_OPT_SEND_MAXIMUM, WINDOW},
		{MOSQ_OPT_RECEIVE_MAXIMUM, RECEIVE_MAXIMUM},
		{MOSQ_OPT_TCP_NODELAY, 1},
	};

	check(mosquitto_lib_init());
	bench->client = mosquitto_new(id, false, bench);
	if (bench->client == NULL)
		die("no memory");
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		check(mosquitto_int_option(bench->client, options[i].option,
					   options[i].value));
	mosquitto_connect_callback_set(bench->client, on_connect);
	mosquitto_subscribe_callback_set(bench->client, on_subscribe);
	mosquitto_publish_v5_callback_set(bench->client, on_publish);
	mosquitto_message_callback_set(bench->client, on_message);
}

static void connect_to(struct bench *bench, int port)
{
	mosquitto_property *properties = NULL;

	check(mosquitto_property_add_int32(&properties,
					   MQTT_PROP_SESSION_EXPIRY_INTERVAL,
					   SESSION_EXPIRY));
	check(mosquitto_connect_bind_v5(bench->client, "127.0.0.1", port,
					KEEP_ALIVE, NULL, properties));
	mosquitto_property_free_all(&properties);
	while (!bench->connected)
		turn(bench);
}

int main(int argc, char **argv)
{
	struct bench bench = {0};
	bool publishes;

	if (argc != 5)
		die("usage: bench-mosquitto subscribe|publish|consume COUNT "
		    "PORT NAME");
	bench.count = strtoull(argv[2], NULL, 10);
	bench.name = argv[4];
	publishes = strcmp(argv[1], "publish") == 0;
	make_client(&bench, joined(&bench, publishes ? "-out" : "-in"));
	connect_to(&bench, atoi(argv[3]));
	if (publishes)
		publish(&bench);
	else if (strcmp(argv[1], "subscribe") == 0)
		subscribe(&bench);
	else
		consume(&bench);
	printf("%.6f\n", bench.began == 0
				 ? 0
				 : (double)(clock_monotonic() - bench.began) /
					   USEC_PER_SEC);
	mosquitto_disconnect(bench.client);
	mosquitto_destroy(bench.client);
	mosquitto_lib_cleanup();
	return 0;
}
