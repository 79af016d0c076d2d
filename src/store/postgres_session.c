/* SPDX-License-Identifier: MIT */
/* The session with PostgreSQL: connecting, calls, transactions. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/testing.h"
#include "store/postgres.h"

/* What one call may take. The server gives up earlier, so that the session
 * outlives a slow statement. */
static const usec_t call_limit = 2 * USEC_PER_SEC;

static const char set_up_sql[] =
	"SELECT set_config(name, value, false) FROM (VALUES "
	"('search_path', 'pg_catalog, pg_temp'), "
	"('statement_timeout', '1800'), ('lock_timeout', '1500'), "
	"('idle_in_transaction_session_timeout', '10000'), "
	"('default_transaction_isolation', 'read committed'), "
	"('client_min_messages', 'error'), ('timezone', 'UTC'), "
	"('bytea_output', 'hex'), "
	/* A client that vanished lets go of its lock. */
	"('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '1'), "
	"('tcp_keepalives_count', '3'), "
	/* One plan for each statement, by index. */
	"('plan_cache_mode', 'force_generic_plan'), ('jit', 'off'), "
	"('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), "
	"('enable_sort', 'off'), ('enable_incremental_sort', 'off'), "
	"('max_parallel_workers_per_gather', '0'), ('enable_hashjoin', 'off'), "
	"('enable_mergejoin', 'off'), ('enable_material', 'off'), "
	/* What is committed is on disk before any broker hears of it. */
	"('synchronous_commit', CASE current_setting('synchronous_commit') "
	"WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END)"
	") AS settings (name, value)";

bool postgres_wait(const struct postgres_store *store, short events)
{
	struct pollfd fd = {PQsocket(store->conn), events, 0};

	for (;;) {
		usec_t left = store->deadline - clock_monotonic();
		int timeout = left > 3600 * USEC_PER_SEC
				      ? -1
				      : (int)(left / USEC_PER_MSEC) + 1;
		int ready;

		if (left <= 0)
			return false;
		ready = poll(&fd, 1, timeout);
		if (ready > 0 || (ready < 0 && errno != EINTR))
			return true;
	}
}

/* ---- connecting ---- */

static void take_name(struct postgres_store *store)
{
	const char *database = PQdb(store->conn);
	const char *host = PQhost(store->conn);
	const char *port = PQport(store->conn);

	snprintf(store->name, sizeof(store->name), "%s on %s:%s",
		 database == NULL ? "" : database, host == NULL ? "" : host,
		 port == NULL ? "" : port);
}

/* 0 once the server lets us in. */
static int shake_hands(struct postgres_store *store, struct error *err)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	if (PQstatus(store->conn) == CONNECTION_BAD)
		return postgres_refused(store, err);
	while (state != PGRES_POLLING_OK) {
		if (state == PGRES_POLLING_FAILED)
			return postgres_refused(store, err);
		if (!postgres_wait(store, state == PGRES_POLLING_READING
						  ? POLLIN
						  : POLLOUT))
			return postgres_late(store, err);
		state = PQconnectPoll(store->conn);
		take_name(store);
	}
	return 0;
}

static int set_up(struct postgres_store *store, struct error *err)
{
	struct postgres_query query;

	if (PQserverVersion(store->conn) < 130000)
		return error_set(
			err, STATUS_MISMATCH,
			"database %s: PostgreSQL 13 or newer is "
			"needed, this is %s",
			store->name,
			PQparameterStatus(store->conn, "server_version"));
	PQsetErrorVerbosity(store->conn, PQERRORS_DEFAULT);
	PQsetnonblocking(store->conn, 1);
	postgres_query_init(&query, set_up_sql);
	query.once = true;
	return postgres_run(store, &query, NULL, NULL, err);
}

