/* SPDX-License-Identifier: MIT */
/* What an AMQP server delivers, in whatever pieces. */
#include "unit.h"

#include "amqp_peer.h"

static void a_delivery_may_come_byte_by_byte(void **state)
{
	struct buffer script;
	struct peer peer;

	(void)state;
	peer_open_consumer(&peer);
	peer_say_deliver(&peer, 9);
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
	peer_open_consumer(&peer);
	peer_say_deliver(&peer, 1);
	peer_say_content(&peer, SPAN_LIT("\x00\x80\x02m1"), SPAN_LIT("first"));
	peer_say_deliver(&peer, 2);
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
	peer_open_consumer(&peer);
	peer_say_deliver(&peer, 1);
	peer_say_bytes(&peer, header, sizeof(header) - 1);
	frame_write_body(&peer.out, 1, SPAN_LIT("part"), FRAME_OUR_MAX);
	peer_expect_nothing(&peer);
	connection_lost(peer.connection, &gone);
	peer_expect_closed(&peer, STATUS_AWAY, "gone");
	peer_end(&peer);
}

static void a_long_body_is_cut_and_the_next_one_comes_whole(void **state)
{
	struct connection_options options = peer_options;
	struct span none = {"\0\0", 2}; /* properties */
	struct peer peer;

	(void)state;
	options.longest_kept = 6;
	peer_open(&peer, &options, 0, 0);
	peer_say_deliver(&peer, 1);
	peer_say_content(&peer, none, SPAN_LIT("seven bytes"));
	peer_expect(&peer, CONNECTION_DELIVERED);
	assert_span(peer.event.delivery.body, "seven ");
	assert_int_equal(peer.event.delivery.full_size, 11);
	peer_say_deliver(&peer, 2);
	peer_say_content(&peer, none, SPAN_LIT("sixsix"));
	peer_expect(&peer, CONNECTION_DELIVERED);
	assert_span(peer.event.delivery.body, "sixsix");
	assert_int_equal(peer.event.delivery.full_size, 0);
	peer_end(&peer);
}

static void a_body_longer_than_announced_ends_the_connection(void **state)
{
	static const char header[] =
		"\x02\0\1\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\3\0\0\xce";
	struct peer peer;

	(void)state;
	peer_open_consumer(&peer);
	peer_say_deliver(&peer, 1);
	peer_say_bytes(&peer, header, sizeof(header) - 1);
	frame_write_body(&peer.out, 1, SPAN_LIT("four"), FRAME_OUR_MAX);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "longer than announced");
	peer_end(&peer);
}

static void frames_of_a_message_in_disorder_end_the_connection(void **state)
{
	struct peer peer;

	(void)state;
	peer_open_consumer(&peer);
	peer_say_deliver(&peer, 1);
	peer_say_deliver(&peer, 2);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "mixed up");
	peer_end(&peer);

	peer_open_consumer(&peer);
	peer_say_content(&peer, SPAN_LIT("\0\0"), SPAN_LIT("x"));
	peer_expect_closed(&peer, STATUS_PROTOCOL, "without a method");
	peer_end(&peer);
}

static void a_heartbeat_may_come_amid_a_message(void **state)
{
	struct peer peer;

	(void)state;
	peer_open_consumer(&peer);
	peer_say_deliver(&peer, 1);
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
	peer_open_consumer(&peer);
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
	peer_open_consumer(&peer);
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
	peer_open_consumer(&peer);
	peer_say(&peer, 1, AMQP_BASIC_CANCEL_METHOD, &cancel);
	peer_expect_closed(&peer, STATUS_NOT_FOUND, "queue \"q\"");
	peer_hear_method(&peer, AMQP_CONNECTION_CLOSE_METHOD);
	peer_end(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_delivery_may_come_byte_by_byte),
		cmocka_unit_test(a_delivery_outlives_the_input_it_came_in),
		cmocka_unit_test(an_announced_size_is_not_believed),
		cmocka_unit_test(
			a_long_body_is_cut_and_the_next_one_comes_whole),
		cmocka_unit_test(
			a_body_longer_than_announced_ends_the_connection),
		cmocka_unit_test(
			frames_of_a_message_in_disorder_end_the_connection),
		cmocka_unit_test(a_heartbeat_may_come_amid_a_message),
		cmocka_unit_test(an_acknowledgement_covers_all_before_it),
		cmocka_unit_test(a_consumer_is_cancelled_once),
		cmocka_unit_test(a_queue_that_vanishes_ends_the_connection),
	};

	return cmocka_run_group_tests_name("amqp deliver", tests, NULL, NULL);
}
