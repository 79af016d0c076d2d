/* SPDX-License-Identifier: MIT */
/* An open AMQP connection against a server that says anything. */
#include "unit.h"

#include "amqp_peer.h"

static uint64_t publish(struct peer *peer, const char *message_id,
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

/* ---- publishing ---- */

static void a_publish_is_mandatory_and_persistent(void **state)
{
	const amqp_basic_publish_t *method;
	struct properties properties;
	struct span encoded;
	uint64_t body_size;
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	publish(&peer, "m1", "a.b", SPAN_LIT("hello"));
	method = peer_hear_method(&peer, AMQP_BASIC_PUBLISH_METHOD);
	assert_true(method->mandatory);
	assert_memory_equal(method->exchange.bytes, "x", 1);
	assert_memory_equal(method->routing_key.bytes, "a.b", 3);
	peer_hear(&peer);
	assert_int_equal(peer.heard.type, AMQP_FRAME_HEADER);
	assert_true(
		frame_content_header(peer.heard.payload, &body_size, &encoded));
	assert_int_equal(body_size, 5);
	assert_memory_equal(encoded.at, "\x10\x80\x02\x02m1", 6);
	assert_int_equal(
		properties_read(&properties, encoded, &peer.arena, NULL), 0);
	assert_span(properties.message_id, "m1");
	peer_hear(&peer);
	assert_int_equal(peer.heard.type, AMQP_FRAME_BODY);
	assert_span(peer.heard.payload, "hello");
	peer_hear_nothing(&peer);
	peer_end(&peer);
}

static void a_body_is_cut_into_frames_of_the_agreed_size(void **state)
{
	char body[10000];
	size_t total = 0;
	struct peer peer;

	(void)state;
	memset(body, 'b', sizeof(body));
	peer_open(&peer, &peer_options, FRAME_MIN_MAX, 0);
	publish(&peer, "m1", "a", (struct span){body, sizeof(body)});
	peer_hear_method(&peer, AMQP_BASIC_PUBLISH_METHOD);
	peer_hear(&peer);
	while (total < sizeof(body)) {
		peer_hear(&peer);
		assert_int_equal(peer.heard.type, AMQP_FRAME_BODY);
		assert_in_range(peer.heard.size, 1, FRAME_MIN_MAX);
		total += peer.heard.payload.len;
	}
	assert_int_equal(total, sizeof(body));
	peer_hear_nothing(&peer);
	peer_end(&peer);
}

static void an_empty_body_has_no_frame(void **state)
{
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	publish(&peer, "m1", "a", SPAN_LIT(""));
	peer_hear_method(&peer, AMQP_BASIC_PUBLISH_METHOD);
	peer_hear(&peer);
	peer_hear_nothing(&peer);
	peer_end(&peer);
}

static void a_message_that_amqp_cannot_carry_leaves_no_trace(void **state)
{
	static char text[140000];
	struct header header = {SPAN_LIT("h"), {text, sizeof(text)}};
	struct outgoing message = {.routing_key = SPAN_LIT("a")};
	struct error err;
	struct peer peer;
	uint64_t tag = 77;

	(void)state;
	memset(text, 't', sizeof(text));
	peer_open_publisher(&peer);
	message.properties.headers = (struct headers){&header, 1};
	assert_int_equal(
		connection_publish(peer.connection, &message, &tag, &err),
		STATUS_INVALID);
	assert_non_null(strstr(err.text, "headers"));
	header = (struct header){{text, 256}, SPAN_LIT("v")};
	assert_int_equal(
		connection_publish(peer.connection, &message, &tag, &err),
		STATUS_INVALID);
	assert_non_null(strstr(err.text, "header \"ttt"));
	message.properties.headers.count = 0;
	message.properties.message_id = (struct span){text, 256};
	assert_int_equal(
		connection_publish(peer.connection, &message, &tag, &err),
		STATUS_INVALID);
	assert_non_null(strstr(err.text, "message_id has 256 bytes"));
	message.properties.message_id = SPAN_NONE;
	message.routing_key = (struct span){text, 256};
	assert_int_equal(
		connection_publish(peer.connection, &message, &tag, &err),
		STATUS_INVALID);
	assert_int_equal(tag, 77);
	peer_hear_nothing(&peer);
	assert_int_equal(publish(&peer, "m1", "a", SPAN_LIT("")), 1);
	peer_end(&peer);
}

/* ---- answers ---- */

static void say_ack(struct peer *peer, uint64_t tag, bool multiple)
{
	amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};

	peer_say(peer, 1, AMQP_BASIC_ACK_METHOD, &ack);
}

