/* SPDX-License-Identifier: MIT */
/* How an open AMQP connection lives and ends. */
#include "unit.h"

#include "amqp_peer.h"

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
	/* There is nothing to call again for, asked for events or not. */
	assert_int_equal(connection_tick(peer.connection, false,
					 start + 13 * USEC_PER_SEC),
			 USEC_NEVER);
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
	peer_publish(&peer, "m1", "a", SPAN_LIT(""));
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
	peer_publish(&peer, "m1", "a", SPAN_LIT(""));
	peer_say_ack(&peer, 1, false);
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
	peer_publish(&peer, "m1", "a", SPAN_LIT(""));
	connection_close(peer.connection);
	connection_close(peer.connection);
	peer_hear_method(&peer, AMQP_BASIC_PUBLISH_METHOD);
	peer_hear(&peer);
	peer_hear_method(&peer, AMQP_CHANNEL_CLOSE_METHOD);
	peer_hear_method(&peer, AMQP_CONNECTION_CLOSE_METHOD);
	peer_hear_nothing(&peer);
	peer_say_ack(&peer, 1, false);
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
		peer_say_deliver(&peer, 1);
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
