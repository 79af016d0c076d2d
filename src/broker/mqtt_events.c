/* SPDX-License-Identifier: MIT */
/* A session's events as a broker's. */
#include <stdio.h>

#include "base/testing.h"
#include "base/utf8.h"
#include "broker/mqtt.h"

/* A connection that is closed before that, without a word, was ended for us. */
static const usec_t soon = 10 * USEC_PER_SEC;

static bool tell_down(struct mqtt *mqtt, struct broker_event *event)
{
	if (!mqtt->down_untold)
		return false;
	mqtt->down_untold = false;
	event->kind = BROKER_DOWN;
	event->error = mqtt->down;
	event->another_host = hosts_left(&mqtt->hosts);
	return true;
}

/* The last words, a DISCONNECT perhaps, are sent as far as they go. */
static bool give_up(struct mqtt *mqtt, const struct error *cause,
		    struct broker_event *event)
{
	if (!mqtt->lost)
		(void)stream_write(mqtt->stream, session_output(mqtt->session),
				   NULL);
	mqtt_go_down(mqtt, cause);
	return tell_down(mqtt, event);
}

/* ---- coming up ---- */

static bool tell_up(struct mqtt *mqtt, struct broker_event *event)
{
	testing_crash_point("up");
	mqtt_move(mqtt, MQTT_UP);
	hosts_reached(&mqtt->hosts);
	event->kind = BROKER_UP;
	if (mqtt->was_up && mqtt->session_lost)
		error_set(&event->error, STATUS_NOT_FOUND,
			  "the broker has lost the session and with it what it "
			  "held for this intake; subscribed again");
	mqtt->was_up = true;
	mqtt->up_at = mqtt->now;
	return true;
}

/* What the config asks for and this broker does not have. */
static int check_limits(const struct mqtt *mqtt,
			const struct session_limits *limits, struct error *err)
{
	if (mqtt->role == BROKER_CONSUMER)
		return 0;
	if (limits->maximum_qos < mqtt->config->mqtt.qos)
		return error_set(err, STATUS_MISMATCH,
				 "the broker takes QoS %u at most: set qos=%u",
				 limits->maximum_qos, limits->maximum_qos);
	if (mqtt->config->mqtt.retain && !limits->retain_available)
		return error_set(err, STATUS_MISMATCH,
				 "the broker keeps no retained messages: set "
				 "retain=false");
	return 0;
}

/* At every connection: the config may have changed since the last. A session
 * that was kept may still have what was taken out of it. */
static int subscribe(struct mqtt *mqtt, bool kept, struct error *err)
{
	uint64_t tag;
	int status = 0;

	testing_crash_point("opened");
	mqtt_move(mqtt, MQTT_SUBSCRIBING);
	mqtt->answer_by = mqtt->now + mqtt_patience(mqtt);
	mqtt->unanswered = 1;
	if (kept && mqtt->former_count > 0) {
		mqtt->unanswered++;
		status = session_unsubscribe(mqtt->session, mqtt->former,
					     mqtt->former_count, &tag, err);
	}
	return status < 0 ? status
			  : session_subscribe(mqtt->session, mqtt->filters,
					      mqtt->filter_count, &tag, err);
}

static bool on_connected(struct mqtt *mqtt, const struct session_event *from,
			 struct broker_event *event)
{
	struct error cause;
	int status = check_limits(mqtt, &from->limits, &cause);

	mqtt->tick_at = mqtt->now; /* keep-alive begins */
	mqtt->session_lost = mqtt->role == BROKER_CONSUMER &&
			     !mqtt->config->mqtt.clean_start &&
			     !from->session_present;
	if (status == 0 && mqtt->role == BROKER_PUBLISHER)
		return tell_up(mqtt, event);
	if (mqtt->was_up && testing_bug("resubscribe-forgotten"))
		return tell_up(mqtt, event);
	if (status == 0)
		status = subscribe(mqtt, from->session_present, &cause);
	if (status < 0)
		return give_up(mqtt, &cause, event);
	/* Of a session that was kept messages come at once. */
	return from->session_present && tell_up(mqtt, event);
}

static int check_grant(const struct mqtt_filter *filter, uint8_t granted,
		       struct error *err)
{
	char context[300];

