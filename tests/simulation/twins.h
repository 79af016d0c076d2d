/* SPDX-License-Identifier: MIT */
/*
 * The store of the simulation and the SQLite driver in memory, side by side:
 * both are asked the same at the same time, and what a caller can see of their
 * answers is compared.
 */
#ifndef SIMULATION_TWINS_H
#define SIMULATION_TWINS_H

#include <sqlite3.h>

#include "store/memory.h"
#include "world.h"

enum { TWIN_SESSIONS = 2, TWIN_ROWS_MAX = STORIES_MAX - 1 };

struct twins {
	struct world world;
	struct plan plan;
	struct worker worker;
	struct lane lanes[TWIN_SESSIONS];
	struct store *simulated[TWIN_SESSIONS];
	struct store *real[TWIN_SESSIONS];
	struct outbox_batch simulated_batch, real_batch;
	sqlite3 *application; /* of the real one */
	bool tracing;
	unsigned operations;
	char told[256];	      /* the last operation */
	char difference[256]; /* the first one, or empty */
};

void twins_open(struct twins *twins);
void twins_close(struct twins *twins);

/* Empties both. */
void twins_begin(struct twins *twins, uint64_t seed, bool tracing);

struct twin_row {
	const char *key; /* or NULL */
	bool named;	 /* it has a message_id */
	size_t padding;	 /* of the payload */
	usec_t delay, expires;
	bool later; /* committed by twins_commit, or never */
};
/* Gives the row the next seq. */
void twins_write(struct twins *twins, const struct twin_row *wanted);
/* Commits a row that was written for later; others are left alone. */
void twins_commit(struct twins *twins, int64_t seq);

/* Whole milliseconds, as SQLite's clock has no less. */
void twins_pass(struct twins *twins, usec_t duration);

/* What befalls the next call. */
enum twin_fault { FAULT_CALL, FAULT_SESSION, FAULT_REPLY, NO_FAULT };
void twins_order(struct twins *twins, unsigned session, enum twin_fault fault);

void twins_lock(struct twins *twins, unsigned session);
void twins_unlock(struct twins *twins, unsigned session);
/* The batches are there until the next claim. */
void twins_claim(struct twins *twins, unsigned session,
		 const struct outbox_claim *claim);
void twins_settle(struct twins *twins, unsigned session,
		  const struct outcome *outcomes, size_t count);
/* The spans of the rows have to last as long as the run. */
void twins_accept(struct twins *twins, unsigned session,
		  const struct inbox_row *rows, size_t count);

/* Compares the counts. */
void twins_count(struct twins *twins);
/* Compares every row. */
void twins_conclude(struct twins *twins);

/* ---- for twins_compare.c ---- */

/* What is done next. */
void twins_tell(struct twins *twins, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void twins_differ(struct twins *twins, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void compare_batches(struct twins *twins);

#endif
