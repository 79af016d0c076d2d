/* SPDX-License-Identifier: MIT */
/* How a lane comes up on MQTT: what the config asks for, host, credentials. */
#include <assert.h>
#include <unistd.h>

#include "base/json.h"
#include "base/testing.h"
#include "broker/mqtt.h"
#include "mqtt/topic.h"

/* Beside the payload a packet has its topic and properties. */
enum { ROOM_BESIDE_PAYLOAD = 128 * 1024 };

static int no_memory(struct error *err)
{
	return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

/* ---- the config ---- */

/* Up to four parts as one, in the driver's memory. */
static int join(struct mqtt *mqtt, struct span *joined, const char *a,
		const char *b, const char *c, struct span d, struct error *err)
{
	struct buffer text;

	buffer_init(&text);
	buffer_append_text(&text, a);
	buffer_append_text(&text, b);
	buffer_append_text(&text, c);
	buffer_append_span(&text, d);
	*joined = text.failed ? SPAN_NONE
			      : arena_copy(&mqtt->memory, buffer_span(&text));
	buffer_finish(&text);
	return span_present(*joined) ? 0 : no_memory(err);
}

/* The intakes that share a subscription are one to a host, each with a session
 * of its own that it comes back to. */
static int read_identity(struct mqtt *mqtt, struct error *err)
{
	const char *client_id = mqtt->config->mqtt.client_id;
	char hostname[64] = "";
	struct span lock;
	int status;

	gethostname(hostname, sizeof(hostname) - 1);
	if (mqtt->role == BROKER_PUBLISHER)
		return join(mqtt, &mqtt->client_id, client_id, "-relay", "",
			    SPAN_NONE, err);
	mqtt->base.lock = "intake";
	if (mqtt->config->mqtt.share_group == NULL) {
		mqtt->client_id = span_of(client_id);
		return 0;
	}
	status = join(mqtt, &lock, "intake@", hostname, "", SPAN_NONE, err);
	if (status == 0)
		mqtt->base.lock = lock.at;
	return status < 0 ? status
			  : join(mqtt, &mqtt->client_id, client_id, "-",
				 hostname, SPAN_NONE, err);
}

static int read_filter(struct mqtt *mqtt, struct json_value value,
		       struct mqtt_filter *filter, struct error *err)
{
	const char *group = mqtt->config->mqtt.share_group;
	struct span text = json_get_string(value, &mqtt->memory);
	int status = span_present(text) ? 0 : no_memory(err);

	*filter = (struct mqtt_filter){
		.filter = text,
		.qos = (uint8_t)mqtt->config->mqtt.qos,
		.retain_handling = 1,
	};
	if (status == 0 && group != NULL)
		status = join(mqtt, &filter->filter, "$share/", group, "/",
			      text, err);
	return status;
}

static int enter_list(const char *name, const char *text,
		      struct json_value *list, struct error *err)
{
	if (json_check(span_of(text), list, NULL, NULL) == 0 &&
	    list->type == JSON_ARRAY)
		return 0;
	return error_set(err, STATUS_INVALID, "%s has to be a list", name);
}

static int read_filters(struct mqtt *mqtt, struct error *err)
{
	struct json_value list;
	struct json_value value;
	struct json_cursor at;
	struct span key;
	int status =
		enter_list("subscribe_topics",
			   mqtt->config->mqtt.subscribe_topics, &list, err);

	if (status < 0)
		return status;
	mqtt->filters = arena_alloc(&mqtt->memory,
				    list.text.len * sizeof(*mqtt->filters));
	if (mqtt->filters == NULL)
		return no_memory(err);
	at = json_enter(list);
	while (status == 0 && json_next(&at, &key, &value))
		status = read_filter(mqtt, value,
				     &mqtt->filters[mqtt->filter_count++], err);
	return status;
}

/* What MQTT cannot carry was never subscribed to. */
static int read_former(struct mqtt *mqtt, struct error *err)
{
	struct json_value list;
	struct json_value value;
	struct json_cursor at;
	struct span key;
	int status;

	if (mqtt->config->mqtt.former_topics == NULL)
		return 0;
	status = enter_list("former_topics", mqtt->config->mqtt.former_topics,
			    &list, err);
	if (status < 0)
		return status;
	mqtt->former = arena_alloc(&mqtt->memory,
				   list.text.len * sizeof(*mqtt->former));
	if (mqtt->former == NULL)
		return no_memory(err);
	at = json_enter(list);
	while (json_next(&at, &key, &value)) {
		struct span filter = json_get_string(value, &mqtt->memory);

		if (!span_present(filter))
			return no_memory(err);
		if (mqtt_filter_check(filter, false, NULL) == 0)
			mqtt->former[mqtt->former_count++] = filter;
	}
	return 0;
}

/* One lane of a worker has its will: the relay, if there is one. */
static bool has_will(const struct mqtt *mqtt)
{
	bool relay = mqtt->role == BROKER_PUBLISHER;

	return mqtt->config->mqtt.will_topic != NULL &&
	       relay == mqtt->config->relay_enabled;
}

int mqtt_read_config(struct mqtt *mqtt, struct error *err)
{
	const struct runtime_config *config = mqtt->config;
	int status = read_identity(mqtt, err);

	mqtt->topics = (struct mqtt_topics){
		.prefix = span_of(config->mqtt.topic_prefix),
		.joint = span_is(span_of(config->mqtt.topic_style), "dots")
				 ? '.'
				 : '/',
	};
	mqtt->will = (struct mqtt_message){
		.topic = span_of(config->mqtt.will_topic),
		.payload = span_of(config->mqtt.will_payload),
		.qos = (uint8_t)config->mqtt.qos,
		.retain = config->mqtt.retain,
	};
	if (status == 0 && mqtt->role == BROKER_CONSUMER)
		status = read_filters(mqtt, err);
	if (status == 0 && mqtt->role == BROKER_CONSUMER)
		status = read_former(mqtt, err);
	return status;
}

/* ---- the stream ---- */

void mqtt_reach(struct mqtt *mqtt, usec_t now)
{
	const struct runtime_config *config = mqtt->config;
	const struct stream_target target = {
		.host = mqtt->host->name,
		.port = mqtt->host->port,
		.deadline = mqtt->deadline,
		.tls = config->tls,
		.ca_file = config->tls_ca_file,
		.cert_file = config->tls_cert_file,
		.key_file = config->tls_key_file,
		.quick_ack = true,
	};
	struct error cause;

	mqtt->again = false;
	if (stream_open(&mqtt->stream, &target, now, &cause) < 0)
		mqtt_go_down(mqtt, &cause);
	else
		mqtt_move(mqtt, MQTT_REACHING);
}

usec_t mqtt_patience(const struct mqtt *mqtt)
{
	return (usec_t)(mqtt->config->connect_timeout * (double)USEC_PER_SEC);
}

void mqtt_connect(struct broker *broker, usec_t now)
{
	struct mqtt *mqtt = mqtt_of(broker);
	const struct runtime_config *config = mqtt->config;

	assert(mqtt->state == MQTT_DOWN);
	testing_crash_point("connect");
	mqtt->down_untold = mqtt->hung_up = false;
	mqtt->version = (uint8_t)config->mqtt.protocol_version;
	mqtt->host = hosts_next(&mqtt->hosts);
	mqtt->deadline = now + mqtt_patience(mqtt);
	mqtt_reach(mqtt, now);
}

/* ---- the session ---- */

static int credentials(struct mqtt *mqtt, struct session_options *options,
		       struct error *err)
{
	const struct runtime_config *config = mqtt->config;

	options->username = span_of(config->username);
	if (config->password == NULL)
		return 0;
	return secret_resolve(config->password, &mqtt->login,
			      &options->password, err);
}

/* The relay's state is the outbox: it takes nothing up and leaves nothing. */
static void describe_session(const struct mqtt *mqtt,
			     struct session_options *options)
{
	const struct runtime_config *config = mqtt->config;

	*options = (struct session_options){
		.version = mqtt->version,
		.client_id = mqtt->client_id,
		.clean_start = true,
		.keep_alive = (uint16_t)config->mqtt.keepalive_seconds,
		.longest_kept =
			(size_t)config->max_message_bytes + ROOM_BESIDE_PAYLOAD,
		.will = has_will(mqtt) ? &mqtt->will : NULL,
	};
	if (mqtt->role == BROKER_PUBLISHER)
		return;
	options->clean_start = config->mqtt.clean_start;
	options->session_expiry = (uint32_t)config->mqtt.session_expiry_seconds;
	options->receive_maximum = (uint16_t)config->mqtt.receive_maximum;
}

void mqtt_login(struct mqtt *mqtt)
{
	struct session_options options;
	struct error cause;

	describe_session(mqtt, &options);
	if (credentials(mqtt, &options, &cause) < 0 ||
	    session_create(&mqtt->session, &options, &cause) < 0) {
		mqtt_go_down(mqtt, &cause);
		return;
	}
	session_connect(mqtt->session);
	mqtt->tick_at = USEC_NEVER;
	mqtt_move(mqtt, MQTT_OPENING);
}
