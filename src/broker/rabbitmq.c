/* SPDX-License-Identifier: MIT */
/* The broker driver for RabbitMQ: AMQP over a stream. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amqp/connection.h"
#include "broker/broker.h"
#include "broker/hosts.h"
#include "broker/topology.h"
#include "net/stream.h"

enum { PORT_PLAIN = 5672, PORT_TLS = 5671 };
enum { INPUT_LIMIT = 256 * 1024 }; /* more than a frame */
enum { HEARTBEAT_MAX = 65535, PREFETCH_MAX = 65535 };

/* How long a goodbye may take. */
#define CLOSE_PATIENCE USEC_PER_SEC

enum rabbitmq_state {
	RABBITMQ_DOWN,	    /* nothing is open; perhaps `down` is untold */
	RABBITMQ_REACHING,  /* the stream is being connected */
	RABBITMQ_OPENING,   /* AMQP shakes hands */
	RABBITMQ_DECLARING, /* the topology's answers are awaited */
	RABBITMQ_UP,
	RABBITMQ_CLOSING, /* our goodbye is queued */
};

struct rabbitmq {
	struct broker base;
	const struct runtime_config *config;
	enum broker_role role;
	struct arena memory; /* hosts */
	struct hosts hosts;
	size_t next_host;
	const struct host *host;
	char name[192]; /* of connection and consumer */

	enum rabbitmq_state state;
	struct arena login; /* credentials and topology, until it is up */
	struct stream *stream;
	struct connection *connection;
	usec_t deadline; /* of connecting, of the goodbye */
	usec_t tick_at;
	bool lost;	  /* the stream has ended; the input is not empty yet */
	bool down_untold; /* next has to tell `down` */
	struct error down;
	struct arena sources; /* exchanges declared on this connection */
	struct source_exchange *declared;
};

struct source_exchange {
	struct source_exchange *next;
	struct span name;
};

static struct rabbitmq *rabbitmq_of(struct broker *broker)
{
	return (struct rabbitmq *)broker;
}

/* ---- states ---- */

static bool can_move(enum rabbitmq_state from, enum rabbitmq_state to)
{
	if (to == RABBITMQ_DOWN)
		return true;
	return to == from + 1;
}

static void move(struct rabbitmq *rabbitmq, enum rabbitmq_state state)
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
	move(rabbitmq, RABBITMQ_DOWN);
}

/* Drops everything; `error` is told by the next event. */
static void go_down(struct rabbitmq *rabbitmq, const struct error *error)
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

/* ---- connecting ---- */

static void rabbitmq_connect(struct broker *broker, usec_t now)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);
	const struct runtime_config *config = rabbitmq->config;
	struct stream_target target = {
		.tls = config->tls,
		.ca_file = config->tls_ca_file,
		.cert_file = config->tls_cert_file,
		.key_file = config->tls_key_file,
	};
	struct error cause;

	assert(rabbitmq->state == RABBITMQ_DOWN);
	rabbitmq->down_untold = false;
	rabbitmq->host = &rabbitmq->hosts.at[rabbitmq->next_host];
	rabbitmq->next_host = (rabbitmq->next_host + 1) % rabbitmq->hosts.count;
	rabbitmq->deadline =
		now + (usec_t)(config->connect_timeout * (double)USEC_PER_SEC);
	target.host = rabbitmq->host->name;
	target.port = rabbitmq->host->port;
	target.deadline = rabbitmq->deadline;
	if (stream_open(&rabbitmq->stream, &target, now, &cause) < 0)
		go_down(rabbitmq, &cause);
	else
		move(rabbitmq, RABBITMQ_REACHING);
}

/* Guest is RabbitMQ's own default. Without a name, a client certificate is the
 * login. */
static int credentials(struct rabbitmq *rabbitmq,
		       struct connection_options *options, struct error *err)
{
	const struct runtime_config *config = rabbitmq->config;

	if (config->username == NULL && config->tls_cert_file != NULL)
		return 0;
	options->username =
		span_of(config->username == NULL ? "guest" : config->username);
	options->password = span_of(config->username == NULL ? "guest" : "");
	if (config->password == NULL)
		return 0;
	return secret_resolve(config->password, &rabbitmq->login,
			      &options->password, err);
}

static uint16_t heartbeat_of(const struct runtime_config *config)
{
	double seconds = ceil(config->rabbitmq.heartbeat_seconds);

	return (uint16_t)(seconds < HEARTBEAT_MAX ? seconds : HEARTBEAT_MAX);
}

/* The stream is ready: AMQP begins. */
static void begin(struct rabbitmq *rabbitmq)
{
	struct connection_options options = {
		.virtual_host =
			span_of(rabbitmq->config->rabbitmq.virtual_host),
		.name = span_of(rabbitmq->name),
		.heartbeat = heartbeat_of(rabbitmq->config),
	};
	struct error cause;

	if (credentials(rabbitmq, &options, &cause) < 0) {
		go_down(rabbitmq, &cause);
		return;
	}
	rabbitmq->connection = connection_create(&options);
	if (rabbitmq->connection == NULL) {
		error_set(&cause, STATUS_NO_MEMORY, "out of memory");
		go_down(rabbitmq, &cause);
		return;
	}
	rabbitmq->tick_at = USEC_NEVER;
	move(rabbitmq, RABBITMQ_OPENING);
}

