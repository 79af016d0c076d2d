/* SPDX-License-Identifier: MIT */
/* What holds for SQLite alone: its files, its locks, its query plans. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit_sqlite.h"
#include "store/sqlite.h"

/* ---- plans ---- */

static void run_every_call_of_a_lane(struct kit *kit)
{
	const struct store_driver *driver = kit->store->driver;
	struct inbox_row rows[2] = {0};
	struct inbox_batch batch = {
		.config_key = "default",
		.broker_type = "rabbitmq",
		.rows = rows,
		.count = 2,
	};
	int64_t seq = WRITE(kit, .key = "a");

	for (size_t i = 0; i < 2; i++) {
		envelope_init(&rows[i].envelope);
		rows[i].envelope.message_id = SPAN_LIT("m-1");
		rows[i].envelope.payload =
			i == 0 ? SPAN_LIT("1") : SPAN_LIT("2");
		rows[i].envelope.topic = SPAN_LIT("event.test.thing.done");
		rows[i].envelope.message_type = SPAN_LIT("event");
		rows[i].envelope.chain_depth = 0;
	}
	claim_all(kit);
	SETTLE(kit, .seq = seq, .kind = OUTCOME_RETRY);
	must(kit, driver->accept(kit->store, &batch, &kit->err));
	driver->woken(kit->store);
}

/* Fails if the plan of `sql` walks through a table. */
static void assert_no_scan(sqlite3 *db, const char *sql)
{
	char *explain = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql);
	sqlite3_stmt *plan;

	assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &plan, NULL),
			 SQLITE_OK);
	while (sqlite3_step(plan) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(plan, 3);

		if (strncmp(detail, "SCAN event", 10) == 0 ||
		    strncmp(detail, "SCAN o", 6) == 0 ||
		    strncmp(detail, "SCAN w", 6) == 0 ||
		    strncmp(detail, "SCAN h", 6) == 0 ||
		    strstr(detail, "TEMP B-TREE") != NULL)
			fail_msg("%s: %s", detail, sql);
	}
	sqlite3_finalize(plan);
	sqlite3_free(explain);
}

static void no_statement_of_a_lane_walks_through_a_table(void **state)
{
	struct kit *kit = *state;
	struct sqlite_store *store = sqlite_of(kit->store);

	run_every_call_of_a_lane(kit);
	assert_true(store->cached_count > 8);
	for (size_t i = 0; i < store->cached_count; i++)
		assert_no_scan(store->db, store->cached[i].sql);
}

/* What SQLite's machine did for one claim; unlike time, always the same. */
static int steps_of_a_claim(struct kit *kit)
{
	struct sqlite_store *store = sqlite_of(kit->store);
	int steps = 0;

	claim_all(kit);
	for (size_t i = 0; i < store->cached_count; i++)
		sqlite3_stmt_status(store->cached[i].statement,
				    SQLITE_STMTSTATUS_VM_STEP, 1);
	assert_int_equal(claim_all(kit)->count, 10);
	for (size_t i = 0; i < store->cached_count; i++)
		steps += sqlite3_stmt_status(store->cached[i].statement,
					     SQLITE_STMTSTATUS_VM_STEP, 0);
	return steps;
}

static void a_claim_costs_the_same_among_many_others(void **state)
{
	static const char many[] =
		"INSERT INTO event_bus_outbound_event (config_key, status, "
		"ordering_key, next_retry_at) WITH RECURSIVE n(i) AS (SELECT 1 "
		"UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
		"SELECT %s FROM n";
	struct kit *kit = *state;
	int alone;

	for (int i = 0; i < 10; i++)
		WRITE(kit, .key = "a");
	alone = steps_of_a_claim(kit);
	sql_run(kit, many, "'default', 'published', 'a', NULL");
	sql_run(kit, many, "'default', 'pending', i, '9999-01-01'");
	sql_run(kit, many, "'another', 'pending', 'a', NULL");
	assert_in_range(steps_of_a_claim(kit), alone, alone + 50);
}

/* ---- what applications write ---- */