static void say_nack(struct peer *peer, uint64_t tag)
{
	amqp_basic_nack_t nack = {.delivery_tag = tag};

	peer_say(peer, 1, AMQP_BASIC_NACK_METHOD, &nack);
}

static void answers_come_out_of_order_and_for_many(void **state)
{
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	for (int i = 0; i < 5; i++)
		publish(&peer, "m", "a", SPAN_LIT(""));
	say_ack(&peer, 3, false);
	peer_expect(&peer, CONNECTION_CONFIRMED);
	assert_int_equal(peer.event.tag, 3);
	assert_false(peer.event.multiple);
	say_nack(&peer, 1);
	peer_expect(&peer, CONNECTION_REFUSED);
	assert_int_equal(peer.event.tag, 1);
	assert_string_not_equal(peer.event.error.text, "");
	say_ack(&peer, 4, true);
	peer_expect(&peer, CONNECTION_CONFIRMED);
	assert_int_equal(peer.event.tag, 4);
	assert_true(peer.event.multiple);
	say_ack(&peer, 0, true);
	peer_expect(&peer, CONNECTION_CONFIRMED);
	assert_int_equal(peer.event.tag, 5);
	peer_end(&peer);
}

static void an_answer_to_what_was_never_sent_is_not_believed(void **state)
{
	static const uint64_t tags[] = {0, 2, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		struct peer peer;

		peer_open_publisher(&peer);
		publish(&peer, "m", "a", SPAN_LIT(""));
		say_ack(&peer, tags[i], false);
		peer_expect_closed(&peer, STATUS_PROTOCOL, "never sent");
		peer_end(&peer);
	}
}

static void say_return(struct peer *peer, const char *message_id,
		       const char *topic)
{
	amqp_basic_return_t returned = {
		.reply_code = 312,
		.reply_text = amqp_cstring_bytes("NO_ROUTE"),
		.exchange = amqp_cstring_bytes("x"),
		.routing_key = amqp_cstring_bytes(topic),
	};
	char properties[16] = "\x00\x80";

	properties[2] = (char)strlen(message_id);
	strcpy(properties + 3, message_id);
	peer_say(peer, 1, AMQP_BASIC_RETURN_METHOD, &returned);
	peer_say_content(peer,
			 (struct span){properties, 3 + strlen(message_id)},
			 SPAN_LIT("body"));
}

static void a_returned_message_finds_its_tag(void **state)
{
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	publish(&peer, "m1", "a", SPAN_LIT("body"));
	publish(&peer, "m1", "b", SPAN_LIT("body"));
	publish(&peer, "m2", "b", SPAN_LIT("body"));
	publish(&peer, "m1", "b", SPAN_LIT("body"));
	say_return(&peer, "m1", "b");
	peer_expect(&peer, CONNECTION_RETURNED);
	assert_int_equal(peer.event.tag, 2);
	assert_string_equal(peer.event.error.text,
			    "unroutable: no queue is bound to exchange \"x\" "
			    "for \"b\" (NO_ROUTE)");
	say_return(&peer, "m1", "b");
	peer_expect(&peer, CONNECTION_RETURNED);
	assert_int_equal(peer.event.tag, 4);
	say_return(&peer, "m1", "a");
	peer_expect(&peer, CONNECTION_RETURNED);
	assert_int_equal(peer.event.tag, 1);
	peer_end(&peer);
}

static void a_return_of_what_is_not_in_flight_is_not_believed(void **state)
{
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	publish(&peer, "m1", "a", SPAN_LIT(""));
	say_ack(&peer, 1, false);
	peer_expect(&peer, CONNECTION_CONFIRMED);
	say_return(&peer, "m1", "a");
	peer_expect_closed(&peer, STATUS_PROTOCOL, "not in flight");
	peer_end(&peer);
}