	if (granted == filter->qos || testing_bug("suback-ignored"))
		return 0;
	if (granted < REASON_FAILURES)
		return error_set(err, STATUS_MISMATCH,
				 "the broker gives %.*s only QoS %u: set "
				 "qos=%u",
				 SPAN_ARG(filter->filter), granted, granted);
	snprintf(context, sizeof(context),
		 "the broker refuses the subscription to %.*s",
		 SPAN_ARG(filter->filter));
	mqtt_reason_error(err, context, granted, SPAN_NONE);
	return err->status;
}

static bool refuse_grant(struct mqtt *mqtt, const struct error *cause,
			 struct broker_event *event)
{
	session_disconnect(mqtt->session, false);
	return give_up(mqtt, cause, event);
}

/* Version 3.1.1 has no codes. */
static bool on_unsubscribed(struct mqtt *mqtt, const struct session_event *from,
			    struct broker_event *event)
{
	struct error cause;
	char context[300];

	mqtt->unanswered--;
	for (size_t i = 0; i < from->granted.len; i++) {
		if ((uint8_t)from->granted.at[i] < REASON_FAILURES)
			continue;
		snprintf(context, sizeof(context),
			 "the broker does not end the subscription to %.*s",
			 SPAN_ARG(mqtt->former[i]));
		mqtt_reason_error(&cause, context, (uint8_t)from->granted.at[i],
				  SPAN_NONE);
		return refuse_grant(mqtt, &cause, event);
	}
	return false;
}

static bool on_subscribed(struct mqtt *mqtt, const struct session_event *from,
			  struct broker_event *event)
{
	struct error cause;

	mqtt->unanswered--;
	for (size_t i = 0; i < mqtt->filter_count; i++)
		if (check_grant(&mqtt->filters[i], (uint8_t)from->granted.at[i],
				&cause) < 0)
			return refuse_grant(mqtt, &cause, event);
	return mqtt->state == MQTT_SUBSCRIBING && tell_up(mqtt, event);
}

/* Not every broker says so when it gives our place to another client. */
static void suspect_rival(struct mqtt *mqtt, struct error *cause)
{
	if (mqtt->now - mqtt->up_at > soon)
		mqtt->thrown_out = 0;
	else if (++mqtt->thrown_out > 1)
		error_set(cause, STATUS_BUSY,
			  "the broker closed %u connections soon after they "
			  "were made: perhaps another client has the same "
			  "client id, %.*s",
			  mqtt->thrown_out, SPAN_ARG(mqtt->client_id));
}

/* A broker that does not know version 5 says so, or like RabbitMQ 3 hangs up.
 * A connection also ends by chance: only the second time is taken for that. */
static bool try_again(struct mqtt *mqtt, const struct session_event *closed)
{
	bool hung_up = mqtt->state == MQTT_OPENING && mqtt->lost &&
		       closed->reason == 0;

	if (mqtt->version != MQTT_VERSION_5 ||
	    !(closed->version_refused || hung_up))
		return false;
	mqtt_drop(mqtt);
	if (closed->version_refused || mqtt->hung_up)
		mqtt->version = MQTT_VERSION_3;
	mqtt->hung_up = true;
	mqtt->again = true;
	return true;
}

static bool on_closed(struct mqtt *mqtt, const struct session_event *from,
		      struct broker_event *event)
{
	struct error cause = from->error;

	if (try_again(mqtt, from))
		return false;
	if (mqtt->state == MQTT_CLOSING)
		cause = (struct error){.status = STATUS_OK};
	else if (mqtt->state == MQTT_UP && from->reason == 0)
		suspect_rival(mqtt, &cause);
	return give_up(mqtt, &cause, event);
}

/* ---- messages ---- */

static bool on_confirmed(struct mqtt *mqtt, const struct session_event *from,
			 struct broker_event *event)
{
	event->kind = BROKER_CONFIRMED;
	event->tag = from->tag;
	if (from->reason != REASON_NO_MATCHING_SUBSCRIBERS)
		return true;
	event->kind = BROKER_RETURNED;
	mqtt->returned = from->tag;
	error_set(&event->error, STATUS_NOT_FOUND, "unroutable: %s",
		  mqtt_reason_text(from->reason));
	return true;
}

static bool on_rejected(const struct session_event *from,
			struct broker_event *event)
{
	event->kind = BROKER_REFUSED;
	event->tag = from->tag;
	event->error = from->error;
	return true;
}

