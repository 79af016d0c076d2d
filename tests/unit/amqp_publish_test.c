/* SPDX-License-Identifier: MIT */
/* What is published over AMQP, and how the broker may answer. */
#include "unit.h"

#include "amqp_peer.h"

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
	peer_publish(&peer, "m1", "a.b", SPAN_LIT("hello"));
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
	peer_publish(&peer, "m1", "a", (struct span){body, sizeof(body)});
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
	peer_publish(&peer, "m1", "a", SPAN_LIT(""));
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
	assert_int_equal(peer_publish(&peer, "m1", "a", SPAN_LIT("")), 1);
	peer_end(&peer);
}

/* ---- answers ---- */

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
		peer_publish(&peer, "m", "a", SPAN_LIT(""));
	peer_say_ack(&peer, 3, false);
	peer_expect(&peer, CONNECTION_CONFIRMED);
	assert_int_equal(peer.event.tag, 3);
	assert_false(peer.event.multiple);
	say_nack(&peer, 1);
	peer_expect(&peer, CONNECTION_REFUSED);
	assert_int_equal(peer.event.tag, 1);
	assert_string_not_equal(peer.event.error.text, "");
	peer_say_ack(&peer, 4, true);
	peer_expect(&peer, CONNECTION_CONFIRMED);
	assert_int_equal(peer.event.tag, 4);
	assert_true(peer.event.multiple);
	peer_say_ack(&peer, 0, true);
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
		peer_publish(&peer, "m", "a", SPAN_LIT(""));
		peer_say_ack(&peer, tags[i], false);
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
	peer_publish(&peer, "m1", "a", SPAN_LIT("body"));
	peer_publish(&peer, "m1", "b", SPAN_LIT("body"));
	peer_publish(&peer, "m2", "b", SPAN_LIT("body"));
	peer_publish(&peer, "m1", "b", SPAN_LIT("body"));
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
	peer_publish(&peer, "m1", "a", SPAN_LIT(""));
	peer_say_ack(&peer, 1, false);
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
	};

	return cmocka_run_group_tests_name("amqp publish", tests, NULL, NULL);
}
