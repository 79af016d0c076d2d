/* SPDX-License-Identifier: MIT */
/* The session with a SQLite database: calls, transactions, statements. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/testing.h"
#include "store/sqlite.h"

/* What one call may take, and one nap while another program writes. */
static const usec_t call_limit = 2 * USEC_PER_SEC;
static const long nap_ms = 20;
/* How often, in SQLite's own steps, a statement looks at the clock. */
enum { STEPS_BETWEEN_LOOKS = 20000 };

/* The lanes of a process take turns here, without naps, rather than at
 * SQLite's own lock. */
static pthread_mutex_t writer = PTHREAD_MUTEX_INITIALIZER;

/* ---- what SQLite says ---- */

static const struct failure {
	int code;
	enum status status;
	bool lost;   /* the connection is of no more use */
	bool detail; /* SQLite's own words follow */
	const char *text;
} failures[] = {
	{SQLITE_BUSY, STATUS_AWAY, false, false,
	 "another program has kept it locked for two seconds"},
	{SQLITE_LOCKED, STATUS_AWAY, false, false,
	 "another program has kept it locked for two seconds"},
	{SQLITE_INTERRUPT, STATUS_AWAY, false, false,
	 "no answer within two seconds"},
	{SQLITE_FULL, STATUS_FAILED, false, false,
	 "the disk is full, or the database has reached its size limit"},
	{SQLITE_READONLY, STATUS_DENIED, true, false,
	 "it may not be written; check the owner and permissions of the file "
	 "and its directory"},
	{SQLITE_PERM, STATUS_DENIED, true, true, "permission denied"},
	{SQLITE_AUTH, STATUS_DENIED, true, true, "permission denied"},
	{SQLITE_NOMEM, STATUS_NO_MEMORY, false, false, "no memory"},
	{SQLITE_CANTOPEN, STATUS_AWAY, true, true, "it cannot be opened"},
	{SQLITE_IOERR, STATUS_FAILED, true, true, "reading or writing failed"},
	{SQLITE_CORRUPT, STATUS_FAILED, true, true, "the file is damaged"},
	{SQLITE_NOTADB, STATUS_FAILED, true, false,
	 "the file is no SQLite database"},
	{SQLITE_CONSTRAINT, STATUS_INVALID, false, true,
	 "the data was refused"},
	{SQLITE_TOOBIG, STATUS_INVALID, false, false, "a value is too large"},
	{SQLITE_MISMATCH, STATUS_INVALID, false, true, "the data was refused"},
	{SQLITE_ERROR, STATUS_MISMATCH, false, true,
	 "the tables are missing or from another version; run `postbus "
	 "migrate`"},
};

static const struct failure *failure_find(int rc)
{
	static const struct failure other = {0, STATUS_FAILED, true, true,
					     "SQLite refused"};

	for (size_t i = 0; i < sizeof(failures) / sizeof(*failures); i++)
		if (failures[i].code == (rc & 0xff))
			return &failures[i];
	return &other;
}

int sqlite_failure(struct sqlite_store *store, int rc, struct error *err)
{
	const struct failure *failure = failure_find(rc);
	int number = sqlite3_system_errno(store->db);
	const char *detail = sqlite3_errmsg(store->db);

	store->lost = store->lost || failure->lost;
	if ((rc & 0xff) == SQLITE_IOERR && number == ENOSPC)
		failure = failure_find(SQLITE_FULL);
	else if ((rc & 0xff) == SQLITE_IOERR && number != 0)
		detail = strerror(number);
	return error_set(err, failure->status, "database %s: %s%s%s",
			 store->name, failure->text,
			 failure->detail ? ": " : "",
			 failure->detail ? detail : "");
}

/* ---- waiting ---- */

static int wait_for_lock(void *context, int tries)
{
	const struct sqlite_store *store = context;
	const struct timespec nap = {.tv_nsec = (tries < 5 ? 1 : nap_ms) *
						1000000};

	if (clock_monotonic() >= store->deadline)
		return 0;
	nanosleep(&nap, NULL);
	return 1;
}

