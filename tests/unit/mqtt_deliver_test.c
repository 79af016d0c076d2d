/* SPDX-License-Identifier: MIT */
/* What a client is sent: told in order, acknowledged by prefix, never twice. */
#include "unit.h"

#include "mqtt_peer.h"

static void expect_message(struct peer *peer, const char *payload,
			   uint64_t delivery)
{
	peer_expect(peer, SESSION_MESSAGE);
	assert_span(peer->event.message.topic, "t");
	assert_span(peer->event.message.payload, payload);
	assert_int_equal(peer->event.delivery, delivery);
	assert_false(peer->event.cut);
	assert_int_equal(peer->event.full_size, strlen(payload));
}

static void qos_0_wants_no_acknowledgement(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "31 06 0001 't' 00 'hi'");
	expect_message(&peer, "hi", 0);
	assert_true(peer.event.message.retain);
	session_acknowledge(peer.session, 1);
	peer_hear(&peer, "");
	peer_end(&peer);
}

static void nothing_is_acknowledged_before_it_is_asked_for(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "32 07 0001 't' 0005 00 'a'"
			"34 07 0001 't' 0006 00 'b'");
	expect_message(&peer, "a", 1);
	expect_message(&peer, "b", 2);
	peer_expect_nothing(&peer);
	peer_hear(&peer, "");
	session_acknowledge(peer.session, 1);
	peer_hear(&peer, "40 02 0005");
	session_acknowledge(peer.session, 1);
	peer_hear(&peer, "");
	peer_end(&peer);
}

static void prefix_is_acknowledged_in_the_order_of_coming(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "34 07 0001 't' 0009 00 'a'"
			"32 07 0001 't' 0003 00 'b'"
			"34 07 0001 't' 0007 00 'c'"
			"32 07 0001 't' 0001 00 'd'");
	expect_message(&peer, "a", 1);
	expect_message(&peer, "b", 2);
	expect_message(&peer, "c", 3);
	expect_message(&peer, "d", 4);
	session_acknowledge(peer.session, 3);
	peer_hear(&peer, "50 02 0009  40 02 0003  50 02 0007");
	session_acknowledge(peer.session, 4);
	peer_hear(&peer, "40 02 0001");
	peer_end(&peer);
}

static void pubrel_is_answered_at_once(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "34 07 0001 't' 0001 00 'a'");
	expect_message(&peer, "a", 1);
	session_acknowledge(peer.session, 1);
	peer_hear(&peer, "50 02 0001");
	peer_say(&peer, "62 02 0001");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "70 02 0001");
	peer_end(&peer);
}

static void pubrel_is_answered_in_version_3(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options_3, WELCOME_3);
	peer_say(&peer, "34 06 0001 't' 0001 'a'");
	expect_message(&peer, "a", 1);
	session_acknowledge(peer.session, 1);
	peer_say(&peer, "62 02 0001  62 02 0004");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "50 02 0001  70 02 0001  70 02 0004");
	peer_end(&peer);
}

static void pubrel_of_what_an_earlier_program_took_is_answered(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME_BACK);
	peer_say(&peer, "62 02 0004");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "70 03 0004 92");
	peer_end(&peer);
}

static void packet_id_is_a_new_message_after_puback(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "32 07 0001 't' 0001 00 'a'");
	expect_message(&peer, "a", 1);
	session_acknowledge(peer.session, 1);
	peer_say(&peer, "3a 07 0001 't' 0001 00 'b'");
	expect_message(&peer, "b", 2);
	peer_end(&peer);
}

static void repetition_of_what_is_pending_is_ignored(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "32 07 0001 't' 0001 00 'a'"
			"3a 07 0001 't' 0001 00 'a'");
	expect_message(&peer, "a", 1);
	peer_expect_nothing(&peer);
	session_acknowledge(peer.session, 9);
	peer_hear(&peer, "40 02 0001");
	peer_end(&peer);
}