static void a_value_of_the_wrong_kind_spoils_its_row_alone(void **state)
{
	struct kit *kit = *state;
	struct outbox_row *rows;

	sql_run(kit, "INSERT INTO event_bus_outbound_event (topic, payload) "
		     "VALUES ('event.a.b.c', x'7b7d')");
	sql_run(kit, "INSERT INTO event_bus_outbound_event (topic, "
		     "chain_depth) VALUES ('event.a.b.c', 'deep')");
	sql_run(kit, "INSERT INTO event_bus_outbound_event (topic, "
		     "message_id) VALUES ('event.a.b.c', 7)");
	assert_int_equal(claim_all(kit)->count, 3);
	rows = kit->batch.rows;
	assert_true(
		span_is(rows[0].broken, "payload is a BLOB; write it as text"));
	assert_true(span_is(rows[1].broken,
			    "chain_depth is not an integer of 0 or more"));
	assert_false(span_present(rows[2].broken));
	assert_true(span_is(rows[2].envelope.message_id, "7"));
}

static void a_row_too_large_to_read_spoils_no_other(void **state)
{
	struct kit *kit = *state;

	WRITE(kit, .topic = NULL);
	sql_run(kit, "INSERT INTO event_bus_outbound_event (topic, payload) "
		     "VALUES ('event.a.b.c', zeroblob(130 * 1024 * 1024))");
	WRITE(kit, .topic = NULL);
	assert_int_equal(claim_all(kit)->count, 3);
	assert_false(span_present(kit->batch.rows[0].broken));
	assert_true(
		span_is(kit->batch.rows[1].broken, "the row is over 128 MiB"));
	assert_false(span_present(kit->batch.rows[2].broken));
}

static int payload_type(void *context, const struct column *columns,
			size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(columns[i].name, "payload") == 0)
			*(enum column_type *)context = columns[i].type;
	return 0;
}

static void a_payload_that_is_no_json_is_listed_as_text(void **state)
{
	struct kit *kit = *state;
	enum column_type type = COLUMN_NULL;

	sql_run(kit, "INSERT INTO event_bus_outbound_event (payload) "
		     "VALUES ('{nonsense')");
	must(kit, kit->store->driver->browse(kit->store, TABLE_OUTBOX,
					     &(struct store_filter){.limit = 1},
					     payload_type, &type, &kit->err));
	assert_int_equal(type, COLUMN_TEXT);
}

static void what_applications_lock_for_long_is_away(void **state)
{
	struct kit *kit = *state;
	sqlite3 *application = kit_sqlite_open(kit);
	struct outcome outcome = {.seq = WRITE(kit, .topic = NULL),
				  .kind = OUTCOME_PUBLISHED};

	assert_int_equal(claim_all(kit)->count, 1);
	sqlite3_exec(application, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	assert_int_equal(
		kit->store->driver->settle(kit->store, &outcome, 1, &kit->err),
		STATUS_AWAY);
	assert_non_null(strstr(kit->err.text, "locked for two seconds"));
	assert_int_equal(claim_all(kit)->count, 1);
	sqlite3_exec(application, "ROLLBACK", NULL, NULL, NULL);
	must(kit,
	     kit->store->driver->settle(kit->store, &outcome, 1, &kit->err));
	sqlite3_close(application);
}

static void a_reading_application_hinders_nobody(void **state)
{
	struct kit *kit = *state;
	sqlite3 *application = kit_sqlite_open(kit);

	sqlite3_exec(application,
		     "BEGIN; SELECT count(*) FROM event_bus_outbound_event",
		     NULL, NULL, NULL);
	WRITE(kit, .topic = NULL);
	assert_int_equal(claim_all(kit)->count, 1);
	sqlite3_close(application);
}

/* ---- waking ---- */

static void nothing_written_wakes_nobody(void **state)
{
	struct kit *kit = *state;
	struct store *other = kit_other(kit);

	other->driver->wake_fd(other);
	other->driver->woken(other);
	assert_false(other->driver->woken(other));
	WRITE(kit, .topic = NULL);
	assert_true(other->driver->woken(other));
	assert_false(other->driver->woken(other));
}

static void what_one_wrote_oneself_wakes_too(void **state)
{
	struct kit *kit = *state;

	kit->store->driver->woken(kit->store);
	WRITE(kit, .topic = NULL);
	assert_true(kit->store->driver->woken(kit->store));
	assert_false(kit->store->driver->woken(kit->store));
}

/* ---- other processes ---- */

/* Runs `act` in a child and leaves it there, once it has said its word. */
static pid_t child(int (*act)(const char *url), const char *url)
{
	int ready[2];
	char said = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		said = act(url) == 0 ? 'y' : 'n';
		if (write(ready[1], &said, 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &said, 1), 1);
	close(ready[0]);
	assert_int_equal(said, 'y');
	return pid;
}

static void kill_child(pid_t pid)
{
	int how;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &how, 0), pid);
}

