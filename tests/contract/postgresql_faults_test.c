/* SPDX-License-Identifier: MIT */
/* PostgreSQL alone: sessions that die, hang or lose a reply, locked tables,
 * rows that cannot be read. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "kit_postgres.h"
#include "proxy.h"

static pid_t pid_of(struct kit *kit)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "SELECT pid FROM pg_stat_activity WHERE application_name = "
		 "'%s'",
		 kit->place);
	return (pid_t)sql_integer(kit, sql);
}

static void end_session(struct kit *kit)
{
	sql_run(kit, "SELECT pg_terminate_backend(%d, 10000)", pid_of(kit));
}

static int lock(struct kit *kit, struct store *store)
{
	return store->driver->lock(store, "default", "relay", &kit->err);
}

static int claim(struct kit *kit, struct store *store)
{
	const struct outbox_claim claim = {
		.config_key = "default", .limit = 100, .max_bytes = 1 << 20};

	return store->driver->claim(store, &claim, &kit->batch, &kit->err);
}

static int settle(struct kit *kit, struct store *store, int64_t seq)
{
	const struct outcome outcome = {.seq = seq, .kind = OUTCOME_PUBLISHED};

	return store->driver->settle(store, &outcome, 1, &kit->err);
}

/* ---- sessions ---- */

static void a_session_that_was_ended_has_lost_its_lock(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);
	int64_t seq = WRITE(kit, .topic = NULL);

	must(kit, lock(kit, store));
	end_session(kit);
	assert_int_equal(claim(kit, store), STATUS_AWAY);
	assert_int_equal(claim(kit, store), STATUS_BUSY);
	assert_int_equal(settle(kit, store, seq), STATUS_BUSY);
	must(kit, lock(kit, store));
	must(kit, claim(kit, store));
	assert_rows(&kit->batch, seq);
	store->driver->close(store);
}

static void asking_for_the_lock_finds_a_session_dead(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);

	must(kit, lock(kit, store));
	end_session(kit);
	assert_int_equal(lock(kit, store), STATUS_AWAY);
	must(kit, lock(kit, store));
	store->driver->close(store);
}

static void a_session_that_does_not_answer_is_given_up(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);
	int64_t first = WRITE(kit, .topic = NULL);
	int64_t seq = WRITE(kit, .topic = NULL);
	pid_t pid;

	must(kit, lock(kit, store));
	must(kit, settle(kit, store, first));
	pid = pid_of(kit);
	if (kill(pid, SIGSTOP) < 0)
		skip(); /* the server is another user's */
	assert_int_equal(settle(kit, store, seq), STATUS_UNKNOWN);
	assert_int_equal(settle(kit, store, seq), STATUS_BUSY);
	kill(pid, SIGCONT);
	while (lock(kit, store) < 0)
		assert_int_equal(kit->err.status, STATUS_BUSY);
	must(kit, settle(kit, store, seq));
	store->driver->close(store);
}

static void a_server_that_lets_nobody_in_is_away(void **state)
{
	struct kit *kit = *state;
	struct kit_server server = kit_postgres_server();
	struct proxy *proxy = proxy_start((uint16_t)atoi(server.port));
	struct store *store = NULL;
	char url[512];

	proxy_lose_answers_to(proxy, server.database);
	snprintf(url, sizeof(url), "postgresql://%s@127.0.0.1:%d/%s",
		 server.user, proxy_port(proxy), server.database);
	assert_int_equal(store_open(&store, url, false, &kit->err),
			 STATUS_AWAY);
	proxy_stop(proxy);
}

