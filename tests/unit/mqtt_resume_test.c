/* SPDX-License-Identifier: MIT */
/* What was published and not answered: after a break, and answered oddly. */
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

/* ---- resuming ---- */

static void unanswered_goes_again_in_order_after_a_break(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME);
	peer_publish(&peer, 2, 1);
	peer_publish(&peer, 1, 2);
	peer_publish(&peer, 1, 3);
	peer_publish(&peer, 2, 4);
	peer_say(&peer, "50 02 0001  40 02 0002");
	expect_done(&peer, SESSION_CONFIRMED, 2);
	peer_reconnect(&peer, WELCOME_BACK);
	assert_true(peer.event.session_present);
	peer_hear(&peer, "62 02 0001"
			 "3a 08 0001 't' 0003 00 'hi'"
			 "3c 08 0001 't' 0004 00 'hi'");
	peer_publish(&peer, 1, 5);
	peer_hear(&peer, "32 08 0001 't' 0005 00 'hi'");
	peer_say(&peer, "70 02 0001  40 02 0003");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	expect_done(&peer, SESSION_CONFIRMED, 3);
	peer_end(&peer);
}

static void unanswered_goes_again_in_version_3(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept_3, WELCOME_3);
	peer_publish(&peer, 1, 1);
	peer_publish(&peer, 2, 2);
	peer_reconnect(&peer, WELCOME_BACK_3);
	peer_hear(&peer, "3a 07 0001 't' 0001 'hi'  3c 07 0001 't' 0002 'hi'");
	peer_end(&peer);
}

static void resending_keeps_to_the_new_receive_maximum(void **state)
{
	const struct mqtt_message message = {.topic = {"t", 1}, .qos = 1};
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME);
	peer_publish(&peer, 1, 1);
	peer_publish(&peer, 1, 2);
	peer_reconnect(&peer, "20 06 01 00 03 21 0001");
	peer_hear(&peer, "3a 08 0001 't' 0001 00 'hi'");
	assert_int_equal(publish(&peer, &message, NULL), STATUS_BUSY);
	peer_say(&peer, "40 02 0001");
	expect_done(&peer, SESSION_CONFIRMED, 1);
	peer_hear(&peer, "3a 08 0001 't' 0002 00 'hi'");
	assert_int_equal(publish(&peer, &message, NULL), STATUS_BUSY);
	peer_say(&peer, "40 02 0002");
	expect_done(&peer, SESSION_CONFIRMED, 2);
	assert_true(session_has_room(peer.session));
	peer_end(&peer);
}

static void lost_session_tells_what_was_in_flight(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME);
	peer_publish(&peer, 1, 1);
	peer_publish(&peer, 2, 2);
	peer_reconnect(&peer, WELCOME);
	assert_false(peer.event.session_present);
	expect_done(&peer, SESSION_LOST, 1);
	expect_done(&peer, SESSION_LOST, 2);
	peer_expect_nothing(&peer);
	peer_hear(&peer, "");
	peer_end(&peer);
}

static void session_not_kept_tells_what_is_lost_with_the_line(void **state)
{
	const struct error gone = {STATUS_AWAY, "the line is cut"};
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 1, 1);
	session_transport_lost(peer.session, &gone);
	expect_done(&peer, SESSION_LOST, 1);
	peer_expect_closed(&peer, STATUS_AWAY, "the line is cut");
	peer_end(&peer);
}

static void server_may_shorten_the_session_to_the_connection(void **state)
{
	const struct error gone = {STATUS_AWAY, "the line is cut"};
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_kept, "20 08 00 00 05 11 00000000");
	peer_publish(&peer, 1, 1);
	session_transport_lost(peer.session, &gone);
	expect_done(&peer, SESSION_LOST, 1);
	peer_expect_closed(&peer, STATUS_AWAY, "cut");
	peer_end(&peer);
}

static void answers_that_came_before_the_break_still_count(void **state)
{
	const struct error gone = {STATUS_AWAY, "the line is cut"};
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 1, 1);
	buffer_append(session_input(peer.session), "\x40\x02\x00\x01", 4);
	session_transport_lost(peer.session, &gone);
	expect_done(&peer, SESSION_CONFIRMED, 1);
	peer_expect_closed(&peer, STATUS_AWAY, "cut");
	peer_end(&peer);
}