static void an_alarm_is_told_and_its_end(void **state)
{
	amqp_connection_blocked_t blocked = {
		.reason = amqp_cstring_bytes("low on memory"),
	};
	amqp_connection_unblocked_t unblocked = {0};
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	peer_say(&peer, 0, AMQP_CONNECTION_BLOCKED_METHOD, &blocked);
	peer_expect(&peer, CONNECTION_BLOCKED);
	assert_non_null(strstr(peer.event.error.text, "low on memory"));
	peer_say(&peer, 0, AMQP_CONNECTION_UNBLOCKED_METHOD, &unblocked);
	peer_expect(&peer, CONNECTION_UNBLOCKED);
	peer_end(&peer);
}

/* ---- consuming ---- */

static void say_deliver(struct peer *peer, uint64_t tag)
{
	amqp_basic_deliver_t deliver = {
		.consumer_tag = amqp_cstring_bytes("c"),
		.delivery_tag = tag,
		.redelivered = true,
		.routing_key = amqp_cstring_bytes("a.b"),
	};

	peer_say(peer, 1, AMQP_BASIC_DELIVER_METHOD, &deliver);
}

static void open_consumer(struct peer *peer)
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

static void a_delivery_may_come_byte_by_byte(void **state)
{
	struct buffer script;
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	say_deliver(&peer, 9);
	peer_say_content(&peer, SPAN_LIT("\x00\x80\x02m1"), SPAN_LIT("hello"));
	script = peer.out;
	buffer_init(&peer.out);
	while (buffer_length(&script) > 1) {
		peer_say_bytes(&peer, buffer_span(&script).at, 1);
		buffer_consume(&script, 1);
		peer_expect_nothing(&peer);
	}
	peer_say_bytes(&peer, buffer_span(&script).at, 1);
	peer_expect(&peer, CONNECTION_DELIVERED);
	assert_int_equal(peer.event.delivery.tag, 9);
	assert_true(peer.event.delivery.redelivered);
	assert_span(peer.event.delivery.routing_key, "a.b");
	assert_span(peer.event.delivery.properties.message_id, "m1");
	assert_span(peer.event.delivery.body, "hello");
	buffer_finish(&script);
	peer_end(&peer);
}

static void a_delivery_outlives_the_input_it_came_in(void **state)
{
	struct delivered first;
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	say_deliver(&peer, 1);
	peer_say_content(&peer, SPAN_LIT("\x00\x80\x02m1"), SPAN_LIT("first"));
	say_deliver(&peer, 2);
	peer_say_content(&peer, SPAN_LIT("\x00\x80\x02m2"), SPAN_LIT("other"));
	peer_expect(&peer, CONNECTION_DELIVERED);
	first = peer.event.delivery;
	peer_expect(&peer, CONNECTION_DELIVERED);
	assert_span(first.properties.message_id, "m1");
	assert_span(first.body, "first");
	assert_span(peer.event.delivery.body, "other");
	peer_end(&peer);
}

/* Eight exabytes are announced; only what comes is kept. */
static void an_announced_size_is_not_believed(void **state)
{
	static const char header[] = "\x02\0\1\0\0\0\x0e\0\x3c\0\0"
				     "\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\xce";
	const struct error gone = {STATUS_AWAY, "gone"};
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	say_deliver(&peer, 1);
	peer_say_bytes(&peer, header, sizeof(header) - 1);
	frame_write_body(&peer.out, 1, SPAN_LIT("part"), FRAME_OUR_MAX);
	peer_expect_nothing(&peer);
	connection_lost(peer.connection, &gone);
	peer_expect_closed(&peer, STATUS_AWAY, "gone");
	peer_end(&peer);
}

static void a_body_longer_than_announced_ends_the_connection(void **state)
{
	static const char header[] =
		"\x02\0\1\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\3\0\0\xce";
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	say_deliver(&peer, 1);
	peer_say_bytes(&peer, header, sizeof(header) - 1);
	frame_write_body(&peer.out, 1, SPAN_LIT("four"), FRAME_OUR_MAX);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "longer than announced");
	peer_end(&peer);
}

