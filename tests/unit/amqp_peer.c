/* SPDX-License-Identifier: MIT */
/* The scripted AMQP server. */
#include "unit.h"

#include <stdlib.h>

#include "amqp_peer.h"

const struct connection_options peer_options = {
	.virtual_host = {"/", 1},
	.username = {"guest", 5},
	.password = {"secret", 6},
	.name = {"test", 4},
	.heartbeat = 10,
};

void peer_begin(struct peer *peer, const struct connection_options *options)
{
	struct buffer *output;

	*peer = (struct peer){0};
	init_amqp_pool(&peer->pool, 1024);
	peer->connection = connection_create(options);
	assert_non_null(peer->connection);
	output = connection_output(peer->connection);
	assert_int_equal(buffer_length(output), 8);
	assert_memory_equal(buffer_span(output).at, "AMQP\0\0\x09\x01", 8);
	buffer_consume(output, 8);
}

void peer_open(struct peer *peer, const struct connection_options *options,
	       uint32_t frame_max, uint16_t heartbeat)
{
	amqp_connection_tune_t tune = {.frame_max = frame_max,
				       .heartbeat = heartbeat};
	amqp_connection_open_ok_t open_ok = {0};
	amqp_channel_open_ok_t channel_ok = {0};

	peer_begin(peer, options);
	peer_say_start(peer, "PLAIN AMQPLAIN");
	peer_expect_nothing(peer);
	peer_hear_method(peer, AMQP_CONNECTION_START_OK_METHOD);
	peer_say(peer, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	peer_expect_nothing(peer);
	peer_hear_method(peer, AMQP_CONNECTION_TUNE_OK_METHOD);
	peer_hear_method(peer, AMQP_CONNECTION_OPEN_METHOD);
	peer_say(peer, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
	peer_expect_nothing(peer);
	peer_hear_method(peer, AMQP_CHANNEL_OPEN_METHOD);
	peer_say(peer, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &channel_ok);
	peer_expect(peer, CONNECTION_OPENED);
}

void peer_open_publisher(struct peer *peer)
{
	amqp_confirm_select_ok_t select_ok = {0};

	peer_open(peer, &peer_options, 0, 0);
	assert_int_equal(connection_select_confirms(peer->connection, NULL), 0);
	peer_hear_method(peer, AMQP_CONFIRM_SELECT_METHOD);
	peer_say(peer, 1, AMQP_CONFIRM_SELECT_OK_METHOD, &select_ok);
	peer_expect(peer, CONNECTION_REPLIED);
}

void peer_end(struct peer *peer)
{
	connection_destroy(peer->connection);
	buffer_finish(&peer->out);
	arena_finish(&peer->arena);
	empty_amqp_pool(&peer->pool);
}

void peer_say(struct peer *peer, uint16_t channel, amqp_method_number_t id,
	      void *method)
{
	assert_int_equal(
		frame_write_method(&peer->out, channel, id, method, NULL), 0);
}

void peer_say_bytes(struct peer *peer, const void *bytes, size_t size)
{
	buffer_append(&peer->out, bytes, size);
}

void peer_say_start(struct peer *peer, const char *mechanisms)
{
	amqp_connection_start_t start = {
		.version_minor = 9,
		.mechanisms = amqp_cstring_bytes(mechanisms),
		.locales = amqp_cstring_bytes("en_US"),
	};

	peer_say(peer, 0, AMQP_CONNECTION_START_METHOD, &start);
}

void peer_say_content(struct peer *peer, struct span properties,
		      struct span body)
{
	size_t size = 12 + properties.len;
	char head[7 + 12] = {AMQP_FRAME_HEADER, 0,	    1, 0, 0,
			     (char)(size >> 8), (char)size, 0, 60};

	head[7 + 8] = (char)(body.len >> 24);
	head[7 + 9] = (char)(body.len >> 16);
	head[7 + 10] = (char)(body.len >> 8);
	head[7 + 11] = (char)body.len;
	peer_say_bytes(peer, head, sizeof(head));
	peer_say_bytes(peer, properties.at, properties.len);
	peer_say_bytes(peer, "\xce", 1);
	frame_write_body(&peer->out, 1, body, FRAME_OUR_MAX);
}

void peer_deliver(struct peer *peer)
{
	buffer_append_span(connection_input(peer->connection),
			   buffer_span(&peer->out));
	buffer_consume(&peer->out, buffer_length(&peer->out));
}

/* Whether there is an event; peer->event stays the last one there was. */
static bool next_event(struct peer *peer)
{
	struct connection_event event;

	peer_deliver(peer);
	if (!connection_next(peer->connection, &peer->arena, &event))
		return false;
	peer->event = event;
	return true;
}

void peer_expect(struct peer *peer, enum connection_event_kind kind)
{
	assert_true(next_event(peer));
	if (peer->event.kind != kind)
		fail_msg("event %d instead of %d: %s", (int)peer->event.kind,
			 (int)kind, peer->event.error.text);
}

void peer_expect_nothing(struct peer *peer)
{
	if (next_event(peer))
		fail_msg("event %d instead of none: %s", (int)peer->event.kind,
			 peer->event.error.text);
}

void peer_expect_closed(struct peer *peer, enum status status,
			const char *words)
{
	peer_expect(peer, CONNECTION_CLOSED);
	assert_int_equal(peer->event.error.status, status);
	if (strstr(peer->event.error.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", peer->event.error.text,
			 words);
	peer_expect_nothing(peer);
}

void peer_hear(struct peer *peer)
{
	struct buffer *output = connection_output(peer->connection);

	assert_int_equal(frame_read(buffer_span(output), FRAME_OUR_MAX,
				    &peer->heard, NULL),
			 1);
	buffer_consume(output, peer->heard.size);
}

const void *peer_hear_method(struct peer *peer, amqp_method_number_t id)
{
	const void *method;

	peer_hear(peer);
	assert_int_equal(peer->heard.type, AMQP_FRAME_METHOD);
	assert_string_equal(amqp_method_name(frame_method(&peer->heard)),
			    amqp_method_name(id));
	method = frame_decode(&peer->pool, id, peer->heard.payload);
	assert_non_null(method);
	return method;
}

void peer_hear_nothing(struct peer *peer)
{
	assert_int_equal(buffer_length(connection_output(peer->connection)), 0);
}

uint64_t peer_publish(struct peer *peer, const char *message_id,
		      const char *topic, struct span body)
{
	const struct outgoing message = {
		.exchange = SPAN_LIT("x"),
		.routing_key = span_of(topic),
		.body = body,
		.properties.message_id = span_of(message_id),
	};
	uint64_t tag;

	assert_int_equal(
		connection_publish(peer->connection, &message, &tag, NULL), 0);
	return tag;
}

void peer_say_ack(struct peer *peer, uint64_t tag, bool multiple)
{
	amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};

	peer_say(peer, 1, AMQP_BASIC_ACK_METHOD, &ack);
}

void peer_say_deliver(struct peer *peer, uint64_t tag)
{
	amqp_basic_deliver_t deliver = {
		.consumer_tag = amqp_cstring_bytes("c"),
		.delivery_tag = tag,
		.redelivered = true,
		.routing_key = amqp_cstring_bytes("a.b"),
	};

	peer_say(peer, 1, AMQP_BASIC_DELIVER_METHOD, &deliver);
}

void peer_open_consumer(struct peer *peer)
{
	amqp_basic_qos_ok_t qos_ok = {0};
	amqp_basic_consume_ok_t consume_ok = {0};
	const amqp_basic_qos_t *qos;

	peer_open(peer, &peer_options, 0, 0);
	assert_int_equal(connection_limit(peer->connection, 1000, NULL), 0);
	assert_int_equal(connection_consume(peer->connection, SPAN_LIT("q"),
					    SPAN_LIT("c"), NULL),
			 0);
	qos = peer_hear_method(peer, AMQP_BASIC_QOS_METHOD);
	assert_int_equal(qos->prefetch_count, 1000);
	peer_hear_method(peer, AMQP_BASIC_CONSUME_METHOD);
	peer_say(peer, 1, AMQP_BASIC_QOS_OK_METHOD, &qos_ok);
	peer_expect_nothing(peer);
	peer_say(peer, 1, AMQP_BASIC_CONSUME_OK_METHOD, &consume_ok);
	peer_expect(peer, CONNECTION_REPLIED);
}