static void packet_id_in_use_ends_the_connection(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "32 07 0001 't' 0001 00 'a'"
			"32 07 0001 't' 0001 00 'b'");
	expect_message(&peer, "a", 1);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "twice");
	peer_hear(&peer, "e0 01 82");
	peer_end(&peer);
}

static void qos_2_is_told_once_until_it_is_released(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME);
	peer_say(&peer, "34 07 0001 't' 0001 00 'a'");
	expect_message(&peer, "a", 1);
	session_acknowledge(peer.session, 1);
	peer_reconnect(&peer, WELCOME_BACK);
	peer_say(&peer, "3c 07 0001 't' 0001 00 'a'");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "50 02 0001");
	peer_say(&peer, "62 02 0001  34 07 0001 't' 0001 00 'b'");
	expect_message(&peer, "b", 2);
	peer_hear(&peer, "70 02 0001");
	peer_end(&peer);
}

static void lost_session_forgets_what_was_released(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME);
	peer_say(&peer, "34 07 0001 't' 0001 00 'a'");
	expect_message(&peer, "a", 1);
	session_acknowledge(peer.session, 1);
	peer_reconnect(&peer, WELCOME);
	peer_say(&peer, "34 07 0001 't' 0001 00 'b'");
	expect_message(&peer, "b", 2);
	peer_end(&peer);
}

static void deliveries_of_an_earlier_connection_are_passed_over(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME);
	peer_say(&peer, "32 07 0001 't' 0001 00 'a'"
			"32 07 0001 't' 0002 00 'b'");
	expect_message(&peer, "a", 1);
	expect_message(&peer, "b", 2);
	peer_reconnect(&peer, WELCOME_BACK);
	session_acknowledge(peer.session, 2);
	peer_hear(&peer, "");
	peer_say(&peer, "3a 07 0001 't' 0001 00 'a'");
	expect_message(&peer, "a", 3);
	assert_true(peer.event.message.dup);
	session_acknowledge(peer.session, 2);
	peer_hear(&peer, "");
	session_acknowledge(peer.session, 3);
	peer_hear(&peer, "40 02 0001");
	peer_end(&peer);
}

static void acknowledging_is_the_same_in_version_3(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept_3, WELCOME_3);
	peer_say(&peer, "34 06 0001 't' 0009 'a'"
			"32 06 0001 't' 0003 'b'"
			"3a 06 0001 't' 0003 'b'"
			"34 06 0001 't' 0007 'c'");
	expect_message(&peer, "a", 1);
	expect_message(&peer, "b", 2);
	expect_message(&peer, "c", 3);
	peer_hear(&peer, "");
	session_acknowledge(peer.session, 2);
	peer_hear(&peer, "50 02 0009  40 02 0003");
	peer_reconnect(&peer, WELCOME_BACK_3);
	peer_say(&peer, "3c 06 0001 't' 0009 'a'  3c 06 0001 't' 0007 'c'");
	expect_message(&peer, "c", 4);
	peer_hear(&peer, "50 02 0009");
	session_acknowledge(peer.session, 4);
	peer_hear(&peer, "50 02 0007");
	peer_end(&peer);
}

static void properties_of_a_message_are_told(void **state)
{
	const struct mqtt_properties *properties;
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "30 34 0001 't' 2e"
			"01 01  02 00000102  03 0003 'x/y'  08 0001 'r'"
			"09 0002 00 'c'  26 0001 'a' 0001 '1'"
			"26 0001 'a' 0001 '2'  26 0000 0000  0b 8001  0b 02"
			"'hi'");
	expect_message(&peer, "hi", 0);
	properties = &peer.event.message.properties;
	assert_int_equal(properties->payload_format, 1);
	assert_int_equal(properties->message_expiry, 258);
	assert_int_equal(properties->subscription_identifier, 128);
	assert_span(properties->content_type, "x/y");
	assert_span(properties->response_topic, "r");
	assert_int_equal(properties->correlation_data.len, 2);
	assert_int_equal(properties->user.count, 3);
	assert_span(properties->user.at[1].name, "a");
	assert_span(properties->user.at[1].value, "2");
	assert_span(properties->user.at[2].name, "");
	peer_end(&peer);
}

