/* SPDX-License-Identifier: MIT */
/* PostgreSQL alone: a claim reads what it brings, whatever else is there and
 * whatever the planner believes. */
#include <stdio.h>

#include "kit_postgres.h"

/* The kit's session would hand in its figures when it sees fit. */
static void hand_in(struct kit *kit)
{
	sql_run(kit, "SELECT pg_stat_force_next_flush()");
}

/* Index entries and rows that the server has read for the outbox. */
static int64_t reads(struct kit *kit)
{
	hand_in(kit);
	return sql_integer(kit,
			   "SELECT sum(idx_tup_read) + (SELECT seq_tup_read "
			   "FROM pg_stat_all_tables t WHERE t.relid = i.relid) "
			   "FROM pg_stat_all_indexes i "
			   "WHERE relid = 'event_bus_outbound_event'::regclass "
			   "GROUP BY relid");
}

/* A session hands in its figures when it ends. */
static int64_t reads_of_claims(struct kit *kit, struct outbox_claim claim,
			       int times)
{
	int64_t before = reads(kit);
	char sessions[256];
	struct store *store = NULL;
	char url[512];

	snprintf(url, sizeof(url), "%s&application_name=%s", kit->url,
		 kit->place);
	must(kit, store_open(&store, url, false, &kit->err));
	must(kit, store->driver->lock(store, "default", "relay", &kit->err));
	for (int i = 0; i < times; i++)
		must(kit, store->driver->claim(store, &claim, &kit->batch,
					       &kit->err));
	store->driver->close(store);
	snprintf(sessions, sizeof(sessions),
		 "SELECT count(*) FROM pg_stat_activity "
		 "WHERE application_name = '%s'",
		 kit->place);
	while (sql_integer(kit, sessions) > 0)
		;
	return reads(kit) - before;
}

static void write_rows(struct kit *kit, int count, const char *columns,
		       const char *values)
{
	sql_run(kit,
		"INSERT INTO event_bus_outbound_event (topic, event_type%s) "
		"SELECT 'event.test.thing.done', 'thing.done'%s "
		"FROM generate_series(1, %d) AS g",
		columns, values, count);
}

/* Few rows and all of them pending is what the planner believes. */
static void fill_outbox(struct kit *kit)
{
	sql_run(kit, "ALTER TABLE event_bus_outbound_event "
		     "SET (autovacuum_enabled = off)");
	write_rows(kit, 10, "", "");
	write_rows(kit, 10, ", ordering_key", ", 'key'");
	sql_run(kit, "ANALYZE event_bus_outbound_event");
	write_rows(kit, 20000, ", status", ", 'published'");
	write_rows(kit, 20000, ", next_retry_at, ordering_key",
		   ", now() + interval '1 day', 'later' || g % 7");
	write_rows(kit, 40, "", "");
	write_rows(kit, 40, ", ordering_key", ", 'key' || g % 5");
}

enum { PENDING = 100, CLAIMS = 5, FEW = 10 * PENDING * CLAIMS };

static void a_claim_reads_little_more_than_it_brings(void **state)
{
	struct kit *kit = *state;
	const struct outbox_claim claim = {
		.config_key = "default", .limit = 1000, .max_bytes = 1 << 20};

	fill_outbox(kit);
	assert_in_range(reads_of_claims(kit, claim, CLAIMS), 1, FEW);
	assert_int_equal(kit->batch.count, PENDING);
}

/* Whatever looks at the database just now, an analysis perhaps, keeps a vacuum
 * from removing what it may still see. */
static void vacuum_whole(struct kit *kit)
{
	hand_in(kit);
	do
		sql_run(kit, "VACUUM ANALYZE event_bus_outbound_event");
	while (sql_integer(kit,
			   "SELECT n_dead_tup FROM pg_stat_user_tables WHERE "
			   "relid = 'event_bus_outbound_event'::regclass") > 0);
}

/* The planner has seen the table while it was empty. */
static void keys_that_wait_are_looked_up_and_not_searched(void **state)
{
	struct kit *kit = *state;
	const struct outbox_claim claim = {.config_key = "default",
					   .limit = PENDING,
					   .max_bytes = 1 << 20};

	sql_run(kit, "ALTER TABLE event_bus_outbound_event "
		     "SET (autovacuum_enabled = off)");
	write_rows(kit, 20000, "", "");
	sql_run(kit, "DELETE FROM event_bus_outbound_event");
	vacuum_whole(kit);
	write_rows(kit, 10000, ", ordering_key", ", 'key' || g % 50");
	write_rows(kit, 10000, ", ordering_key, next_retry_at",
		   ", 'key' || g % 50, now()");
	assert_in_range(reads_of_claims(kit, claim, CLAIMS), 1, 2 * FEW);
	assert_int_equal(kit->batch.count, PENDING);
}

static void a_claim_of_due_rows_reads_no_others(void **state)
{
	struct kit *kit = *state;
	const struct outbox_claim claim = {
		.config_key = "default", .limit = 1000, .max_bytes = 1 << 20};

	fill_outbox(kit);
	sql_run(kit, "UPDATE event_bus_outbound_event SET next_retry_at = "
		     "'2020-01-01' WHERE status = 'pending' "
		     "AND next_retry_at IS NULL");
	assert_in_range(reads_of_claims(kit, claim, CLAIMS), 1, 2 * FEW);
	assert_int_equal(kit->batch.count, PENDING);
}

static void rows_in_flight_are_not_read_again(void **state)
{
	struct kit *kit = *state;
	struct outbox_claim claim = {
		.config_key = "default", .limit = 1000, .max_bytes = 1 << 20};
	int64_t busy[PENDING];

	fill_outbox(kit);
	assert_int_equal(claim_all(kit)->count, PENDING);
	for (int i = 0; i < PENDING; i++)
		busy[i] = kit->batch.rows[i].seq;
	kit->store->driver->unlock(kit->store);
	claim.busy = busy;
	claim.busy_count = PENDING - 1;
	assert_in_range(reads_of_claims(kit, claim, CLAIMS), 1, FEW);
	assert_rows(&kit->batch, busy[PENDING - 1]);
}

static void a_claim_after_a_seq_starts_there(void **state)
{
	struct kit *kit = *state;
	struct outbox_claim claim = {
		.config_key = "default", .limit = 1000, .max_bytes = 1 << 20};

	fill_outbox(kit);
	claim.after_seq = sql_integer(kit, "SELECT max(seq) - 1 FROM "
					   "event_bus_outbound_event");
	assert_in_range(reads_of_claims(kit, claim, CLAIMS), 1, 10 * CLAIMS);
	assert_rows(&kit->batch, claim.after_seq + 1);
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(a_claim_reads_little_more_than_it_brings),
	STORE_TEST(keys_that_wait_are_looked_up_and_not_searched),
	STORE_TEST(a_claim_of_due_rows_reads_no_others),
	STORE_TEST(rows_in_flight_are_not_read_again),
	STORE_TEST(a_claim_after_a_seq_starts_there),
};

int main(void)
{
	return kit_postgres_run("postgresql plan", tests,
				sizeof(tests) / sizeof(*tests));
}