static int hold_lock(const char *url)
{
	struct store *store;

	return store_open(&store, url, false, NULL) < 0
		       ? -1
		       : store->driver->lock(store, "default", "relay", NULL);
}

static void a_killed_worker_gives_up_its_lock(void **state)
{
	struct kit *kit = *state;
	pid_t worker = child(hold_lock, kit->url);

	assert_int_equal(kit->store->driver->lock(kit->store, "default",
						  "relay", &kit->err),
			 STATUS_BUSY);
	kill_child(worker);
	must(kit, kit->store->driver->lock(kit->store, "default", "relay",
					   &kit->err));
}

static int create_and_migrate(const char *url)
{
	struct store *store;

	return store_open(&store, url, true, NULL) < 0
		       ? -1
		       : store->driver->migrate(store, NULL);
}

static void processes_may_migrate_at_once(void **state)
{
	struct kit *kit = *state;
	struct kit empty = {.driver = kit->driver};
	pid_t pids[4];

	empty.driver->create(&empty);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			_exit(create_and_migrate(empty.url) == 0 ? 0 : 1);
	}
	for (int i = 0; i < 4; i++) {
		int how;

		assert_int_equal(waitpid(pids[i], &how, 0), pids[i]);
		assert_int_equal(how, 0);
	}
	assert_sql(&empty,
		   "SELECT count(*) - max(version) "
		   "FROM event_bus_schema_version",
		   "0");
	empty.driver->destroy(&empty);
}

/* ---- the file itself ---- */

static void move_away(struct kit *kit)
{
	char moved[512];

	snprintf(moved, sizeof(moved), "%s-moved", kit_sqlite_path(kit));
	assert_int_equal(rename(kit_sqlite_path(kit), moved), 0);
}

static void a_database_that_is_gone_is_away(void **state)
{
	struct kit *kit = *state;
	const struct outbox_claim claim = {
		.config_key = "default", .limit = 1, .max_bytes = 1};

	assert_int_equal(claim_all(kit)->count, 0);
	move_away(kit);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kit->store->driver->claim(kit->store, &claim,
							   &kit->batch,
							   &kit->err),
				 STATUS_AWAY);
		assert_non_null(strstr(kit->err.text, kit_sqlite_path(kit)));
	}
}

static void a_database_that_was_replaced_is_opened_anew(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit->store;
	const struct outbox_claim claim = {
		.config_key = "default", .limit = 1, .max_bytes = 1};

	assert_int_equal(claim_all(kit)->count, 0);
	move_away(kit);
	kit->store = NULL;
	must(kit, store_open(&kit->store, kit->url, true, &kit->err));
	must(kit, kit->store->driver->migrate(kit->store, &kit->err));
	WRITE(kit, .topic = NULL);
	kit->store->driver->close(kit->store);
	kit->store = store;
	assert_int_equal(
		store->driver->claim(store, &claim, &kit->batch, &kit->err),
		STATUS_AWAY);
	assert_non_null(strstr(kit->err.text, "replaced"));
	assert_int_equal(
		store->driver->claim(store, &claim, &kit->batch, &kit->err),
		STATUS_BUSY);
	assert_int_equal(claim_all(kit)->count, 1);
}

static void a_lock_file_that_was_deleted_is_no_lock(void **state)
{
	struct kit *kit = *state;
	const struct outbox_claim claim = {
		.config_key = "default", .limit = 1, .max_bytes = 1};
	char path[512];

	claim_all(kit);
	snprintf(path, sizeof(path), "%s-postbus-lock", kit_sqlite_path(kit));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(kit->store->driver->claim(kit->store, &claim,
						   &kit->batch, &kit->err),
			 STATUS_BUSY);
	must(kit, kit->store->driver->lock(kit->store, "default", "relay",
					   &kit->err));
}