static void
a_session_that_only_the_server_still_knows_gives_up_its_lock(void **state)
{
	struct kit *kit = *state;
	struct kit_server server = kit_postgres_server();
	struct proxy *proxy = proxy_start((uint16_t)atoi(server.port));
	struct store *store = NULL;
	char url[512];

	snprintf(url, sizeof(url),
		 "postgresql://%s@127.0.0.1:%d/%s?schema=%s&notify=off",
		 server.user, proxy_port(proxy), server.database, kit->place);
	must(kit, store_open(&store, url, false, &kit->err));
	must(kit, lock(kit, store));
	proxy_lose_answers_to(proxy, "SELECT 1");
	assert_int_equal(lock(kit, store), STATUS_AWAY);
	proxy_lose_answers_to(proxy, NULL);
	for (int i = 0; i < 100 && lock(kit, store) == STATUS_BUSY; i++)
		poll(NULL, 0, 20); /* it takes the server a moment */
	must(kit, claim(kit, store));
	store->driver->close(store);
	proxy_stop(proxy);
}

/* ---- locks of others ---- */

static void a_table_that_is_kept_locked_costs_no_session(void **state)
{
	struct kit *kit = *state;
	PGconn *conn = kit_postgres_connect(kit);
	int64_t seq = WRITE(kit, .topic = NULL);

	must(kit, lock(kit, kit->store));
	kit_postgres_sql(kit, conn,
			 "BEGIN; LOCK TABLE event_bus_outbound_event");
	assert_int_equal(claim(kit, kit->store), STATUS_AWAY);
	assert_non_null(strstr(kit->err.text, "locked"));
	PQfinish(conn);
	must(kit, settle(kit, kit->store, seq));
}

/* One claim that takes long is not the rule: the next sees everything. */
static void a_hiccup_does_not_hide_what_commits_late(void **state)
{
	struct kit *kit = *state;
	PGconn *conn = kit_postgres_connect(kit);
	int64_t late;

	must(kit, lock(kit, kit->store));
	WRITE(kit, .topic = NULL);
	late = WRITE(kit, .topic = NULL);
	WRITE(kit, .topic = NULL);
	must(kit, claim(kit, kit->store));
	sql_run(kit,
		"UPDATE event_bus_outbound_event SET status = 'published'");
	sql_run(kit, "DELETE FROM event_bus_outbound_event WHERE seq = %d",
		(int)late);
	kit_postgres_sql(kit, conn,
			 "BEGIN; LOCK TABLE event_bus_outbound_event");
	PQsendQuery(conn, "SELECT pg_sleep(0.4); COMMIT");
	must(kit, claim(kit, kit->store));
	assert_int_equal(kit->batch.count, 0);
	PQfinish(conn);
	sql_run(kit,
		"INSERT INTO event_bus_outbound_event (seq, topic, payload) "
		"VALUES (%d, 'event.orders.order.created', '{}')",
		(int)late);
	must(kit, claim(kit, kit->store));
	assert_rows(&kit->batch, late);
}

static void a_row_that_is_kept_locked_fails_its_batch_for_now(void **state)
{
	struct kit *kit = *state;
	PGconn *conn = kit_postgres_connect(kit);
	int64_t seq = WRITE(kit, .topic = NULL);

	must(kit, lock(kit, kit->store));
	kit_postgres_sql(kit, conn,
			 "BEGIN; SELECT 1 FROM event_bus_outbound_event "
			 "FOR UPDATE");
	assert_int_equal(settle(kit, kit->store, seq), STATUS_AWAY);
	PQfinish(conn);
	must(kit, settle(kit, kit->store, seq));
}

/* ---- a holder that stands still ---- */

static void beat(struct kit *kit, struct store *store, const char *relay_state)
{
	const struct heartbeat beat = {
		.worker_id = relay_state[0] == 's'
				     ? "00000000-0000-4000-8000-000000000001"
				     : "00000000-0000-4000-8000-000000000002",
		.config_key = "default",
		.hostname = "here",
		.version = "1",
		.broker_type = "rabbitmq",
		.relay_state = relay_state,
		.worker_status = "running",
	};

	must(kit, store->driver->heartbeat(store, &beat, &kit->err));
}