static void frames_of_a_message_in_disorder_end_the_connection(void **state)
{
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	say_deliver(&peer, 1);
	say_deliver(&peer, 2);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "mixed up");
	peer_end(&peer);

	open_consumer(&peer);
	peer_say_content(&peer, SPAN_LIT("\0\0"), SPAN_LIT("x"));
	peer_expect_closed(&peer, STATUS_PROTOCOL, "without a method");
	peer_end(&peer);
}

static void a_heartbeat_may_come_amid_a_message(void **state)
{
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	say_deliver(&peer, 1);
	peer_say_bytes(&peer, "\x08\0\0\0\0\0\0\xce", 8);
	peer_say_content(&peer, SPAN_LIT("\0\0"), SPAN_LIT("x"));
	peer_expect(&peer, CONNECTION_DELIVERED);
	peer_end(&peer);
}

static void an_acknowledgement_covers_all_before_it(void **state)
{
	const amqp_basic_ack_t *ack;
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	connection_acknowledge(peer.connection, 5);
	ack = peer_hear_method(&peer, AMQP_BASIC_ACK_METHOD);
	assert_int_equal(ack->delivery_tag, 5);
	assert_true(ack->multiple);
	peer_end(&peer);
}

static void a_consumer_is_cancelled_once(void **state)
{
	const amqp_basic_cancel_t *cancel;
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	connection_cancel(peer.connection);
	connection_cancel(peer.connection);
	cancel = peer_hear_method(&peer, AMQP_BASIC_CANCEL_METHOD);
	assert_memory_equal(cancel->consumer_tag.bytes, "c", 1);
	peer_hear_nothing(&peer);
	peer_end(&peer);
}

static void a_queue_that_vanishes_ends_the_connection(void **state)
{
	amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes("c")};
	struct peer peer;

	(void)state;
	open_consumer(&peer);
	peer_say(&peer, 1, AMQP_BASIC_CANCEL_METHOD, &cancel);
	peer_expect_closed(&peer, STATUS_NOT_FOUND, "queue \"q\"");
	peer_hear_method(&peer, AMQP_CONNECTION_CLOSE_METHOD);
	peer_end(&peer);
}

/* ---- heartbeats ---- */

static const usec_t start = 1000 * USEC_PER_SEC;

static void heartbeats_go_out_at_half_the_interval(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, 0, 4);
	assert_int_equal(connection_tick(peer.connection, true, start),
			 start + 2 * USEC_PER_SEC);
	peer_hear(&peer);
	assert_int_equal(peer.heard.type, AMQP_FRAME_HEARTBEAT);
	assert_int_equal(peer.heard.channel, 0);
	assert_int_equal(
		connection_tick(peer.connection, true, start + USEC_PER_SEC),
		start + 2 * USEC_PER_SEC);
	peer_hear_nothing(&peer);
	connection_tick(peer.connection, true, start + 2 * USEC_PER_SEC);
	peer_hear(&peer);
	assert_int_equal(peer.heard.type, AMQP_FRAME_HEARTBEAT);
	peer_end(&peer);
}

static void a_peer_silent_for_two_intervals_is_dead(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, 0, 4);
	connection_tick(peer.connection, false, start);
	connection_tick(peer.connection, true, start + 5 * USEC_PER_SEC);
	connection_tick(peer.connection, false, start + 13 * USEC_PER_SEC - 1);
	peer_expect_nothing(&peer);
	connection_tick(peer.connection, false, start + 13 * USEC_PER_SEC);
	peer_expect_closed(&peer, STATUS_AWAY, "silent");
	assert_int_equal(connection_tick(peer.connection, false, start),
			 USEC_NEVER);
	peer_end(&peer);
}

static void without_heartbeats_nobody_is_dead(void **state)
{
	struct connection_options options = peer_options;
	struct peer peer;

	(void)state;
	options.heartbeat = 0;
	peer_open(&peer, &options, 0, 60);
	assert_int_equal(connection_tick(peer.connection, false, start),
			 USEC_NEVER);
	peer_hear_nothing(&peer);
	peer_end(&peer);
}

/* ---- ends ---- */

static void say_channel_close(struct peer *peer, uint16_t class_id,
			      uint16_t method_id)
{
	amqp_channel_close_t close = {
		.reply_code = 404,
		.reply_text = amqp_cstring_bytes("NOT_FOUND - no exchange"),
		.class_id = class_id,
		.method_id = method_id,
	};

	peer_say(peer, 1, AMQP_CHANNEL_CLOSE_METHOD, &close);
}

