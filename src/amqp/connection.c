/* SPDX-License-Identifier: MIT */
/* The connection's states, and what the server's methods mean in them. */
#include "amqp/connection.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/internal.h"
#include "base/quote.h"
#include "base/testing.h"

enum { POOL_PAGE = 1024 };

struct connection *connection_create(const struct connection_options *options)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		return NULL;
	connection->options = *options;
	connection->frame_max = FRAME_OUR_MAX;
	connection->content.longest = options->longest_kept;
	init_amqp_pool(&connection->pool, POOL_PAGE);
	buffer_append(&connection->output, "AMQP\0\0\x09\x01", 8);
	if (connection->output.failed) {
		connection_destroy(connection);
		return NULL;
	}
	return connection;
}

void connection_destroy(struct connection *connection)
{
	if (connection == NULL)
		return;
	buffer_finish(&connection->input);
	buffer_finish(&connection->output);
	content_finish(&connection->content);
	unconfirmed_finish(&connection->unconfirmed);
	arena_finish(&connection->scratch);
	empty_amqp_pool(&connection->pool);
	free(connection);
}

struct buffer *connection_input(struct connection *connection)
{
	return &connection->input;
}

struct buffer *connection_output(struct connection *connection)
{
	return &connection->output;
}

static bool can_move(enum connection_state from, enum connection_state to)
{
	if (to == CONNECTION_ENDED)
		return from != CONNECTION_ENDED;
	if (to == CONNECTION_CLOSING)
		return from < CONNECTION_CLOSING;
	return to == from + 1 && to <= CONNECTION_OPEN;
}

void connection_move(struct connection *connection, enum connection_state state)
{
	assert(can_move(connection->state, state));
	connection->state = state;
}

