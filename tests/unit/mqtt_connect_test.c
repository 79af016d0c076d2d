/* SPDX-License-Identifier: MIT */
/* How a client connects, keeps alive and leaves. */
#include "unit.h"

#include "mqtt_peer.h"

/* ---- CONNECT ---- */

static void connect_says_what_is_asked_for(void **state)
{
	const struct mqtt_message will = {
		.topic = {"w", 1},
		.payload = {"bye", 3},
		.qos = 1,
		.retain = true,
		.properties.content_type = {"x", 1},
	};
	const struct session_options options = {
		.version = MQTT_VERSION_5,
		.client_id = {"c", 1},
		.session_expiry = 3600,
		.keep_alive = 30,
		.receive_maximum = 1000,
		.username = {"u", 1},
		.password = {"p\0w", 3},
		.will = &will,
		.will_delay = 5,
	};
	struct peer peer;

	(void)state;
	peer_begin(&peer, &options);
	peer_hear(&peer, "10 30 0004 'MQTT' 05 ec 001e"
			 "08 11 00000e10 21 03e8  0001 'c'"
			 "09 03 0001 'x' 18 00000005 0001 'w' 0003 'bye'"
			 "0001 'u' 0003 'p' 00 'w'");
	peer_end(&peer);
}

static void connect_of_version_3_has_no_properties(void **state)
{
	const struct mqtt_message will = {.topic = {"w", 1},
					  .payload = {"bye", 3}};
	const struct session_options options = {
		.version = MQTT_VERSION_3,
		.client_id = {"c", 1},
		.session_expiry = 3600,
		.keep_alive = 30,
		.receive_maximum = 1000,
		.username = {"u", 1},
		.will = &will,
		.will_delay = 5,
	};
	struct peer peer;

	(void)state;
	peer_begin(&peer, &options);
	peer_hear(&peer, "10 18 0004 'MQTT' 04 84 001e 0001 'c'"
			 "0001 'w' 0003 'bye' 0001 'u'");
	peer_end(&peer);
}

static void only_the_first_connection_starts_clean(void **state)
{
	const struct error gone = {STATUS_AWAY, "the line is cut"};
	struct session_options options = peer_kept;
	struct peer peer;

	(void)state;
	options.clean_start = true;
	peer_begin(&peer, &options);
	peer_hear(&peer,
		  "10 13 0004 'MQTT' 05 02 0000 05 11 00000e10 0001 'c'");
	peer_say(&peer, WELCOME);
	peer_expect(&peer, SESSION_CONNECTED);
	session_transport_lost(peer.session, &gone);
	peer_expect_closed(&peer, STATUS_AWAY, "cut");
	session_connect(peer.session);
	peer_hear(&peer,
		  "10 13 0004 'MQTT' 05 00 0000 05 11 00000e10 0001 'c'");
	peer_end(&peer);
}

static void session_that_is_not_kept_starts_clean_each_time(void **state)
{
	struct session_options options = peer_options_3;
	struct peer peer;

	(void)state;
	options.clean_start = false;
	peer_begin(&peer, &options);
	peer_hear(&peer, "10 0d 0004 'MQTT' 04 02 0000 0001 'c'");
	peer_end(&peer);
}

static void expect_unusable(const struct session_options *options,
			    const char *words)
{
	struct session *session;
	struct error err;

	assert_int_equal(session_create(&session, options, &err),
			 STATUS_INVALID);
	if (strstr(err.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void options_that_mqtt_cannot_carry_are_named(void **state)
{
	static char long_text[65536];
	const struct mqtt_message wild = {.topic = {"a/#", 3}};
	struct session_options options = peer_options;

	(void)state;
	options.client_id = SPAN_LIT("a\0b");
	expect_unusable(&options, "client id");
	options = peer_options;
	options.username = SPAN_LIT("\xff");
	expect_unusable(&options, "username");
	options = peer_options;
	options.password = (struct span){long_text, sizeof(long_text)};
	expect_unusable(&options, "password");
	options = peer_options;
	options.will = &wild;
	expect_unusable(&options, "wildcard");
	options = peer_options_3;
	options.password = SPAN_LIT("p");
	expect_unusable(&options, "no password without");
	options = peer_kept_3;
	options.client_id = SPAN_NONE;
	expect_unusable(&options, "no session without");
}

/* ---- CONNACK ---- */

static void limits_default_to_the_most(void **state)
{
	const struct session_limits *limits;
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	limits = &peer.event.limits;
	assert_int_equal(limits->receive_maximum, 65535);
	assert_int_equal(limits->maximum_packet, UINT32_MAX);
	assert_int_equal(limits->maximum_qos, 2);
	assert_true(limits->retain_available);
	assert_true(limits->wildcard_available);
	assert_true(limits->identifiers_available);
	assert_true(limits->shared_available);
	assert_false(peer.event.session_present);
	assert_span(peer.event.client_id, "c");
	peer_end(&peer);
}

static void limits_of_the_server_are_told(void **state)
{
	const struct session_limits *limits;
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options,
		  "20 18 00 00 15 21 000a 13 0007 24 01 25 00 27 00010000"
		  "28 00 29 00 2a 00");
	limits = &peer.event.limits;
	assert_int_equal(limits->receive_maximum, 10);
	assert_int_equal(limits->keep_alive, 7);
	assert_int_equal(limits->maximum_packet, 65536);
	assert_int_equal(limits->maximum_qos, 1);
	assert_false(limits->retain_available);
	assert_false(limits->wildcard_available);
	assert_false(limits->identifiers_available);
	assert_false(limits->shared_available);
	peer_end(&peer);
}

static void assigned_client_id_is_used_from_then_on(void **state)
{
	const struct error gone = {STATUS_AWAY, "the line is cut"};
	struct session_options options = peer_kept;
	struct peer peer;

	(void)state;
	options.client_id = SPAN_NONE;
	peer_open(&peer, &options, "20 08 00 00 05 12 0002 'id'");
	assert_span(peer.event.client_id, "id");
	session_transport_lost(peer.session, &gone);
	peer_expect_closed(&peer, STATUS_AWAY, "cut");
	session_connect(peer.session);
	peer_hear(&peer,
		  "10 14 0004 'MQTT' 05 00 0000 05 11 00000e10 0002 'id'");
	peer_end(&peer);
}

static void session_of_an_earlier_program_is_resumed(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME_BACK);
	assert_true(peer.event.session_present);
	peer_end(&peer);
}

static void session_present_after_a_clean_start_is_an_error(void **state)
{
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say(&peer, WELCOME_BACK);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "clean start");
	peer_end(&peer);
}

