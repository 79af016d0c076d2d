/* SPDX-License-Identifier: MIT */
/* What a consumer may rely on. */
#include "broker_kit.h"

#include <stdio.h>
#include <string.h>

static void what_was_published_arrives(void **state)
{
	struct rig *rig = *state;
	struct header header = {SPAN_LIT("traceparent"), SPAN_LIT("00-ab")};
	const struct envelope envelope = {
		.topic = SPAN_LIT("tester.response.one.two"),
		.message_id = SPAN_LIT("m1"),
		.request_id = SPAN_LIT("r1"),
		.reply_to = SPAN_LIT("a.response.b.c"),
		.source_service = SPAN_LIT("tester"),
	};
	const struct publication message = {
		.envelope = &envelope,
		.type = MESSAGE_RESPONSE,
		.body = SPAN_LIT("{\"a\": 1}"),
		.headers = {&header, 1},
	};
	struct lane relay, intake;
	const struct delivery *got = &intake.event.delivery;
	uint64_t tag;

	open_both(rig, &relay, &intake);
	assert_int_equal(relay.broker->driver->publish(relay.broker, &message,
						       &tag, NULL),
			 0);
	lane_settle(&relay, tag);
	lane_expect(&intake, BROKER_DELIVERED);
	assert_topic(got, envelope.topic);
	assert_true(span_equal(got->body, message.body));
	assert_true(span_is(got->message_id, "m1"));
	assert_true(span_is(got->correlation_id, "r1"));
	assert_true(span_is(got->reply_to, "a.response.b.c"));
	assert_true(span_is(got->type, "response"));
	assert_true(span_is(got->app_id, "tester"));
	assert_true(span_is(got->content_type, "application/json"));
	assert_true(
		span_is(headers_find(&got->headers, "traceparent"), "00-ab"));
	assert_false(got->redelivered);
	destroy_both(&relay, &intake);
}

static void what_a_message_lacks_is_absent(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;
	const struct delivery *got = &intake.event.delivery;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 1);
	lane_expect(&intake, BROKER_DELIVERED);
	assert_false(span_present(got->correlation_id));
	assert_false(span_present(got->reply_to));
	assert_int_equal(got->headers.count, 0);
	destroy_both(&relay, &intake);
}

static void strings_of_255_bytes_arrive_whole(void **state)
{
	struct rig *rig = *state;
	char text[ENVELOPE_MAX_STRING];
	struct span longest = {text, sizeof(text)};
	struct header header = {longest, longest};
	struct envelope envelope = {
		.topic = longest,
		.message_id = longest,
		.request_id = longest,
		.reply_to = longest,
		.source_service = longest,
	};
	const struct publication message = {
		.envelope = &envelope,
		.body = SPAN_LIT("{}"),
		.headers = {&header, 1},
	};
	struct lane relay, intake;
	const struct delivery *got = &intake.event.delivery;
	uint64_t tag;

	memset(text, 's', sizeof(text));
	memcpy(text, "event.", 6);
	open_both(rig, &relay, &intake);
	assert_int_equal(relay.broker->driver->publish(relay.broker, &message,
						       &tag, NULL),
			 0);
	lane_settle(&relay, tag);
	lane_expect(&intake, BROKER_DELIVERED);
	assert_topic(got, longest);
	assert_true(span_equal(got->message_id, longest));
	assert_true(span_equal(got->correlation_id, longest));
	assert_true(span_equal(got->reply_to, longest));
	assert_true(span_equal(got->app_id, longest));
	assert_true(span_equal(got->headers.at[0].name, longest));
	assert_true(span_equal(got->headers.at[0].value, longest));
	destroy_both(&relay, &intake);
}

static void bodies_of_every_size_arrive_whole(void **state)
{
	static const size_t sizes[] = {0, 1, 131063, 131064, 131065, 1 << 20};
	struct rig *rig = *state;
	char *body = test_malloc(1 << 20);
	struct lane relay, intake;

	for (size_t i = 0; i < 1 << 20; i++)
		body[i] = (char)(i * 31 >> 3);
	open_both(rig, &relay, &intake);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		lane_publish(&relay, "m", NULL, (struct span){body, sizes[i]});
		lane_settle(&relay, i + 1);
		lane_expect(&intake, BROKER_DELIVERED);
		assert_true(span_present(intake.event.delivery.body));
		assert_int_equal(intake.event.delivery.body.len, sizes[i]);
		assert_memory_equal(intake.event.delivery.body.at, body,
				    sizes[i]);
	}
	destroy_both(&relay, &intake);
	test_free(body);
}

