/* SPDX-License-Identifier: MIT */
/*
 * What the files of the PostgreSQL driver share.
 *
 * A store is one session of libpq, driven without blocking so that every call
 * ends at its deadline; a session that misses it is dropped. A second
 * connection of the relay's does nothing but LISTEN.
 *
 * The session plans by index and nested loop only: what it looks for is
 * always few rows, whatever the statistics say.
 */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include <libpq-fe.h>

#include "store/postgres_query.h"
#include "store/query.h"
#include "store/store.h"

enum {
	POSTGRES_NAME_SIZE = 256,
	POSTGRES_SCHEMA_SIZE = 64,
	POSTGRES_PREPARED = 24,
};

/* What a URL says. */
struct postgres_target {
	PQconninfoOption *options;	       /* libpq's own */
	char schema[POSTGRES_SCHEMA_SIZE];     /* of our tables */
	char prefix[POSTGRES_SCHEMA_SIZE + 4]; /* "schema". */
	bool notify; /* whether writers shall wake relays */
};

/* Where claims begin to look at an index, while a look at all of it takes too
 * long. */
struct postgres_look {
	usec_t full_at; /* monotonic: when to look at all of it again */
	usec_t took;	/* what the last such look did */
	int64_t floor;
};

/* The connection that listens. */
struct postgres_ears {
	PGconn *conn;	 /* NULL: none for now */
	usec_t retry_at; /* monotonic */
};

struct postgres_store {
	struct store base;
	struct postgres_target target;
	struct dialect dialect;
	char name[POSTGRES_NAME_SIZE]; /* for sentences: "db on host:port" */
	PGconn *conn;		       /* NULL: not connected */
	bool lost;  /* the connection is of no more use; leave closes it */
	bool holds; /* the session has the lock */
	int holder; /* the backend that had it last, 0: it was given back */
	bool again; /* the failure was a deadlock or its like */
	usec_t deadline; /* monotonic: when the call under way gives up */
	const char *prepared[POSTGRES_PREPARED]; /* compared by address */
	size_t prepared_count;
	bool row_fault; /* the failure may be one row's */
	struct {
		int64_t near; /* up to this seq rows are read one by one */
		int64_t seq;  /* a row that could not be read in time */
		int times;
	} suspect;
	struct postgres_look fresh_look; /* by seq */
	struct postgres_look due_look;	 /* microseconds since 1970 */
	int64_t seen;			 /* the highest seq so far */
	struct postgres_ears ears;
};

static inline struct postgres_store *postgres_of(struct store *store)
{
	return (struct postgres_store *)store;
}

/* ---- postgres_target.c ---- */

/* Takes "schema=NAME" and "notify=off" out of the URL, gives libpq the rest. */
int postgres_target_parse(struct postgres_target *target, const char *url,
			  struct error *err);
void postgres_target_finish(struct postgres_target *target);

/* How many hosts it names, and making the second of them the first. */
int postgres_target_hosts(const struct postgres_target *target);
void postgres_target_next_host(struct postgres_target *target);

/* Begins a connection; `like` is one whose very server it shall reach, or NULL.
 * NULL when memory has run out. */
PGconn *postgres_target_connect(const struct postgres_target *target,
				const PGconn *like);

/* ---- postgres_failure.c: what PostgreSQL says, as a status and a sentence
 * ----
 */

/* For a result that is an error. */
int postgres_failure(struct postgres_store *store, const PGresult *result,
		     struct error *err);
/* For a connection that could not be made. */
int postgres_refused(struct postgres_store *store, struct error *err);
/* For one that broke; and for one that did not answer in time. */
int postgres_broken(struct postgres_store *store, struct error *err);
int postgres_late(struct postgres_store *store, struct error *err);

/* ---- postgres_session.c: connecting, calls, transactions ---- */

/* Connects within the store's deadline. */
int postgres_connect(struct postgres_store *store, struct error *err);
void postgres_disconnect(struct postgres_store *store);

/* Whether the connection's socket is ready before the store's deadline. */
bool postgres_wait(const struct postgres_store *store, short events);

/* Around a call, whose two seconds begin; what was lost in it is closed. */
void postgres_enter(struct postgres_store *store);
void postgres_leave(struct postgres_store *store);

typedef int postgres_work_fn(struct postgres_store *store, void *context,
			     struct error *err);

/* Runs `work` as one call of at most two seconds, connected; again when it
 * was a deadlock's victim. */
int postgres_call(struct store *store, postgres_work_fn *work, void *context,
		  struct error *err);
/* The same in one transaction, committed if work gives 0. */
int postgres_transaction(struct store *store, postgres_work_fn *work,
			 void *context, struct error *err);

/* For what people ask, which takes as long as it takes: until the transaction
 * ends neither side gives up, and the planner is free. */
int postgres_be_patient(struct postgres_store *store, struct error *err);

/* Whether what was sent by the first part of a call has been answered, or is
 * late: then the second will not wait. */
bool postgres_ready(struct store *store, struct wait *wait);

/* STATUS_BUSY unless the lock is ours. */
int postgres_check_lock(const struct postgres_store *store, struct error *err);

/* ---- the operations, by file ---- */

int postgres_lock(struct store *store, const char *config_key, const char *lane,
		  struct error *err);
void postgres_unlock(struct store *store);
int postgres_wake_fd(struct store *store);
bool postgres_woken(struct store *store);
void postgres_deafen(struct postgres_ears *ears);

int postgres_claim(struct store *store, const struct outbox_claim *claim,
		   struct outbox_batch *batch, struct error *err);
int postgres_settle(struct store *store, const struct outcome *outcomes,
		    size_t count, struct error *err);
int postgres_settle_begin(struct store *store, const struct outcome *outcomes,
			  size_t count, struct error *err);
int postgres_settle_end(struct store *store, const struct outcome *outcomes,
			size_t count, struct error *err);
int postgres_enqueue(struct store *store, const char *config_key,
		     const struct outbox_row *row, usec_t delay, usec_t expires,
		     char id[UUID_TEXT_SIZE], struct error *err);
int postgres_accept(struct store *store, struct inbox_batch *batch,
		    struct error *err);
int postgres_accept_begin(struct store *store, struct inbox_batch *batch,
			  struct error *err);
int postgres_accept_end(struct store *store, struct inbox_batch *batch,
			struct error *err);

int postgres_heartbeat(struct store *store, const struct heartbeat *beat,
		       struct error *err);
int postgres_farewell(struct store *store, const struct heartbeat *beat,
		      struct error *err);
int postgres_config_version(struct store *store, const char *config_key,
			    int64_t *version, struct error *err);
int postgres_config_load(struct store *store, const char *config_key,
			 struct runtime_config *config, struct error *err);
/* One row of config_sql_select. */
void postgres_config_values(const PGresult *row, struct span *values);
int postgres_config_save(struct store *store, const char *config_key,
			 const struct config_change *changes, size_t count,
			 struct error *err);

int postgres_counts(struct store *store, const char *config_key,
		    struct store_counts *counts, struct error *err);
int postgres_browse(struct store *store, enum store_table table,
		    const struct store_filter *filter, row_fn *each,
		    void *context, struct error *err);
int postgres_retry(struct store *store, enum store_table table,
		   const struct store_filter *filter, bool dry_run,
		   int64_t *affected, struct error *err);
int postgres_purge(struct store *store, enum store_table table,
		   const struct store_filter *filter, bool dry_run,
		   int64_t *affected, struct error *err);

#endif
