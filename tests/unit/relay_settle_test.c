/* SPDX-License-Identifier: MIT */
/* A relay whose store takes its time to settle, in two parts. */
#include "bus_rig.h"

#define SECONDS(n) ((n)*USEC_PER_SEC)

enum { ROWS = 12 }; /* fewer than a window */

static const char *const topic = "event.test.thing.done";

/* The memory store, but for the calls below. */
static struct store_driver slow;

static struct {
	struct rig *rig;
	usec_t takes;	   /* from begin until there is an answer */
	enum status fails; /* what the next answers are; STATUS_OK: none */
	usec_t answer_at;
	bool settling;
} server;

static int lock(struct store *store, const char *config_key, const char *lane,
		struct error *err)
{
	assert_false(server.settling);
	return store_memory.lock(store, config_key, lane, err);
}

static int claim(struct store *store, const struct outbox_claim *wanted,
		 struct outbox_batch *batch, struct error *err)
{
	assert_false(server.settling);
	return store_memory.claim(store, wanted, batch, err);
}

static int begin(struct store *store, const struct outcome *outcomes,
		 size_t count, struct error *err)
{
	(void)store;
	(void)outcomes;
	(void)err;
	assert_false(server.settling);
	assert_true(count > 0);
	server.settling = true;
	server.answer_at = server.rig->now + server.takes;
	return 0;
}

static bool ready(struct store *store, struct wait *wait)
{
	(void)store;
	assert_true(server.settling);
	wait_until(wait, server.answer_at);
	return server.rig->now >= server.answer_at;
}

static int end(struct store *store, const struct outcome *outcomes,
	       size_t count, struct error *err)
{
	assert_true(server.settling);
	server.settling = false;
	if (server.fails != STATUS_OK)
		return error_set(err, server.fails, "as planned");
	return store_memory.settle(store, outcomes, count, err);
}

static void run_up(struct rig *rig, usec_t takes)
{
	slow = store_memory;
	slow.lock = lock;
	slow.claim = claim;
	slow.settle_begin = begin;
	slow.settle_end = end;
	slow.ready = ready;
	memset(&server, 0, sizeof(server));
	server.rig = rig;
	server.takes = takes;
	rig_open_relay(rig, &rig->relay);
	rig->relay.store->driver = &slow;
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_RUNNING);
}

/* Rows of one key, of which one a confirm goes out, until the store is at work
 * on the first outcome. */
static void begin_to_settle(struct rig *rig, usec_t takes, usec_t confirm_delay)
{
	memory_broker_knobs(rig->server)->confirm_delay = confirm_delay;
	run_up(rig, takes);
	for (int i = 0; i < ROWS; i++)
		rig_event(rig, topic, "key");
	for (usec_t late = rig->now + SECONDS(5); !server.settling;) {
		assert_true(rig->now < late);
		rig_run(rig, 1);
	}
}

static void more_goes_out_while_the_store_is_at_work(void **state)
{
	struct rig *rig = *state;

	begin_to_settle(rig, SECONDS(1), SECONDS(1) / 20);
	rig_run(rig, SECONDS(1) / 2);
	assert_true(server.settling);
	assert_in_range(rig_depth(rig), 8, ROWS);
	assert_int_equal(rig_counts(rig).outbox_published, 0);
	rig_run(rig, SECONDS(10));
	assert_int_equal(rig_counts(rig).outbox_published, ROWS);
	assert_int_equal(rig_depth(rig), ROWS);
}

/* After three seconds somebody else may have the lock. */
static void nothing_goes_out_while_the_store_is_silent(void **state)
{
	struct rig *rig = *state;
	size_t depth;

	rig->config.heartbeat_interval_seconds = 1;
	begin_to_settle(rig, SECONDS(10), SECONDS(1) / 5);
	rig_run(rig, 3 * SECONDS(1) / 2);
	depth = rig_depth(rig);
	rig_run(rig, SECONDS(5));
	assert_int_equal(rig_depth(rig), depth);
	rig_run(rig, SECONDS(60));
	assert_int_equal(rig_counts(rig).outbox_published, ROWS);
	assert_int_equal(rig_depth(rig), ROWS);
}

static void what_could_not_be_settled_is_later_and_goes_once(void **state)
{
	struct rig *rig = *state;

	memory_broker_knobs(rig->server)->nack = 1;
	begin_to_settle(rig, SECONDS(1), 0);
	server.fails = STATUS_AWAY;
	rig_run(rig, SECONDS(20));
	assert_int_equal(rig_counts(rig).outbox_published, 0);
	server.fails = STATUS_OK;
	rig_run(rig, SECONDS(60));
	assert_int_equal(rig_counts(rig).outbox_published, ROWS);
	assert_int_equal(rig_depth(rig), ROWS);
}

static void a_drain_waits_for_the_settle_but_not_for_ever(void **state)
{
	struct rig *rig = *state;

	begin_to_settle(rig, SECONDS(1), SECONDS(1) / 20);
	relay_drain(rig->relay.relay, rig->now + SECONDS(5));
	rig_run(rig, SECONDS(1) / 2);
	assert_int_equal(rig_relay_state(&rig->relay), LANE_DRAINING);
	rig_run(rig, SECONDS(2));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_STOPPED);
	assert_int_equal(rig_counts(rig).outbox_published, rig_depth(rig));
	rig_close_lane(&rig->relay);

	begin_to_settle(rig, SECONDS(60), SECONDS(1) / 20);
	relay_drain(rig->relay.relay, rig->now + SECONDS(5));
	rig_run(rig, SECONDS(6));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_STOPPED);
	assert_true(server.settling);
}

#define rig_test(name) \
	cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(more_goes_out_while_the_store_is_at_work),
		rig_test(nothing_goes_out_while_the_store_is_silent),
		rig_test(what_could_not_be_settled_is_later_and_goes_once),
		rig_test(a_drain_waits_for_the_settle_but_not_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
