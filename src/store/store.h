/* SPDX-License-Identifier: MIT */
/*
 * Where outbox rows come from and inbox rows go to.
 *
 * One thread owns a store. A call blocks two seconds at most and then fails as
 * transient. Nothing here logs: a failure is a negative status and, where err
 * is not NULL, one sentence for a person. Out-parameters are untouched on
 * failure unless the comment says otherwise. All times that are compared are
 * the database's own.
 *
 * A store whose connection broke reconnects in the next call; each failed
 * try is STATUS_AWAY. What was held in the lost session (the lock) is gone.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "base/span.h"
#include "base/wait.h"
#include "message/envelope.h"
#include "store/config.h"

struct store;

/* ---- relay ---- */

struct outbox_row {
	int64_t seq;
	char id[UUID_TEXT_SIZE];
	struct envelope envelope; /* the row's columns; empty strings absent */
	struct span headers;	  /* JSON text, or absent */
	struct span ordering_key; /* or absent */
	int64_t retry_count;
	int64_t created_at; /* seconds since 1970 */
	bool expired;	    /* its expires_at has passed */
	int64_t expires_in; /* seconds until then, rounded up; 0: never */
	struct span broken; /* present: why the row's content cannot be read */
};

struct outbox_claim {
	const char *config_key;
	size_t limit;	     /* rows at most, > 0 */
	size_t max_bytes;    /* stop after the row that reaches this */
	int64_t after_seq;   /* fresh rows above this only; 0: all */
	const int64_t *busy; /* rows to leave out, ascending */
	size_t busy_count;
};

struct outbox_batch {
	struct outbox_row *rows;
	size_t count;
	usec_t next_due_in; /* until the next scheduled row is due, 0 if more is
			     * due at once, USEC_NEVER: none */
	struct arena arena; /* owns the rows and all they point at */
};

enum outcome_kind {
	OUTCOME_PUBLISHED, /* confirmed; reason, if any, is noted in last_error
			    */
	OUTCOME_RETRY,	   /* failed attempt: due again after delay */
	OUTCOME_ERROR,	   /* failed for good */
	OUTCOME_INVALID,   /* never could be sent */
};

struct outcome {
	int64_t seq;
	enum outcome_kind kind;
	int64_t attempts; /* that failed, this one included; 0: it was none */
	usec_t delay;	  /* OUTCOME_RETRY only */
	struct span reason;
};

/* ---- intake ---- */

enum inbox_result {
	INBOX_ACCEPTED,
	INBOX_DUPLICATE, /* its message_id is there with the same payload */
	INBOX_CONFLICT,	 /* there with another payload: now in rejected */
	INBOX_REJECTED,
};

struct inbox_row {
	struct envelope envelope; /* normalised and valid, unless rejected */
	struct span headers;	  /* JSON text, or absent */
	struct span ordering_key;
	struct span body;	  /* as received, for rejecting */
	struct span rejected;	  /* present: the reason; goes to rejected */
	enum inbox_result result; /* set by accept */
};

struct inbox_batch {
	const char *config_key;
	const char *broker_type;
	struct inbox_row *rows;
	size_t count;
};

/* ---- worker ---- */

struct heartbeat {
	const char *worker_id; /* UUID */
	const char *config_key;
	const char *hostname;
	int64_t pid;
	const char *version;
	const char *broker_type; /* NULL: no config yet */
	const char *relay_state; /* NULL: no such lane */
	const char *intake_state;
	int64_t config_version;
	const char *last_error;	   /* NULL: none */
	const char *worker_status; /* for the config row: "running", ... */
};

/* ---- people ---- */

enum store_table {
	TABLE_OUTBOX,
	TABLE_INBOX,
	TABLE_REJECTED,
	TABLE_WORKERS,
	TABLE_CONFIGS, /* with the settings of its broker; the password "***"
			  unless it is a reference */
};

