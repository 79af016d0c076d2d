/* SPDX-License-Identifier: MIT */
/*
 * A connection between a lane and the broker, to each other.
 *
 * In the simplest world it carries what a broker driver says and hears. Else a
 * peer stands at the broker's end that speaks a protocol, the lane has the
 * product's own driver, and all of it travels as bytes.
 */
#ifndef SIMULATION_WIRE_H
#define SIMULATION_WIRE_H

#include "server.h"

enum { PREFETCH_MAX = 32, UNANSWERED_MAX = 128 };

struct peer;

/* The speech of a peer that is about to close the connection. */
enum { LAST_WORDS = UINT16_MAX };

/* On its way to a lane. */
struct frame {
	struct frame *next;
	usec_t due;
	enum broker_event_kind kind;
	uint64_t tag;
	bool multiple;
	bool by_publish;
	bool lingers; /* DOWN, and the connection stays for last words */
	bool abrupt;  /* DOWN, and not a word about it */
	enum status status;
	struct message *message;
	uint32_t speech;   /* not 0: only what the protocol needs; which
			    * number means what is the peer's to say */
	bool part;	   /* its bytes have more to follow */
	struct span bytes; /* none: a connection that begins or ends */
};

enum parcel_kind {
	PARCEL_CONNECT,
	PARCEL_PUBLISH, /* `message` */
	PARCEL_ACK,	/* every delivery up to `tag` */
	PARCEL_STOP,	/* no more deliveries */
	PARCEL_CLOSE,
	PARCEL_GONE, /* the lane's end is closed */
	PARCEL_SPEECH,
};

/* On its way to the broker. */
struct parcel {
	struct parcel *next;
	usec_t due;
	enum parcel_kind kind;
	struct message *message;
	uint64_t tag;
	uint32_t speech;
	size_t size; /* bytes */
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
	const struct peer *peer; /* NULL: no bytes */
	void *state;		 /* the peer's */
	bool serving;		 /* the server's side is open */
	bool using;		 /* the lane's side is open */
	usec_t opened_at;
	usec_t cut_at;	     /* nothing passes from then on */
	usec_t sent_at;	     /* when the last thing sent arrives */
	usec_t told_at;	     /* the same, the other way */
	struct parcel *sent; /* by the lane, in order */
	struct parcel *sent_last;
	size_t underway;	   /* bytes of that */
	usec_t heard_at;	   /* when the last of that came */
	usec_t interval, patience; /* see peer_watch */
	bool held;	/* the lane stood still when a sign of life was due */
	bool takes_all; /* the protocol can neither refuse nor return */
	bool halves;	/* that a message is taken is told in two parts */
	bool goes_on;	/* it can refuse one that it cannot bear, and go on */
	bool ended;	/* the lane has been told so */
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
	usec_t flushed_at;
	bool blocked;	/* it has been told so */
	bool asked;	/* for events, since the last flush */
	bool listening; /* had asked, at the last flush */
	bool closing;
	bool wants_ack;
	uint64_t ack_tag;
	struct queue unsent;
	const struct peer *peer; /* who speaks at the other end, or NULL */
	struct broker *real;	 /* the product's driver, or NULL */
	struct stream *stream;	 /* what that has open */
};

void queue_push(struct queue *queue, struct message *message);
void queue_push_front(struct queue *queue, struct message *message);
struct message *queue_pop(struct queue *queue);

/* ---- the server's side; see server.c ---- */

void server_take(struct connection *connection, struct message *message);
void server_acknowledge(struct connection *connection, uint64_t tag);
void server_requeue(struct connection *connection);
void server_pump(struct world *world);
/* This one may not consume. */
bool server_refuses(struct server *server);
/* One of its kind at a time: its place is given to this one. */
void server_throw_others_out(struct connection *connection);

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
void wire_send(struct connection *connection, struct parcel parcel);
/* Drops the lane's end. The server hears of it, now or much later; what was
 * sent before may still arrive. */
void wire_let_go(struct link *link);

/* A lane may give up a connection that was good: only for what happened over
 * there, or for silence. It may have noticed that long before. */
bool connection_may_end(const struct connection *connection);

/* The server's side ends: what was not acknowledged goes back. */
void connection_close_server(struct connection *connection);

/* ---- the lane's end, see link.c ---- */

/* False, and a violation, if it is no time to. */
bool link_may_publish(struct link *link);
/* A message that the lane hands over, as it has to leave. */
struct message *link_publish(struct link *link, const struct publication *from,
			     uint64_t tag);
/* The checker is told what the lane has heard. */
void link_hear(struct link *link, const struct frame *frame);
/* The same, of what it has acknowledged. */
void link_acknowledged(struct link *link, uint64_t tag);
/* It lets go of its connection for a reason of its own. */
void link_cut(struct link *link);

/* ---- the product's driver, see observed.c ---- */

extern const struct broker_driver observed_broker;

/* Gives it the product's own driver, and a peer that speaks its protocol. */
void link_observe(struct link *link);

#endif