static void server_that_exceeds_our_receive_maximum_is_left(void **state)
{
	struct session_options options = peer_options;
	struct peer peer;

	(void)state;
	options.receive_maximum = 1;
	peer_open(&peer, &options, WELCOME);
	peer_say(&peer, "32 07 0001 't' 0001 00 'a'"
			"34 07 0001 't' 0002 00 'b'");
	expect_message(&peer, "a", 1);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "receive maximum");
	peer_hear(&peer, "e0 01 93");
	peer_end(&peer);
}

static void receive_maximum_of_one_is_enough(void **state)
{
	struct session_options options = peer_options;
	struct peer peer;

	(void)state;
	options.receive_maximum = 1;
	peer_begin(&peer, &options);
	peer_hear(&peer, "10 11 0004 'MQTT' 05 02 0000 03 21 0001 0001 'c'");
	peer_say(&peer, WELCOME);
	peer_expect(&peer, SESSION_CONNECTED);
	for (uint64_t delivery = 1; delivery <= 3; delivery++) {
		peer_say(&peer, "32 07 0001 't' 0001 00 'a'");
		expect_message(&peer, "a", delivery);
		session_acknowledge(peer.session, delivery);
	}
	peer_hear(&peer, "40 02 0001  40 02 0001  40 02 0001");
	peer_end(&peer);
}

/* ---- size ---- */

enum { KEPT = 128 * 1024, FULL = KEPT + 100 };

/* A PUBLISH of QoS 1 whose packet has FULL bytes after its fixed header. */
static void say_long_message(struct peer *peer, const char *head, size_t size)
{
	static char payload[FULL];

	peer_say(peer, "32 e48008");
	peer_say(peer, head);
	memset(payload, 'x', sizeof(payload));
	buffer_append(&peer->out, payload, FULL - size);
}

static void longer_message_is_cut_and_the_next_one_comes(void **state)
{
	struct session_options options = peer_options;
	struct peer peer;

	(void)state;
	options.longest_kept = KEPT;
	peer_open(&peer, &options, WELCOME);
	say_long_message(&peer, "0001 't' 0001 00", 6);
	peer_say(&peer, "32 07 0001 't' 0002 00 'b'");
	peer_expect(&peer, SESSION_MESSAGE);
	assert_true(peer.event.cut);
	assert_int_equal(peer.event.full_size, FULL - 6);
	assert_int_equal(peer.event.message.payload.len, KEPT - 4 - 6);
	expect_message(&peer, "b", 2);
	session_acknowledge(peer.session, 2);
	peer_hear(&peer, "40 02 0001  40 02 0002");
	assert_true(session_input(peer.session)->cap <= 2 * KEPT + 2 * FULL);
	peer_end(&peer);
}

static void properties_that_are_cut_do_not_stop_the_topic(void **state)
{
	struct session_options options = peer_options;
	struct peer peer;

	(void)state;
	options.longest_kept = KEPT;
	peer_open(&peer, &options, WELCOME);
	/* The properties fill the packet. */
	say_long_message(&peer, "0001 't' 0001 dc8008 26 ffff", 11);
	peer_expect(&peer, SESSION_MESSAGE);
	assert_true(peer.event.cut);
	assert_span(peer.event.message.topic, "t");
	assert_int_equal(peer.event.message.payload.len, 0);
	session_acknowledge(peer.session, 1);
	peer_hear(&peer, "40 02 0001");
	peer_end(&peer);
}

static void needed_bytes_are_known_from_the_first(void **state)
{
	struct session_options options = peer_options;
	struct peer peer;

	(void)state;
	peer_open(&peer, &options, WELCOME);
	assert_int_equal(session_needs(peer.session), 0);
	peer_say(&peer, "30 e48008");
	peer_expect_nothing(&peer);
	assert_int_equal(session_needs(peer.session), 4 + FULL);
	peer_end(&peer);
	options.longest_kept = KEPT;
	peer_open(&peer, &options, WELCOME);
	peer_say(&peer, "30 e48008");
	peer_expect_nothing(&peer);
	assert_int_equal(session_needs(peer.session), KEPT);
	peer_end(&peer);
}

