/* SPDX-License-Identifier: MIT */
/* The driver of the in-memory broker: one lane's connection. */
#include "broker/memory_link.h"

#include <assert.h>
#include <stdlib.h>

/* ---- connecting ---- */

static struct link *link_of(struct broker *broker)
{
	return (struct link *)broker;
}

static int link_create(struct broker **out, const struct runtime_config *config,
		       enum broker_role role, struct error *err)
{
	struct memory_broker *broker = memory_broker(config->host);
	struct link *link = calloc(1, sizeof(*link));

	if (broker == NULL || link == NULL) {
		free(link);
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	}
	link->base.driver = &broker_memory;
	link->config = config;
	link->role = role;
	link->broker = broker;
	link->answers_end = &link->answers;
	link->next = broker->links;
	broker->links = link;
	*out = &link->base;
	return 0;
}

static void drop_answers(struct link *link)
{
	while (link->answers != NULL) {
		struct answer *answer = link->answers;

		link->answers = answer->next;
		free(answer);
	}
	link->answers_end = &link->answers;
}

static void drop(struct link *link)
{
	if (link->queue != NULL)
		memory_queue_requeue(link->queue, &link->unacknowledged);
	memory_list_clear(&link->unsent);
	drop_answers(link);
	link->queue = NULL;
	link->connected = link->closing = false;
	link->told_up = link->told_blocked = false;
	link->published = link->answered = 0;
	link->delivered = link->unacknowledged_count = 0;
	link->stopped = false;
}

void memory_link_drop(struct link *link, enum status status, const char *reason)
{
	drop(link);
	link->down_untold = true;
	link->by_publish = false;
	error_set(&link->down, status, "%s", reason);
}

static void link_destroy(struct broker *broker)
{
	struct link *link = link_of(broker);
	struct link **at;

	if (link == NULL)
		return;
	drop(link);
	for (at = &link->broker->links; *at != link;)
		at = &(*at)->next;
	*at = link->next;
	free(link);
}

static void link_connect(struct broker *broker, usec_t now)
{
	struct link *link = link_of(broker);
	const char *queue = link->config->rabbitmq.queue;
	struct error cause;

	assert(!link->connected);
	link->now = now;
	link->down_untold = false;
	if (link->broker->knobs.refuse) {
		memory_link_drop(link, STATUS_AWAY,
				 "the memory broker refuses");
		return;
	}
	if (memory_broker_declare(link->broker, link->config, &cause) < 0) {
		memory_link_drop(link, cause.status, cause.text);
		return;
	}
	if (link->role == BROKER_CONSUMER && queue != NULL)
		link->queue = memory_broker_queue(link->broker, queue);
	if (link->role == BROKER_CONSUMER && link->queue == NULL)
		memory_link_drop(link, STATUS_NOT_FOUND,
				 "there is no such queue");
	else
		link->connected = true;
}

static void link_cut(struct broker *broker)
{
	struct link *link = link_of(broker);

	drop(link);
	link->down_untold = false;
}

/* ---- publishing ---- */

static int check_short(const char *name, struct span value, struct error *err)
{
	if (value.len <= ENVELOPE_MAX_STRING)
		return 0;
	return error_set(err, STATUS_INVALID,
			 "%s has %zu bytes, %d at most are carried", name,
			 value.len, ENVELOPE_MAX_STRING);
}