static void a_publish_that_closes_the_channel_is_to_blame(void **state)
{
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	publish(&peer, "m1", "a", SPAN_LIT(""));
	connection_output(peer.connection)->start =
		connection_output(peer.connection)->end = 0;
	say_channel_close(&peer, 60, 40);
	peer_expect_closed(&peer, STATUS_NOT_FOUND, "NOT_FOUND - no exchange");
	assert_true(peer.event.by_publish);
	peer_hear_method(&peer, AMQP_CHANNEL_CLOSE_OK_METHOD);
	peer_hear_method(&peer, AMQP_CONNECTION_CLOSE_METHOD);
	peer_end(&peer);
}

static void
a_declaration_that_closes_the_channel_blames_no_publish(void **state)
{
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	say_channel_close(&peer, 40, 10);
	peer_expect(&peer, CONNECTION_CLOSED);
	assert_false(peer.event.by_publish);
	peer_end(&peer);
}

static void what_came_before_the_end_is_told_before_it(void **state)
{
	const struct error gone = {STATUS_AWAY, "gone"};
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	publish(&peer, "m1", "a", SPAN_LIT(""));
	say_ack(&peer, 1, false);
	peer_deliver(&peer);
	connection_lost(peer.connection, &gone);
	peer_expect(&peer, CONNECTION_CONFIRMED);
	peer_expect_closed(&peer, STATUS_AWAY, "gone");
	peer_end(&peer);
}

