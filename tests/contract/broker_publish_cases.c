/* SPDX-License-Identifier: MIT */
/* What a publisher may rely on. */
#include "broker_kit.h"

#include <stdio.h>
#include <string.h>

static void a_published_message_is_confirmed(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	assert_int_equal(lane_publish(&relay, "m1", NULL, SPAN_LIT("{}")), 1);
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 1);
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
}

static void every_one_of_many_messages_is_confirmed_once(void **state)
{
	enum { MANY = 1000 };
	struct rig *rig = *state;
	struct lane relay;
	char id[16];

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	for (int i = 1; i <= MANY; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		assert_int_equal(lane_publish(&relay, id, NULL, SPAN_LIT("{}")),
				 i);
	}
	lane_settle(&relay, MANY);
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
}

static void only_the_unroutable_message_is_returned(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", "nobody.request.one.two", SPAN_LIT("{}"));
	lane_publish(&relay, "m3", "tester.response.one.two", SPAN_LIT("{}"));
	lane_next(&relay);
	if (relay.event.kind == BROKER_CONFIRMED) {
		assert_int_equal(relay.event.tag, 1);
		lane_next(&relay);
	}
	assert_int_equal(relay.event.kind, BROKER_RETURNED);
	assert_int_equal(relay.event.tag, 2);
	assert_string_not_equal(relay.event.error.text, "");
	do {
		lane_expect(&relay, BROKER_CONFIRMED);
	} while (relay.event.tag != 3);
	lane_destroy(&relay);
}

static void a_message_is_returned_before_it_is_confirmed(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", "nobody.request.one.two", SPAN_LIT("{}"));
	assert_int_equal(lane_expect(&relay, BROKER_RETURNED)->tag, 1);
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 1);
	lane_destroy(&relay);
}

static void two_messages_of_one_id_are_returned_by_their_own_tags(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "same", "nobody.request.one.two", SPAN_LIT("1"));
	lane_publish(&relay, "same", "nobody.request.one.two", SPAN_LIT("2"));
	assert_int_equal(lane_expect(&relay, BROKER_RETURNED)->tag, 1);
	lane_next(&relay);
	if (relay.event.kind == BROKER_CONFIRMED)
		lane_next(&relay);
	assert_int_equal(relay.event.kind, BROKER_RETURNED);
	assert_int_equal(relay.event.tag, 2);
	lane_destroy(&relay);
}

static void what_no_broker_carries_is_refused_at_once(void **state)
{
	struct rig *rig = *state;
	char topic[ENVELOPE_MAX_STRING + 2];
	const struct envelope envelope = {
		.topic = {topic, sizeof(topic) - 1},
		.message_id = SPAN_LIT("m1"),
	};
	const struct publication message = {.envelope = &envelope,
					    .body = SPAN_LIT("{}")};
	struct lane relay;
	struct error err;
	uint64_t tag;

	memset(topic, '#', sizeof(topic));
	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	assert_int_equal(relay.broker->driver->publish(relay.broker, &message,
						       &tag, &err),
			 STATUS_INVALID);
	assert_non_null(strstr(err.text, "topic"));
	assert_int_equal(lane_publish(&relay, "m2", NULL, SPAN_LIT("{}")), 1);
	lane_settle(&relay, 1);
	lane_destroy(&relay);
}

static void tags_begin_anew_on_every_connection(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 1);
	relay.broker->driver->cut(relay.broker);
	lane_expect_nothing(&relay);
	lane_reconnect(&relay);
	assert_int_equal(lane_publish(&relay, "m2", NULL, SPAN_LIT("{}")), 1);
	lane_settle(&relay, 1);
	lane_destroy(&relay);
}

static const struct CMUnitTest tests[] = {
	BROKER_TEST(a_published_message_is_confirmed),
	BROKER_TEST(every_one_of_many_messages_is_confirmed_once),
	BROKER_TEST(only_the_unroutable_message_is_returned),
	BROKER_TEST(a_message_is_returned_before_it_is_confirmed),
	BROKER_TEST(two_messages_of_one_id_are_returned_by_their_own_tags),
	BROKER_TEST(what_no_broker_carries_is_refused_at_once),
	BROKER_TEST(tags_begin_anew_on_every_connection),
};

const struct broker_cases publish_cases = {tests,
					   sizeof(tests) / sizeof(*tests)};