static int give_up(void *context)
{
	const struct sqlite_store *store = context;

	return clock_monotonic() >= store->deadline;
}

static bool take_turn(const struct sqlite_store *store)
{
	usec_t left = store->deadline - clock_monotonic();
	struct timespec until;

	if (pthread_mutex_trylock(&writer) == 0)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	left += until.tv_nsec / 1000;
	until.tv_sec += left / USEC_PER_SEC;
	until.tv_nsec = left % USEC_PER_SEC * 1000;
	return left > 0 &&
	       pthread_mutex_clocklock(&writer, CLOCK_MONOTONIC, &until) == 0;
}

/* ---- calls ---- */

int sqlite_connect(struct sqlite_store *store, bool create, struct error *err)
{
	int status;

	store->deadline = clock_monotonic() + call_limit;
	status = store->place->connect(store, create, err);
	if (status < 0)
		sqlite_disconnect(store);
	return status;
}

void sqlite_set_patience(struct sqlite_store *store)
{
	sqlite3_extended_result_codes(store->db, 1);
	sqlite3_busy_handler(store->db, wait_for_lock, store);
	sqlite3_progress_handler(store->db, STEPS_BETWEEN_LOOKS, give_up,
				 store);
}

void sqlite_disconnect(struct sqlite_store *store)
{
	for (size_t i = 0; i < store->cached_count; i++)
		sqlite3_finalize(store->cached[i].statement);
	store->cached_count = 0;
	sqlite3_close_v2(store->db);
	store->db = NULL;
	store->lost = store->durable = false;
	store->place->disconnected(store);
}

static int reconnect(struct sqlite_store *store, struct error *err)
{
	int status = sqlite_connect(store, false, err);

	if (status < 0 && err != NULL)
		err->status = STATUS_AWAY;
	return status < 0 ? STATUS_AWAY : 0;
}

int sqlite_enter(struct sqlite_store *store, struct error *err)
{
	int status = 0;

	if (store->db == NULL)
		status = reconnect(store, err);
	store->deadline = clock_monotonic() + call_limit;
	if (status == 0) {
		status = store->place->check(store, err);
		if (status < 0)
			sqlite_leave(store, status);
	}
	return status;
}

int sqlite_leave(struct sqlite_store *store, int status)
{
	if (store->lost)
		sqlite_disconnect(store);
	return status;
}

/* ---- transactions ---- */

static int set_durable(struct sqlite_store *store, bool durable,
		       struct error *err)
{
	int status = 0;

	if (store->durable != durable)
		status = sqlite_exec(store,
				     durable ? "PRAGMA synchronous=FULL"
					     : "PRAGMA synchronous=NORMAL",
				     err);
	if (status == 0)
		store->durable = durable;
	return status;
}

int sqlite_begin(struct sqlite_store *store, bool durable, struct error *err)
{
	int status;

	if (!take_turn(store))
		return error_set(err, STATUS_AWAY,
				 "database %s: this process has been writing "
				 "for two seconds",
				 store->name);
	status = set_durable(store, durable, err);
	if (status == 0)
		status = sqlite_exec(store, "BEGIN IMMEDIATE", err);
	if (status < 0)
		pthread_mutex_unlock(&writer);
	return status;
}

/* What is known of a COMMIT that failed: a full disk or a lock leave nothing
 * behind; after anything else the log may hold the whole transaction. */
