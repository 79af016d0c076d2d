/* SPDX-License-Identifier: MIT */
/*
 * A broker with one durable queue, and connections to it over a network that
 * takes its time and breaks: a struct broker_driver as broker/broker.h has it.
 *
 * What a lane flushes is on its way and arrives although the lane dies, unless
 * the connection is cut under it. A message is safe with the broker once it
 * may be confirmed; before, a crash of the broker may lose it.
 */
#ifndef SIMULATION_SERVER_H
#define SIMULATION_SERVER_H

#include "broker/broker.h"
#include "checker.h"

struct message {
	struct message *next; /* of its queue */
	int64_t seq;	      /* of its row; 0: a stranger's */
	struct letter *letter;
	struct span topic;
	struct span message_id;
	struct span ordering_key; /* or absent */
	bool routed;
	bool must_route;
	bool chokes;
	bool safe; /* a crash does not lose it any more */
	bool lost;
	bool redelivered;
	uint64_t tag;	    /* of its publishing */
	uint16_t packet_id; /* MQTT: of its delivery ... */
	unsigned session;   /* ... in this session; 0: not yet delivered */
};

struct queue {
	struct message *first;
	struct message *last;
	size_t count;
};

enum { RELEASED_MAX = 64 };

struct server {
	struct queue ready;
	struct connection *connections; /* open on the server's side */
	usec_t away_until;
	usec_t frozen_until;
	usec_t blocked_until;
	unsigned nacks, mutes, repeats; /* of the next messages */
	unsigned refusals;		/* of the next who want to consume */

	/* MQTT: what it keeps for the intakes' client id. */
	unsigned session; /* the number of this one, from 1 */
	bool known;	  /* somebody has begun it */
	bool subscribed;
	uint16_t last_id;		 /* of a delivery */
	uint16_t released[RELEASED_MAX]; /* PUBREL is sent, PUBCOMP awaited */
	size_t released_count;
};

/* Opens nothing yet. */
struct link *link_create(struct world *world, struct lane *lane);
/* Its process is gone. */
void link_abandon(struct link *link);
/* And out of its last call. */
void link_destroy(struct link *link);
struct broker *link_broker(struct link *link);
/* When it has something to say to a lane that listens. */
usec_t link_ready_at(const struct link *link);
/* The last time that it was connected, as of the lane's last step. */
usec_t link_was_up_at(const struct link *link);

/* Its lane stood still for so long. */
void link_stood_still(struct link *link, usec_t duration);

/* The network between a lane and the broker breaks; each side notices after a
 * while of its own. Half open, a lane with the product's driver is told
 * nothing. */
void link_break(struct link *link, usec_t noticed_after, bool half_open);

void server_restart(struct world *world, usec_t away_for, bool crash);
/* Nobody consumes from the queue any more, for now. */
void server_cancel(struct world *world);
void server_block(struct world *world, usec_t duration);
/* A stranger's message. */
void server_put(struct world *world, struct span topic, struct span message_id,
		struct span body);
/* Nothing waits in the queue or for an answer. */
bool server_is_idle(const struct server *server);

extern const struct broker_driver simulated_broker;

#endif