/* Absent or zero members do not filter. */
struct store_filter {
	const char *config_key;
	const char *status;
	const char *topic; /* exact, or with '*' for any run of characters */
	const char *message_id;
	const char *id;	   /* primary key as shown, or outbox seq */
	double older_than; /* seconds since created, received */
	int64_t limit;	   /* rows at most, newest first */
};

enum column_type {
	COLUMN_NULL,
	COLUMN_TEXT,
	COLUMN_INTEGER,
	COLUMN_BOOLEAN,
	COLUMN_JSON,
	COLUMN_BYTES
};

struct column {
	const char *name;
	enum column_type type;
	struct span value; /* integers and booleans (0, 1) as text */
};

/* Returns 0 to go on; anything else ends the listing and is returned by it.
 * The columns are valid during the call. */
typedef int row_fn(void *context, const struct column *columns, size_t count);

/* How many rows have which status. */
struct store_counts {
	int64_t outbox_pending, outbox_published, outbox_invalid, outbox_error;
	int64_t outbox_scheduled; /* of the pending: due later */
	int64_t inbox_pending, inbox_processed, inbox_error;
	int64_t rejected;
	double oldest_pending; /* seconds; 0 when nothing is due */
};

/* ---- the driver ---- */

struct store_driver {
	const char *name; /* what URLs begin with: "sqlite", "postgresql",
			     "memory" */

	/*
	 * Opens and connects. STATUS_NOT_FOUND, STATUS_AWAY, STATUS_DENIED say
	 * so in a sentence naming the database without its password. Does not
	 * create a database: `create` allows SQLite to (migrate does).
	 */
	int (*open)(struct store **out, const char *url, bool create,
		    struct error *err);
	/* Accepts NULL. Gives up the lock. */
	void (*close)(struct store *store);

	/* Schema versions: 0 for an empty database. */
	int (*schema)(struct store *store, int *have, int *want,
		      struct error *err);
	/* Applies what is missing, a transaction each; safe to run twice and
	 * by two processes at once. */
	int (*migrate)(struct store *store, struct error *err);
	/* The i-th migration's SQL, i from 0; NULL after the last. */
	const char *(*migration)(int i, const char **name);

	/*
	 * Takes config_key for this store's relay, or the intake that must be
	 * alone. STATUS_BUSY: another session has it. Held until close, unlock,
	 * or loss of the connection. Idempotent while held.
	 */
	int (*lock)(struct store *store, const char *config_key,
		    const char *lane, struct error *err);
	void (*unlock)(struct store *store);

	/*
	 * Reads due rows that are not busy into *batch, whose arena is reset
	 * first: due rows are pending ones not scheduled for later. Order is
	 * seq. A row is left out while an earlier row of its ordering_key
	 * waits for a retry or a scheduled time, unless that one is above
	 * after_seq and comes too. An empty batch is success. Requires the
	 * lock: STATUS_BUSY once it is lost.
	 */
	int (*claim)(struct store *store, const struct outbox_claim *claim,
		     struct outbox_batch *batch, struct error *err);

	/* Writes every outcome in one transaction, all or none; rows that are
	 * no longer pending are left alone. An outcome may be written again
	 * after STATUS_UNKNOWN: retry_count rises to `attempts`, not by one.
	 * Requires the lock. */
	int (*settle)(struct store *store, const struct outcome *outcomes,
		      size_t count, struct error *err);
	/* The same in two parts, see below. */
	int (*settle_begin)(struct store *store, const struct outcome *outcomes,
			    size_t count, struct error *err);
	int (*settle_end)(struct store *store, const struct outcome *outcomes,
			  size_t count, struct error *err);

	/*
	 * Commits the batch durably and sets every row's result: inbox rows
	 * deduplicated by message_id, rejected ones to rejected.
	 * STATUS_INVALID: some row's data can never be stored, nothing was
	 * written; the caller halves the batch. Any other failure may have
	 * written some of it; accepting it again does no harm.
	 */
	int (*accept)(struct store *store, struct inbox_batch *batch,
		      struct error *err);