static int link_publish(struct broker *broker, const struct publication *from,
			uint64_t *tag, struct error *err)
{
	struct link *link = link_of(broker);
	struct memory_message *message;
	int status = check_short("topic", from->envelope->topic, err);

	assert(link->connected);
	if (status == 0)
		status = check_short("message_id", from->envelope->message_id,
				     err);
	if (status < 0)
		return status;
	message = memory_message_create(from);
	if (message == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	message->tag = *tag = ++link->published;
	memory_list_push(&link->unsent, message);
	return 0;
}

static void transmit(struct link *link)
{
	struct memory_message *message;

	while (link->connected && !link->broker->knobs.blocked &&
	       (message = memory_list_pop(&link->unsent)) != NULL) {
		memory_broker_take(link, message);
		free(message);
	}
	if (link->connected && link->closing)
		memory_link_drop(link, STATUS_OK, "");
}

/* ---- consuming ---- */

static void link_acknowledge(struct broker *broker, uint64_t tag)
{
	struct link *link = link_of(broker);
	struct memory_list *list = &link->unacknowledged;

	while (list->first != NULL && list->first->tag <= tag) {
		free(memory_list_pop(list));
		link->unacknowledged_count--;
		link->queue->unacknowledged--;
	}
}

static void link_stop_consuming(struct broker *broker)
{
	link_of(broker)->stopped = true;
}

static bool may_deliver(const struct link *link)
{
	return link->queue != NULL && !link->stopped && !link->closing &&
	       link->queue->ready.first != NULL &&
	       link->unacknowledged_count <
		       (size_t)link->config->rabbitmq.prefetch_count;
}

/* ---- events ---- */

static bool tell_down(struct link *link, struct broker_event *event)
{
	link->down_untold = false;
	event->kind = BROKER_DOWN;
	event->error = link->down;
	event->by_publish = link->by_publish;
	return true;
}

static bool blocked_untold(const struct link *link)
{
	return link->role == BROKER_PUBLISHER &&
	       link->told_blocked != link->broker->knobs.blocked;
}

static bool tell_blocked(struct link *link, struct broker_event *event)
{
	link->told_blocked = !link->told_blocked;
	event->kind = link->told_blocked ? BROKER_BLOCKED : BROKER_UNBLOCKED;
	if (link->told_blocked)
		error_set(&event->error, STATUS_BUSY,
			  "the memory broker takes no messages for now");
	return true;
}

static bool answer_is_due(const struct link *link)
{
	return link->answers != NULL && link->answers->due <= link->now;
}

static void explain(struct broker_event *event)
{
	if (event->kind == BROKER_RETURNED)
		error_set(&event->error, STATUS_NOT_FOUND,
			  "unroutable: no queue is bound to the topic");
	else if (event->kind == BROKER_REFUSED)
		error_set(&event->error, STATUS_AWAY,
			  "the memory broker could not take the message");
}

/* Takes the first answer off; one for all before it counts as `multiple`. */
static struct answer pop_answer(struct link *link)
{
	struct answer first = *link->answers;

	free(link->answers);
	link->answers = first.next;
	if (link->answers == NULL)
		link->answers_end = &link->answers;
	if (first.kind != BROKER_RETURNED && first.tag == link->answered + 1)
		link->answered = first.tag;
	return first;
}

/* Neighbouring confirms are told as one, as brokers do. */
static bool tell_answer(struct link *link, struct broker_event *event)
{
	struct answer first = pop_answer(link);

	event->kind = first.kind;
	event->tag = first.tag;
	explain(event);
	while (first.kind == BROKER_CONFIRMED && link->answered == event->tag &&
	       answer_is_due(link) && link->answers->kind == BROKER_CONFIRMED &&
	       link->answers->tag == event->tag + 1) {
		event->tag = pop_answer(link).tag;
		event->multiple = true;
	}
	return true;
}

static bool tell_delivery(struct link *link, struct arena *arena,
			  struct broker_event *event)
{
	struct memory_message *message = link->queue->ready.first;

	if (!memory_message_read(message, arena, &event->delivery))
		return false;
	memory_list_pop(&link->queue->ready);
	memory_list_push(&link->unacknowledged, message);
	link->unacknowledged_count++;
	link->queue->unacknowledged++;
	event->kind = BROKER_DELIVERED;
	event->delivery.tag = message->tag = ++link->delivered;
	return true;
}

static bool link_next(struct broker *broker, struct arena *arena,
		      struct broker_event *event)
{
	struct link *link = link_of(broker);

	*event = (struct broker_event){0};
	link->asked = true;
	if (link->down_untold)
		return tell_down(link, event);
	if (!link->connected)
		return false;
	if (!link->told_up) {
		link->told_up = true;
		event->kind = BROKER_UP;
		return true;
	}
	if (blocked_untold(link))
		return tell_blocked(link, event);
	if (answer_is_due(link))
		return tell_answer(link, event);
	return may_deliver(link) && tell_delivery(link, arena, event);
}

/* ---- turns ---- */

static void link_step(struct broker *broker, usec_t now)
{
	link_of(broker)->now = now;
}

static void link_close(struct broker *broker, usec_t now)
{
	struct link *link = link_of(broker);

	link->now = now;
	link->closing = link->connected;
}

static bool has_news(const struct link *link)
{
	return link->down_untold ||
	       (link->connected && (!link->told_up || blocked_untold(link) ||
				    answer_is_due(link) || may_deliver(link)));
}

/* A lane that does not ask is not woken for what it leaves lying. */
static void link_flush(struct broker *broker, usec_t now, struct wait *wait)
{
	struct link *link = link_of(broker);

	link->now = now;
	transmit(link);
	if (link->asked && has_news(link))
		wait_until(wait, now);
	else if (link->answers != NULL)
		wait_until(wait, link->answers->due);
	link->asked = false;
}

const struct broker_driver broker_memory = {
	.name = "memory",
	.create = link_create,
	.destroy = link_destroy,
	.connect = link_connect,
	.step = link_step,
	.next = link_next,
	.publish = link_publish,
	.acknowledge = link_acknowledge,
	.stop_consuming = link_stop_consuming,
	.close = link_close,
	.cut = link_cut,
	.flush = link_flush,
};
