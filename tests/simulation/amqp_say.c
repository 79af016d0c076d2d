/* SPDX-License-Identifier: MIT */
/* What the AMQP peer says, as bytes. */
#include <stdlib.h>

#include "amqp_peer.h"
#include "world.h"

enum { HEADER = 7, OVERHEAD = 8, ROOM = 1024 };

static amqp_bytes_t bytes_of(struct span span)
{
	return (amqp_bytes_t){.len = span.len, .bytes = (void *)span.at};
}

static void put(char *at, uint64_t value, size_t size)
{
	while (size-- > 0) {
		at[size] = (char)value;
		value >>= 8;
	}
}

/* Closes a frame whose payload stands behind room for its header. */
static void end_frame(struct buffer *out, char *at, unsigned type,
		      unsigned channel, size_t size)
{
	put(at, type, 1);
	put(at + 1, channel, 2);
	put(at + 3, size, 4);
	put(at + HEADER + size, AMQP_FRAME_END, 1);
	buffer_grew(out, size + OVERHEAD);
}

static void put_method(struct buffer *out, uint32_t id, void *method)
{
	enum { CONNECTION_CLASS = 10 };
	char *at = buffer_reserve(out, ROOM);
	amqp_bytes_t room = {.len = ROOM - OVERHEAD - 4,
			     .bytes = at + HEADER + 4};
	int size = amqp_encode_method(id, method, room);

	if (size < 0)
		abort();
	put(at + HEADER, id, 4);
	end_frame(out, at, AMQP_FRAME_METHOD, id >> 16 != CONNECTION_CLASS,
		  (size_t)size + 4);
}

/* The header and the body of a message. */
static void put_content(struct buffer *out, const struct message *message)
{
	amqp_table_entry_t key = {
		.key = amqp_cstring_bytes("ordering_key"),
		.value.kind = AMQP_FIELD_KIND_UTF8,
		.value.value.bytes = bytes_of(message->ordering_key),
	};
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_MESSAGE_ID_FLAG,
		.message_id = bytes_of(message->message_id),
		.headers = {.num_entries = 1, .entries = &key},
	};
	struct span body = message->letter->body;
	char *at = buffer_reserve(out, ROOM);
	amqp_bytes_t room = {.len = ROOM - OVERHEAD - 12,
			     .bytes = at + HEADER + 12};
	int size;

	if (span_present(message->ordering_key))
		properties._flags |= AMQP_BASIC_HEADERS_FLAG;
	size = amqp_encode_properties(AMQP_BASIC_CLASS, &properties, room);
	if (size < 0)
		abort();
	put(at + HEADER, AMQP_BASIC_CLASS << 16, 4);
	put(at + HEADER + 4, body.len, 8);
	end_frame(out, at, AMQP_FRAME_HEADER, 1, (size_t)size + 12);
	at = buffer_reserve(out, body.len + OVERHEAD);
	memcpy(at + HEADER, body.at, body.len);
	end_frame(out, at, AMQP_FRAME_BODY, 1, body.len);
}

/* ---- messages and answers ---- */

static void say_delivery(const struct frame *frame, struct buffer *out)
{
	amqp_basic_deliver_t deliver = {
		.consumer_tag = amqp_cstring_bytes("c"),
		.delivery_tag = frame->tag,
		.redelivered = frame->message->redelivered,
		.exchange = amqp_cstring_bytes("interservice"),
		.routing_key = bytes_of(frame->message->topic),
	};

	put_method(out, AMQP_BASIC_DELIVER_METHOD, &deliver);
	put_content(out, frame->message);
}

static void say_return(const struct frame *frame, struct buffer *out)
{
	amqp_basic_return_t returned = {
		.reply_code = AMQP_NO_ROUTE,
		.reply_text = amqp_cstring_bytes("NO_ROUTE"),
		.exchange = amqp_cstring_bytes("interservice"),
		.routing_key = bytes_of(frame->message->topic),
	};

	put_method(out, AMQP_BASIC_RETURN_METHOD, &returned);
	put_content(out, frame->message);
}

static void say_answer(const struct frame *frame, struct buffer *out)
{
	amqp_basic_ack_t ack = {.delivery_tag = frame->tag,
				.multiple = frame->multiple};
	amqp_basic_nack_t nack = {.delivery_tag = frame->tag,
				  .multiple = frame->multiple};

	if (frame->kind == BROKER_CONFIRMED)
		put_method(out, AMQP_BASIC_ACK_METHOD, &ack);
	else
		put_method(out, AMQP_BASIC_NACK_METHOD, &nack);
}

