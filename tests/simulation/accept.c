/* SPDX-License-Identifier: MIT */
/* Batches on their way into the inbox: in one call, or in two. */
#include "world.h"

static bool batch_has_poison(const struct inbox_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (!span_present(batch->rows[i].rejected) &&
		    span_is(batch->rows[i].envelope.topic,
			    "event.test.poison.row"))
			return true;
	return false;
}

static struct transaction transaction_of(struct world *world,
					 const struct inbox_batch *batch)
{
	struct transaction taken = {.count = batch->count};

	taken.accepted =
		world_alloc(world, batch->count * sizeof(*taken.accepted));
	for (size_t i = 0; i < batch->count; i++) {
		const struct inbox_row *row = &batch->rows[i];

		taken.accepted[i] = (struct accepted){
			.letter = checker_letter(world, row->body),
			.message_id =
				world_copy(world, row->envelope.message_id),
			.payload = world_copy(world, row->envelope.payload),
			.ordering_key = world_copy(world, row->ordering_key),
			.rejected = span_present(row->rejected),
		};
	}
	return taken;
}

int simulated_accept(struct store *store, struct inbox_batch *batch,
		     struct error *err)
{
	struct session *session = session_of(store);
	struct world *world = session->world;
	struct transaction transaction;
	enum deed_kind trap;
	usec_t lasts;
	int status = session_enter(session, &trap, &lasts, err);

	if (status < 0)
		return status;
	if (batch_has_poison(batch))
		return error_set(err, STATUS_INVALID, "poison");
	transaction = transaction_of(world, batch);
	transaction.backend = session->backend;
	note(world, session->lane, "accepts", (int64_t)batch->count, 0);
	status = session_commit(session, &transaction, trap, lasts, err);
	for (size_t i = 0; i < batch->count; i++)
		batch->rows[i].result = transaction.accepted[i].result;
	return status;
}

/* ---- in two parts ---- */

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

int simulated_accept_begin(struct store *store, struct inbox_batch *batch,
			   struct error *err)
{
	struct session *session = session_of(store);
	struct world *world = session->world;
	struct pending *pending;

	if (session->pending != NULL)
		violated(world, 'I', "two batches are on their way at once");
	if (session->lane->dead || !session->backend->alive ||
	    world->now < world->database.away_until ||
	    world_below(world, 4) == 0)
		return error_set(err, STATUS_BUSY, "not in two parts");
	pending = world_alloc(world, sizeof(*pending));
	pending->transaction = transaction_of(world, batch);
	pending->transaction.backend = session->backend;
	pending->poison = batch_has_poison(batch);
	pending->answer_at =
		world->now + 2 + world_below(world, 20 * USEC_PER_MSEC);
	world_at(world,
		 world->now + 1 +
			 world_below(world, pending->answer_at - world->now),
		 work, pending, 0);
	session->pending = pending;
	session->give_up_at = world->now + 2 * USEC_PER_SEC;
	note(world, session->lane, "begins to accept", (int64_t)batch->count,
	     0);
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

bool simulated_accept_ready(struct store *store, struct wait *wait)
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

static int end(struct session *session, const struct pending *pending,
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

int simulated_accept_end(struct store *store, struct inbox_batch *batch,
			 struct error *err)
{
	struct session *session = session_of(store);
	const struct pending *pending = session->pending;
	int status;

	await_answer(session);
	session->pending = NULL;
	status = end(session, pending, err);
	for (size_t i = 0; i < batch->count; i++)
		batch->rows[i].result = pending->transaction.accepted[i].result;
	return status;
}