static int begin(struct postgres_store *store, struct error *err)
{
	store->conn = postgres_target_connect(&store->target, NULL);
	if (store->conn == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a connection");
	PQsetErrorVerbosity(store->conn, PQERRORS_VERBOSE);
	take_name(store);
	return shake_hands(store, err);
}

/* libpq waits for ever on the first host that does not answer: each has its
 * share of the time, and then the next one is the first. */
static int reach_any_host(struct postgres_store *store, struct error *err)
{
	usec_t deadline = store->deadline;
	int hosts = postgres_target_hosts(&store->target);
	int status;
	bool late;

	do {
		usec_t now = clock_monotonic();

		postgres_disconnect(store);
		store->deadline = now + (deadline - now) / hosts;
		status = begin(store, err);
		late = clock_monotonic() >= store->deadline;
		if (status < 0 && late)
			postgres_target_next_host(&store->target);
	} while (status < 0 && late && --hosts > 0);
	store->deadline = deadline;
	return status;
}

int postgres_connect(struct postgres_store *store, struct error *err)
{
	int status = reach_any_host(store, err);

	if (status == 0)
		status = set_up(store, err);
	if (status < 0)
		postgres_disconnect(store);
	return status;
}

void postgres_disconnect(struct postgres_store *store)
{
	PQfinish(store->conn);
	store->conn = NULL;
	store->prepared_count = 0;
	store->lost = store->holds = false;
}

/* ---- calls ---- */

static int reconnect(struct postgres_store *store, struct error *err)
{
	if (store->conn != NULL || postgres_connect(store, err) == 0)
		return 0;
	if (err != NULL)
		err->status = STATUS_AWAY;
	return STATUS_AWAY;
}

void postgres_enter(struct postgres_store *store)
{
	store->deadline = clock_monotonic() + call_limit;
}

void postgres_leave(struct postgres_store *store)
{
	if (store->lost)
		postgres_disconnect(store);
}

int postgres_call(struct store *base, postgres_work_fn *work, void *context,
		  struct error *err)
{
	struct postgres_store *store = postgres_of(base);
	usec_t start = clock_monotonic();
	int status;

	postgres_enter(store);
	status = reconnect(store, err);
	if (status < 0)
		return status;
	do {
		store->again = false;
		status = work(store, context, err);
	} while (status < 0 && store->again && !store->lost &&
		 clock_monotonic() < start + call_limit / 2);
	postgres_leave(store);
	return status;
}

bool postgres_ready(struct store *base, struct wait *wait)
{
	struct postgres_store *store = postgres_of(base);
	short events;

	if (clock_monotonic() >= store->deadline ||
	    postgres_answered(store, &events))
		return true;
	wait_for(wait, PQsocket(store->conn), events);
	wait_until(wait, store->deadline);
	return false;
}

int postgres_check_lock(const struct postgres_store *store, struct error *err)
{
	if (store->holds)
		return 0;
	return error_set(err, STATUS_BUSY,
			 "database %s: the lock of this lane is lost",
			 store->name);
}

/* ---- transactions ---- */

struct transaction {
	postgres_work_fn *work;
	void *context;
};

static int run_once(struct postgres_store *store, const char *sql, bool commits,
		    struct error *err)
{
	struct postgres_query query;

	postgres_query_init(&query, sql);
	query.once = true;
	query.commits = commits;
	return postgres_run(store, &query, NULL, NULL, err);
}

static int run_transaction(struct postgres_store *store, void *context,
			   struct error *err)
{
	const struct transaction *transaction = context;
	int status = run_once(store, "BEGIN", false, err);

	if (status < 0)
		return status;
	status = transaction->work(store, transaction->context, err);
	testing_crash_point("commit");
	if (status == 0)
		return run_once(store, "COMMIT", true, err);
	if (!store->lost && run_once(store, "ROLLBACK", false, NULL) < 0)
		store->lost = true;
	return status;
}

int postgres_transaction(struct store *store, postgres_work_fn *work,
			 void *context, struct error *err)
{
	struct transaction transaction = {work, context};

	return postgres_call(store, run_transaction, &transaction, err);
}

int postgres_be_patient(struct postgres_store *store, struct error *err)
{
	store->deadline = USEC_NEVER;
	return run_once(store,
			"SET LOCAL statement_timeout = 0; "
			"SET LOCAL plan_cache_mode = auto; "
			"SET LOCAL enable_seqscan = on; "
			"SET LOCAL enable_bitmapscan = on; "
			"SET LOCAL enable_sort = on; "
			"SET LOCAL enable_incremental_sort = on; "
			"SET LOCAL enable_hashjoin = on; "
			"SET LOCAL enable_mergejoin = on; "
			"SET LOCAL enable_material = on",
			false, err);
}