static void packet_over_our_own_maximum_ends_the_connection(void **state)
{
	struct session_options options = peer_options;
	struct peer peer;

	(void)state;
	options.maximum_packet = 16;
	peer_begin(&peer, &options);
	peer_hear(&peer,
		  "10 13 0004 'MQTT' 05 02 0000 05 27 00000010 0001 'c'");
	peer_say(&peer, WELCOME);
	peer_expect(&peer, SESSION_CONNECTED);
	peer_say(&peer, "30 0e 0001 't' 00 '1234567890'");
	expect_message(&peer, "1234567890", 0);
	peer_say(&peer, "30 0f 0001 't' 00 '12345678901'");
	peer_expect_closed(&peer, STATUS_PROTOCOL, "17 bytes");
	peer_hear(&peer, "e0 01 95");
	peer_end(&peer);
}

static void endless_answer_is_not_waited_for(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "90 ffffff7f");
	peer_expect_closed(&peer, STATUS_PROTOCOL, "allowed");
	peer_end(&peer);
}

static void without_memory_the_connection_ends(void **state)
{
	(void)state;
	for (unsigned nth = 1;; nth++) {
		struct peer peer;
		bool ended;

		peer_open(&peer, &peer_options, WELCOME);
		arena_finish(&peer.arena);
		buffer_append(session_input(peer.session),
			      "\x32\x07\0\1t\0\1\0a", 9);
		memory_ends_at(nth);
		assert_true(
			session_next(peer.session, &peer.arena, &peer.event));
		ended = memory_ended();
		memory_ends_at(0);
		assert_int_equal(peer.event.kind,
				 ended ? SESSION_CLOSED : SESSION_MESSAGE);
		if (ended)
			assert_int_equal(peer.event.error.status,
					 STATUS_NO_MEMORY);
		peer_end(&peer);
		if (!ended)
			return;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qos_0_wants_no_acknowledgement),
		cmocka_unit_test(
			nothing_is_acknowledged_before_it_is_asked_for),
		cmocka_unit_test(prefix_is_acknowledged_in_the_order_of_coming),
		cmocka_unit_test(pubrel_is_answered_at_once),
		cmocka_unit_test(pubrel_is_answered_in_version_3),
		cmocka_unit_test(
			pubrel_of_what_an_earlier_program_took_is_answered),
		cmocka_unit_test(packet_id_is_a_new_message_after_puback),
		cmocka_unit_test(repetition_of_what_is_pending_is_ignored),
		cmocka_unit_test(packet_id_in_use_ends_the_connection),
		cmocka_unit_test(qos_2_is_told_once_until_it_is_released),
		cmocka_unit_test(lost_session_forgets_what_was_released),
		cmocka_unit_test(
			deliveries_of_an_earlier_connection_are_passed_over),
		cmocka_unit_test(acknowledging_is_the_same_in_version_3),
		cmocka_unit_test(properties_of_a_message_are_told),
		cmocka_unit_test(
			server_that_exceeds_our_receive_maximum_is_left),
		cmocka_unit_test(receive_maximum_of_one_is_enough),
		cmocka_unit_test(longer_message_is_cut_and_the_next_one_comes),
		cmocka_unit_test(properties_that_are_cut_do_not_stop_the_topic),
		cmocka_unit_test(needed_bytes_are_known_from_the_first),
		cmocka_unit_test(
			packet_over_our_own_maximum_ends_the_connection),
		cmocka_unit_test(endless_answer_is_not_waited_for),
		cmocka_unit_test(without_memory_the_connection_ends),
	};

	return peer_run(tests, sizeof(tests) / sizeof(tests[0]));
}
