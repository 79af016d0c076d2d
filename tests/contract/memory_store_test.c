/* SPDX-License-Identifier: MIT */
/* What simulations order of the store in memory: its time, its faults. */
#include "store/memory.h"

#include <stdio.h>

#include "store_kit.h"

/* 2033-05-18 03:33:20 UTC */
static const usec_t that_day = 2000000000 * USEC_PER_SEC;

static int set_up(void **state)
{
	memory_set_clock(that_day);
	return kit_setup(state);
}

static int tear_down(void **state)
{
	memory_set_clock(0);
	return kit_teardown(state);
}

static void rows_are_of_the_time_that_was_set(void **state)
{
	struct kit *kit = *state;

	WRITE(kit, .topic = NULL);
	assert_int_equal(claim_all(kit)->count, 1);
	assert_int_equal(kit->batch.rows[0].created_at, 2000000000);
	assert_sql(kit, "SELECT created_at FROM event_bus_outbound_event",
		   "2033-05-18 03:33:20.000000");
}

static void a_delay_passes_when_the_clock_is_moved(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .delay = 10 * USEC_PER_SEC);
	usec_t due;

	assert_int_equal(claim_all(kit)->count, 0);
	due = that_day + kit->batch.next_due_in;
	memory_set_clock(due - USEC_PER_SEC);
	assert_int_equal(claim_all(kit)->count, 0);
	memory_set_clock(due);
	assert_rows(claim_all(kit), seq);
}

static int64_t seconds_until(struct kit *kit, const char *expires_at)
{
	sql_run(kit, "UPDATE event_bus_outbound_event SET expires_at = '%s'",
		expires_at);
	assert_int_equal(claim_all(kit)->count, 1);
	assert_false(kit->batch.rows[0].expired);
	return kit->batch.rows[0].expires_in;
}

/* Not one second more, and never 0, as that is for ever. */
static void the_seconds_until_the_expiry_are_rounded_up(void **state)
{
	struct kit *kit = *state;

	WRITE(kit, .topic = NULL);
	assert_int_equal(seconds_until(kit, "2033-05-19 03:33:20.000000"),
			 86400);
	assert_int_equal(seconds_until(kit, "2033-05-18 03:33:25.000000"), 5);
	assert_int_equal(seconds_until(kit, "2033-05-18 03:33:25.001000"), 6);
	assert_int_equal(seconds_until(kit, "2033-05-18 03:33:20.001000"), 1);
	assert_int_equal(seconds_until(kit, "2033-05-18 03:33:20.000001"), 1);
}

static void the_system_clock_comes_back(void **state)
{
	struct kit *kit = *state;

	memory_set_clock(0);
	WRITE(kit, .topic = NULL);
	assert_int_equal(claim_all(kit)->count, 1);
	assert_in_range(kit->batch.rows[0].created_at,
			clock_wall() / USEC_PER_SEC - 600,
			clock_wall() / USEC_PER_SEC);
}

static void a_database_outlives_its_stores_until_it_is_dropped(void **state)
{
	struct kit *kit = *state;
	struct store *store = NULL;

	WRITE(kit, .topic = NULL);
	kit->store->driver->close(kit->store);
	kit->store = kit_open(kit);
	assert_int_equal(claim_all(kit)->count, 1);
	kit->store->driver->close(kit->store);
	kit->store = NULL;
	memory_drop(kit->place);
	assert_int_equal(store_open(&store, kit->url, false, &kit->err),
			 STATUS_NOT_FOUND);
}

/* ---- faults ---- */

static int settle(struct kit *kit, int64_t seq)
{
	struct outcome outcome = {.seq = seq, .kind = OUTCOME_PUBLISHED};

	return kit->store->driver->settle(kit->store, &outcome, 1, &kit->err);
}

static const char *status_of_the_row(struct kit *kit)
{
	return kit->driver->sql(kit,
				"SELECT status FROM event_bus_outbound_event");
}

static void a_call_fails_as_often_as_ordered(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	claim_all(kit);
	memory_fail(kit->place, MEMORY_CALL_FAILS, 2);
	assert_int_equal(settle(kit, seq), STATUS_AWAY);
	assert_int_equal(settle(kit, seq), STATUS_AWAY);
	assert_string_equal(status_of_the_row(kit), "pending");
	must(kit, settle(kit, seq));
}

static void a_session_that_dies_takes_the_lock_along(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);
	struct store *other = kit_other(kit);

	claim_all(kit);
	memory_fail(kit->place, MEMORY_SESSION_DIES, 1);
	assert_int_equal(settle(kit, seq), STATUS_AWAY);
	assert_int_equal(settle(kit, seq), STATUS_BUSY);
	must(kit, other->driver->lock(other, "default", "relay", &kit->err));
}

static void a_lost_reply_leaves_what_was_written(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	claim_all(kit);
	memory_fail(kit->place, MEMORY_REPLY_LOST, 1);
	assert_int_equal(settle(kit, seq), STATUS_UNKNOWN);
	assert_string_equal(status_of_the_row(kit), "published");
	assert_int_equal(settle(kit, seq), STATUS_BUSY);
}

#define MEMORY_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	MEMORY_TEST(rows_are_of_the_time_that_was_set),
	MEMORY_TEST(a_delay_passes_when_the_clock_is_moved),
	MEMORY_TEST(the_seconds_until_the_expiry_are_rounded_up),
	MEMORY_TEST(the_system_clock_comes_back),
	MEMORY_TEST(a_database_outlives_its_stores_until_it_is_dropped),
	MEMORY_TEST(a_call_fails_as_often_as_ordered),
	MEMORY_TEST(a_session_that_dies_takes_the_lock_along),
	MEMORY_TEST(a_lost_reply_leaves_what_was_written),
};

int main(void)
{
	kit_driver = &kit_memory;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
