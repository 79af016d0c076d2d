/* SPDX-License-Identifier: MIT */
/*
 * An AMQP 0-9-1 client connection with one channel, as a state machine over
 * bytes.
 *
 * Bytes that arrived are appended to connection_input; bytes to be sent are
 * taken from connection_output. Frames are decoded only when the next event is
 * asked for, so a caller that does not ask holds back its peer by simply
 * not reading. No I/O here, and no clock.
 *
 * Methods are queued in the order of the calls. Those that the server answers
 * may be queued without waiting; CONNECTION_REPLIED says that all are answered.
 */
#ifndef AMQP_CONNECTION_H
#define AMQP_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "amqp/properties.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/span.h"

struct connection;

/* Borrowed until CONNECTION_OPENED; no string is longer than 255 bytes but the
 * password. */
struct connection_options {
	struct span virtual_host;
	struct span username; /* absent: SASL EXTERNAL, by client certificate */
	struct span password;
	struct span name;    /* what the broker's tools show */
	uint16_t heartbeat;  /* seconds; 0: none */
	size_t longest_kept; /* of a longer body only so many bytes; 0: all */
};

enum connection_event_kind {
	CONNECTION_OPENED,  /* logged in, the channel is open */
	CONNECTION_REPLIED, /* every queued method is answered */
	CONNECTION_CLOSED,  /* for good, nothing follows: `error`. Status OK
			     * when connection_close had asked for it */
	CONNECTION_CONFIRMED,
	CONNECTION_REFUSED,  /* the broker has not taken `tag` */
	CONNECTION_RETURNED, /* `tag` reached no queue: `error` says why */
	CONNECTION_BLOCKED,  /* the broker takes no messages for now: `error` */
	CONNECTION_UNBLOCKED,
	CONNECTION_DELIVERED, /* `delivery` */
};

struct delivered {
	uint64_t tag;
	bool redelivered;
	struct span routing_key;
	struct properties properties;
	struct span body;
	size_t full_size; /* of a body that was cut; else 0 */
};

struct connection_event {
	enum connection_event_kind kind;
	uint64_t tag;	 /* CONFIRMED, REFUSED, RETURNED */
	bool multiple;	 /* CONFIRMED, REFUSED: and all before it */
	bool by_publish; /* CLOSED: a publish made the server close */
	struct error error;
	struct delivered delivery; /* memory in the arena of connection_next */
};

/* Queues the protocol header. NULL when memory has run out. */
struct connection *connection_create(const struct connection_options *options);
void connection_destroy(struct connection *connection);

struct buffer *connection_input(struct connection *connection);
struct buffer *connection_output(struct connection *connection);

/* Decodes until there is an event; false when more bytes are needed for one, or
 * CONNECTION_CLOSED has been told. May queue output. */
bool connection_next(struct connection *connection, struct arena *arena,
		     struct connection_event *event);

/* The transport has ended: what is in the input is still decoded, then
 * CONNECTION_CLOSED tells `error`. */
void connection_lost(struct connection *connection, const struct error *error);

/*
 * Heartbeats, once they are agreed upon (specification, 4.2.7): `heard` says
 * that bytes came since the last call, or that the caller chose not to
 * read. Queues a heartbeat at half the interval; after two silent intervals
 * the connection counts as lost. Returns when to call again at the latest.
 */
usec_t connection_tick(struct connection *connection, bool heard, usec_t now);

/* ---- once it is open ---- */

struct queue_declaration {
	struct span name;
	struct span type;		  /* x-queue-type */
	struct span dead_letter_exchange; /* absent: none */
};

/* A durable exchange, or with `passive` only the question whether one of that
 * name exists. */
int connection_declare_exchange(struct connection *connection, struct span name,
				struct span type, bool passive,
				struct error *err);
int connection_declare_queue(struct connection *connection,
			     const struct queue_declaration *queue,
			     bool passive, struct error *err);
int connection_bind_queue(struct connection *connection, struct span queue,
			  struct span exchange, struct span routing_key,
			  struct error *err);
int connection_bind_exchange(struct connection *connection,
			     struct span destination, struct span source,
			     struct span routing_key, struct error *err);

/* From here on every publish is numbered and confirmed. */
int connection_select_confirms(struct connection *connection,
			       struct error *err);

/* From here on at most `prefetch` deliveries are unacknowledged. */
int connection_limit(struct connection *connection, uint16_t prefetch,
		     struct error *err);
int connection_consume(struct connection *connection, struct span queue,
		       struct span consumer_tag, struct error *err);

/* Ends the consuming; deliveries under way may still come. */
void connection_cancel(struct connection *connection);

struct outgoing {
	struct span exchange;
	struct span routing_key;
	struct properties properties;
	struct span body;
};

/* Queues a persistent mandatory message and numbers it. STATUS_INVALID: the
 * text names what AMQP cannot carry; STATUS_NO_MEMORY. Nothing is queued then.
 */
int connection_publish(struct connection *connection,
		       const struct outgoing *message, uint64_t *tag,
		       struct error *err);

/* Acknowledges every delivery up to and including tag. */
void connection_acknowledge(struct connection *connection, uint64_t tag);

/* Queues the goodbye; CONNECTION_CLOSED follows when the server answers. */
void connection_close(struct connection *connection);

#endif
