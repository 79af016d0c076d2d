/* SPDX-License-Identifier: MIT */
/* The in-memory broker and its connections, to each other. */
#ifndef BROKER_MEMORY_LINK_H
#define BROKER_MEMORY_LINK_H

#include "broker/memory.h"
#include "broker/memory_queue.h"

struct memory_broker {
	struct memory_broker *next;
	struct memory_knobs knobs;
	struct memory_queue *queues;
	struct link *links; /* of every lane, connected or not */
	char name[];
};

struct answer {
	struct answer *next;
	enum broker_event_kind kind;
	uint64_t tag;
	usec_t due;
};

/* A lane's connection. */
struct link {
	struct broker base;
	struct link *next;
	const struct runtime_config *config;
	enum broker_role role;
	struct memory_broker *broker;
	usec_t now;
	bool asked; /* for events, since the last flush */

	bool connected;
	bool closing;
	bool told_up;
	bool told_blocked;
	bool down_untold;
	bool by_publish;
	struct error down;

	uint64_t published;	   /* the last tag given out */
	uint64_t answered;	   /* it and all before it are */
	struct memory_list unsent; /* published, not flushed */
	struct answer *answers;	   /* in the order of their telling */
	struct answer **answers_end;

	struct memory_queue *queue; /* NULL: does not consume */
	uint64_t delivered;	    /* the last tag given out */
	struct memory_list unacknowledged;
	size_t unacknowledged_count;
	bool stopped;
};

/* The queue of that name, NULL when there is none. */
struct memory_queue *memory_broker_queue(struct memory_broker *broker,
					 const char *name);

/* Makes the config's queue and bindings if its topology says so. */
int memory_broker_declare(struct memory_broker *broker,
			  const struct runtime_config *config,
			  struct error *err);

/* Takes a message off a connection: routed, answered, as the knobs have it. */
void memory_broker_take(struct link *link,
			const struct memory_message *message);

/* Ends a connection; DOWN is told with this reason. */
void memory_link_drop(struct link *link, enum status status,
		      const char *reason);

#endif
