/* SPDX-License-Identifier: MIT */
/*
 * A small database: an outbox, an inbox, locks, and the server's side of
 * sessions.
 *
 * Everything that lanes write is first made into a transaction, which commits
 * at once, later, or never; the caller hears of it, or not.
 */
#ifndef SIMULATION_DATABASE_H
#define SIMULATION_DATABASE_H

#include "checker.h"
#include "store/store.h"

enum { OUTBOX_MAX = STORIES_MAX, INBOX_MAX = 160 };

/* The server's side of a session. It may outlive the client's. */
struct backend {
	struct backend *next;
	const struct worker *worker;
	bool alive;
	usec_t asked_at;
};

struct row {
	bool committed;
	enum row_status status;
	usec_t next_retry_at; /* 0: null */
	usec_t expires_at;    /* 0: null */
	int64_t retry_count;
	struct span key;
	struct envelope envelope;
	char id[UUID_TEXT_SIZE];
};

struct inbox_entry {
	struct span message_id; /* absent: null */
	struct span payload;
	struct span ordering_key;
	bool rejected;
	struct letter *letter;
};

struct database {
	struct row rows[OUTBOX_MAX]; /* seq - 1 */
	int64_t last_seq;
	struct inbox_entry inbox[INBOX_MAX];
	size_t inbox_count;
	struct backend *backends;
	struct backend *holders[LANES]; /* of the locks */
	usec_t away_until;
	usec_t frozen_until;
};

/* ---- transactions ---- */

struct settled {
	struct outcome outcome;
	usec_t due;
};

struct accepted {
	struct letter *letter;
	struct span message_id, payload, ordering_key;
	bool rejected;
	enum inbox_result result; /* set by the commit */
};

/* Either outcomes or messages. */
struct transaction {
	struct backend *backend;
	struct settled *settled;
	struct accepted *accepted;
	size_t count;
};

void transaction_commit(struct world *world, struct transaction *transaction);

/* ---- sessions ---- */

struct backend *backend_begin(struct world *world, const struct worker *worker);
/* An action too: gives up its locks. */
void backend_end(struct world *world, void *backend, uint64_t argument);

/* Every session ends, every lock is free. */
void database_restart(struct world *world, usec_t away_for);

/* ---- rows ---- */

/* Begins a row, whose seq is given; visible once it is committed. */
struct row *database_write(struct database *database, int64_t *seq);
void database_commit(struct world *world, int64_t seq);
int64_t database_pending(const struct database *database);

static inline const struct row *row_at(const struct database *database,
				       int64_t seq)
{
	return &database->rows[seq - 1];
}

static inline bool row_is_pending(const struct row *row)
{
	return row->committed && row->status == ROW_PENDING;
}

/* Which rows a claim brings at `now`: into a batch that is empty. */
void database_claim(const struct database *database, usec_t now,
		    const struct outbox_claim *claim,
		    struct outbox_batch *batch);

#endif