static void a_holder_whose_heart_stopped_is_replaced(void **state)
{
	struct kit *kit = *state;
	struct store *holder = kit_other(kit);

	sql_run(kit, "INSERT INTO event_bus_runtime_config (config_key, "
		     "heartbeat_interval_seconds) VALUES ('default', 0.05)");
	must(kit, lock(kit, holder));
	beat(kit, holder, "running");
	while (lock(kit, kit->store) < 0) {
		assert_int_equal(kit->err.status, STATUS_BUSY);
		beat(kit, kit->store, "standby");
	}
	assert_int_equal(claim(kit, holder), STATUS_AWAY);
	assert_int_equal(lock(kit, holder), STATUS_BUSY);
}

static void a_holder_whose_heart_beats_is_left_alone(void **state)
{
	struct kit *kit = *state;
	struct store *holder = kit_other(kit);

	must(kit, lock(kit, holder));
	beat(kit, holder, "running");
	assert_int_equal(lock(kit, kit->store), STATUS_BUSY);
	must(kit, claim(kit, holder));
}

static void a_holder_of_slow_heartbeats_is_given_their_time(void **state)
{
	struct kit *kit = *state;
	struct store *holder = kit_other(kit);

	sql_run(kit, "INSERT INTO event_bus_runtime_config (config_key, "
		     "heartbeat_interval_seconds) VALUES ('default', 10)");
	must(kit, lock(kit, holder));
	beat(kit, holder, "running");
	sql_run(kit, "UPDATE event_bus_worker SET heartbeat_at = now() - "
		     "interval '20 seconds'");
	assert_int_equal(lock(kit, kit->store), STATUS_BUSY);
	must(kit, claim(kit, holder));
}

static void a_holder_that_never_had_a_heart_is_left_alone(void **state)
{
	struct kit *kit = *state;
	struct store *holder = kit_other(kit);

	must(kit, lock(kit, holder));
	assert_int_equal(lock(kit, kit->store), STATUS_BUSY);
	must(kit, claim(kit, holder));
}

/* ---- rows that cannot be read ---- */

/* Puts a view before the outbox, in which the retry_count of a row of the topic
 * event.test.poison.row is what `expression` makes of it. */
static void spoil_reading(struct kit *kit, const char *expression)
{
	sql_run(kit,
		"ALTER TABLE event_bus_outbound_event RENAME TO outbox;"
		"ALTER TABLE outbox RENAME COLUMN retry_count TO retries;"
		"CREATE VIEW event_bus_outbound_event AS SELECT o.*, "
		"CASE topic WHEN 'event.test.poison.row' THEN %s "
		"ELSE retries END AS retry_count FROM outbox o",
		expression);
}

static int claim_beside(struct kit *kit, int64_t busy)
{
	const struct outbox_claim claim = {
		.config_key = "default",
		.limit = 100,
		.max_bytes = 1 << 20,
		.busy = &busy,
		.busy_count = 1,
	};

	return kit->store->driver->claim(kit->store, &claim, &kit->batch,
					 &kit->err);
}

static void a_row_that_cannot_be_read_comes_as_broken(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .payload = "1");
	int64_t second = WRITE(kit, .topic = "event.test.poison.row");
	int64_t third = WRITE(kit, .payload = "3");

	spoil_reading(kit, "1 / (o.chain_depth * 0)");
	must(kit, lock(kit, kit->store));
	must(kit, claim(kit, kit->store));
	assert_rows(&kit->batch, first, second, third);
	assert_false(span_present(kit->batch.rows[0].broken));
	assert_true(span_present(kit->batch.rows[1].broken));
	assert_true(span_is(kit->batch.rows[2].envelope.payload, "3"));
}

