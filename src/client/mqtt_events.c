/* SPDX-License-Identifier: MIT */
/* The session's events as the client's callbacks, and what is asked of it. */
#include "client/mqtt_client.h"

/* ---- telling ---- */

static void tell_connected(struct postbus_mqtt *client, bool session_present)
{
	client_move(client, CLIENT_UP);
	client->was_up = true;
	client->retry_after = client->options.retry_min * USEC_PER_SEC;
	if (client->leave)
		postbus_mqtt_disconnect(client);
	else if (client->on_connected != NULL)
		client->on_connected(client, session_present,
				     client->connected_user);
}

/* Strings of the public API end in NUL. */
static bool terminate(struct postbus_mqtt *client, struct mqtt_message *message)
{
	struct headers *user = &message->properties.user;

	message->topic = arena_copy(&client->arena, message->topic);
	for (size_t i = 0; i < user->count; i++) {
		struct header *pair = &user->at[i];

		pair->name = arena_copy(&client->arena, pair->name);
		pair->value = arena_copy(&client->arena, pair->value);
		if (!span_present(pair->name) || !span_present(pair->value))
			return false;
	}
	return span_present(message->topic);
}

static void tell_message(struct postbus_mqtt *client,
			 const struct session_event *event)
{
	struct postbus_mqtt_message message = {.content = event->message,
					       .delivery = event->delivery};
	const struct error cause = {STATUS_NO_MEMORY, "out of memory"};

	if (!terminate(client, &message.content)) {
		session_transport_lost(client->session, &cause);
		return;
	}
	if (client->on_message != NULL)
		client->on_message(client, &message, client->message_user);
	if (!client->options.manual_ack && event->delivery != 0)
		session_acknowledge(client->session, event->delivery);
}

static void tell_done(struct postbus_mqtt *client, uint64_t tag, int status,
		      unsigned reason)
{
	struct waiter waiter = pending_take(&client->pending, tag);

	if (waiter.done != NULL)
		waiter.done(client, status, reason, waiter.user);
	else if (waiter.granted != NULL)
		waiter.granted(client, status, reason, waiter.user);
}

/* The one code that was asked for; version 3.1.1 has none for UNSUBSCRIBE. */
static void tell_granted(struct postbus_mqtt *client,
			 const struct session_event *event)
{
	uint8_t code = 0;
	int status = 0;

	if (event->granted.len > 0)
		code = (uint8_t)event->granted.at[0];
	if (code >= REASON_FAILURES)
		status = mqtt_reason_error(&client->error,
					   "the server refuses the "
					   "subscription",
					   code, SPAN_NONE);
	tell_done(client, event->tag, status, code);
}

/* The same server, at once, in the older version. */
static bool fall_back(struct postbus_mqtt *client)
{
	if (client->options.version != 0 || client->leave ||
	    client_create_session(client, MQTT_VERSION_3) < 0)
		return false;
	client_drop(client);
	client_move(client, CLIENT_WAITING);
	client->retry_at = 0;
	return true;
}

/* Silence is as good as a refusal of version 5, until the server has once
 * accepted it; silence to both says nothing, and the next attempt begins with 5
 * again. */
static void tell_closed(struct postbus_mqtt *client,
			const struct session_event *event)
{
	bool silent = event->unanswered && !client->was_up;

	if (client->version == MQTT_VERSION_5 &&
	    (event->version_refused || silent) && fall_back(client))
		return;
	if (silent && client->options.version == 0)
		(void)client_create_session(client, MQTT_VERSION_5);
	client_down(client, &event->error);
}

static void tell(struct postbus_mqtt *client, const struct session_event *event)
{
	switch (event->kind) {
	case SESSION_CONNECTED:
		tell_connected(client, event->session_present);
		break;
	case SESSION_MESSAGE:
		tell_message(client, event);
		break;
	case SESSION_CONFIRMED:
		tell_done(client, event->tag, 0, event->reason);
		break;
	case SESSION_REJECTED:
		client->error = event->error;
		tell_done(client, event->tag, event->error.status,
			  event->reason);
		break;
	case SESSION_SUBSCRIBED:
	case SESSION_UNSUBSCRIBED:
		tell_granted(client, event);
		break;
	case SESSION_LOST:
		tell_done(client, event->tag, STATUS_AWAY, 0);
		break;
	case SESSION_CLOSED:
		tell_closed(client, event);
		break;
	}
}

void client_tell(struct postbus_mqtt *client)
{
	struct session_event event = {0};

	while (client->stream != NULL &&
	       session_next(client->session, &client->arena, &event)) {
		tell(client, &event);
		arena_reset(&client->arena);
	}
}

void client_give_up(struct postbus_mqtt *client)
{
	uint64_t tag;

	while ((tag = pending_any(&client->pending)) != 0)
		tell_done(client, tag, STATUS_AWAY, 0);
}

/* ---- asking ---- */

/* Makes room for who waits for the next request, if anybody does. */
static int expect(struct postbus_mqtt *client, bool anybody)
{
	if (client->state != CLIENT_UP)
		return error_set(&client->error, STATUS_AWAY, "not connected");
	if (anybody && !pending_reserve(&client->pending, client->last_tag + 1))
		return error_set(&client->error, STATUS_NO_MEMORY,
				 "out of memory");
	return 0;
}

static int asked(struct postbus_mqtt *client, struct waiter waiter)
{
	client->last_tag = waiter.tag;
	if (waiter.done != NULL || waiter.granted != NULL)
		pending_add(&client->pending, waiter);
	return 0;
}

int postbus_mqtt_publish(struct postbus_mqtt *client,
			 const struct postbus_mqtt_message *message,
			 postbus_mqtt_done *done, void *user)
{
	struct waiter waiter = {.done = done, .user = user};
	int status = expect(client, done != NULL);

	if (status == 0)
		status = session_publish(client->session, &message->content,
					 &waiter.tag, &client->error);
	return status < 0 ? status : asked(client, waiter);
}

int postbus_mqtt_subscribe(struct postbus_mqtt *client, const char *filter,
			   unsigned qos, postbus_mqtt_granted *granted,
			   void *user)
{
	const struct mqtt_filter wanted = {
		.filter = span_of(filter),
		.qos = (uint8_t)(qos < 2 ? qos : 2),
		.retain_handling = 1,
	};
	struct waiter waiter = {.granted = granted, .user = user};
	int status = expect(client, granted != NULL);

	if (status == 0)
		status = session_subscribe(client->session, &wanted, 1,
					   &waiter.tag, &client->error);
	return status < 0 ? status : asked(client, waiter);
}

int postbus_mqtt_unsubscribe(struct postbus_mqtt *client, const char *filter,
			     postbus_mqtt_done *done, void *user)
{
	const struct span unwanted = span_of(filter);
	struct waiter waiter = {.done = done, .user = user};
	int status = expect(client, done != NULL);

	if (status == 0)
		status = session_unsubscribe(client->session, &unwanted, 1,
					     &waiter.tag, &client->error);
	return status < 0 ? status : asked(client, waiter);
}

void postbus_mqtt_acknowledge(struct postbus_mqtt *client, uint64_t delivery)
{
	if (client->session != NULL)
		session_acknowledge(client->session, delivery);
}