static void a_goodbye_is_answered(void **state)
{
	amqp_channel_close_ok_t channel_ok = {0};
	amqp_connection_close_ok_t ok = {0};
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	publish(&peer, "m1", "a", SPAN_LIT(""));
	connection_close(peer.connection);
	connection_close(peer.connection);
	peer_hear_method(&peer, AMQP_BASIC_PUBLISH_METHOD);
	peer_hear(&peer);
	peer_hear_method(&peer, AMQP_CHANNEL_CLOSE_METHOD);
	peer_hear_method(&peer, AMQP_CONNECTION_CLOSE_METHOD);
	peer_hear_nothing(&peer);
	say_ack(&peer, 1, false);
	peer_expect(&peer, CONNECTION_CONFIRMED);
	peer_say(&peer, 1, AMQP_CHANNEL_CLOSE_OK_METHOD, &channel_ok);
	peer_expect_nothing(&peer);
	peer_say(&peer, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
	peer_expect_closed(&peer, STATUS_OK, "");
	peer_end(&peer);
}

static void
a_peer_that_leaves_during_our_goodbye_has_done_what_we_asked(void **state)
{
	const struct error gone = {STATUS_AWAY, "gone"};
	struct peer peer;

	(void)state;
	peer_open_publisher(&peer);
	connection_close(peer.connection);
	connection_lost(peer.connection, &gone);
	peer_expect_closed(&peer, STATUS_OK, "");
	peer_end(&peer);
}

/* ---- hostile frames ---- */

static void hostile_frames_end_the_connection(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *words;
	} frames[] = {
		{"\1\0\1\0\2\0\0", 7, "131080"},
		{"\1\0\1\xff\xff\xff\xff", 7, "4294967303"},
		{"\1\0\1\0\0\0\0\xcf", 8, "end mark"},
		{"\1\0\1\0\0\0\0\xce", 8, "unknown method"},
		{"\1\0\1\0\0\0\3\0\x3c\0\xce", 11, "unknown method"},
		{"\1\0\1\0\0\0\4\0\x3c\0\x50\xce", 12, "malformed"},
		{"\1\0\1\0\0\0\4\0\x63\0\x63\xce", 12, "unknown method"},
		{"\1\0\1\0\0\0\4\0\x3c\0\x14\xce", 12, "CONSUME"},
		{"\1\0\2\0\0\0\4\0\x3c\0\x50\xce", 12, "channel 2"},
		{"\3\0\1\0\0\0\1x\xce", 9, "without a method"},
		{"\1\0\1\0\0\0\4\0\x55\0\x0b\xce", 12, "nobody asked"},
		{"\1\0\0\0\0\0\4\0\x0a\0\x33\xce", 12, "nobody asked"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct peer peer;

		peer_open_publisher(&peer);
		peer_say_bytes(&peer, frames[i].bytes, frames[i].size);
		peer_expect_closed(&peer, STATUS_PROTOCOL, frames[i].words);
		peer_end(&peer);
	}
}

/* ---- memory ---- */

static bool talk(struct peer *peer)
{
	const struct outgoing message = {
		.routing_key = SPAN_LIT("a"),
		.body = SPAN_LIT("hello"),
	};
	const struct queue_declaration queue = {.name = SPAN_LIT("q"),
						.type = SPAN_LIT("classic")};
	uint64_t tag;

	return connection_declare_queue(peer->connection, &queue, false,
					NULL) == 0 &&
	       connection_publish(peer->connection, &message, &tag, NULL) ==
		       0 &&
	       connection_consume(peer->connection, SPAN_LIT("q"),
				  SPAN_LIT("c"), NULL) == 0;
}

static void memory_that_runs_out_is_an_error_and_no_more(void **state)
{
	bool ended = true;

	(void)state;
	for (unsigned nth = 1; ended; nth++) {
		struct peer peer;
		bool done;

		peer_open_publisher(&peer);
		say_deliver(&peer, 1);
		peer_say_content(&peer, SPAN_LIT("\x00\x80\x02m1"),
				 SPAN_LIT("hello"));
		peer_deliver(&peer);
		buffer_finish(connection_output(peer.connection));
		arena_finish(&peer.arena);
		memory_ends_at(nth);
		done = talk(&peer);
		connection_next(peer.connection, &peer.arena, &peer.event);
		ended = memory_ended();
		memory_ends_at(0);
		if (ended)
			assert_true(!done || peer.event.error.status ==
						     STATUS_NO_MEMORY);
		else
			assert_int_equal(peer.event.kind, CONNECTION_DELIVERED);
		peer_end(&peer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_publish_is_mandatory_and_persistent),
		cmocka_unit_test(a_body_is_cut_into_frames_of_the_agreed_size),
		cmocka_unit_test(an_empty_body_has_no_frame),
		cmocka_unit_test(
			a_message_that_amqp_cannot_carry_leaves_no_trace),
		cmocka_unit_test(answers_come_out_of_order_and_for_many),
		cmocka_unit_test(
			an_answer_to_what_was_never_sent_is_not_believed),
		cmocka_unit_test(a_returned_message_finds_its_tag),
		cmocka_unit_test(
			a_return_of_what_is_not_in_flight_is_not_believed),
		cmocka_unit_test(an_alarm_is_told_and_its_end),
		cmocka_unit_test(a_delivery_may_come_byte_by_byte),
		cmocka_unit_test(a_delivery_outlives_the_input_it_came_in),
		cmocka_unit_test(an_announced_size_is_not_believed),
		cmocka_unit_test(
			a_body_longer_than_announced_ends_the_connection),
		cmocka_unit_test(
			frames_of_a_message_in_disorder_end_the_connection),
		cmocka_unit_test(a_heartbeat_may_come_amid_a_message),
		cmocka_unit_test(an_acknowledgement_covers_all_before_it),
		cmocka_unit_test(a_consumer_is_cancelled_once),
		cmocka_unit_test(a_queue_that_vanishes_ends_the_connection),
		cmocka_unit_test(heartbeats_go_out_at_half_the_interval),
		cmocka_unit_test(a_peer_silent_for_two_intervals_is_dead),
		cmocka_unit_test(without_heartbeats_nobody_is_dead),
		cmocka_unit_test(a_publish_that_closes_the_channel_is_to_blame),
		cmocka_unit_test(
			a_declaration_that_closes_the_channel_blames_no_publish),
		cmocka_unit_test(what_came_before_the_end_is_told_before_it),
		cmocka_unit_test(a_goodbye_is_answered),
		cmocka_unit_test(
			a_peer_that_leaves_during_our_goodbye_has_done_what_we_asked),
		cmocka_unit_test(hostile_frames_end_the_connection),
		cmocka_unit_test(memory_that_runs_out_is_an_error_and_no_more),
	};

	return cmocka_run_group_tests_name("amqp connection", tests, NULL,
					   NULL);
}
