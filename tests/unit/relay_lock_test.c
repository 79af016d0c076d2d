/* SPDX-License-Identifier: MIT */
/* The relay's lock: who holds it, who has lost it, who has stood still. */
#include "bus_rig.h"

#define SECONDS(n) ((n)*USEC_PER_SEC)

static const char *const topic = "event.test.thing.done";

static void run_up(struct rig *rig)
{
	rig_open_relay(rig, &rig->relay);
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_RUNNING);
}

static struct memory_knobs *knobs(struct rig *rig)
{
	return memory_broker_knobs(rig->server);
}

static void a_second_relay_stands_by_and_takes_over(void **state)
{
	struct rig *rig = *state;
	struct rig_row row;

	run_up(rig);
	rig_open_relay(rig, &rig->rival);
	rig_run(rig, SECONDS(5));
	assert_int_equal(rig_relay_state(&rig->rival), LANE_STANDBY);
	rig_close_lane(&rig->relay);
	row = rig_event(rig, topic, NULL);
	rig_run(rig, SECONDS(5));
	assert_int_equal(rig_relay_state(&rig->rival), LANE_RUNNING);
	rig_expect(rig, row, "published", "0", NULL);
	assert_int_equal(rig_depth(rig), 1);
}

static void a_relay_that_lost_its_lock_publishes_nothing_more(void **state)
{
	struct rig *rig = *state;
	int both = 0;

	run_up(rig);
	rig_open_relay(rig, &rig->rival);
	rig_run(rig, SECONDS(2));
	rig_event(rig, topic, NULL);
	memory_fail("rig", MEMORY_SESSION_DIES, 1);
	rig_run(rig, 1);
	for (int i = 0; i < 300; i++) {
		rig_event(rig, topic, NULL);
		rig_run(rig, SECONDS(1) / 10);
		both += rig_relay_state(&rig->relay) == LANE_RUNNING &&
			rig_relay_state(&rig->rival) == LANE_RUNNING;
	}
	assert_int_equal(both, 0);
	rig_run(rig, SECONDS(10));
	assert_int_equal(rig_counts(rig).outbox_published, 301);
}

/* It has nothing to ask the store for while the broker takes nothing. */
static void a_blocked_relay_hears_that_its_lock_is_gone(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	knobs(rig)->blocked = true;
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_BLOCKED);
	memory_fail("rig", MEMORY_SESSION_DIES, 1);
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_STALLED);
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_BLOCKED);
}

/* They may have been sent, parked or changed by others. */
static void rows_in_hand_are_claimed_again_with_the_lock(void **state)
{
	struct rig *rig = *state;
	struct rig_row second;

	knobs(rig)->confirm_delay = SECONDS(1);
	run_up(rig);
	rig_event(rig, topic, "key");
	second = rig_event(rig, topic, "key");
	while (rig_depth(rig) == 0)
		rig_run(rig, 1);
	memory_fail("rig", MEMORY_SESSION_DIES, 1);
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_STALLED);
	rig_sql("UPDATE event_bus_outbound_event SET status = 'error' "
		"WHERE seq = 2");
	rig_run(rig, SECONDS(10));
	assert_int_equal(rig_depth(rig), 1);
	rig_expect(rig, second, "error", "0", NULL);
}

/* Rows of one key: the first is sent, the others are in hand. */
static void stop_with_rows_in_hand(struct rig *rig, usec_t duration)
{
	knobs(rig)->confirm_delay = SECONDS(1) / 10;
	run_up(rig);
	for (int i = 0; i < 5; i++)
		rig_event(rig, topic, "key");
	while (rig_depth(rig) == 0)
		rig_run(rig, 1);
	rig->now += duration;
}

static void a_stop_in_which_the_lock_was_lost_is_noticed_first(void **state)
{
	struct rig *rig = *state;

	rig->config.heartbeat_interval_seconds = 1;
	stop_with_rows_in_hand(rig, SECONDS(2));
	memory_fail("rig", MEMORY_SESSION_DIES, 1);
	rig_run(rig, 1);
	assert_int_not_equal(rig_relay_state(&rig->relay), LANE_RUNNING);
	assert_int_equal(rig_depth(rig), 1);
	rig_run(rig, SECONDS(10));
	assert_int_equal(rig_counts(rig).outbox_published, 5);
}

static void a_stop_that_cost_no_lock_repeats_nothing(void **state)
{
	struct rig *rig = *state;

	rig->config.heartbeat_interval_seconds = 1;
	stop_with_rows_in_hand(rig, SECONDS(30));
	rig_run(rig, SECONDS(10));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_RUNNING);
	assert_int_equal(rig_counts(rig).outbox_published, 5);
	assert_int_equal(rig_depth(rig), 5);
}

#define rig_test(name) \
	cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_second_relay_stands_by_and_takes_over),
		rig_test(a_relay_that_lost_its_lock_publishes_nothing_more),
		rig_test(a_blocked_relay_hears_that_its_lock_is_gone),
		rig_test(rows_in_hand_are_claimed_again_with_the_lock),
		rig_test(a_stop_in_which_the_lock_was_lost_is_noticed_first),
		rig_test(a_stop_that_cost_no_lock_repeats_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
