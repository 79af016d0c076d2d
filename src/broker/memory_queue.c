/* SPDX-License-Identifier: MIT */
/* Messages, lists, bindings and topic matching of the in-memory broker. */
#include "broker/memory_queue.h"

#include <stdlib.h>
#include <string.h>

#include "message/topic.h"

struct memory_binding {
	struct memory_binding *next;
	char *exchange;
	char *pattern;
};

/* ---- messages ---- */

/* The strings of a message, so that they are measured and moved alike. */
enum { STRINGS = 8 };

static void list_strings(struct delivery *delivery,
			 struct span *strings[STRINGS])
{
	strings[0] = &delivery->topic;
	strings[1] = &delivery->body;
	strings[2] = &delivery->message_id;
	strings[3] = &delivery->correlation_id;
	strings[4] = &delivery->reply_to;
	strings[5] = &delivery->type;
	strings[6] = &delivery->app_id;
	strings[7] = &delivery->content_type;
}

static size_t size_of(struct delivery *delivery)
{
	const struct headers *headers = &delivery->headers;
	struct span *strings[STRINGS];
	size_t size = headers->count * sizeof(*headers->at);

	list_strings(delivery, strings);
	for (size_t i = 0; i < STRINGS; i++)
		size += strings[i]->len;
	for (size_t i = 0; i < headers->count; i++)
		size += headers->at[i].name.len + headers->at[i].value.len;
	return size;
}

/* Copies the string to *at, which moves on. An empty one needs no room. */
static void move_string(struct span *string, char **at)
{
	if (string->len == 0) {
		string->at = span_present(*string) ? "" : NULL;
		return;
	}
	memcpy(*at, string->at, string->len);
	string->at = *at;
	*at += string->len;
}

/* Moves everything the delivery points at to `at`, which has the room. */
static void move_to(struct delivery *delivery, char *at)
{
	struct headers *headers = &delivery->headers;
	size_t size = headers->count * sizeof(*headers->at);
	struct span *strings[STRINGS];

	if (size > 0) {
		memcpy(at, headers->at, size);
		headers->at = (struct header *)(void *)at;
		at += size;
	}
	list_strings(delivery, strings);
	for (size_t i = 0; i < STRINGS; i++)
		move_string(strings[i], &at);
	for (size_t i = 0; i < headers->count; i++) {
		move_string(&headers->at[i].name, &at);
		move_string(&headers->at[i].value, &at);
	}
}

static struct memory_message *create(struct delivery from)
{
	struct memory_message *message =
		malloc(sizeof(*message) + size_of(&from));

	if (message == NULL)
		return NULL;
	*message = (struct memory_message){.delivery = from};
	move_to(&message->delivery, (char *)(message + 1));
	return message;
}

bool memory_message_read(const struct memory_message *message,
			 struct arena *arena, struct delivery *delivery)
{
	struct delivery copy = message->delivery;
	char *memory = arena_alloc(arena, size_of(&copy));

	if (memory == NULL)
		return false;
	move_to(&copy, memory);
	*delivery = copy;
	return true;
}

struct memory_message *memory_message_create(const struct publication *from)
{
	const struct envelope *envelope = from->envelope;

	return create((struct delivery){
		.topic = envelope->topic,
		.body = from->body,
		.message_id = envelope->message_id,
		.correlation_id = envelope->request_id,
		.reply_to = envelope->reply_to,
		.type = span_of(message_type_name(from->type)),
		.app_id = envelope->source_service,
		.content_type = SPAN_LIT("application/json"),
		.headers = from->headers,
	});
}

struct memory_message *memory_message_copy(const struct memory_message *message)
{
	return create(message->delivery);
}

/* ---- lists ---- */

void memory_list_push(struct memory_list *list, struct memory_message *message)
{
	message->next = NULL;
	if (list->last == NULL)
		list->first = message;
	else
		list->last->next = message;
	list->last = message;
}

struct memory_message *memory_list_pop(struct memory_list *list)
{
	struct memory_message *message = list->first;

	if (message == NULL)
		return NULL;
	list->first = message->next;
	if (list->first == NULL)
		list->last = NULL;
	return message;
}

void memory_list_clear(struct memory_list *list)
{
	struct memory_message *message;

	while ((message = memory_list_pop(list)) != NULL)
		free(message);
}

/* ---- queues ---- */

struct memory_queue *memory_queue_create(const char *name)
{
	size_t size = strlen(name) + 1;
	struct memory_queue *queue = calloc(1, sizeof(*queue) + size);

	if (queue != NULL)
		memcpy(queue->name, name, size);
	return queue;
}

static void destroy_binding(struct memory_binding *binding)
{
	free(binding->exchange);
	free(binding->pattern);
	free(binding);
}

void memory_queue_destroy(struct memory_queue *queue)
{
	while (queue->bindings != NULL) {
		struct memory_binding *binding = queue->bindings;

		queue->bindings = binding->next;
		destroy_binding(binding);
	}
	memory_list_clear(&queue->ready);
	free(queue);
}

static bool is_bound(const struct memory_queue *queue, const char *exchange,
		     struct span pattern)
{
	for (struct memory_binding *at = queue->bindings; at; at = at->next)
		if (strcmp(at->exchange, exchange) == 0 &&
		    span_is(pattern, at->pattern))
			return true;
	return false;
}

int memory_queue_bind(struct memory_queue *queue, const char *exchange,
		      struct span pattern, struct error *err)
{
	struct memory_binding *binding;

	if (is_bound(queue, exchange, pattern))
		return 0;
	binding = calloc(1, sizeof(*binding));
	if (binding == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	binding->exchange = strdup(exchange);
	binding->pattern = strndup(pattern.at, pattern.len);
	if (binding->exchange == NULL || binding->pattern == NULL) {
		destroy_binding(binding);
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	}
	binding->next = queue->bindings;
	queue->bindings = binding;
	return 0;
}

/* Takes the first segment off; false when none is left, *rest.at then being
 * NULL. */
static bool take_segment(struct span *rest, struct span *segment)
{
	const char *dot;

	if (!span_present(*rest))
		return false;
	dot = memchr(rest->at, '.', rest->len);
	if (dot == NULL) {
		*segment = *rest;
		*rest = SPAN_NONE;
		return true;
	}
	*segment = (struct span){rest->at, (size_t)(dot - rest->at)};
	rest->at = dot + 1;
	rest->len -= segment->len + 1;
	return true;
}

static bool matches(struct span pattern, struct span topic)
{
	struct span want;
	struct span have;

	while (take_segment(&pattern, &want)) {
		if (span_is(want, "#")) {
			while (!matches(pattern, topic))
				if (!take_segment(&topic, &have))
					return false;
			return true;
		}
		if (!take_segment(&topic, &have) ||
		    (!span_is(want, "*") && !span_equal(want, have)))
			return false;
	}
	return !span_present(topic);
}

bool memory_queue_takes(const struct memory_queue *queue, const char *exchange,
			struct span topic)
{
	for (struct memory_binding *at = queue->bindings; at; at = at->next)
		if (strcmp(at->exchange, exchange) == 0 &&
		    matches(span_of(at->pattern), topic))
			return true;
	return false;
}

void memory_queue_requeue(struct memory_queue *queue,
			  struct memory_list *unacknowledged)
{
	struct memory_list front = {0};
	struct memory_message *message;

	while ((message = memory_list_pop(unacknowledged)) != NULL) {
		message->delivery.redelivered = true;
		queue->unacknowledged--;
		memory_list_push(&front, message);
	}
	while ((message = memory_list_pop(&queue->ready)) != NULL)
		memory_list_push(&front, message);
	queue->ready = front;
}
