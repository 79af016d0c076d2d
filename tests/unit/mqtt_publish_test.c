/* SPDX-License-Identifier: MIT */
/* What a client publishes: in flight, confirmed, refused, sent again. */
#include "unit.h"

#include "mqtt_peer.h"

static int publish(struct peer *peer, const struct mqtt_message *message,
		   struct error *err)
{
	uint64_t tag;

	return session_publish(peer->session, message, &tag, err);
}

static void expect_done(struct peer *peer, enum session_event_kind kind,
			uint64_t tag)
{
	peer_expect(peer, kind);
	assert_int_equal(peer->event.tag, tag);
}

/* ---- one message ---- */

static void qos_0_is_done_when_queued(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 0, 1);
	peer_hear(&peer, "30 06 0001 't' 00 'hi'");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	peer_expect_nothing(&peer);
	peer_end(&peer);
}

static void qos_1_is_done_with_puback(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 1, 1);
	peer_hear(&peer, "32 08 0001 't' 0001 00 'hi'");
	peer_expect_nothing(&peer);
	peer_say(&peer, "40 02 0001");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	peer_end(&peer);
}

static void qos_1_is_done_with_puback_in_version_3(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options_3, WELCOME_3);
	peer_publish(&peer, 1, 1);
	peer_hear(&peer, "32 07 0001 't' 0001 'hi'");
	peer_say(&peer, "40 02 0001");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	peer_end(&peer);
}

static void qos_2_is_done_with_pubcomp(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 2, 1);
	peer_hear(&peer, "34 08 0001 't' 0001 00 'hi'");
	peer_say(&peer, "50 02 0001");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "62 02 0001");
	peer_say(&peer, "70 02 0001");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	peer_end(&peer);
}

static void qos_2_that_nobody_wants_is_told_so_by_pubrec(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 2, 1);
	peer_ignore(&peer);
	peer_say(&peer, "50 03 0001 10");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "62 02 0001");
	peer_say(&peer, "70 02 0001");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	assert_int_equal(peer.event.reason, REASON_NO_MATCHING_SUBSCRIBERS);
	peer_end(&peer);
}

static void qos_2_is_done_with_pubcomp_in_version_3(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept_3, WELCOME_3);
	peer_publish(&peer, 2, 1);
	peer_hear(&peer, "34 07 0001 't' 0001 'hi'");
	peer_say(&peer, "50 02 0001");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "62 02 0001");
	peer_reconnect(&peer, WELCOME_BACK_3);
	peer_hear(&peer, "62 02 0001");
	peer_say(&peer, "70 02 0001");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	peer_end(&peer);
}

static void puback_out_of_order_finds_its_message(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 1, 1);
	peer_publish(&peer, 1, 2);
	peer_publish(&peer, 1, 3);
	peer_say(&peer, "40 02 0003  40 02 0001  40 02 0002");
	expect_done(&peer, SESSION_CONFIRMED, 3);
	expect_done(&peer, SESSION_CONFIRMED, 1);
	expect_done(&peer, SESSION_CONFIRMED, 2);
	peer_expect_nothing(&peer);
	peer_end(&peer);
}

static void properties_of_a_message_are_sent(void **state)
{
	struct header user[] = {{{"a", 1}, {"1", 1}}, {{"a", 1}, {"2", 1}}};
	const struct mqtt_message message = {
		.topic = {"t", 1},
		.retain = true,
		.properties =
			{
				.payload_format = 1,
				.message_expiry = 258,
				.content_type = {"x/y", 3},
				.response_topic = {"r", 1},
				.correlation_data = {"\0c", 2},
				.user = {user, 2},
				.topic_alias = 7,
				.subscription_identifier = 9,
			},
	};
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	assert_int_equal(publish(&peer, &message, NULL), 0);
	peer_hear(&peer, "31 28 0001 't' 24"
			 "01 01  02 00000102  03 0003 'x/y'  08 0001 'r'"
			 "09 0002 00 'c'  26 0001 'a' 0001 '1'"
			 "26 0001 'a' 0001 '2'");
	peer_end(&peer);
}

static void properties_are_left_out_in_version_3(void **state)
{
	const struct mqtt_message message = {
		.topic = {"t", 1}, .properties.content_type = {"x", 1}};
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options_3, WELCOME_3);
	assert_int_equal(publish(&peer, &message, NULL), 0);
	peer_hear(&peer, "30 03 0001 't'");
	peer_end(&peer);
}

/* ---- refusals ---- */