static void a_file_that_is_no_database_says_so(void **state)
{
	struct kit *kit = *state;
	struct store *store = NULL;
	char url[512];
	FILE *file;

	snprintf(url, sizeof(url), "%s-moved", kit->url);
	file = fopen(url + strlen("sqlite://"), "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		fputs("no database ", file);
	fclose(file);
	assert_true(store_open(&store, url, false, &kit->err) < 0);
	assert_non_null(strstr(kit->err.text, "no SQLite database"));
	assert_null(store);
}

static void a_url_is_absolute_or_relative(void **state)
{
	struct kit *kit = *state;
	struct store *store = NULL;
	char url[512];
	char *before = getcwd(NULL, 0);

	snprintf(url, sizeof(url), "sqlite:%s", kit_sqlite_path(kit));
	must(kit, store_open(&store, url, false, &kit->err));
	store->driver->close(store);
	assert_int_equal(chdir(kit->place), 0);
	must(kit, store_open(&store, "sqlite:bus.db", false, &kit->err));
	assert_int_equal(chdir(before), 0);
	must(kit, store->driver->lock(store, "default", "relay", &kit->err));
	assert_int_equal(kit->store->driver->lock(kit->store, "default",
						  "relay", &kit->err),
			 STATUS_BUSY);
	store->driver->close(store);
	free(before);
	assert_int_equal(
		store_open(&store, "sqlite://host/bus.db", true, &kit->err),
		STATUS_INVALID);
	assert_int_equal(store_open(&store, "sqlite:", true, &kit->err),
			 STATUS_INVALID);
}

static void a_database_of_ours_has_a_write_ahead_log(void **state)
{
	struct kit *kit = *state;

	assert_sql(kit, "PRAGMA journal_mode", "wal");
	sql_run(kit, "PRAGMA wal_checkpoint(TRUNCATE)");
	kit->store->driver->close(kit->store);
	kit->store = NULL;
	sql_run(kit, "PRAGMA journal_mode=DELETE");
	kit->store = kit_open(kit);
	assert_sql(kit, "PRAGMA journal_mode", "wal");
}

static void somebody_elses_database_is_left_as_it_is(void **state)
{
	struct kit *kit = *state;
	struct kit theirs = {.driver = kit->driver};
	struct store *store;
	int have, want;

	theirs.driver->create(&theirs);
	must(kit, store_open(&store, theirs.url, true, &kit->err));
	store->driver->close(store);
	sql_run(&theirs, "CREATE TABLE theirs (x)");
	must(kit, store_open(&store, theirs.url, false, &kit->err));
	must(kit, store->driver->schema(store, &have, &want, &kit->err));
	assert_int_equal(have, 0);
	store->driver->close(store);
	assert_sql(&theirs, "PRAGMA journal_mode", "delete");
	theirs.driver->destroy(&theirs);
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(no_statement_of_a_lane_walks_through_a_table),
	STORE_TEST(a_claim_costs_the_same_among_many_others),
	STORE_TEST(a_value_of_the_wrong_kind_spoils_its_row_alone),
	STORE_TEST(a_row_too_large_to_read_spoils_no_other),
	STORE_TEST(a_payload_that_is_no_json_is_listed_as_text),
	STORE_TEST(what_applications_lock_for_long_is_away),
	STORE_TEST(a_reading_application_hinders_nobody),
	STORE_TEST(nothing_written_wakes_nobody),
	STORE_TEST(what_one_wrote_oneself_wakes_too),
	STORE_TEST(a_killed_worker_gives_up_its_lock),
	STORE_TEST(processes_may_migrate_at_once),
	STORE_TEST(a_database_that_is_gone_is_away),
	STORE_TEST(a_database_that_was_replaced_is_opened_anew),
	STORE_TEST(a_lock_file_that_was_deleted_is_no_lock),
	STORE_TEST(a_file_that_is_no_database_says_so),
	STORE_TEST(a_url_is_absolute_or_relative),
	STORE_TEST(a_database_of_ours_has_a_write_ahead_log),
	STORE_TEST(somebody_elses_database_is_left_as_it_is),
};

int main(void)
{
	kit_driver = &kit_sqlite;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
