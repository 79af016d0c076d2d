/* SPDX-License-Identifier: MIT */
/* A connection between a lane and the broker, to each other. */
#ifndef SIMULATION_WIRE_H
#define SIMULATION_WIRE_H

#include "server.h"

enum { PREFETCH_MAX = 32, UNANSWERED_MAX = 128 };

/* On its way to a lane. */
struct frame {
	struct frame *next;
	usec_t due;
	enum broker_event_kind kind;
	uint64_t tag;
	bool multiple;
	bool by_publish;
	enum status status;
	struct message *message;
};

struct delivered {
	struct message *message;
	uint64_t tag;
};

/* What the broker owes for a publish. */
struct answer {
	struct message *message;
	enum broker_event_kind kind;
	bool ready;
	bool given;
};

struct connection {
	struct connection *next; /* of the server's */
	struct link *link;
	bool serving;	    /* the server's side is open */
	bool using;	    /* the lane's side is open */
	usec_t cut_at;	    /* nothing passes from then on */
	usec_t sent_at;	    /* when the last thing sent arrives */
	usec_t told_at;	    /* the same, the other way */
	struct frame *told; /* to the lane, in order */
	struct frame *told_last;

	struct answer answers[UNANSWERED_MAX]; /* by tag, from 1 */
	uint64_t published;
	uint64_t answered; /* tags for which the lane has had its answer */

	struct delivered unacknowledged[PREFETCH_MAX];
	size_t unacknowledged_count;
	uint64_t delivered;
	bool stopped;

	/* The lane's side. */
	struct message *by_tag[UNANSWERED_MAX]; /* sent and not answered; or
						 * delivered to it */
	uint64_t oldest; /* no tag below it is without an answer */
	size_t unanswered;
	uint64_t acknowledged;
	uint64_t told_tag; /* the last delivery it was told */
};

struct link {
	struct broker base;
	struct world *world;
	struct lane *lane;
	struct connection *connection; /* NULL: down */
	bool up;		       /* told so */
	usec_t up_at;
	bool asked;	/* for events, since the last flush */
	bool listening; /* had asked, at the last flush */
	bool closing;
	bool wants_ack;
	uint64_t ack_tag;
	struct queue unsent;
};

void queue_push(struct queue *queue, struct message *message);
void queue_push_front(struct queue *queue, struct message *message);
struct message *queue_pop(struct queue *queue);

/* ---- the server's side; see server.c ---- */

void server_take(struct connection *connection, struct message *message);
void server_acknowledge(struct connection *connection, uint64_t tag);
void server_requeue(struct connection *connection);
void server_pump(struct world *world);

/* ---- the wire; see wire.c ---- */

/* Sends a frame to the lane. */
void connection_tell(struct connection *connection, struct frame frame);
/* The server will answer this publish. */
struct answer *connection_expect(struct connection *connection,
				 struct message *message);
/* An action: the answer to a publish has become ready. */
void connection_answer(struct world *world, void *connection, uint64_t tag);
/* What the lane hears next, NULL if nothing has come. */
struct frame *wire_hear(struct connection *connection);

struct connection *wire_connect(struct link *link);
void wire_publish(struct connection *connection, struct message *message);
void wire_acknowledge(struct connection *connection, uint64_t tag);
void wire_stop(struct connection *connection);
void wire_close(struct connection *connection);
/* Drops the lane's end. The server hears of it, now or much later; what was
 * sent before may still arrive. */
void wire_let_go(struct link *link);

/* The server's side ends: what was not acknowledged goes back. */
void connection_close_server(struct connection *connection);

#endif
