/* SPDX-License-Identifier: MIT */
/*
 * A lane's session with the database, which may break in any call: the lane
 * half of struct store_driver, as store/store.h has it.
 */
#ifndef SIMULATION_SESSION_H
#define SIMULATION_SESSION_H

#include "database.h"

struct session {
	struct store base;
	struct world *world;
	struct lane *lane;
	struct backend *backend;
	struct backend *former; /* given up, and perhaps not by the server */
	bool trusts_lock;
	unsigned failures; /* of its calls */
	bool news;
	usec_t answered_at;
	struct pending *pending; /* what it has begun */
	usec_t give_up_at;	 /* on that */
};

struct session *session_open(struct world *world, struct lane *lane);
/* Its client is gone. */
void session_abandon(struct session *session);
struct store *session_store(struct session *session);

/* Something may have been written. */
void session_wake(struct session *session);
bool session_has_news(const struct session *session);

/* It was given the lock, and no call of its has failed since. */
bool session_trusts_lock(const struct session *session);
/* It has the relay's lock, known or not. */
bool session_holds_lock(const struct session *session);
/* Another session has it. */
bool session_was_robbed(const struct session *session);
/* How many of its calls have failed. */
unsigned session_failures(const struct session *session);
/* When it last had an answer. */
usec_t session_answered_at(const struct session *session);

/* ---- for the calls ---- */

static inline struct session *session_of(struct store *store)
{
	return (struct session *)store;
}

/* What may happen before a call takes effect, and after it has. *trap is what
 * has sprung and is not yet dealt with. */
int session_enter(struct session *session, enum deed_kind *trap, usec_t *lasts,
		  struct error *err);
int session_leave(struct session *session, enum deed_kind trap, usec_t lasts,
		  struct error *err);
/* Commits at once, later, or not at all, as the trap has it. */
int session_commit(struct session *session, struct transaction *transaction,
		   enum deed_kind trap, usec_t lasts, struct error *err);
int session_failed(struct session *session, enum status status, const char *why,
		   struct error *err);
/* The session is lost in a commit; the server keeps its side for a while. */
int session_unknown(struct session *session, usec_t server_keeps,
		    struct error *err);

/* ---- pending.c: calls in two parts ---- */

/* Hands the transaction to the server. With `poison` nothing will be written.
 * STATUS_BUSY: this time it has to be the call in one part. */
int session_begin(struct session *session,
		  const struct transaction *transaction, bool poison,
		  const char *what, struct error *err);
bool simulated_ready(struct store *store, struct wait *wait);
/* *transaction is what was begun. */
int session_end(struct session *session, const struct transaction **transaction,
		struct error *err);

/* ---- accept.c ---- */

int simulated_accept(struct store *store, struct inbox_batch *batch,
		     struct error *err);
int simulated_accept_begin(struct store *store, struct inbox_batch *batch,
			   struct error *err);
int simulated_accept_end(struct store *store, struct inbox_batch *batch,
			 struct error *err);

extern const struct store_driver simulated_store;
/* The same, with settle and accept in two parts. */
extern const struct store_driver simulated_overlapping_store;

#endif