static void puback_with_an_error_is_a_refusal(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME);
	peer_publish(&peer, 1, 1);
	peer_say(&peer, "40 08 0001 87 04 1f 0001 'x'");
	expect_done(&peer, SESSION_REJECTED, 1);
	assert_int_equal(peer.event.reason, 0x87);
	assert_int_equal(peer.event.error.status, STATUS_DENIED);
	assert_non_null(strstr(peer.event.error.text, "not authorised"));
	assert_non_null(strstr(peer.event.error.text, "\"x\""));
	peer_ignore(&peer);
	peer_reconnect(&peer, WELCOME_BACK);
	peer_hear(&peer, "");
	peer_end(&peer);
}

static void pubrec_with_an_error_ends_the_exchange(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 2, 1);
	peer_ignore(&peer);
	peer_say(&peer, "50 03 0001 97");
	expect_done(&peer, SESSION_REJECTED, 1);
	peer_hear(&peer, "");
	peer_publish(&peer, 2, 2);
	peer_end(&peer);
}

static void nobody_subscribed_is_no_refusal(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 1, 1);
	peer_say(&peer, "40 03 0001 10");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	assert_int_equal(peer.event.reason, 0x10);
	peer_end(&peer);
}

static void expect_invalid(struct peer *peer, struct mqtt_message message,
			   const char *words)
{
	struct error err;

	assert_int_equal(publish(peer, &message, &err), STATUS_INVALID);
	if (strstr(err.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
	peer_hear(peer, "");
}

static void what_mqtt_cannot_carry_is_refused_before_sending(void **state)
{
	static char long_text[65536];
	struct header bad = {{"\xc3", 1}, {"", 0}};
	struct peer peer;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	peer_open(&peer, &peer_options, WELCOME);
#define TOPIC(text) ((struct mqtt_message){.topic = SPAN_LIT(text)})
	expect_invalid(&peer, TOPIC(""), "empty");
	expect_invalid(&peer, TOPIC("a/+"), "wildcard");
	expect_invalid(&peer, TOPIC("#"), "wildcard");
	expect_invalid(&peer, TOPIC("a\0b"), "NUL");
	expect_invalid(&peer, TOPIC("\xed\xa0\x80"), "UTF-8");
	expect_invalid(&peer, TOPIC("$SYS/x"), "leading $");
	expect_invalid(
		&peer,
		(struct mqtt_message){.topic = {long_text, sizeof(long_text)}},
		"65,535");
	expect_invalid(
		&peer,
		(struct mqtt_message){
			.topic = SPAN_LIT("t"),
			.properties.correlation_data = {long_text,
							sizeof(long_text)}},
		"correlation data is too long");
	expect_invalid(&peer,
		       (struct mqtt_message){.topic = SPAN_LIT("t"),
					     .properties.user = {&bad, 1}},
		       "user property");
	peer_publish(&peer, 1, 1);
	peer_end(&peer);
}

static void limits_of_the_server_are_held(void **state)
{
	struct peer peer;

	(void)state;
	/* Maximum QoS 1, no retaining. */
	peer_open(&peer, &peer_options, "20 07 00 00 04 24 01 25 00");
	expect_invalid(&peer,
		       (struct mqtt_message){.topic = {"t", 1}, .qos = 2},
		       "QoS 2");
	expect_invalid(&peer,
		       (struct mqtt_message){.topic = {"t", 1}, .retain = true},
		       "retained");
	peer_publish(&peer, 1, 1);
	peer_end(&peer);
}

static void longer_than_the_server_takes_is_refused(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, "20 08 00 00 05 27 00000009");
	peer_publish(&peer, 0, 1);
	peer_ignore(&peer);
	expect_invalid(&peer,
		       (struct mqtt_message){.topic = {"t", 1},
					     .payload = {"1234", 4}},
		       "the server allows 9");
	peer_end(&peer);
}

/* ---- the window ---- */

static void receive_maximum_of_one_lets_one_through(void **state)
{
	const struct mqtt_message message = {.topic = {"t", 1}, .qos = 1};
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, "20 06 00 00 03 21 0001");
	for (unsigned tag = 1; tag <= 3; tag++) {
		char puback[] = "40 02 0001";

		peer_publish(&peer, 1, tag);
		assert_false(session_has_room(peer.session));
		assert_int_equal(publish(&peer, &message, NULL), STATUS_BUSY);
		puback[9] = (char)('0' + tag);
		peer_say(&peer, puback);
		expect_done(&peer, SESSION_CONFIRMED, tag);
		assert_true(session_has_room(peer.session));
	}
	peer_end(&peer);
}