static void a_row_that_takes_for_ever_is_broken_in_the_end(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .payload = "1");
	int64_t second = WRITE(kit, .topic = "event.test.poison.row");
	int64_t third = WRITE(kit, .payload = "3");

	/* Not volatile, or the whole view would be evaluated at once. */
	sql_run(kit, "CREATE FUNCTION forever() RETURNS integer "
		     "LANGUAGE plpgsql STABLE AS "
		     "$$ BEGIN PERFORM pg_sleep(600); RETURN 0; END $$");
	spoil_reading(kit, "forever()");
	must(kit, lock(kit, kit->store));
	must(kit, claim(kit, kit->store));
	assert_rows(&kit->batch, first);
	assert_int_equal(kit->batch.next_due_in, 0);
	while (claim_beside(kit, first) < 0)
		assert_int_equal(kit->err.status, STATUS_AWAY);
	assert_rows(&kit->batch, second, third);
	assert_true(span_present(kit->batch.rows[0].broken));
	assert_false(span_present(kit->batch.rows[1].broken));
}

/* As a server that expands a large value: it does not hear its time-out, and
 * so the session is lost each time. */
static void a_row_that_costs_the_session_is_broken_in_the_end(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .payload = "1");
	int64_t second = WRITE(kit, .topic = "event.test.poison.row");
	int64_t third = WRITE(kit, .payload = "3");
	int lost = 0;

	sql_run(kit, "CREATE FUNCTION deaf() RETURNS integer "
		     "LANGUAGE plpgsql STABLE AS $$ "
		     "DECLARE ends timestamptz := clock_timestamp() + '2.5 s'; "
		     "BEGIN "
		     "WHILE clock_timestamp() < ends LOOP BEGIN "
		     "PERFORM pg_sleep(0.1); "
		     "EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; "
		     "RETURN 0; END $$");
	spoil_reading(kit, "deaf()");
	for (;;) {
		while (lock(kit, kit->store) == STATUS_BUSY)
			poll(NULL, 0, 50);
		if (claim(kit, kit->store) == 0)
			break;
		assert_int_equal(kit->err.status, STATUS_AWAY);
		lost++;
	}
	assert_in_range(lost, 2, 10);
	assert_rows(&kit->batch, first, second, third);
	assert_false(span_present(kit->batch.rows[0].broken));
	assert_true(span_present(kit->batch.rows[1].broken));
	assert_false(span_present(kit->batch.rows[2].broken));
}

static void a_text_of_any_length_is_read_as_far_as_it_matters(void **state)
{
	struct kit *kit = *state;

	WRITE(kit, .topic = NULL);
	sql_run(kit, "UPDATE event_bus_outbound_event SET "
		     "event_type = repeat('x', 100000000)");
	must(kit, lock(kit, kit->store));
	must(kit, claim(kit, kit->store));
	assert_int_equal(kit->batch.count, 1);
	assert_in_range(kit->batch.rows[0].envelope.event_type.len, 256, 1000);
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(a_session_that_was_ended_has_lost_its_lock),
	STORE_TEST(asking_for_the_lock_finds_a_session_dead),
	STORE_TEST(a_session_that_does_not_answer_is_given_up),
	STORE_TEST(a_server_that_lets_nobody_in_is_away),
	STORE_TEST(
		a_session_that_only_the_server_still_knows_gives_up_its_lock),
	STORE_TEST(a_table_that_is_kept_locked_costs_no_session),
	STORE_TEST(a_hiccup_does_not_hide_what_commits_late),
	STORE_TEST(a_row_that_is_kept_locked_fails_its_batch_for_now),
	STORE_TEST(a_holder_whose_heart_stopped_is_replaced),
	STORE_TEST(a_holder_whose_heart_beats_is_left_alone),
	STORE_TEST(a_holder_of_slow_heartbeats_is_given_their_time),
	STORE_TEST(a_holder_that_never_had_a_heart_is_left_alone),
	STORE_TEST(a_row_that_cannot_be_read_comes_as_broken),
	STORE_TEST(a_row_that_takes_for_ever_is_broken_in_the_end),
	STORE_TEST(a_row_that_costs_the_session_is_broken_in_the_end),
	STORE_TEST(a_text_of_any_length_is_read_as_far_as_it_matters),
};

int main(void)
{
	return kit_postgres_run("postgresql faults", tests,
				sizeof(tests) / sizeof(*tests));
}