static void say_blocked(const struct connection *connection,
			const struct frame *frame, struct buffer *out)
{
	const struct amqp_state *state = connection->state;
	amqp_connection_blocked_t blocked = {
		.reason = amqp_cstring_bytes("low on disk")};
	amqp_connection_unblocked_t unblocked = {0};

	if (!state->open)
		return;
	if (frame->kind == BROKER_BLOCKED)
		put_method(out, AMQP_CONNECTION_BLOCKED_METHOD, &blocked);
	else
		put_method(out, AMQP_CONNECTION_UNBLOCKED_METHOD, &unblocked);
}

/* A message ends the channel only; of a restart it tells who is in. */
static void say_end(const struct connection *connection,
		    const struct frame *frame, struct buffer *out)
{
	const struct amqp_state *state = connection->state;
	amqp_channel_close_t channel = {
		.reply_code = AMQP_PRECONDITION_FAILED,
		.reply_text = amqp_cstring_bytes("PRECONDITION_FAILED"),
		.class_id = AMQP_BASIC_CLASS,
		.method_id = AMQP_BASIC_PUBLISH_METHOD & UINT16_MAX,
	};
	amqp_channel_close_t denied = {
		.reply_code = AMQP_ACCESS_REFUSED,
		.reply_text = amqp_cstring_bytes("ACCESS_REFUSED"),
		.class_id = AMQP_BASIC_CLASS,
		.method_id = AMQP_BASIC_CONSUME_METHOD & UINT16_MAX,
	};
	amqp_basic_cancel_t cancel = {.nowait = true};
	amqp_connection_close_t close = {
		.reply_code = AMQP_CONNECTION_FORCED,
		.reply_text = amqp_cstring_bytes("CONNECTION_FORCED"),
	};

	if (frame->by_publish)
		put_method(out, AMQP_CHANNEL_CLOSE_METHOD, &channel);
	else if (frame->status == STATUS_DENIED)
		put_method(out, AMQP_CHANNEL_CLOSE_METHOD, &denied);
	else if (frame->lingers)
		put_method(out, AMQP_BASIC_CANCEL_METHOD, &cancel);
	else if (frame->status != STATUS_OK && state->open && !frame->abrupt)
		put_method(out, AMQP_CONNECTION_CLOSE_METHOD, &close);
}

/* ---- what the protocol needs ---- */

static void say_start(struct buffer *out)
{
	amqp_connection_start_t start = {
		.version_minor = 9,
		.mechanisms = amqp_cstring_bytes("AMQPLAIN PLAIN"),
		.locales = amqp_cstring_bytes("en_US"),
	};

	put_method(out, AMQP_CONNECTION_START_METHOD, &start);
}

/* Some servers limit frames to the least that there is. */
static void say_tune(struct world *world, struct buffer *out)
{
	static const uint32_t limits[] = {0, AMQP_FRAME_MIN_SIZE, 131072};
	amqp_connection_tune_t tune = {
		.channel_max = 2047,
		.frame_max = limits[world_below(world, 3)],
		.heartbeat = (uint16_t)(2 + world_below(world, 60)),
	};

	put_method(out, AMQP_CONNECTION_TUNE_METHOD, &tune);
}

static void say_heartbeat(struct buffer *out)
{
	end_frame(out, buffer_reserve(out, OVERHEAD), AMQP_FRAME_HEARTBEAT, 0,
		  0);
}

static void say_speech(struct connection *connection, uint32_t speech,
		       struct buffer *out)
{
	/* Larger than any; names are left empty. */
	union {
		amqp_queue_declare_ok_t declare_ok;
		amqp_basic_consume_ok_t consume_ok;
		amqp_basic_cancel_t cancel;
		amqp_channel_open_ok_t open_ok;
	} empty = {0};

	switch (speech) {
	case LAST_WORDS:
		break;
	case AMQP_SAYS_HEARTBEAT:
		say_heartbeat(out);
		break;
	case AMQP_CONNECTION_START_METHOD:
		say_start(out);
		break;
	case AMQP_CONNECTION_TUNE_METHOD:
		say_tune(connection->link->world, out);
		break;
	default:
		put_method(out, speech, &empty);
	}
}

void amqp_say(struct connection *connection, const struct frame *frame,
	      struct buffer *out)
{
	if (frame->speech != 0) {
		say_speech(connection, frame->speech, out);
		return;
	}
	switch (frame->kind) {
	case BROKER_UP:
		break;
	case BROKER_DOWN:
		say_end(connection, frame, out);
		break;
	case BROKER_CONFIRMED:
	case BROKER_REFUSED:
		say_answer(frame, out);
		break;
	case BROKER_RETURNED:
		say_return(frame, out);
		break;
	case BROKER_BLOCKED:
	case BROKER_UNBLOCKED:
		say_blocked(connection, frame, out);
		break;
	case BROKER_DELIVERED:
		say_delivery(frame, out);
		break;
	}
}
