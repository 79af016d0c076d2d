/* SPDX-License-Identifier: MIT */
/* The broker driver for RabbitMQ: AMQP over a stream. */
#include "broker/rabbitmq.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/topology.h"

enum { PORT_PLAIN = 5672, PORT_TLS = 5671 };
enum { INPUT_LIMIT = 256 * 1024 }; /* more than a frame */

/* How long a goodbye may take. */
#define CLOSE_PATIENCE USEC_PER_SEC

/* ---- states ---- */

static bool can_move(enum rabbitmq_state from, enum rabbitmq_state to)
{
	if (to == RABBITMQ_DOWN)
		return true;
	if (to == RABBITMQ_UP && from == RABBITMQ_DECLARING)
		return true;
	return to == from + 1;
}

void rabbitmq_move(struct rabbitmq *rabbitmq, enum rabbitmq_state state)
{
	assert(can_move(rabbitmq->state, state));
	rabbitmq->state = state;
}

static void drop(struct rabbitmq *rabbitmq)
{
	stream_close(rabbitmq->stream);
	connection_destroy(rabbitmq->connection);
	rabbitmq->stream = NULL;
	rabbitmq->connection = NULL;
	rabbitmq->lost = false;
	rabbitmq->declared = NULL;
	arena_finish(&rabbitmq->sources);
	arena_finish(&rabbitmq->login);
	rabbitmq_move(rabbitmq, RABBITMQ_DOWN);
}

void rabbitmq_go_down(struct rabbitmq *rabbitmq, const struct error *error)
{
	rabbitmq->down = *error;
	rabbitmq->down_untold = true;
	if (error->status != STATUS_OK)
		error_prefix(&rabbitmq->down,
			     strchr(rabbitmq->host->name, ':') ? "[%s]:%u"
							       : "%s:%u",
			     rabbitmq->host->name, rabbitmq->host->port);
	drop(rabbitmq);
}

/* ---- life ---- */

static void name_worker(struct rabbitmq *rabbitmq)
{
	char hostname[64] = "";

	gethostname(hostname, sizeof(hostname) - 1);
	snprintf(rabbitmq->name, sizeof(rabbitmq->name),
		 "postbus %.80s %s %s:%d", rabbitmq->config->config_key,
		 rabbitmq->role == BROKER_PUBLISHER ? "relay" : "intake",
		 hostname, (int)getpid());
}

static void rabbitmq_destroy(struct broker *broker)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);

	if (rabbitmq == NULL)
		return;
	drop(rabbitmq);
	arena_finish(&rabbitmq->memory);
	free(rabbitmq);
}

static int rabbitmq_create(struct broker **out,
			   const struct runtime_config *config,
			   enum broker_role role, struct error *err)
{
	uint16_t port = config->port > 0 ? (uint16_t)config->port
			: config->tls	 ? PORT_TLS
					 : PORT_PLAIN;
	struct rabbitmq *rabbitmq = calloc(1, sizeof(*rabbitmq));
	int status;

	if (rabbitmq == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	rabbitmq->base.driver = &broker_rabbitmq;
	rabbitmq->config = config;
	rabbitmq->role = role;
	name_worker(rabbitmq);
	status = hosts_parse(&rabbitmq->hosts, config->host, port,
			     &rabbitmq->memory, err);
	if (status < 0)
		rabbitmq_destroy(&rabbitmq->base);
	else
		*out = &rabbitmq->base;
	return status;
}

/* ---- stepping ---- */

static const char *late(const struct rabbitmq *rabbitmq)
{
	switch (rabbitmq->state) {
	case RABBITMQ_REACHING:
		return "no connection in time";
	case RABBITMQ_OPENING:
		return "no AMQP handshake in time; is this RabbitMQ's AMQP "
		       "port?";
	case RABBITMQ_DECLARING:
		return "the broker did not answer the topology in time";
	case RABBITMQ_SUBSCRIBING:
		return "the queue did not answer in time; has a quorum queue "
		       "lost its leader?";
	default:
		return "the broker did not answer our goodbye in time";
	}
}

static void lose(struct rabbitmq *rabbitmq, const struct error *cause)
{
	rabbitmq->lost = true;
	connection_lost(rabbitmq->connection, cause);
}

static void check_deadline(struct rabbitmq *rabbitmq, usec_t now)
{
	struct error cause;

	if (rabbitmq->state == RABBITMQ_DOWN ||
	    rabbitmq->state == RABBITMQ_UP || now < rabbitmq->deadline)
		return;
	if (rabbitmq->state == RABBITMQ_CLOSING)
		cause = (struct error){.status = STATUS_OK};
	else
		error_set(&cause, STATUS_AWAY, "%s", late(rabbitmq));
	rabbitmq_go_down(rabbitmq, &cause);
}

static void reach(struct rabbitmq *rabbitmq, usec_t now)
{
	struct error cause;
	int status = stream_step(rabbitmq->stream, now, &cause);

	if (status < 0)
		rabbitmq_go_down(rabbitmq, &cause);
	else if (status > 0)
		rabbitmq_login(rabbitmq);
}

/* Heartbeats are judged after reading: a lane that was held up finds in the
 * socket what came meanwhile. */
static void exchange(struct rabbitmq *rabbitmq, usec_t now)
{
	struct buffer *input = connection_input(rabbitmq->connection);
	bool heard = buffer_length(input) >= INPUT_LIMIT;
	struct error cause;
	int got = stream_read(rabbitmq->stream, input, INPUT_LIMIT, &cause);

	if (got < 0)
		lose(rabbitmq, &cause);
	rabbitmq->tick_at =
		connection_tick(rabbitmq->connection, heard || got > 0, now);
}

static void rabbitmq_step(struct broker *broker, usec_t now)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);

	if (rabbitmq->state == RABBITMQ_REACHING)
		reach(rabbitmq, now);
	else if (rabbitmq->state != RABBITMQ_DOWN && !rabbitmq->lost)
		exchange(rabbitmq, now);
	check_deadline(rabbitmq, now);
}

