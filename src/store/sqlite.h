/* SPDX-License-Identifier: MIT */
/*
 * What the files of the SQLite driver share.
 *
 * Two places hold such a database: a file, and memory that ends with the
 * process. They differ in how to connect, to lock and to wake; every statement
 * is the same.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>

#include "store/store.h"

struct sqlite_store;

/* How a place does what SQL cannot. */
struct sqlite_place {
	/* Sets store->db, open and readable. On failure it may be set or not:
	 * the caller closes it. */
	int (*connect)(struct sqlite_store *store, bool create,
		       struct error *err);
	/* Before each call, connected: may fail it, or find the session dead
	 * (store->lost). */
	int (*check)(struct sqlite_store *store, struct error *err);
	/* After each COMMIT that succeeded; may pretend that it was not. */
	int (*committed)(struct sqlite_store *store, struct error *err);
	/* After the connection was closed: the lock and the wake go too. */
	void (*disconnected)(struct sqlite_store *store);
	void (*destroy)(struct sqlite_store *store);

	int (*lock)(struct sqlite_store *store, const char *config_key,
		    const char *lane, struct error *err);
	void (*unlock)(struct sqlite_store *store);
	/* Whether the lock is still ours. */
	bool (*holds)(struct sqlite_store *store);

	int (*wake_fd)(struct sqlite_store *store);
	bool (*woken)(struct sqlite_store *store);
};

enum { SQLITE_CACHED_STATEMENTS = 32 };

/* Each place's own struct begins with this. */
struct sqlite_store {
	struct store base;
	const struct sqlite_place *place;
	char *name;	 /* for sentences: path, or memory:NAME */
	sqlite3 *db;	 /* NULL: not connected */
	bool lost;	 /* the connection is of no more use; leave closes it */
	bool durable;	 /* synchronous=FULL is in force */
	usec_t deadline; /* monotonic: when the call under way gives up */
	struct {
		const char *sql; /* compared by address */
		sqlite3_stmt *statement;
	} cached[SQLITE_CACHED_STATEMENTS];
	size_t cached_count;
};

static inline struct sqlite_store *sqlite_of(struct store *store)
{
	return (struct sqlite_store *)store;
}

/* ---- sqlite_session.c: one call, one transaction, one statement ---- */

/* Connects for the first time, or not at all. */
int sqlite_connect(struct sqlite_store *store, bool create, struct error *err);
void sqlite_disconnect(struct sqlite_store *store);
/* For a place's connect: calls on store->db end at the store's deadline. */
void sqlite_set_patience(struct sqlite_store *store);

/* Every call runs between enter, which reconnects if need be, and leave, which
 * closes what is lost and passes the status on. leave only follows an enter
 * that succeeded. */
int sqlite_enter(struct sqlite_store *store, struct error *err);
int sqlite_leave(struct sqlite_store *store, int status);

/*
 * A write transaction: begun at once, ended by commit if `status` is 0, rolled
 * back otherwise; end gives the final status. durable: on disk when it
 * returns. end only follows a begin that succeeded.
 */
int sqlite_begin(struct sqlite_store *store, bool durable, struct error *err);
int sqlite_end(struct sqlite_store *store, int status, struct error *err);
/* Ends the transaction that is open, if any; else the session is lost. */
void sqlite_roll_back(struct sqlite_store *store);

/* A prepared statement, reset and without bindings; sql is a static string. */
int sqlite_prepare(struct sqlite_store *store, const char *sql,
		   sqlite3_stmt **statement, struct error *err);
/* Prepares sql for once: the caller finalizes. */
int sqlite_prepare_once(struct sqlite_store *store, struct span sql,
			sqlite3_stmt **statement, struct error *err);

/* 1: there is a row, 0: done (the statement is reset), negative: failed
 * (reset too). */
int sqlite_step(struct sqlite_store *store, sqlite3_stmt *statement,
		struct error *err);