static int commit_failure(struct sqlite_store *store, int rc, struct error *err)
{
	int status = sqlite_failure(store, rc, err);

	if ((rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_BUSY)
		return status;
	store->lost = true;
	if (err != NULL)
		err->status = STATUS_UNKNOWN;
	return STATUS_UNKNOWN;
}

static int commit(struct sqlite_store *store, struct error *err)
{
	sqlite3_stmt *statement;
	int status = sqlite_prepare(store, "COMMIT", &statement, err);
	int rc;

	if (status < 0)
		return status;
	testing_crash_point("commit");
	rc = sqlite3_step(statement);
	testing_crash_point("committed");
	if (rc != SQLITE_DONE)
		status = commit_failure(store, rc, err);
	sqlite3_reset(statement);
	if (status == 0)
		status = store->place->committed(store, err);
	return status;
}

void sqlite_roll_back(struct sqlite_store *store)
{
	if (!sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	if (!sqlite3_get_autocommit(store->db))
		store->lost = true;
}

int sqlite_end(struct sqlite_store *store, int status, struct error *err)
{
	if (status == 0)
		status = commit(store, err);
	sqlite_roll_back(store);
	pthread_mutex_unlock(&writer);
	return status;
}

/* ---- statements ---- */

int sqlite_prepare_once(struct sqlite_store *store, struct span sql,
			sqlite3_stmt **statement, struct error *err)
{
	int rc = sqlite3_prepare_v3(store->db, sql.at, (int)sql.len, 0,
				    statement, NULL);

	return rc == SQLITE_OK ? 0 : sqlite_failure(store, rc, err);
}

int sqlite_prepare(struct sqlite_store *store, const char *sql,
		   sqlite3_stmt **statement, struct error *err)
{
	int rc;

	for (size_t i = 0; i < store->cached_count; i++)
		if (store->cached[i].sql == sql) {
			*statement = store->cached[i].statement;
			sqlite3_reset(*statement);
			sqlite3_clear_bindings(*statement);
			return 0;
		}
	assert(store->cached_count < SQLITE_CACHED_STATEMENTS);
	rc = sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
				statement, NULL);
	if (rc != SQLITE_OK)
		return sqlite_failure(store, rc, err);
	store->cached[store->cached_count].sql = sql;
	store->cached[store->cached_count++].statement = *statement;
	return 0;
}

int sqlite_step(struct sqlite_store *store, sqlite3_stmt *statement,
		struct error *err)
{
	int rc = sqlite3_step(statement);
	int status = 0;

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		status = sqlite_failure(store, rc, err);
	sqlite3_reset(statement);
	return status;
}

int sqlite_run(struct sqlite_store *store, sqlite3_stmt *statement,
	       struct error *err)
{
	int status;

	while ((status = sqlite_step(store, statement, err)) > 0)
		;
	return status;
}

int sqlite_exec(struct sqlite_store *store, const char *sql, struct error *err)
{
	int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sqlite_failure(store, rc, err);
}

void sqlite_bind_span(sqlite3_stmt *statement, int at, struct span text)
{
	if (span_present(text))
		sqlite3_bind_text64(statement, at, text.at, text.len,
				    SQLITE_STATIC, SQLITE_UTF8);
	else
		sqlite3_bind_null(statement, at);
}

void sqlite_bind_string(sqlite3_stmt *statement, int at, const char *text)
{
	sqlite_bind_span(statement, at, span_of(text));
}

struct span sqlite_text(sqlite3_stmt *statement, int at)
{
	const void *text;

	if (sqlite3_column_type(statement, at) == SQLITE_NULL)
		return SPAN_NONE;
	text = sqlite3_column_text(statement, at);
	return (struct span){text == NULL ? "" : text,
			     (size_t)sqlite3_column_bytes(statement, at)};
}

int sqlite_now(struct sqlite_store *store, usec_t delay,
	       char text[CLOCK_TEXT_SIZE], struct error *err)
{
	static const char sql[] =
		"SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now', ?1)";
	sqlite3_stmt *statement;
	char shift[48];
	int status = sqlite_prepare(store, sql, &statement, err);

	if (status < 0)
		return status;
	snprintf(shift, sizeof(shift), "%+.3f seconds",
		 (double)delay / USEC_PER_SEC);
	sqlite_bind_string(statement, 1, shift);
	status = sqlite_step(store, statement, err);
	if (status == 1)
		snprintf(text, CLOCK_TEXT_SIZE, "%.*s",
			 SPAN_ARG(sqlite_text(statement, 0)));
	sqlite3_reset(statement);
	return status < 0 ? status : 0;
}
