/* SPDX-License-Identifier: MIT */
/* The lock of a lane on PostgreSQL, and what wakes a relay. */
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "base/testing.h"
#include "store/postgres.h"

/* ---- the lock: an advisory one of the session, known by a hash ---- */

enum { KEY_SIZE = 512 };

static const char try_sql[] =
	"SELECT pg_try_advisory_lock(hashtextextended($1, 0))::int, "
	"CASE current_setting('application_name') WHEN 'postbus' THEN "
	"set_config('application_name', left($2, 63), false) END";

/* The session that holds lock k.key. */
#define HOLDER                                                      \
	"l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 " \
	"AND l.classid = (k.key >> 32 & 4294967295)::oid "          \
	"AND l.objid = (k.key & 4294967295)::oid "                  \
	"AND l.database = (SELECT d.oid FROM pg_database d "        \
	"WHERE d.datname = current_database())"

/* Ends a session of our own that we have given up and the server has not: it
 * does not notice when a network fails. */
static const char end_former_sql[] =
	"SELECT count(pg_terminate_backend(l.pid)) "
	"FROM (SELECT hashtextextended($1, 0)) AS k (key), pg_locks l "
	"WHERE l.pid = $2 AND " HOLDER;

/*
 * Ends the session that holds the lock, if it has asked for nothing, and the
 * worker that should run this lane has not been heard of, for three
 * heartbeats of a second or more: its process stands still, or its host is
 * gone.
 */
static const char end_stale_sql[] =
	"WITH patience AS (SELECT 3 * interval '1 second' * greatest(1, "
	"(SELECT "
	"c.heartbeat_interval_seconds FROM @.event_bus_runtime_config c "
	"WHERE c.config_key = $2)) AS span), "
	"heard AS (SELECT max(w.heartbeat_at) AS at "
	"FROM @.event_bus_worker w WHERE w.config_key = $2 "
	"AND CASE $3 WHEN 'relay' THEN w.relay_state ELSE w.intake_state END "
	"<> 'standby') "
	"SELECT count(pg_terminate_backend(l.pid)) FROM patience, heard, "
	"(SELECT hashtextextended($1, 0)) AS k (key), "
	"pg_locks l JOIN pg_stat_activity a USING (pid) "
	"WHERE heard.at < now() - patience.span "
	"AND a.state_change < now() - patience.span "
	"AND " HOLDER;

struct locking {
	const char *config_key;
	const char *lane;
	char key[KEY_SIZE];
};

static int run_integer(struct postgres_store *store,
		       struct postgres_query *query, int64_t *integer,
		       struct error *err)
{
	return postgres_run(store, query, postgres_read_integer, integer, err);
}

static int try_lock(struct postgres_store *store, struct locking *locking,
		    struct error *err)
{
	struct postgres_query query;
	char application[KEY_SIZE];
	int64_t locked = 0;
	int status;

	snprintf(application, sizeof(application), "postbus %s %s",
		 locking->lane, locking->config_key);
	postgres_query_init(&query, try_sql);
	postgres_add_string(&query, locking->key);
	postgres_add_string(&query, application);
	status = run_integer(store, &query, &locked, err);
	if (status == 0)
		store->holds = locked != 0 || testing_bug("two-relays");
	if (!store->holds)
		return status;
	store->holder = PQbackendPID(store->conn);
	store->fresh_look = store->due_look = (struct postgres_look){0};
	return status;
}

/* A role that may not end the other's session just keeps waiting. */
static bool end_session(struct postgres_store *store,
			struct postgres_query *query)
{
	const struct timespec moment = {.tv_nsec = 50 * 1000000};
	int64_t ended = 0;

	if (run_integer(store, query, &ended, NULL) < 0 || ended == 0)
		return false;
	nanosleep(&moment, NULL); /* it has a moment to go */
	return true;
}

static bool end_former(struct postgres_store *store, struct locking *locking)
{
	struct postgres_query query;

	if (store->holder == 0)
		return false;
	postgres_query_init(&query, end_former_sql);
	postgres_add_string(&query, locking->key);
	postgres_add_integer(&query, store->holder);
	store->holder = 0;
	return end_session(store, &query);
}

static bool end_stale(struct postgres_store *store, struct locking *locking)
{
	struct postgres_query query;

	postgres_query_init(&query, end_stale_sql);
	postgres_add_string(&query, locking->key);
	postgres_add_string(&query, locking->config_key);
	postgres_add_string(&query, locking->lane);
	return end_session(store, &query);
}

/* Whether the session that holds the lock is still there. */
static int ask(struct postgres_store *store, struct error *err)
{
	struct postgres_query query;

	postgres_query_init(&query, "SELECT 1");
	return postgres_run(store, &query, NULL, NULL, err);
}

