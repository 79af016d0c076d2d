/* SPDX-License-Identifier: MIT */
/*
 * The broker driver for MQTT: a session over a stream.
 *
 * Every connection has a session of its own. What outlives a connection is in
 * the database and, for the intake, with the broker under its client id.
 */
#include "broker/mqtt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_PLAIN = 1883, PORT_TLS = 8883 };
enum { INPUT_LIMIT = 256 * 1024 };

/* How long a goodbye may take. */
#define CLOSE_PATIENCE USEC_PER_SEC

/* ---- states ---- */

static bool can_move(enum mqtt_state from, enum mqtt_state to)
{
	switch (to) {
	case MQTT_DOWN:
		return true;
	case MQTT_UP:
		return from == MQTT_OPENING || from == MQTT_SUBSCRIBING;
	default:
		return to == from + 1;
	}
}

void mqtt_move(struct mqtt *mqtt, enum mqtt_state state)
{
	assert(can_move(mqtt->state, state));
	mqtt->state = state;
}

void mqtt_drop(struct mqtt *mqtt)
{
	stream_close(mqtt->stream);
	session_destroy(mqtt->session);
	mqtt->stream = NULL;
	mqtt->session = NULL;
	mqtt->lost = false;
	mqtt->again = false;
	mqtt->stopped = false;
	mqtt->delivered = 0;
	mqtt->returned = 0;
	mqtt->unanswered = 0;
	arena_finish(&mqtt->login);
	mqtt_move(mqtt, MQTT_DOWN);
}

void mqtt_go_down(struct mqtt *mqtt, const struct error *error)
{
	mqtt->down = *error;
	mqtt->down_untold = true;
	if (error->status != STATUS_OK)
		error_prefix(&mqtt->down,
			     strchr(mqtt->host->name, ':') ? "[%s]:%u"
							   : "%s:%u",
			     mqtt->host->name, mqtt->host->port);
	mqtt_drop(mqtt);
}

/* ---- life ---- */

static void mqtt_destroy(struct broker *broker)
{
	struct mqtt *mqtt = mqtt_of(broker);

	if (mqtt == NULL)
		return;
	mqtt_drop(mqtt);
	arena_finish(&mqtt->memory);
	arena_finish(&mqtt->scratch);
	free(mqtt);
}

static int mqtt_create(struct broker **out, const struct runtime_config *config,
		       enum broker_role role, struct error *err)
{
	uint16_t port = config->port > 0 ? (uint16_t)config->port
			: config->tls	 ? PORT_TLS
					 : PORT_PLAIN;
	struct mqtt *mqtt = calloc(1, sizeof(*mqtt));
	int status;

