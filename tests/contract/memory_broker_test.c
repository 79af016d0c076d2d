/* SPDX-License-Identifier: MIT */
/* The in-memory broker breaks as it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/memory.h"
#include "lane.h"

#define QUEUE "tester"

struct rig {
	struct runtime_config config;
	struct memory_broker *broker;
	struct memory_knobs *knobs;
};

static int set_up(void **state)
{
	struct rig *rig = test_calloc(1, sizeof(*rig));
	struct error err;

	assert_int_equal(config_init(&rig->config, "default", &err), 0);
	rig->config.broker_type = "memory";
	rig->config.host = "knobs";
	rig->config.rabbitmq.queue = QUEUE;
	rig->config.rabbitmq.binding_keys = "[\"event.#\"]";
	rig->broker = memory_broker("knobs");
	rig->knobs = memory_broker_knobs(rig->broker);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	config_destroy(&rig->config);
	memory_brokers_forget();
	test_free(rig);
	return 0;
}

static struct lane open_relay(struct rig *rig)
{
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	return relay;
}

static void refused_lanes_go_down(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	rig->knobs->refuse = true;
	lane_begin(&relay, &rig->config, BROKER_PUBLISHER);
	assert_int_equal(lane_expect(&relay, BROKER_DOWN)->error.status,
			 STATUS_AWAY);
	rig->knobs->refuse = false;
	lane_reconnect(&relay);
	lane_destroy(&relay);
}

static void a_blocked_broker_takes_nothing_until_it_is_free(void **state)
{
	struct rig *rig = *state;
	struct lane relay = open_relay(rig);

	rig->knobs->blocked = true;
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_expect(&relay, BROKER_BLOCKED);
	lane_expect_nothing(&relay);
	assert_int_equal(memory_broker_depth(rig->broker, QUEUE), 0);
	rig->knobs->blocked = false;
	lane_expect(&relay, BROKER_UNBLOCKED);
	lane_settle(&relay, 1);
	assert_int_equal(memory_broker_depth(rig->broker, QUEUE), 1);
	lane_destroy(&relay);
}

static void a_nack_is_for_a_message_that_was_not_taken(void **state)
{
	struct rig *rig = *state;
	struct lane relay = open_relay(rig);

	rig->knobs->nack = 1;
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	assert_int_equal(lane_expect(&relay, BROKER_REFUSED)->tag, 1);
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 2);
	assert_int_equal(memory_broker_depth(rig->broker, QUEUE), 1);
	lane_destroy(&relay);
}

static void a_mute_broker_has_taken_the_message(void **state)
{
	struct rig *rig = *state;
	struct lane relay = open_relay(rig);

	rig->knobs->mute = 1;
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m3", NULL, SPAN_LIT("{}"));
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 2);
	assert_false(relay.event.multiple);
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 3);
	assert_false(relay.event.multiple);
	lane_expect_nothing(&relay);
	assert_int_equal(memory_broker_depth(rig->broker, QUEUE), 3);
	lane_destroy(&relay);
}

static void confirms_wait_for_their_time(void **state)
{
	struct rig *rig = *state;
	const struct broker_driver *driver = &broker_memory;
	struct lane relay = open_relay(rig);
	struct broker_event event;
	struct wait wait;

	rig->knobs->confirm_delay = 10;
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	wait_init(&wait);
	driver->flush(relay.broker, 1000, &wait);
	assert_int_equal(wait.until, 1010);
	driver->step(relay.broker, 1009);
	assert_false(driver->next(relay.broker, &relay.arena, &event));
	driver->step(relay.broker, 1010);
	assert_true(driver->next(relay.broker, &relay.arena, &event));
	assert_int_equal(event.kind, BROKER_CONFIRMED);
	lane_destroy(&relay);
}

static void neighbouring_confirms_are_told_as_one(void **state)
{
	struct rig *rig = *state;
	struct lane relay = open_relay(rig);

	for (int i = 0; i < 5; i++)
		lane_publish(&relay, "m", NULL, SPAN_LIT("{}"));
	lane_expect(&relay, BROKER_CONFIRMED);
	assert_int_equal(relay.event.tag, 5);
	assert_true(relay.event.multiple);
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
}

static void poison_closes_the_connection_and_is_to_blame(void **state)
{
	struct rig *rig = *state;
	struct lane relay = open_relay(rig);

	rig->knobs->poison = "event.bad.thing.done";
	lane_publish(&relay, "m1", "event.bad.thing.done", SPAN_LIT("{}"));
	assert_true(lane_expect(&relay, BROKER_DOWN)->by_publish);
	lane_reconnect(&relay);
	memory_broker_cut(rig->broker);
	assert_false(lane_expect(&relay, BROKER_DOWN)->by_publish);
	lane_destroy(&relay);
}

static void
what_a_cut_lane_had_not_acknowledged_comes_again_in_order(void **state)
{
	struct rig *rig = *state;
	struct lane relay = open_relay(rig);
	struct lane intake;

	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m3", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 3);
	lane_expect(&intake, BROKER_DELIVERED);
	lane_expect(&intake, BROKER_DELIVERED);
	memory_broker_cut(rig->broker);
	lane_expect(&intake, BROKER_DOWN);
	lane_reconnect(&intake);
	for (int i = 1; i <= 3; i++) {
		const struct delivery *got =
			&lane_expect(&intake, BROKER_DELIVERED)->delivery;

		assert_int_equal(got->message_id.at[1], '0' + i);
		assert_int_equal(got->redelivered, i < 3);
	}
	lane_destroy(&intake);
	lane_destroy(&relay);
}

static void a_lane_that_does_not_ask_is_not_woken(void **state)
{
	struct rig *rig = *state;
	const struct broker_driver *driver = &broker_memory;
	struct lane relay = open_relay(rig);
	struct broker_event event;
	struct lane intake;
	struct wait wait;

	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 1);
	wait_init(&wait);
	driver->step(intake.broker, 1000);
	driver->flush(intake.broker, 1000, &wait);
	assert_true(wait.until == USEC_NEVER);
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	assert_true(driver->next(intake.broker, &intake.arena, &event));
	driver->flush(intake.broker, 1000, &wait);
	assert_int_equal(wait.until, 1000);
	lane_destroy(&intake);
	lane_destroy(&relay);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(refused_lanes_go_down),
		CASE(a_blocked_broker_takes_nothing_until_it_is_free),
		CASE(a_nack_is_for_a_message_that_was_not_taken),
		CASE(a_mute_broker_has_taken_the_message),
		CASE(confirms_wait_for_their_time),
		CASE(neighbouring_confirms_are_told_as_one),
		CASE(poison_closes_the_connection_and_is_to_blame),
		CASE(what_a_cut_lane_had_not_acknowledged_comes_again_in_order),
		CASE(a_lane_that_does_not_ask_is_not_woken),
	};

	return cmocka_run_group_tests_name("memory broker", tests, NULL, NULL);
}