static void messages_arrive_in_the_order_of_their_publishing(void **state)
{
	enum { MANY = 500 };
	struct rig *rig = *state;
	struct lane relay, intake;
	char id[16];

	open_both(rig, &relay, &intake);
	for (int i = 1; i <= MANY; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		lane_publish(&relay, id, NULL, SPAN_LIT("{}"));
	}
	lane_settle(&relay, MANY);
	for (int i = 1; i <= MANY; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		expect_message(&intake, id);
		assert_int_equal(intake.event.delivery.tag, i);
	}
	destroy_both(&relay, &intake);
}

static void an_unacknowledged_message_is_delivered_again(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	expect_message(&intake, "m1");
	acknowledge(&intake);
	expect_message(&intake, "m2");
	lane_expect_nothing(&intake);
	intake.broker->driver->cut(intake.broker);
	lane_reconnect(&intake);
	expect_message(&intake, "m2");
	assert_true(intake.event.delivery.redelivered);
	lane_expect_nothing(&intake);
	destroy_both(&relay, &intake);
}

static void an_acknowledgement_covers_what_came_before(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m3", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 3);
	expect_message(&intake, "m1");
	expect_message(&intake, "m2");
	acknowledge(&intake);
	expect_message(&intake, "m3");
	lane_expect_nothing(&intake);
	intake.broker->driver->cut(intake.broker);
	lane_reconnect(&intake);
	expect_message(&intake, "m3");
	destroy_both(&relay, &intake);
}

static void no_more_than_the_prefetch_is_unacknowledged(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	rig->config.rabbitmq.prefetch_count = 2;
	rig->config.mqtt.receive_maximum = 2;
	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m3", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 3);
	expect_message(&intake, "m1");
	expect_message(&intake, "m2");
	lane_expect_nothing(&intake);
	acknowledge(&intake);
	expect_message(&intake, "m3");
	destroy_both(&relay, &intake);
}

static void who_leaves_messages_lying_is_to_come_again_at_once(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	expect_message(&intake, "m1");
	assert_true(intake.wait.until <= clock_monotonic());
	expect_message(&intake, "m2");
	destroy_both(&relay, &intake);
}

static void consumers_compete_for_the_messages_of_a_queue(void **state)
{
	struct rig *rig = *state;
	struct runtime_config rival;
	struct lane relay, first, second;

	rig->config.rabbitmq.prefetch_count = 1;
	rig->config.mqtt.share_group = "group";
	rival = rig->config;
	rival.mqtt.client_id = rig->rival;
	open_both(rig, &relay, &first);
	lane_open(&second, &rival, BROKER_CONSUMER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	lane_expect(&first, BROKER_DELIVERED);
	lane_expect(&second, BROKER_DELIVERED);
	assert_false(span_equal(first.event.delivery.message_id,
				second.event.delivery.message_id));
	lane_destroy(&second);
	destroy_both(&relay, &first);
}

static void a_message_published_before_any_intake_ran_waits(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 1);
	lane_destroy(&relay);
	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	expect_message(&intake, "m1");
	lane_destroy(&intake);
}

static void a_consumer_that_stops_still_acknowledges(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 1);
	expect_message(&intake, "m1");
	intake.broker->driver->stop_consuming(intake.broker);
	lane_expect_nothing(&intake);
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	lane_expect_nothing(&intake);
	acknowledge(&intake);
	intake.broker->driver->close(intake.broker, clock_monotonic());
	assert_int_equal(lane_expect(&intake, BROKER_DOWN)->error.status,
			 STATUS_OK);
	lane_reconnect(&intake);
	expect_message(&intake, "m2");
	lane_expect_nothing(&intake);
	destroy_both(&relay, &intake);
}

static const struct CMUnitTest tests[] = {
	BROKER_TEST(what_was_published_arrives),
	BROKER_TEST(what_a_message_lacks_is_absent),
	BROKER_TEST(strings_of_255_bytes_arrive_whole),
	BROKER_TEST(bodies_of_every_size_arrive_whole),
	BROKER_TEST(messages_arrive_in_the_order_of_their_publishing),
	BROKER_TEST(an_unacknowledged_message_is_delivered_again),
	BROKER_TEST(an_acknowledgement_covers_what_came_before),
	BROKER_TEST(no_more_than_the_prefetch_is_unacknowledged),
	BROKER_TEST(who_leaves_messages_lying_is_to_come_again_at_once),
	BROKER_TEST(consumers_compete_for_the_messages_of_a_queue),
	BROKER_TEST(a_message_published_before_any_intake_ran_waits),
	BROKER_TEST(a_consumer_that_stops_still_acknowledges),
};

const struct broker_cases consume_cases = {tests,
					   sizeof(tests) / sizeof(*tests)};