/* Logged in: the topology, then what this lane does. */
static int declare(struct rabbitmq *rabbitmq, struct error *err)
{
	const struct runtime_config *config = rabbitmq->config;
	int64_t prefetch = config->rabbitmq.prefetch_count;
	int status = topology_declare(rabbitmq->connection, config,
				      &rabbitmq->login, err);

	if (status < 0)
		return status;
	if (rabbitmq->role == BROKER_PUBLISHER)
		return connection_select_confirms(rabbitmq->connection, err);
	return connection_consume(
		rabbitmq->connection, span_of(config->rabbitmq.queue),
		span_of(rabbitmq->name),
		(uint16_t)(prefetch < PREFETCH_MAX ? prefetch : PREFETCH_MAX),
		err);
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
	go_down(rabbitmq, &cause);
}

static void reach(struct rabbitmq *rabbitmq, usec_t now)
{
	struct error cause;
	int status = stream_step(rabbitmq->stream, now, &cause);

	if (status < 0)
		go_down(rabbitmq, &cause);
	else if (status > 0)
		begin(rabbitmq);
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

/* ---- events ---- */

static bool tell_down(struct rabbitmq *rabbitmq, struct broker_event *event)
{
	if (!rabbitmq->down_untold)
		return false;
	rabbitmq->down_untold = false;
	event->kind = BROKER_DOWN;
	event->error = rabbitmq->down;
	return true;
}

/* The last words, a close-ok perhaps, are sent as far as they go. */
static bool on_closed(struct rabbitmq *rabbitmq,
		      struct connection_event *closed,
		      struct broker_event *event)
{
	if (rabbitmq->state == RABBITMQ_DECLARING)
		topology_explain(&closed->error);
	if (!rabbitmq->lost)
		(void)stream_write(rabbitmq->stream,
				   connection_output(rabbitmq->connection),
				   NULL);
	go_down(rabbitmq, &closed->error);
	event->by_publish = closed->by_publish;
	return tell_down(rabbitmq, event);
}

static bool on_opened(struct rabbitmq *rabbitmq, struct broker_event *event)
{
	struct error cause;

	if (rabbitmq->state != RABBITMQ_OPENING)
		return false;
	move(rabbitmq, RABBITMQ_DECLARING);
	if (declare(rabbitmq, &cause) == 0)
		return false;
	go_down(rabbitmq, &cause);
	return tell_down(rabbitmq, event);
}

static bool on_replied(struct rabbitmq *rabbitmq, struct broker_event *event)
{
	if (rabbitmq->state != RABBITMQ_DECLARING)
		return false;
	move(rabbitmq, RABBITMQ_UP);
	arena_finish(&rabbitmq->login);
	event->kind = BROKER_UP;
	return true;
}

static bool on_delivered(const struct delivered *from,
			 struct broker_event *event)
{
	event->kind = BROKER_DELIVERED;
	event->delivery = (struct delivery){
		.tag = from->tag,
		.redelivered = from->redelivered,
		.topic = from->routing_key,
		.body = from->body,
		.message_id = from->properties.message_id,
		.correlation_id = from->properties.correlation_id,
		.reply_to = from->properties.reply_to,
		.type = from->properties.type,
		.app_id = from->properties.app_id,
		.content_type = from->properties.content_type,
		.headers = from->properties.headers,
	};
	return true;
}

static bool on_answer(const struct connection_event *from,
		      enum broker_event_kind kind, struct broker_event *event)
{
	event->kind = kind;
	event->tag = from->tag;
	event->multiple = from->multiple;
	event->error = from->error;
	return true;
}

static bool translate(struct rabbitmq *rabbitmq, struct connection_event *from,
		      struct broker_event *event)
{
	switch (from->kind) {
	case CONNECTION_OPENED:
		return on_opened(rabbitmq, event);
	case CONNECTION_REPLIED:
		return on_replied(rabbitmq, event);
	case CONNECTION_CLOSED:
		return on_closed(rabbitmq, from, event);
	case CONNECTION_CONFIRMED:
		return on_answer(from, BROKER_CONFIRMED, event);
	case CONNECTION_REFUSED:
		return on_answer(from, BROKER_REFUSED, event);
	case CONNECTION_RETURNED:
		return on_answer(from, BROKER_RETURNED, event);
	case CONNECTION_BLOCKED:
		return on_answer(from, BROKER_BLOCKED, event);
	case CONNECTION_UNBLOCKED:
		return on_answer(from, BROKER_UNBLOCKED, event);
	case CONNECTION_DELIVERED:
		return on_delivered(&from->delivery, event);
	}
	return false;
}

static bool rabbitmq_next(struct broker *broker, struct arena *arena,
			  struct broker_event *event)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);
	struct connection_event from;

	*event = (struct broker_event){0};
	while (rabbitmq->connection != NULL &&
	       connection_next(rabbitmq->connection, arena, &from))
		if (translate(rabbitmq, &from, event))
			return true;
	return tell_down(rabbitmq, event);
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
		move(rabbitmq, RABBITMQ_CLOSING);
	} else if (rabbitmq->state != RABBITMQ_DOWN &&
		   rabbitmq->state != RABBITMQ_CLOSING) {
		go_down(rabbitmq, &as_asked);
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