	if (mqtt == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	mqtt->base.driver = &broker_mqtt;
	mqtt->config = config;
	mqtt->role = role;
	status = hosts_parse(&mqtt->hosts, config->host, port, &mqtt->memory,
			     err);
	if (status == 0)
		status = mqtt_read_config(mqtt, err);
	if (status < 0)
		mqtt_destroy(&mqtt->base);
	else
		*out = &mqtt->base;
	return status;
}

/* ---- stepping ---- */

static const char *late(const struct mqtt *mqtt)
{
	switch (mqtt->state) {
	case MQTT_REACHING:
		return "no connection in time";
	case MQTT_OPENING:
		return "no answer to CONNECT in time; is this an MQTT port?";
	default:
		return "no answer to SUBSCRIBE in time";
	}
}

static void lose(struct mqtt *mqtt, const struct error *cause)
{
	mqtt->lost = true;
	session_transport_lost(mqtt->session, cause);
}

static void check_deadline(struct mqtt *mqtt, usec_t now)
{
	struct error cause = {.status = STATUS_OK};

	if (mqtt->state == MQTT_DOWN || mqtt->state == MQTT_UP ||
	    now < mqtt->deadline)
		return;
	if (mqtt->state != MQTT_CLOSING)
		error_set(&cause, STATUS_AWAY, "%s", late(mqtt));
	mqtt_go_down(mqtt, &cause);
}

static void reach(struct mqtt *mqtt, usec_t now)
{
	struct error cause;
	int status = stream_step(mqtt->stream, now, &cause);

	if (status < 0)
		mqtt_go_down(mqtt, &cause);
	else if (status > 0)
		mqtt_login(mqtt);
}

static size_t input_limit(const struct mqtt *mqtt)
{
	size_t needs = session_needs(mqtt->session);

	return needs > INPUT_LIMIT ? needs : INPUT_LIMIT;
}

/* Silence is judged after reading: a lane that was held up finds in the socket
 * what came meanwhile. */
static void exchange(struct mqtt *mqtt, usec_t now)
{
	struct buffer *input = session_input(mqtt->session);
	size_t limit = input_limit(mqtt);
	bool held = buffer_length(input) >= limit;
	struct error cause;
	int got = stream_read(mqtt->stream, input, limit, &cause);

	if (got < 0)
		lose(mqtt, &cause);
	/* A broker that we let wait cannot answer. */
	if (held)
		mqtt->answer_by = now + mqtt_patience(mqtt);
	mqtt->drained = !held && buffer_length(input) < limit;
	mqtt->tick_at = session_tick(mqtt->session, held || got > 0, now);
}

static void mqtt_step(struct broker *broker, usec_t now)
{
	struct mqtt *mqtt = mqtt_of(broker);

	mqtt->now = now;
	if (mqtt->again)
		mqtt_reach(mqtt, now);
	else if (mqtt->state == MQTT_REACHING)
		reach(mqtt, now);
	else if (mqtt->state != MQTT_DOWN && !mqtt->lost)
		exchange(mqtt, now);
	check_deadline(mqtt, now);
}

/* ---- the rest ---- */

static void mqtt_acknowledge(struct broker *broker, uint64_t tag)
{
	struct mqtt *mqtt = mqtt_of(broker);

	if (mqtt->state == MQTT_UP || mqtt->state == MQTT_SUBSCRIBING)
		session_acknowledge(mqtt->session, tag);
}

/* Unsubscribing would end what the broker keeps for us: what still comes is
 * left unacknowledged, and comes again on the next connection. */
static void mqtt_stop_consuming(struct broker *broker)
{
	mqtt_of(broker)->stopped = true;
}

/* The broker closes once it has read everything; were it us, what it has not
 * read yet could be lost. */
static void mqtt_close(struct broker *broker, usec_t now)
{
	struct mqtt *mqtt = mqtt_of(broker);
	const struct error as_asked = {.status = STATUS_OK};

	if (mqtt->state == MQTT_UP) {
		session_disconnect(mqtt->session, false);
		mqtt->deadline = now + CLOSE_PATIENCE;
		mqtt_move(mqtt, MQTT_CLOSING);
	} else if (mqtt->state != MQTT_DOWN && mqtt->state != MQTT_CLOSING) {
		mqtt_go_down(mqtt, &as_asked);
	}
}

static void mqtt_cut(struct broker *broker)
{
	struct mqtt *mqtt = mqtt_of(broker);

	mqtt_drop(mqtt);
	mqtt->down_untold = false;
}

static void transmit(struct mqtt *mqtt, struct wait *wait)
{
	struct buffer *output = session_output(mqtt->session);
	struct error cause;
	int status = stream_write(mqtt->stream, output, &cause);

	if (status == 0 && output->failed)
		status = error_set(&cause, STATUS_NO_MEMORY, "out of memory");
	if (status == 0)
		return;
	lose(mqtt, &cause);
	wait_until(wait, 0);
}

static void mqtt_flush(struct broker *broker, usec_t now, struct wait *wait)
{
	struct mqtt *mqtt = mqtt_of(broker);
	bool room = false;
	bool pending = false;

	(void)now;
	if (mqtt->down_untold || mqtt->again || mqtt->more)
		wait_until(wait, 0);
	mqtt->more = false;
	if (mqtt->state == MQTT_DOWN)
		return;
	if (mqtt->state != MQTT_UP)
		wait_until(wait, mqtt->deadline);
	if (mqtt->session != NULL && !mqtt->lost) {
		transmit(mqtt, wait);
		room = buffer_length(session_input(mqtt->session)) <
		       input_limit(mqtt);
		pending = buffer_length(session_output(mqtt->session)) > 0;
		wait_until(wait, mqtt->tick_at);
	}
	if (!mqtt->lost)
		stream_wait(mqtt->stream, room, pending, wait);
}

const struct broker_driver broker_mqtt = {
	.name = "mqtt",
	.create = mqtt_create,
	.destroy = mqtt_destroy,
	.connect = mqtt_connect,
	.step = mqtt_step,
	.next = mqtt_next,
	.publish = mqtt_publish,
	.acknowledge = mqtt_acknowledge,
	.stop_consuming = mqtt_stop_consuming,
	.close = mqtt_close,
	.cut = mqtt_cut,
	.flush = mqtt_flush,
};