/* Takes the user properties that are the message's own out of the others. */
static void read_user_properties(struct delivery *delivery,
				 const struct headers *user)
{
	struct headers *rest = &delivery->headers;

	rest->at = user->at;
	for (size_t i = 0; i < user->count; i++) {
		struct header header = user->at[i];

		if (span_is(header.name, "message_id"))
			delivery->message_id = header.value;
		else if (span_is(header.name, "type"))
			delivery->type = header.value;
		else if (span_is(header.name, "source"))
			delivery->app_id = header.value;
		else
			rest->at[rest->count++] = header;
	}
}

static int read_delivery(const struct mqtt *mqtt,
			 const struct session_event *from, struct arena *arena,
			 struct delivery *delivery, struct error *err)
{
	const struct mqtt_message *message = &from->message;
	const struct mqtt_properties *properties = &message->properties;
	bool replies = span_present(properties->response_topic);

	*delivery = (struct delivery){
		.tag = mqtt->delivered,
		.redelivered = message->dup,
		.topic = message->topic,
		.bus_topic =
			mqtt_topic_to_bus(&mqtt->topics, message->topic, arena),
		.any_body = true,
		.body = message->payload,
		.full_size = from->cut ? from->full_size : 0,
		.content_type = properties->content_type,
	};
	if (utf8_valid(properties->correlation_data))
		delivery->correlation_id = properties->correlation_data;
	if (replies)
		delivery->reply_to = mqtt_topic_to_bus(
			&mqtt->topics, properties->response_topic, arena);
	if (!span_present(delivery->bus_topic) ||
	    (replies && !span_present(delivery->reply_to)))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	read_user_properties(delivery, &properties->user);
	return 0;
}

/* A message of QoS 0 wants no acknowledgement: its tag covers what came before
 * it. */
static bool on_message(struct mqtt *mqtt, const struct session_event *from,
		       struct arena *arena, struct broker_event *event)
{
	struct error cause;

	if (mqtt->stopped || mqtt->state == MQTT_CLOSING)
		return false;
	if (from->delivery > 0)
		mqtt->delivered = from->delivery;
	event->kind = BROKER_DELIVERED;
	if (read_delivery(mqtt, from, arena, &event->delivery, &cause) == 0)
		return true;
	return give_up(mqtt, &cause, event);
}

static bool translate(struct mqtt *mqtt, const struct session_event *from,
		      struct arena *arena, struct broker_event *event)
{
	switch (from->kind) {
	case SESSION_CONNECTED:
		return on_connected(mqtt, from, event);
	case SESSION_SUBSCRIBED:
		return on_subscribed(mqtt, from, event);
	case SESSION_MESSAGE:
		return on_message(mqtt, from, arena, event);
	case SESSION_CONFIRMED:
		return on_confirmed(mqtt, from, event);
	case SESSION_REJECTED:
		return on_rejected(from, event);
	case SESSION_CLOSED:
		return on_closed(mqtt, from, event);
	case SESSION_UNSUBSCRIBED:
		return on_unsubscribed(mqtt, from, event);
	case SESSION_LOST:
		return false; /* CLOSED says it all */
	}
	return false;
}

static bool tell_confirm(struct mqtt *mqtt, struct broker_event *event)
{
	if (mqtt->returned == 0)
		return false;
	event->kind = BROKER_CONFIRMED;
	event->tag = mqtt->returned;
	mqtt->returned = 0;
	return true;
}

/* Everything that came has been looked at, and an answer is not among it. */
static bool miss_answer(struct mqtt *mqtt, struct broker_event *event)
{
	struct error cause;

	if (mqtt->state != MQTT_UP || mqtt->unanswered == 0 || !mqtt->drained ||
	    mqtt->now < mqtt->answer_by)
		return false;
	error_set(&cause, STATUS_AWAY, "no answer to SUBSCRIBE in time");
	return give_up(mqtt, &cause, event);
}

static bool next(struct mqtt *mqtt, struct arena *arena,
		 struct broker_event *event)
{
	struct session_event from;

	if (tell_confirm(mqtt, event))
		return true;
	while (mqtt->session != NULL &&
	       session_next(mqtt->session, arena, &from))
		if (translate(mqtt, &from, arena, event))
			return true;
	return miss_answer(mqtt, event) || tell_down(mqtt, event);
}

bool mqtt_next(struct broker *broker, struct arena *arena,
	       struct broker_event *event)
{
	struct mqtt *mqtt = mqtt_of(broker);

	*event = (struct broker_event){0};
	mqtt->more = next(mqtt, arena, event);
	return mqtt->more;
}