static int lock(struct postgres_store *store, void *context, struct error *err)
{
	struct locking *locking = context;
	int status;

	if (store->holds)
		return ask(store, err);
	status = try_lock(store, locking, err);
	if (status == 0 && !store->holds &&
	    (end_former(store, locking) || end_stale(store, locking)))
		status = try_lock(store, locking, err);
	if (status < 0 || store->holds)
		return status;
	return error_set(err, STATUS_BUSY,
			 "another worker holds the %s of config key %s",
			 locking->lane, locking->config_key);
}

int postgres_lock(struct store *base, const char *config_key, const char *lane,
		  struct error *err)
{
	struct locking locking = {.config_key = config_key, .lane = lane};

	snprintf(locking.key, sizeof(locking.key), "postbus %s %s/%s",
		 postgres_of(base)->target.schema, lane, config_key);
	return postgres_call(base, lock, &locking, err);
}

static int unlock(struct postgres_store *store, void *context,
		  struct error *err)
{
	struct postgres_query query;

	(void)context;
	postgres_query_init(&query, "SELECT pg_advisory_unlock_all()");
	return postgres_run(store, &query, NULL, NULL, err);
}

void postgres_unlock(struct store *base)
{
	struct postgres_store *store = postgres_of(base);

	if (!store->holds)
		return;
	/* If it cannot be said, it is the session's end that unlocks. */
	if (postgres_call(base, unlock, NULL, NULL) < 0)
		postgres_disconnect(store);
	store->holds = false;
	store->holder = 0;
}

/* ---- waking: a connection that does nothing but LISTEN ---- */

static const usec_t listen_within = 500 * USEC_PER_MSEC;
static const usec_t deaf_for = 5 * USEC_PER_SEC;

void postgres_deafen(struct postgres_ears *ears)
{
	PQfinish(ears->conn);
	*ears = (struct postgres_ears){.retry_at =
					       clock_monotonic() + deaf_for};
}

/* The other connection has just been made to the same server, so this one takes
 * moments, or there is something wrong. */
static bool connect_ears(struct postgres_ears *ears)
{
	usec_t deadline = clock_monotonic() + listen_within;
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	while (state != PGRES_POLLING_OK) {
		struct pollfd fd = {PQsocket(ears->conn), POLLIN, 0};
		usec_t left = deadline - clock_monotonic();

		if (state == PGRES_POLLING_WRITING)
			fd.events = POLLOUT;
		if (state == PGRES_POLLING_FAILED || left <= 0 ||
		    poll(&fd, 1, (int)(left / USEC_PER_MSEC) + 1) <= 0)
			return false;
		state = PQconnectPoll(ears->conn);
	}
	PQsetnonblocking(ears->conn, 1);
	return PQsendQuery(ears->conn, "LISTEN event_bus_outbound_event") != 0;
}

static void prick_up(struct postgres_store *store)
{
	struct postgres_ears *ears = &store->ears;

	if (!store->target.notify || store->conn == NULL ||
	    clock_monotonic() < ears->retry_at)
		return;
	ears->conn = postgres_target_connect(&store->target, store->conn);
	if (ears->conn == NULL || PQstatus(ears->conn) == CONNECTION_BAD ||
	    !connect_ears(ears))
		postgres_deafen(ears);
}

int postgres_wake_fd(struct store *base)
{
	struct postgres_store *store = postgres_of(base);
	struct postgres_ears *ears = &store->ears;

	if (ears->conn == NULL)
		prick_up(store);
	return ears->conn == NULL ? -1 : PQsocket(ears->conn);
}

/* Reads results away; true if there was one: the LISTEN itself, after which
 * anything may have been missed before. */
static bool take_results(struct postgres_ears *ears)
{
	bool any = false;

	while (PQisBusy(ears->conn) == 0) {
		PGresult *result = PQgetResult(ears->conn);

		if (result == NULL)
			break;
		PQclear(result);
		any = true;
	}
	return any;
}

static bool take_notifications(struct postgres_store *store)
{
	PGnotify *notification;
	bool any = false;

	while ((notification = PQnotifies(store->ears.conn)) != NULL) {
		any = any ||
		      strcmp(notification->extra, store->target.schema) == 0;
		PQfreemem(notification);
	}
	return any;
}

/* Without ears the answer is no: the relay's sweep finds the rows. */
bool postgres_woken(struct store *base)
{
	struct postgres_store *store = postgres_of(base);
	struct postgres_ears *ears = &store->ears;
	bool told, heard;

	if (ears->conn == NULL)
		return false;
	if (PQflush(ears->conn) < 0 || PQconsumeInput(ears->conn) == 0) {
		postgres_deafen(ears);
		return true;
	}
	heard = take_results(ears);
	told = take_notifications(store);
	return heard || told;
}
