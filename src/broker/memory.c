/* SPDX-License-Identifier: MIT */
/* The in-memory broker: its queues, and what becomes of a message. */
#include "broker/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "broker/memory_link.h"

static struct memory_broker *brokers;

/* ---- brokers ---- */

struct memory_broker *memory_broker(const char *name)
{
	struct memory_broker *broker = brokers;
	size_t size = strlen(name) + 1;

	while (broker != NULL && strcmp(broker->name, name) != 0)
		broker = broker->next;
	if (broker != NULL)
		return broker;
	broker = calloc(1, sizeof(*broker) + size);
	if (broker == NULL)
		return NULL;
	memcpy(broker->name, name, size);
	broker->next = brokers;
	brokers = broker;
	return broker;
}

void memory_brokers_forget(void)
{
	while (brokers != NULL) {
		struct memory_broker *broker = brokers;

		assert(broker->links == NULL);
		while (broker->queues != NULL) {
			struct memory_queue *queue = broker->queues;

			broker->queues = queue->next;
			memory_queue_destroy(queue);
		}
		brokers = broker->next;
		free(broker);
	}
}

struct memory_knobs *memory_broker_knobs(struct memory_broker *broker)
{
	return &broker->knobs;
}

struct memory_queue *memory_broker_queue(struct memory_broker *broker,
					 const char *name)
{
	struct memory_queue *queue = broker->queues;

	while (queue != NULL && strcmp(queue->name, name) != 0)
		queue = queue->next;
	return queue;
}

size_t memory_broker_depth(struct memory_broker *broker, const char *name)
{
	const struct memory_queue *queue = memory_broker_queue(broker, name);
	size_t depth = queue == NULL ? 0 : queue->unacknowledged;

	for (struct memory_message *at = queue ? queue->ready.first : NULL; at;
	     at = at->next)
		depth++;
	return depth;
}

static int bind_key(struct memory_queue *queue, const char *exchange,
		    struct span key, struct error *err)
{
	if (!span_present(key))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	return memory_queue_bind(queue, exchange, key, err);
}

static int bind_keys(struct memory_queue *queue,
		     const struct runtime_config *config, struct error *err)
{
	struct arena arena = {0};
	struct json_value keys;
	struct json_value key;
	struct json_cursor at;
	struct span name;
	int status;

	if (config->rabbitmq.binding_keys == NULL)
		return 0;
	status = json_check(span_of(config->rabbitmq.binding_keys), &keys, NULL,
			    err);
	if (status < 0)
		return status;
	at = json_enter(keys);
	while (status == 0 && json_next(&at, &name, &key))
		status = bind_key(queue, config->rabbitmq.exchange,
				  json_get_string(key, &arena), err);
	arena_finish(&arena);
	return status;
}

int memory_broker_declare(struct memory_broker *broker,
			  const struct runtime_config *config,
			  struct error *err)
{
	const char *name = config->rabbitmq.queue;
	struct memory_queue *queue;

	if (name == NULL || strcmp(config->rabbitmq.topology, "declare") != 0)
		return 0;
	queue = memory_broker_queue(broker, name);
	if (queue == NULL) {
		queue = memory_queue_create(name);
		if (queue == NULL)
			return error_set(err, STATUS_NO_MEMORY,
					 "out of memory");
		queue->next = broker->queues;
		broker->queues = queue;
	}
	return bind_keys(queue, config, err);
}

void memory_broker_cut(struct memory_broker *broker)
{
	for (struct link *link = broker->links; link; link = link->next)
		if (link->connected)
			memory_link_drop(
				link, STATUS_AWAY,
				"the memory broker cut the connection");
}

/* ---- messages ---- */

/* Without memory for an answer there is none: a confirm that never comes. */
static void answer(struct link *link, uint64_t tag, enum broker_event_kind kind)
{
	struct answer *added = malloc(sizeof(*added));

	if (added == NULL)
		return;
	*added = (struct answer){
		.kind = kind,
		.tag = tag,
		.due = link->now + link->broker->knobs.confirm_delay,
	};
	*link->answers_end = added;
	link->answers_end = &added->next;
}

enum routing { ROUTED, UNROUTABLE, NO_ROOM };

/* Into every queue that is bound. */
static enum routing route(struct link *link,
			  const struct memory_message *message)
{
	const char *exchange = link->config->rabbitmq.exchange;
	struct memory_queue *queue = link->broker->queues;
	enum routing routing = UNROUTABLE;

	for (; queue != NULL; queue = queue->next) {
		struct memory_message *copy;

		if (!memory_queue_takes(queue, exchange,
					message->delivery.topic))
			continue;
		copy = memory_message_copy(message);
		if (copy == NULL)
			return NO_ROOM;
		memory_list_push(&queue->ready, copy);
		routing = ROUTED;
	}
	return routing;
}

/* What the broker answers when no knob says otherwise. */
static void accept(struct link *link, const struct memory_message *message)
{
	switch (route(link, message)) {
	case NO_ROOM:
		answer(link, message->tag, BROKER_REFUSED);
		return;
	case UNROUTABLE:
		answer(link, message->tag, BROKER_RETURNED);
		break;
	case ROUTED:
		break;
	}
	if (link->broker->knobs.mute > 0)
		link->broker->knobs.mute--;
	else
		answer(link, message->tag, BROKER_CONFIRMED);
}

/* The end of the connection, by a message that the broker cannot bear. */
static void choke(struct link *link)
{
	memory_link_drop(link, STATUS_INVALID,
			 "the memory broker chokes on a message");
	link->by_publish = true;
}

void memory_broker_take(struct link *link, const struct memory_message *message)
{
	struct memory_knobs *knobs = &link->broker->knobs;

	if (knobs->poison != NULL &&
	    span_is(message->delivery.topic, knobs->poison)) {
		choke(link);
	} else if (knobs->nack > 0) {
		knobs->nack--;
		answer(link, message->tag, BROKER_REFUSED);
	} else {
		accept(link, message);
	}
}
