/* SPDX-License-Identifier: MIT */
/* Queues of messages inside the process, bound to topics. */
#ifndef BROKER_MEMORY_QUEUE_H
#define BROKER_MEMORY_QUEUE_H

#include "broker/broker.h"

/* A message of its own memory, in one list at a time. */
struct memory_message {
	struct memory_message *next;
	uint64_t tag; /* of its publishing, then of its delivery */
	struct delivery delivery;
};

struct memory_list {
	struct memory_message *first;
	struct memory_message *last;
};

/* NULL when memory has run out. */
struct memory_message *memory_message_create(const struct publication *from);
struct memory_message *
memory_message_copy(const struct memory_message *message);

/* A copy of what was sent, in the arena; false when memory has run out. */
bool memory_message_read(const struct memory_message *message,
			 struct arena *arena, struct delivery *delivery);

void memory_list_push(struct memory_list *list, struct memory_message *message);
/* NULL when it is empty. */
struct memory_message *memory_list_pop(struct memory_list *list);
void memory_list_clear(struct memory_list *list);

struct memory_queue {
	struct memory_queue *next;
	struct memory_binding *bindings;
	struct memory_list ready;
	size_t unacknowledged;
	char name[];
};

struct memory_queue *memory_queue_create(const char *name);
void memory_queue_destroy(struct memory_queue *queue);

/* Binds to topics of the exchange that match the pattern: '*' is one segment,
 * '#' any number. Idempotent. */
int memory_queue_bind(struct memory_queue *queue, const char *exchange,
		      struct span pattern, struct error *err);
bool memory_queue_takes(const struct memory_queue *queue, const char *exchange,
			struct span topic);

/* Puts delivered messages back in front, in their order, as redelivered. */
void memory_queue_requeue(struct memory_queue *queue,
			  struct memory_list *unacknowledged);

#endif