/* ---- publishing ---- */

static bool is_declared(const struct rabbitmq *rabbitmq, struct span exchange)
{
	const struct source_exchange *at = rabbitmq->declared;

	while (at != NULL && !span_equal(at->name, exchange))
		at = at->next;
	return at != NULL;
}

/* An exchange of a source that this connection has not met is declared before
 * the message, on the same channel, so it is there when the message comes. */
static int meet_source(struct rabbitmq *rabbitmq, struct span exchange,
		       struct error *err)
{
	struct source_exchange *met;
	int status;

	if (!rabbitmq->config->rabbitmq.exchange_per_source ||
	    is_declared(rabbitmq, exchange))
		return 0;
	met = arena_alloc(&rabbitmq->sources, sizeof(*met));
	if (met == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	met->name = arena_copy(&rabbitmq->sources, exchange);
	met->next = rabbitmq->declared;
	if (!span_present(met->name))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	status = topology_declare_source(rabbitmq->connection, rabbitmq->config,
					 exchange, err);
	if (status == 0)
		rabbitmq->declared = met;
	return status;
}

static int rabbitmq_publish(struct broker *broker,
			    const struct publication *message, uint64_t *tag,
			    struct error *err)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);
	const struct envelope *envelope = message->envelope;
	char name[SOURCE_EXCHANGE_SIZE];
	const struct outgoing outgoing = {
		.exchange = topology_exchange(rabbitmq->config,
					      envelope->source_service, name),
		.routing_key = envelope->topic,
		.body = message->body,
		.properties =
			{
				.content_type = SPAN_LIT("application/json"),
				.correlation_id = envelope->request_id,
				.reply_to = envelope->reply_to,
				.message_id = envelope->message_id,
				.type = span_of(
					message_type_name(message->type)),
				.app_id = envelope->source_service,
				.timestamp = (uint64_t)message->created_at,
				.headers = message->headers,
			},
	};
	int status;

	assert(rabbitmq->state == RABBITMQ_UP);
	status = meet_source(rabbitmq, outgoing.exchange, err);
	return status < 0 ? status
			  : connection_publish(rabbitmq->connection, &outgoing,
					       tag, err);
}

/* ---- the rest ---- */

static void rabbitmq_acknowledge(struct broker *broker, uint64_t tag)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);

	if (rabbitmq->state == RABBITMQ_UP)
		connection_acknowledge(rabbitmq->connection, tag);
}

static void rabbitmq_stop_consuming(struct broker *broker)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);

	if (rabbitmq->state == RABBITMQ_UP)
		connection_cancel(rabbitmq->connection);
}

static void rabbitmq_close(struct broker *broker, usec_t now)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);
	const struct error as_asked = {.status = STATUS_OK};

	if (rabbitmq->state == RABBITMQ_UP) {
		connection_close(rabbitmq->connection);
		rabbitmq->deadline = now + CLOSE_PATIENCE;
		rabbitmq_move(rabbitmq, RABBITMQ_CLOSING);
	} else if (rabbitmq->state != RABBITMQ_DOWN &&
		   rabbitmq->state != RABBITMQ_CLOSING) {
		rabbitmq_go_down(rabbitmq, &as_asked);
	}
}

static void rabbitmq_cut(struct broker *broker)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);

	drop(rabbitmq);
	rabbitmq->down_untold = false;
}

static void transmit(struct rabbitmq *rabbitmq, struct wait *wait)
{
	struct buffer *output = connection_output(rabbitmq->connection);
	struct error cause;
	int status = stream_write(rabbitmq->stream, output, &cause);

	if (status == 0 && output->failed)
		status = error_set(&cause, STATUS_NO_MEMORY, "out of memory");
	if (status == 0)
		return;
	lose(rabbitmq, &cause);
	wait_until(wait, 0);
}

static void rabbitmq_flush(struct broker *broker, usec_t now, struct wait *wait)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);
	bool room = false;
	bool pending = false;

	(void)now;
	if (rabbitmq->state == RABBITMQ_DOWN) {
		if (rabbitmq->down_untold)
			wait_until(wait, 0);
		return;
	}
	if (rabbitmq->more)
		wait_until(wait, 0);
	rabbitmq->more = false;
	if (rabbitmq->state != RABBITMQ_UP)
		wait_until(wait, rabbitmq->deadline);
	if (rabbitmq->connection != NULL && !rabbitmq->lost) {
		transmit(rabbitmq, wait);
		room = buffer_length(connection_input(rabbitmq->connection)) <
		       INPUT_LIMIT;
		pending = buffer_length(
				  connection_output(rabbitmq->connection)) > 0;
		wait_until(wait, rabbitmq->tick_at);
	}
	if (!rabbitmq->lost)
		stream_wait(rabbitmq->stream, room, pending, wait);
}

const struct broker_driver broker_rabbitmq = {
	.name = "rabbitmq",
	.create = rabbitmq_create,
	.destroy = rabbitmq_destroy,
	.connect = rabbitmq_connect,
	.step = rabbitmq_step,
	.next = rabbitmq_next,
	.publish = rabbitmq_publish,
	.acknowledge = rabbitmq_acknowledge,
	.stop_consuming = rabbitmq_stop_consuming,
	.close = rabbitmq_close,
	.cut = rabbitmq_cut,
	.flush = rabbitmq_flush,
};
