/* SPDX-License-Identifier: MIT */
/* AMQP's events as a broker's. */
#include "base/testing.h"
#include "broker/rabbitmq.h"
#include "broker/topology.h"

static bool tell_down(struct rabbitmq *rabbitmq, struct broker_event *event)
{
	if (!rabbitmq->down_untold)
		return false;
	rabbitmq->down_untold = false;
	event->kind = BROKER_DOWN;
	event->error = rabbitmq->down;
	event->another_host = hosts_left(&rabbitmq->hosts);
	return true;
}

/* The last words, a close-ok perhaps, are sent as far as they go. */
static bool on_closed(struct rabbitmq *rabbitmq,
		      struct connection_event *closed,
		      struct broker_event *event)
{
	if (rabbitmq->state == RABBITMQ_DECLARING ||
	    rabbitmq->state == RABBITMQ_SUBSCRIBING)
		topology_explain(&closed->error);
	if (!rabbitmq->lost)
		(void)stream_write(rabbitmq->stream,
				   connection_output(rabbitmq->connection),
				   NULL);
	rabbitmq_go_down(rabbitmq, &closed->error);
	event->by_publish = closed->by_publish;
	return tell_down(rabbitmq, event);
}

static bool fall(struct rabbitmq *rabbitmq, const struct error *cause,
		 struct broker_event *event)
{
	rabbitmq_go_down(rabbitmq, cause);
	return tell_down(rabbitmq, event);
}

static bool on_opened(struct rabbitmq *rabbitmq, struct broker_event *event)
{
	struct error cause;

	testing_crash_point("opened");
	rabbitmq_move(rabbitmq, RABBITMQ_DECLARING);
	return rabbitmq_declare(rabbitmq, &cause) < 0 &&
	       fall(rabbitmq, &cause, event);
}

static bool on_declared(struct rabbitmq *rabbitmq, struct broker_event *event)
{
	struct error cause;

	testing_crash_point("declared");
	rabbitmq_move(rabbitmq, RABBITMQ_SUBSCRIBING);
	return rabbitmq_subscribe(rabbitmq, &cause) < 0 &&
	       fall(rabbitmq, &cause, event);
}

static bool on_up(struct rabbitmq *rabbitmq, struct broker_event *event)
{
	testing_crash_point("up");
	rabbitmq_move(rabbitmq, RABBITMQ_UP);
	hosts_reached(&rabbitmq->hosts);
	arena_finish(&rabbitmq->login);
	event->kind = BROKER_UP;
	return true;
}

/* Once it is up, what is answered was asked on the way and needs no event. */
static bool on_replied(struct rabbitmq *rabbitmq, struct broker_event *event)
{
	bool consumer = rabbitmq->role == BROKER_CONSUMER;

	if (rabbitmq->state == RABBITMQ_DECLARING)
		return consumer ? on_declared(rabbitmq, event)
				: on_up(rabbitmq, event);
	return rabbitmq->state == RABBITMQ_SUBSCRIBING &&
	       on_up(rabbitmq, event);
}

static bool on_delivered(const struct delivered *from,
			 struct broker_event *event)
{
	event->kind = BROKER_DELIVERED;
	event->delivery = (struct delivery){
		.tag = from->tag,
		.redelivered = from->redelivered,
		.topic = from->routing_key,
		.body = from->body,
		.full_size = from->full_size,
		.message_id = from->properties.message_id,
		.correlation_id = from->properties.correlation_id,
		.reply_to = from->properties.reply_to,
		.type = from->properties.type,
		.app_id = from->properties.app_id,
		.content_type = from->properties.content_type,
		.headers = from->properties.headers,
	};
	return true;
}

static bool on_answer(const struct connection_event *from,
		      enum broker_event_kind kind, struct broker_event *event)
{
	event->kind = kind;
	event->tag = from->tag;
	event->multiple = from->multiple;
	event->error = from->error;
	return true;
}

static bool translate(struct rabbitmq *rabbitmq, struct connection_event *from,
		      struct broker_event *event)
{
	switch (from->kind) {
	case CONNECTION_OPENED:
		return on_opened(rabbitmq, event);
	case CONNECTION_REPLIED:
		return on_replied(rabbitmq, event);
	case CONNECTION_CLOSED:
		return on_closed(rabbitmq, from, event);
	case CONNECTION_CONFIRMED:
		return on_answer(from, BROKER_CONFIRMED, event);
	case CONNECTION_REFUSED:
		return on_answer(from, BROKER_REFUSED, event);
	case CONNECTION_RETURNED:
		return on_answer(from, BROKER_RETURNED, event);
	case CONNECTION_BLOCKED:
		return on_answer(from, BROKER_BLOCKED, event);
	case CONNECTION_UNBLOCKED:
		return on_answer(from, BROKER_UNBLOCKED, event);
	case CONNECTION_DELIVERED:
		return on_delivered(&from->delivery, event);
	}
	return false;
}

bool rabbitmq_next(struct broker *broker, struct arena *arena,
		   struct broker_event *event)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);
	struct connection_event from;

	*event = (struct broker_event){0};
	while (rabbitmq->connection != NULL &&
	       connection_next(rabbitmq->connection, arena, &from))
		if (translate(rabbitmq, &from, event)) {
			rabbitmq->more = true;
			return true;
		}
	rabbitmq->more = false;
	return tell_down(rabbitmq, event);
}