static void refusal_says_why(void **state)
{
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_ignore(&peer);
	peer_say(&peer, "20 08 00 86 05 1f 0002 'no'");
	peer_expect_closed(&peer, STATUS_DENIED, "wrong username or password");
	assert_non_null(strstr(peer.event.error.text, "\"no\""));
	assert_int_equal(peer.event.reason, 0x86);
	assert_false(peer.event.version_refused);
	peer_hear(&peer, "");
	peer_end(&peer);
}

static void refusal_of_version_3_says_why(void **state)
{
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options_3);
	peer_say(&peer, "20 02 00 05");
	peer_expect_closed(&peer, STATUS_DENIED, "not authorised");
	assert_int_equal(peer.event.reason, 0x87);
	peer_end(&peer);
}

static void refused_version_can_be_told_in_either(void **state)
{
	static const char *const refusals[] = {"20 03 00 84 00", "20 02 00 84",
					       "20 02 00 01"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct peer peer;

		peer_begin(&peer, &peer_options);
		peer_say(&peer, refusals[i]);
		peer_expect_closed(&peer, STATUS_PROTOCOL, "this version");
		assert_true(peer.event.version_refused);
		peer_end(&peer);
	}
}

static void line_cut_before_connack_suggests_another_port(void **state)
{
	const struct error gone = {STATUS_AWAY, "the line is cut"};
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	session_transport_lost(peer.session, &gone);
	peer_expect_closed(&peer, STATUS_AWAY, "MQTT port");
	assert_true(peer.event.unanswered);
	assert_false(peer.event.version_refused);
	peer_end(&peer);
}

/* ---- keep-alive ---- */

static const usec_t start = 1000 * USEC_PER_SEC;

static void open_with_keep_alive(struct peer *peer, const char *connack)
{
	struct session_options options = peer_options;

	options.keep_alive = 10;
	peer_open(peer, &options, connack);
}

static void ping_is_sent_at_half_the_interval(void **state)
{
	struct peer peer;

	(void)state;
	open_with_keep_alive(&peer, WELCOME);
	assert_int_equal(session_tick(peer.session, false, start),
			 start + 5 * USEC_PER_SEC);
	peer_hear(&peer, "");
	session_tick(peer.session, false, start + 5 * USEC_PER_SEC);
	peer_hear(&peer, "c0 00");
	peer_say(&peer, "d0 00");
	peer_expect_nothing(&peer);
	peer_end(&peer);
}

static void server_keep_alive_overrides_ours(void **state)
{
	struct peer peer;

	(void)state;
	open_with_keep_alive(&peer, "20 06 00 00 03 13 0004");
	assert_int_equal(session_tick(peer.session, false, start),
			 start + 2 * USEC_PER_SEC);
	peer_end(&peer);
	open_with_keep_alive(&peer, "20 06 00 00 03 13 0000");
	assert_true(session_tick(peer.session, false, start) == USEC_NEVER);
	peer_end(&peer);
}

static void silent_server_is_given_up_after_one_and_a_half(void **state)
{
	struct peer peer;

	(void)state;
	open_with_keep_alive(&peer, WELCOME);
	session_tick(peer.session, false, start);
	session_tick(peer.session, true, start + 10 * USEC_PER_SEC);
	session_tick(peer.session, false, start + 24 * USEC_PER_SEC);
	peer_expect_nothing(&peer);
	/* There is nothing to call again for, asked for events or not. */
	assert_true(session_tick(peer.session, false,
				 start + 25 * USEC_PER_SEC) == USEC_NEVER);
	peer_expect_closed(&peer, STATUS_AWAY, "silent");
	peer_end(&peer);
}