/* Steps a statement that gives no rows. */
int sqlite_run(struct sqlite_store *store, sqlite3_stmt *statement,
	       struct error *err);
/* Runs one or more statements without parameters. */
int sqlite_exec(struct sqlite_store *store, const char *sql, struct error *err);

/* The status and the sentence for what SQLite said. */
int sqlite_failure(struct sqlite_store *store, int rc, struct error *err);

/* Absent: null. Borrowed until the statement is stepped for the last time. */
void sqlite_bind_span(sqlite3_stmt *statement, int at, struct span text);
/* NULL: null. */
void sqlite_bind_string(sqlite3_stmt *statement, int at, const char *text);
/* A text column's bytes until the next step; absent for null. */
struct span sqlite_text(sqlite3_stmt *statement, int at);

/* Now, moved by `delay`, as the columns hold it. */
int sqlite_now(struct sqlite_store *store, usec_t delay,
	       char text[CLOCK_TEXT_SIZE], struct error *err);

/* ---- the operations, by file ---- */

int sqlite_claim(struct store *store, const struct outbox_claim *claim,
		 struct outbox_batch *batch, struct error *err);
int sqlite_settle(struct store *store, const struct outcome *outcomes,
		  size_t count, struct error *err);
int sqlite_enqueue(struct store *store, const char *config_key,
		   const struct outbox_row *row, usec_t delay, usec_t expires,
		   char id[UUID_TEXT_SIZE], struct error *err);
int sqlite_accept(struct store *store, struct inbox_batch *batch,
		  struct error *err);

int sqlite_schema(struct store *store, int *have, int *want, struct error *err);
int sqlite_migrate(struct store *store, struct error *err);
const char *sqlite_migration(int i, const char **name);

int sqlite_heartbeat(struct store *store, const struct heartbeat *beat,
		     struct error *err);
int sqlite_farewell(struct store *store, const struct heartbeat *beat,
		    struct error *err);
int sqlite_config_version(struct store *store, const char *config_key,
			  int64_t *version, struct error *err);
int sqlite_config_load(struct store *store, const char *config_key,
		       struct runtime_config *config, struct error *err);
int sqlite_config_save(struct store *store, const char *config_key,
		       const struct config_change *changes, size_t count,
		       struct error *err);

int sqlite_counts(struct store *store, const char *config_key,
		  struct store_counts *counts, struct error *err);
int sqlite_browse(struct store *store, enum store_table table,
		  const struct store_filter *filter, row_fn *each,
		  void *context, struct error *err);
int sqlite_retry(struct store *store, enum store_table table,
		 const struct store_filter *filter, bool dry_run,
		 int64_t *affected, struct error *err);
int sqlite_purge(struct store *store, enum store_table table,
		 const struct store_filter *filter, bool dry_run,
		 int64_t *affected, struct error *err);

void sqlite_close(struct store *store);
int sqlite_lock(struct store *store, const char *config_key, const char *lane,
		struct error *err);
void sqlite_unlock(struct store *store);
int sqlite_wake_fd(struct store *store);
bool sqlite_woken(struct store *store);

/* All of a driver's operations but name, open and heartbeat_seconds. */
#define SQLITE_OPERATIONS                                                     \
	.close = sqlite_close, .schema = sqlite_schema,                       \
	.migrate = sqlite_migrate, .migration = sqlite_migration,             \
	.lock = sqlite_lock, .unlock = sqlite_unlock, .claim = sqlite_claim,  \
	.settle = sqlite_settle, .accept = sqlite_accept,                     \
	.wake_fd = sqlite_wake_fd, .woken = sqlite_woken,                     \
	.heartbeat = sqlite_heartbeat, .farewell = sqlite_farewell,           \
	.config_version = sqlite_config_version,                              \
	.config_load = sqlite_config_load, .config_save = sqlite_config_save, \
	.enqueue = sqlite_enqueue, .counts = sqlite_counts,                   \
	.browse = sqlite_browse, .retry = sqlite_retry, .purge = sqlite_purge

#endif
