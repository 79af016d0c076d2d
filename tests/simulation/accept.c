/* SPDX-License-Identifier: MIT */
/* Batches on their way into the inbox. */
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

int simulated_accept_begin(struct store *store, struct inbox_batch *batch,
			   struct error *err)
{
	struct session *session = session_of(store);
	struct transaction transaction = transaction_of(session->world, batch);

	return session_begin(session, &transaction, batch_has_poison(batch),
			     "begins to accept", err);
}

int simulated_accept_end(struct store *store, struct inbox_batch *batch,
			 struct error *err)
{
	const struct transaction *transaction;
	int status = session_end(session_of(store), &transaction, err);

	for (size_t i = 0; i < batch->count; i++)
		batch->rows[i].result = transaction->accepted[i].result;
	return status;
}
