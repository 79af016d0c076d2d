/* SPDX-License-Identifier: MIT */
/* How a client subscribes, and what it is granted. */
#include "unit.h"

#include "mqtt_peer.h"

static void granted_qos_is_told_for_each_filter(void **state)
{
	const struct mqtt_filter filters[] = {
		{.filter = {"a/+", 3}, .qos = 1},
		{.filter = {"$share/g/b", 10}, .qos = 2, .retain_handling = 1},
		{.filter = {"#", 1},
		 .no_local = true,
		 .retain_as_published = true},
	};
	struct peer peer;
	uint64_t tag;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	assert_int_equal(
		session_subscribe(peer.session, filters, 3, &tag, NULL), 0);
	peer_hear(&peer, "82 1a 0001 00 0003 'a/+' 01"
			 "000a '$share/g/b' 12  0001 '#' 0c");
	peer_say(&peer, "90 06 0001 00 01 00 87");
	peer_expect(&peer, SESSION_SUBSCRIBED);
	assert_int_equal(peer.event.tag, tag);
	assert_int_equal(peer.event.granted.len, 3);
	assert_memory_equal(peer.event.granted.at, "\x01\x00\x87", 3);
	peer_end(&peer);
}

static void granted_qos_is_told_in_version_3(void **state)
{
	const struct mqtt_filter filter = {
		.filter = {"a", 1}, .qos = 2, .retain_handling = 1};
	struct peer peer;
	uint64_t tag;

	(void)state;
	peer_open(&peer, &peer_options_3, WELCOME_3);
	assert_int_equal(
		session_subscribe(peer.session, &filter, 1, &tag, NULL), 0);
	peer_hear(&peer, "82 06 0001 0001 'a' 02");
	peer_say(&peer, "90 03 0001 80");
	peer_expect(&peer, SESSION_SUBSCRIBED);
	assert_memory_equal(peer.event.granted.at, "\x80", 1);
	peer_end(&peer);
}

static void unsubscribing_is_answered(void **state)
{
	const struct span filters[] = {{"a", 1}, {"b", 1}};
	struct peer peer;
	uint64_t tag;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	assert_int_equal(
		session_unsubscribe(peer.session, filters, 2, &tag, NULL), 0);
	peer_hear(&peer, "a2 09 0001 00 0001 'a' 0001 'b'");
	peer_say(&peer, "b0 05 0001 00 00 11");
	peer_expect(&peer, SESSION_UNSUBSCRIBED);
	assert_int_equal(peer.event.tag, tag);
	assert_memory_equal(peer.event.granted.at, "\x00\x11", 2);
	peer_end(&peer);
	peer_open(&peer, &peer_options_3, WELCOME_3);
	assert_int_equal(
		session_unsubscribe(peer.session, filters, 1, &tag, NULL), 0);
	peer_hear(&peer, "a2 05 0001 0001 'a'");
	peer_say(&peer, "b0 02 0001");
	peer_expect(&peer, SESSION_UNSUBSCRIBED);
	peer_end(&peer);
}

static void subscription_is_lost_with_the_connection(void **state)
{
	const struct mqtt_filter filter = {.filter = {"a", 1}};
	const struct error gone = {STATUS_AWAY, "the line is cut"};
	struct peer peer;
	uint64_t tag;

	(void)state;
	peer_open(&peer, &peer_kept, WELCOME);
	assert_int_equal(
		session_subscribe(peer.session, &filter, 1, &tag, NULL), 0);
	session_transport_lost(peer.session, &gone);
	peer_expect(&peer, SESSION_LOST);
	assert_int_equal(peer.event.tag, tag);
	peer_expect_closed(&peer, STATUS_AWAY, "cut");
	peer_end(&peer);
}

static void wrong_number_of_grants_ends_the_connection(void **state)
{
	const struct mqtt_filter filter = {.filter = {"a", 1}};
	struct peer peer;
	uint64_t tag;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	assert_int_equal(
		session_subscribe(peer.session, &filter, 1, &tag, NULL), 0);
	peer_say(&peer, "90 05 0001 00 00 00");
	peer_expect(&peer, SESSION_LOST);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "SUBACK");
	peer_end(&peer);
}

static void filters_that_cannot_be_are_refused(void **state)
{
	static const char *const filters[] = {
		"",	    "a#",	 "#/a",	       "a/b+",	    "+a/b",
		"$share/g", "$share//a", "$share/+/a", "$share/g/", "a/#/b",
	};
	struct peer peer;
	uint64_t tag;

	(void)state;
	peer_open(&peer, &peer_options, WELCOME);
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		struct mqtt_filter filter = {.filter = span_of(filters[i])};

		if (session_subscribe(peer.session, &filter, 1, &tag, NULL) !=
		    STATUS_INVALID)
			fail_msg("%s is not refused", filters[i]);
	}
	peer_hear(&peer, "");
	peer_end(&peer);
}

static void subscriptions_the_server_has_not_are_refused(void **state)
{
	const struct mqtt_filter wild = {.filter = {"a/#", 3}};
	const struct mqtt_filter shared = {.filter = {"$share/g/a", 10}};
	struct peer peer;
	uint64_t tag;

	(void)state;
	peer_open(&peer, &peer_options, "20 07 00 00 04 28 00 2a 00");
	assert_int_equal(session_subscribe(peer.session, &wild, 1, &tag, NULL),
			 STATUS_INVALID);
	assert_int_equal(
		session_subscribe(peer.session, &shared, 1, &tag, NULL),
		STATUS_INVALID);
	peer_hear(&peer, "");
	peer_end(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(granted_qos_is_told_for_each_filter),
		cmocka_unit_test(granted_qos_is_told_in_version_3),
		cmocka_unit_test(unsubscribing_is_answered),
		cmocka_unit_test(subscription_is_lost_with_the_connection),
		cmocka_unit_test(wrong_number_of_grants_ends_the_connection),
		cmocka_unit_test(filters_that_cannot_be_are_refused),
		cmocka_unit_test(subscriptions_the_server_has_not_are_refused),
	};

	return peer_run(tests, sizeof(tests) / sizeof(tests[0]));
}