static void qos_0_needs_no_room(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, "20 06 00 00 03 21 0001");
	peer_publish(&peer, 1, 1);
	peer_publish(&peer, 0, 2);
	expect_done(&peer, SESSION_CONFIRMED, 2);
	peer_end(&peer);
}

static void pubrec_does_not_free_the_window_pubcomp_does(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, "20 06 00 00 03 21 0001");
	peer_publish(&peer, 2, 1);
	peer_say(&peer, "50 02 0001");
	peer_expect_nothing(&peer);
	assert_false(session_has_room(peer.session));
	peer_say(&peer, "70 02 0001");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	assert_true(session_has_room(peer.session));
	peer_end(&peer);
}

static void packet_ids_wrap_round_and_are_never_in_use(void **state)
{
	const struct mqtt_message message = {.topic = {"t", 1}, .qos = 1};
	struct peer peer;
	uint64_t tag;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	for (unsigned i = 1; i <= 65535; i++)
		peer_publish(&peer, 1, i);
	assert_int_equal(publish(&peer, &message, NULL), STATUS_BUSY);
	/* The second is done, but the first still holds its id. */
	peer_say(&peer, "40 02 0002");
	expect_done(&peer, SESSION_CONFIRMED, 2);
	assert_int_equal(publish(&peer, &message, NULL), STATUS_BUSY);
	peer_say(&peer, "40 02 0001");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	peer_ignore(&peer);
	peer_publish(&peer, 1, 65536);
	peer_hear(&peer, "32 08 0001 't' 0001 00 'hi'");
	assert_int_equal(
		session_subscribe(peer.session,
				  &(struct mqtt_filter){.filter = {"f", 1}}, 1,
				  &tag, NULL),
		0);
	peer_hear(&peer, "82 07 0002 00 0001 'f' 00");
	peer_say(&peer, "90 04 0002 00 00  40 02 0001");
	expect_done(&peer, SESSION_SUBSCRIBED, 65537);
	expect_done(&peer, SESSION_CONFIRMED, 65536);
	peer_end(&peer);
}

static void without_memory_nothing_is_published(void **state)
{
	const struct mqtt_message message = {
		.topic = {"t", 1}, .payload = {"hi", 2}, .qos = 1};

	(void)state;
	for (unsigned nth = 1;; nth++) {
		struct peer peer;
		int status;
		bool ended;

		peer_open(&peer, &peer_kept, WELCOME);
		buffer_finish(session_output(peer.session));
		memory_ends_at(nth);
		status = publish(&peer, &message, NULL);
		ended = memory_ended();
		memory_ends_at(0);
		assert_int_equal(status, ended ? STATUS_NO_MEMORY : 0);
		if (ended) {
			peer_hear(&peer, "");
			peer_publish(&peer, 1, 1);
		}
		peer_hear(&peer, "32 08 0001 't' 0001 00 'hi'");
		peer_end(&peer);
		if (!ended)
			return;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qos_0_is_done_when_queued),
		cmocka_unit_test(qos_1_is_done_with_puback),
		cmocka_unit_test(qos_1_is_done_with_puback_in_version_3),
		cmocka_unit_test(qos_2_is_done_with_pubcomp),
		cmocka_unit_test(qos_2_that_nobody_wants_is_told_so_by_pubrec),
		cmocka_unit_test(qos_2_is_done_with_pubcomp_in_version_3),
		cmocka_unit_test(puback_out_of_order_finds_its_message),
		cmocka_unit_test(properties_of_a_message_are_sent),
		cmocka_unit_test(properties_are_left_out_in_version_3),
		cmocka_unit_test(puback_with_an_error_is_a_refusal),
		cmocka_unit_test(pubrec_with_an_error_ends_the_exchange),
		cmocka_unit_test(nobody_subscribed_is_no_refusal),
		cmocka_unit_test(
			what_mqtt_cannot_carry_is_refused_before_sending),
		cmocka_unit_test(limits_of_the_server_are_held),
		cmocka_unit_test(longer_than_the_server_takes_is_refused),
		cmocka_unit_test(receive_maximum_of_one_lets_one_through),
		cmocka_unit_test(qos_0_needs_no_room),
		cmocka_unit_test(pubrec_does_not_free_the_window_pubcomp_does),
		cmocka_unit_test(packet_ids_wrap_round_and_are_never_in_use),
		cmocka_unit_test(without_memory_nothing_is_published),
	};

	return peer_run(tests, sizeof(tests) / sizeof(tests[0]));
}
