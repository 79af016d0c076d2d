/* SPDX-License-Identifier: MIT */
/*
 * A broker inside the process, for tests and simulation: topic exchanges,
 * durable queues, confirms, returns, redelivery, and knobs to break it with.
 *
 * A config with broker_type "memory" connects to the broker named by its
 * `host`; its queue and binding_keys are those of `rabbitmq`. Everything
 * happens in the order of the calls and nothing by itself: the same calls
 * give the same events. All brokers and lanes belong to one thread.
 */
#ifndef BROKER_MEMORY_H
#define BROKER_MEMORY_H

#include "broker/broker.h"

struct memory_broker;

/* The broker of that name, made when it is first asked for. NULL when memory
 * has run out. */
struct memory_broker *memory_broker(const char *name);

/* Ends every broker. No lane may be left. */
void memory_brokers_forget(void);

struct memory_knobs {
	bool refuse;  /* who connects is refused */
	bool blocked; /* publishers are told to wait; nothing is taken */
	usec_t confirm_delay; /* between a message and its confirm */
	unsigned nack;	      /* so many of the next messages are not taken */
	unsigned mute; /* so many of the next are taken and never answered */
	const char *poison; /* a message with this topic makes the broker close
			     * the connection; NULL: none */
};
struct memory_knobs *memory_broker_knobs(struct memory_broker *broker);

/* Every connection is lost, unread answers with it; what was delivered and not
 * acknowledged will be delivered again. */
void memory_broker_cut(struct memory_broker *broker);

/* Messages in a queue, delivered and unacknowledged ones included. */
size_t memory_broker_depth(struct memory_broker *broker, const char *queue);

#endif
