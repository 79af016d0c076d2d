/* SPDX-License-Identifier: MIT */
/* What a lane begins and the database does in its own time. */
#include "session.h"

#include "world.h"

/* What the server is at work on. */
struct pending {
	struct transaction transaction;
	bool poison; /* nothing will be written */
	bool done;
	usec_t answer_at;
};

/* The server does it in its time, unless the session has ended. */
static void work(struct world *world, void *subject, uint64_t argument)
{
	struct pending *pending = subject;
	usec_t thaw = world->database.frozen_until;

	(void)argument;
	if (!pending->transaction.backend->alive)
		return;
	if (thaw > world->now) {
		world_at(world, thaw, work, pending, 0);
		return;
	}
	if (!pending->poison)
		transaction_commit(world, &pending->transaction);
	pending->done = true;
}

int session_begin(struct session *session,
		  const struct transaction *transaction, bool poison,
		  const char *what, struct error *err)
{
	struct world *world = session->world;
	struct pending *pending;

	if (session->pending != NULL)
		violated(world, 'I', "the store was begun with twice at once");
	if (session->lane->dead || !session->backend->alive ||
	    world->now < world->database.away_until ||
	    world_below(world, 4) == 0)
		return error_set(err, STATUS_BUSY, "not in two parts");
	pending = world_alloc(world, sizeof(*pending));
	pending->transaction = *transaction;
	pending->transaction.backend = session->backend;
	pending->poison = poison;
	pending->answer_at =
		world->now + 2 + world_below(world, 20 * USEC_PER_MSEC);
	world_at(world,
		 world->now + 1 +
			 world_below(world, pending->answer_at - world->now),
		 work, pending, 0);
	session->pending = pending;
	session->give_up_at = world->now + 2 * USEC_PER_SEC;
	note(world, session->lane, what, (int64_t)transaction->count, 0);
	return 0;
}

static bool has_answer(const struct session *session)
{
	const struct pending *pending = session->pending;
	usec_t now = session->world->now;

	return session->lane->dead || now >= session->give_up_at ||
	       !pending->transaction.backend->alive ||
	       (pending->done && now >= pending->answer_at);
}

bool simulated_ready(struct store *store, struct wait *wait)
{
	struct session *session = session_of(store);
	usec_t soon = session->world->now + USEC_PER_MSEC;

	if (has_answer(session))
		return true;
	wait_until(wait, session->pending->answer_at > soon
				 ? session->pending->answer_at
				 : soon);
	return false;
}

static int answer(struct session *session, const struct pending *pending,
		  struct error *err)
{
	enum deed_kind trap;
	usec_t lasts;
	int status = session_enter(session, &trap, &lasts, err);

	if (status < 0)
		return status;
	if (!pending->done || trap == CALL_COMMIT_CUT ||
	    trap == CALL_REPLY_LOST || trap == CALL_COMMIT_LATE)
		return session_unknown(session, lasts, err);
	if (pending->poison)
		return error_set(err, STATUS_INVALID, "poison");
	return session_leave(session, trap, lasts, err);
}

/* As long as there is time, see lane_wait. */
static void await_answer(struct session *session)
{
	usec_t before = -1;

	while (!has_answer(session) && session->world->now > before) {
		before = session->world->now;
		lane_wait(session->lane, USEC_PER_MSEC);
	}
}

int session_end(struct session *session, const struct transaction **transaction,
		struct error *err)
{
	const struct pending *pending = session->pending;

	await_answer(session);
	session->pending = NULL;
	*transaction = &pending->transaction;
	return answer(session, pending, err);
}