/* ---- strange answers ---- */

static void repeated_pubrec_is_answered_again(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_publish(&peer, 2, 1);
	peer_ignore(&peer);
	peer_say(&peer, "50 02 0001  50 02 0001");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "62 02 0001  62 02 0001");
	peer_end(&peer);
}

static void pubrec_of_an_unknown_message_is_released(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	peer_say(&peer, "50 02 0009");
	peer_expect_nothing(&peer);
	peer_hear(&peer, "62 03 0009 92");
	peer_say(&peer, "40 02 0009  70 02 0009");
	peer_expect_nothing(&peer);
	peer_end(&peer);
}

static void answer_of_the_wrong_kind_ends_the_connection(void **state)
{
	static const char *const answers[] = {"40 02 0001", "70 02 0001",
					      "90 04 0001 00 00",
					      "b0 04 0001 00 00"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct peer peer;

		peer_open(&peer, &peer_options, WELCOME);
		peer_publish(&peer, 2, 1);
		peer_ignore(&peer);
		peer_say(&peer, answers[i]);
		peer_expect(&peer, SESSION_LOST);
		peer_expect_closed(&peer, STATUS_PROTOCOL, "never asked");
		peer_hear(&peer, "e0 01 82");
		peer_end(&peer);
	}
}

/* ---- without memory ---- */

static void talk(struct session *session, struct arena *arena,
		 const char *bytes, size_t size)
{
	const struct error gone = {STATUS_AWAY, "gone"};
	struct session_event event;

	buffer_append(session_input(session), bytes, size);
	if (session_input(session)->failed)
		session_transport_lost(session, &gone);
	while (session_next(session, arena, &event))
		if (event.kind == SESSION_CLOSED)
			session_connect(session);
}

/* Whatever can happen, some of it, and again on the next connection. */
static void live(struct session *session, struct arena *arena)
{
	const struct mqtt_message message = {.topic = {"t", 1}, .qos = 2};
	const struct mqtt_filter filter = {.filter = {"f", 1}};
	const struct error gone = {STATUS_AWAY, "gone"};
	uint64_t tag;

	for (unsigned i = 0; i < 2; i++) {
		talk(session, arena, "\x20\x03\0\0\0", 5);
		for (unsigned n = 0; n < 20; n++)
			(void)session_publish(session, &message, &tag, NULL);
		(void)session_subscribe(session, &filter, 1, &tag, NULL);
		talk(session, arena, "\x50\x02\0\1\x70\x02\0\1", 8);
		talk(session, arena,
		     "\x34\x0e\0\1t\0\1\x07\x26\0\1a\0\1bx\x62\x02\0\1", 20);
		session_acknowledge(session, 1);
		session_transport_lost(session, &gone);
		talk(session, arena, "", 0);
	}
}

static void memory_may_end_anywhere(void **state)
{
	bool ended = true;

	(void)state;
	for (unsigned nth = 1; ended; nth++) {
		struct arena arena = {0};
		struct session *session;

		assert_int_equal(session_create(&session, &peer_kept, NULL), 0);
		session_connect(session);
		memory_ends_at(nth);
		live(session, &arena);
		ended = memory_ended();
		memory_ends_at(0);
		live(session, &arena);
		session_destroy(session);
		arena_finish(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unanswered_goes_again_in_order_after_a_break),
		cmocka_unit_test(unanswered_goes_again_in_version_3),
		cmocka_unit_test(resending_keeps_to_the_new_receive_maximum),
		cmocka_unit_test(lost_session_tells_what_was_in_flight),
		cmocka_unit_test(
			session_not_kept_tells_what_is_lost_with_the_line),
		cmocka_unit_test(
			server_may_shorten_the_session_to_the_connection),
		cmocka_unit_test(
			answers_that_came_before_the_break_still_count),
		cmocka_unit_test(repeated_pubrec_is_answered_again),
		cmocka_unit_test(pubrec_of_an_unknown_message_is_released),
		cmocka_unit_test(answer_of_the_wrong_kind_ends_the_connection),
		cmocka_unit_test(memory_may_end_anywhere),
	};

	return peer_run(tests, sizeof(tests) / sizeof(tests[0]));
}