/* ---- ends ---- */

static void goodbye_is_the_last_word(void **state)
{
	const struct error gone = {STATUS_AWAY, "the peer closed"};
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 1, 1);
	peer_ignore(&peer);
	session_disconnect(peer.session, false);
	peer_hear(&peer, "e0 00");
	peer_say(&peer, "34 07 0001 't' 0001 00 'a'  62 02 0002  40 02 0001");
	peer_expect(&peer, SESSION_CONFIRMED);
	session_ping(peer.session);
	session_transport_lost(peer.session, &gone);
	peer_expect_closed(&peer, STATUS_OK, "");
	peer_hear(&peer, "");
	peer_end(&peer);
}

static void goodbye_may_ask_for_the_will(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	session_disconnect(peer.session, true);
	peer_hear(&peer, "e0 01 04");
	peer_end(&peer);
	peer_open(&peer, &peer_options_3, WELCOME_3);
	session_disconnect(peer.session, true);
	peer_hear(&peer, "e0 00");
	peer_end(&peer);
}

static void take_over_by_the_same_client_id_is_told(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "e0 01 8e");
	peer_expect_closed(&peer, STATUS_BUSY, "same client id");
	assert_int_equal(peer.event.reason, 0x8e);
	peer_hear(&peer, "");
	peer_end(&peer);
}

static void disconnect_without_reason_is_no_success(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "e0 00");
	peer_expect_closed(&peer, STATUS_AWAY, "closed the connection");
	peer_end(&peer);
}

static void what_has_no_meaning_ends_the_connection(void **state)
{
	/* AUTH, CONNACK again, CONNECT, PINGREQ, SUBSCRIBE, a long PINGRESP */
	static const char *const packets[] = {
		"f0 00", "20 03 00 00 00",     "10 00",
		"c0 00", "82 05 0001 00 0000", "d0 01 00",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		struct peer peer;

		peer_open(&peer, &peer_options, WELCOME);
		peer_ignore(&peer);
		peer_say(&peer, packets[i]);
		peer_expect_closed(&peer, STATUS_PROTOCOL, "");
		assert_int_equal(buffer_length(session_output(peer.session)),
				 3);
		peer_end(&peer);
	}
}

static void nothing_but_connack_may_come_first(void **state)
{
	static const char *const packets[] = {"30 04 0001 't' 00", "d0 00",
					      "e0 01 8b", "f0 00"};

	(void)state;
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		struct peer peer;

		peer_begin(&peer, &peer_options);
		peer_ignore(&peer);
		peer_say(&peer, packets[i]);
		peer_expect_closed(&peer, STATUS_PROTOCOL, "no meaning");
		peer_hear(&peer, "");
		peer_end(&peer);
	}
}

static void web_server_is_recognised_as_no_mqtt(void **state)
{
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say(&peer, "'HTTP/1.1 400 Bad Request'");
	peer_expect_closed(&peer, STATUS_PROTOCOL, "");
	peer_end(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connect_says_what_is_asked_for),
		cmocka_unit_test(connect_of_version_3_has_no_properties),
		cmocka_unit_test(only_the_first_connection_starts_clean),
		cmocka_unit_test(
			session_that_is_not_kept_starts_clean_each_time),
		cmocka_unit_test(options_that_mqtt_cannot_carry_are_named),
		cmocka_unit_test(limits_default_to_the_most),
		cmocka_unit_test(limits_of_the_server_are_told),
		cmocka_unit_test(assigned_client_id_is_used_from_then_on),
		cmocka_unit_test(session_of_an_earlier_program_is_resumed),
		cmocka_unit_test(
			session_present_after_a_clean_start_is_an_error),
		cmocka_unit_test(refusal_says_why),
		cmocka_unit_test(refusal_of_version_3_says_why),
		cmocka_unit_test(refused_version_can_be_told_in_either),
		cmocka_unit_test(line_cut_before_connack_suggests_another_port),
		cmocka_unit_test(ping_is_sent_at_half_the_interval),
		cmocka_unit_test(server_keep_alive_overrides_ours),
		cmocka_unit_test(
			silent_server_is_given_up_after_one_and_a_half),
		cmocka_unit_test(goodbye_is_the_last_word),
		cmocka_unit_test(goodbye_may_ask_for_the_will),
		cmocka_unit_test(take_over_by_the_same_client_id_is_told),
		cmocka_unit_test(disconnect_without_reason_is_no_success),
		cmocka_unit_test(what_has_no_meaning_ends_the_connection),
		cmocka_unit_test(nothing_but_connack_may_come_first),
		cmocka_unit_test(web_server_is_recognised_as_no_mqtt),
	};

	return peer_run(tests, sizeof(tests) / sizeof(tests[0]));
}