int connection_fail(struct connection *connection, enum status status,
		    const char *format, ...)
{
	char text[sizeof(connection->error.text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	connection_move(connection, CONNECTION_ENDED);
	return error_set(&connection->error, status, "%s", text);
}

/* Ends the connection for the reason that `error` has already. */
static int end(struct connection *connection)
{
	connection_move(connection, CONNECTION_ENDED);
	return connection->error.status;
}

static int malformed(struct connection *connection, amqp_method_number_t id)
{
	return connection_fail(connection, STATUS_PROTOCOL,
			       "%s from the server is malformed",
			       amqp_method_name(id));
}

/* ---- messages from the server ---- */

static int tell_delivery(struct connection *connection,
			 const struct message *message, struct arena *arena,
			 struct connection_event *event)
{
	const amqp_basic_deliver_t *deliver = frame_decode(
		&connection->pool, message->method, message->fields);
	struct delivered *delivery = &event->delivery;

	if (deliver == NULL)
		return malformed(connection, message->method);
	delivery->tag = deliver->delivery_tag;
	delivery->redelivered = deliver->redelivered;
	delivery->routing_key = span_of_bytes(deliver->routing_key);
	delivery->body = message->body;
	delivery->full_size = message->full_size;
	if (properties_read(&delivery->properties, message->properties, arena,
			    &connection->error) < 0)
		return end(connection);
	event->kind = CONNECTION_DELIVERED;
	return 1;
}

static int tell_return(struct connection *connection,
		       const struct message *message, struct arena *arena,
		       struct connection_event *event)
{
	const amqp_basic_return_t *returned = frame_decode(
		&connection->pool, message->method, message->fields);
	struct properties properties = {0};

	if (returned == NULL)
		return malformed(connection, message->method);
	if (properties_read(&properties, message->properties, arena,
			    &connection->error) < 0)
		return end(connection);
	event->tag = unconfirmed_find(&connection->unconfirmed,
				      properties.message_id,
				      span_of_bytes(returned->routing_key));
	if (event->tag == 0)
		return connection_fail(connection, STATUS_PROTOCOL,
				       "the broker returned a message that is "
				       "not in flight");
	event->kind = CONNECTION_RETURNED;
	error_set(&event->error, STATUS_NOT_FOUND,
		  "unroutable: no queue is bound to exchange %s for %s "
		  "(%.*s)",
		  quote(span_of_bytes(returned->exchange)).text,
		  quote(span_of_bytes(returned->routing_key)).text,
		  SPAN_ARG(span_of_bytes(returned->reply_text)));
	return 1;
}

static int continue_content(struct connection *connection,
			    const struct frame *frame, struct arena *arena,
			    struct connection_event *event)
{
	struct message message;
	int status = content_add(&connection->content, frame, arena, &message,
				 &connection->error);

	if (status < 0)
		return end(connection);
	if (status == 0)
		return 0;
	if (message.method == AMQP_BASIC_DELIVER_METHOD)
		return tell_delivery(connection, &message, arena, event);
	return tell_return(connection, &message, arena, event);
}

/* ---- answers ---- */

static int tell_answer(struct connection *connection, bool confirmed,
		       uint64_t tag, bool multiple,
		       struct connection_event *event)
{
	struct unconfirmed *unconfirmed = &connection->unconfirmed;

	if (!unconfirmed_settle(unconfirmed, tag, multiple))
		return connection_fail(connection, STATUS_PROTOCOL,
				       "the broker answered a message that was "
				       "never sent");
	event->kind = confirmed ? CONNECTION_CONFIRMED : CONNECTION_REFUSED;
	event->tag = tag == 0 ? unconfirmed->newest : tag;
	event->multiple = multiple && !testing_bug("multiple-ignored");
	if (!confirmed)
		error_set(&event->error, STATUS_AWAY,
			  "the broker could not take the message (nack)");
	return 1;
}

/* Whatever was asked for has been done. */
static int count_reply(struct connection *connection,
		       struct connection_event *event)
{
	if (connection->unanswered == 0)
		return connection_fail(connection, STATUS_PROTOCOL,
				       "the server answers what nobody asked");
	if (--connection->unanswered > 0)
		return 0;
	event->kind = CONNECTION_REPLIED;
	return 1;
}

static int tell_blocked(struct connection *connection,
			const amqp_connection_blocked_t *blocked,
			struct connection_event *event)
{
	(void)connection;
	event->kind = CONNECTION_BLOCKED;
	error_set(&event->error, STATUS_BUSY,
		  "the broker takes no messages for now: %.*s",
		  SPAN_ARG(span_of_bytes(blocked->reason)));
	return 1;
}

/* ---- ends ---- */

/* The failed method is class 60 method 40 when a publish was to blame, or
 * class 40: an exchange declared for one. */
static bool blames_publish(const struct connection *connection,
			   unsigned class_id, unsigned method_id)
{
	enum { EXCHANGE_CLASS = 40, PUBLISH = 40 };

	if (connection->unconfirmed.newest == 0)
		return false;
	return (class_id == FRAME_BASIC_CLASS && method_id == PUBLISH) ||
	       class_id == EXCHANGE_CLASS;
}

static void say_goodbye(struct connection *connection)
{
	amqp_connection_close_t close = {.reply_code = AMQP_REPLY_SUCCESS};

	(void)connection_send(connection, 0, AMQP_CONNECTION_CLOSE_METHOD,
			      &close, NULL);
}

static int server_closes(struct connection *connection,
			 const amqp_connection_close_t *close)
{
	amqp_connection_close_ok_t ok = {0};

	explain_close(connection, close->reply_code,
		      span_of_bytes(close->reply_text));
	connection->by_publish =
		blames_publish(connection, close->class_id, close->method_id);
	(void)connection_send(connection, 0, AMQP_CONNECTION_CLOSE_OK_METHOD,
			      &ok, NULL);
	return end(connection);
}

/* With its only channel closed the connection is of no use. */
static int server_closes_channel(struct connection *connection,
				 const amqp_channel_close_t *close)
{
	amqp_channel_close_ok_t ok = {0};

	explain_close(connection, close->reply_code,
		      span_of_bytes(close->reply_text));
	connection->by_publish =
		blames_publish(connection, close->class_id, close->method_id);
	(void)connection_send(connection, CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD,
			      &ok, NULL);
	say_goodbye(connection);
	return end(connection);
}

static int server_cancels(struct connection *connection)
{
	connection_fail(connection, STATUS_NOT_FOUND,
			"the broker cancelled the consumer of queue %s: it was "
			"deleted or has moved",
			quote(span_of(connection->queue)).text);
	say_goodbye(connection);
	return STATUS_NOT_FOUND;
}

static int closed_as_asked(struct connection *connection)
{
	if (connection->state != CONNECTION_CLOSING)
		return connection_fail(connection, STATUS_PROTOCOL,
				       "the server agrees to a close that "
				       "nobody asked for");
	connection->error = (struct error){.status = STATUS_OK};
	return end(connection);
}

/* ---- dispatch ---- */

/* What the server may send on an open connection; none has a table. */
static bool is_expected(amqp_method_number_t id)
{
	switch (id) {
	case AMQP_CONNECTION_CLOSE_METHOD:
	case AMQP_CONNECTION_CLOSE_OK_METHOD:
	case AMQP_CONNECTION_BLOCKED_METHOD:
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
	case AMQP_CHANNEL_CLOSE_METHOD:
	case AMQP_CHANNEL_CLOSE_OK_METHOD:
	case AMQP_EXCHANGE_DECLARE_OK_METHOD:
	case AMQP_EXCHANGE_BIND_OK_METHOD:
	case AMQP_QUEUE_DECLARE_OK_METHOD:
	case AMQP_QUEUE_BIND_OK_METHOD:
	case AMQP_CONFIRM_SELECT_OK_METHOD:
	case AMQP_BASIC_QOS_OK_METHOD:
	case AMQP_BASIC_CONSUME_OK_METHOD:
	case AMQP_BASIC_CANCEL_METHOD:
	case AMQP_BASIC_CANCEL_OK_METHOD:
	case AMQP_BASIC_ACK_METHOD:
	case AMQP_BASIC_NACK_METHOD:
		return true;
	default:
		return false;
	}
}

static int open_method(struct connection *connection, amqp_method_number_t id,
		       const void *method, struct connection_event *event)
{
	const amqp_basic_ack_t *ack = method;
	const amqp_basic_nack_t *nack = method;

	switch (id) {
	case AMQP_BASIC_ACK_METHOD:
		return tell_answer(connection, true, ack->delivery_tag,
				   ack->multiple, event);
	case AMQP_BASIC_NACK_METHOD:
		return tell_answer(connection, false, nack->delivery_tag,
				   nack->multiple, event);
	case AMQP_CONNECTION_BLOCKED_METHOD:
		return tell_blocked(connection, method, event);
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		event->kind = CONNECTION_UNBLOCKED;
		return 1;
	case AMQP_BASIC_CANCEL_METHOD:
		return server_cancels(connection);
	case AMQP_CONNECTION_CLOSE_METHOD:
		return server_closes(connection, method);
	case AMQP_CONNECTION_CLOSE_OK_METHOD:
		return closed_as_asked(connection);
	case AMQP_CHANNEL_CLOSE_METHOD:
		return server_closes_channel(connection, method);
	case AMQP_CHANNEL_CLOSE_OK_METHOD:
		return 0;
	default:
		return count_reply(connection, event);
	}
}

/* What needs no open channel. */
static bool may_come_early(const struct connection *connection,
			   amqp_method_number_t id)
{
	if (id == AMQP_CONNECTION_BLOCKED_METHOD ||
	    id == AMQP_CONNECTION_UNBLOCKED_METHOD)
		return connection->state == CONNECTION_CHANNEL;
	return id == AMQP_CONNECTION_CLOSE_METHOD ||
	       id == AMQP_CHANNEL_CLOSE_METHOD;
}

static int handle_method(struct connection *connection,
			 const struct frame *frame,
			 struct connection_event *event)
{
	amqp_method_number_t id = frame_method(frame);
	const char *name = amqp_method_name(id);
	const void *method;

	if (connection->state < CONNECTION_OPEN &&
	    !may_come_early(connection, id))
		return handshake_method(connection, id, frame->payload, event);
	if (id == AMQP_BASIC_DELIVER_METHOD || id == AMQP_BASIC_RETURN_METHOD) {
		content_begin(&connection->content, frame);
		return 0;
	}
	if (!is_expected(id))
		return connection_fail(connection, STATUS_PROTOCOL,
				       "the server sent %s, which has no "
				       "meaning here",
				       name == NULL ? "an unknown method"
						    : name);
	method = frame_decode(&connection->pool, id, frame->payload);
	if (method == NULL)
		return malformed(connection, id);
	return open_method(connection, id, method, event);
}

static int handle_frame(struct connection *connection,
			const struct frame *frame, struct arena *arena,
			struct connection_event *event)
{
	if (frame->channel > CHANNEL)
		return connection_fail(connection, STATUS_PROTOCOL,
				       "the server used channel %u, which is "
				       "not open",
				       frame->channel);
	if (frame->type == AMQP_FRAME_HEARTBEAT)
		return 0;
	if (frame->channel == CHANNEL &&
	    connection->content.stage != CONTENT_NONE)
		return continue_content(connection, frame, arena, event);
	if (frame->type == AMQP_FRAME_METHOD)
		return handle_method(connection, frame, event);
	return connection_fail(connection, STATUS_PROTOCOL,
			       "the server sent a message without a method");
}

static bool tell_end(struct connection *connection,
		     struct connection_event *event)
{
	if (connection->state != CONNECTION_ENDED && connection->lost)
		connection_move(connection, CONNECTION_ENDED);
	if (connection->state != CONNECTION_ENDED || connection->end_told)
		return false;
	connection->end_told = true;
	event->kind = CONNECTION_CLOSED;
	event->error = connection->error;
	event->by_publish = connection->by_publish;
	return true;
}

bool connection_next(struct connection *connection, struct arena *arena,
		     struct connection_event *event)
{
	*event = (struct connection_event){0};
	while (connection->state != CONNECTION_ENDED) {
		struct frame frame;
		struct error cause;
		int status = frame_read(buffer_span(&connection->input),
					connection->frame_max, &frame, &cause);

		if (status == 0)
			break;
		if (status < 0) {
			connection->error = cause;
			end(connection);
			break;
		}
		status = handle_frame(connection, &frame, arena, event);
		buffer_consume(&connection->input, frame.size);
		if (status > 0)
			return true;
	}
	return tell_end(connection, event);
}

static const char *lost_during(enum connection_state state)
{
	switch (state) {
	case CONNECTION_GREETING:
		return "no AMQP greeting came; is this RabbitMQ's AMQP port?";
	case CONNECTION_LOGIN:
		return "during the login";
	case CONNECTION_OPENING:
		return "while the virtual host was being opened";
	default:
		return NULL;
	}
}

void connection_lost(struct connection *connection, const struct error *error)
{
	const char *during = lost_during(connection->state);

	if (connection->lost || connection->state == CONNECTION_ENDED)
		return;
	connection->lost = true;
	connection->error = *error;
	if (connection->state == CONNECTION_CLOSING)
		connection->error = (struct error){.status = STATUS_OK};
	else if (during != NULL)
		error_prefix(&connection->error, "%s", during);
}

usec_t connection_tick(struct connection *connection, bool heard, usec_t now)
{
	const struct error silent = {STATUS_AWAY,
				     "the broker has been silent for two "
				     "heartbeat intervals"};
	usec_t interval = connection->interval;

	if (interval == 0 || connection->state == CONNECTION_ENDED)
		return USEC_NEVER;
	if (heard || connection->silent_since == 0)
		connection->silent_since = now;
	if (now >= connection->silent_since + 2 * interval)
		connection_lost(connection, &silent);
	if (connection->lost)
		return USEC_NEVER;
	if (now >= connection->beat_at) {
		frame_write_heartbeat(&connection->output);
		connection->beat_at = now + interval / 2;
	}
	return connection->beat_at < connection->silent_since + 2 * interval
		       ? connection->beat_at
		       : connection->silent_since + 2 * interval;
}