	/*
	 * The same in two parts, for a lane that has other things to do while
	 * the database works; all NULL where there is nothing to wait for.
	 * begin waits for the statement to be known to the session only;
	 * STATUS_BUSY: this is for the call in one part. After success nothing
	 * else may be called but ready, which is true once end would not wait,
	 * and else adds to `wait` what to wait for; and end, with the same
	 * arguments, which returns what the call in one part would have.
	 */
	int (*accept_begin)(struct store *store, struct inbox_batch *batch,
			    struct error *err);
	int (*accept_end)(struct store *store, struct inbox_batch *batch,
			  struct error *err);
	bool (*ready)(struct store *store, struct wait *wait);

	/* A descriptor that becomes readable when new rows may have come, -1 if
	 * there is none now. */
	int (*wake_fd)(struct store *store);
	/* True if something was written since the last call, or it cannot be
	 * told. Clears the descriptor. */
	bool (*woken)(struct store *store);

	/* Writes the worker's row and the config row's worker columns. */
	int (*heartbeat)(struct store *store, const struct heartbeat *beat,
			 struct error *err);
	/* Removes the worker's row; the config row's status becomes "stopped".
	 */
	int (*farewell)(struct store *store, const struct heartbeat *beat,
			struct error *err);
	double heartbeat_seconds; /* default interval */

	/* Cheap: only the version. STATUS_NOT_FOUND when there is no row. */
	int (*config_version)(struct store *store, const char *config_key,
			      int64_t *version, struct error *err);
	/* Stored values over defaults; config is config_init'ed by the call and
	 * the caller's to destroy on success. Not config_finish'ed. */
	int (*config_load)(struct store *store, const char *config_key,
			   struct runtime_config *config, struct error *err);
	/* Changes, creating the row and its settings rows if need be, in one
	 * transaction; the version rises. */
	int (*config_save)(struct store *store, const char *config_key,
			   const struct config_change *changes, size_t count,
			   struct error *err);

	/*
	 * Writes one outbox row: config_key, the envelope's present fields,
	 * headers, ordering_key; the database fills the rest. delay > 0
	 * schedules it, expires > 0 lets it expire, both from now. Gives the
	 * row's id.
	 */
	int (*enqueue)(struct store *store, const char *config_key,
		       const struct outbox_row *row, usec_t delay,
		       usec_t expires, char id[UUID_TEXT_SIZE],
		       struct error *err);

	int (*counts)(struct store *store, const char *config_key,
		      struct store_counts *counts, struct error *err);
	int (*browse)(struct store *store, enum store_table table,
		      const struct store_filter *filter, row_fn *each,
		      void *context, struct error *err);
	/*
	 * Puts matching outbox rows (invalid, error) or inbox rows (error) back
	 * to pending, retry_count 0. *affected counts them, dry_run or not.
	 */
	int (*retry)(struct store *store, enum store_table table,
		     const struct store_filter *filter, bool dry_run,
		     int64_t *affected, struct error *err);
	/*
	 * Deletes matching rows, in bounded steps: outbox rows that are
	 * published, invalid or error (pending ones never), inbox rows that are
	 * processed or error, rejected rows.
	 */
	int (*purge)(struct store *store, enum store_table table,
		     const struct store_filter *filter, bool dry_run,
		     int64_t *affected, struct error *err);
};

/* Every driver's struct store begins with this. */
struct store {
	const struct store_driver *driver;
};

/* The driver that a URL's scheme names. STATUS_INVALID lists the forms that
 * are known. */
int store_driver_find(const struct store_driver **out, const char *url,
		      struct error *err);

/* Finds the driver and opens. */
int store_open(struct store **out, const char *url, bool create,
	       struct error *err);

/* STATUS_MISMATCH, and what to do, unless the tables are those of this
 * program. */
int store_check_schema(struct store *store, struct error *err);

extern const struct store_driver store_sqlite;
extern const struct store_driver store_postgres;
extern const struct store_driver store_memory;

#endif
