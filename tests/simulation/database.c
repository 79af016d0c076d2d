/* SPDX-License-Identifier: MIT */
/* The database of a run: its rows, its backends, and what a commit does. */
#include "database.h"

#include "world.h"

/* ---- backends ---- */

struct backend *backend_begin(struct world *world, const struct worker *worker)
{
	struct backend *backend = world_alloc(world, sizeof(*backend));

	*backend = (struct backend){
		.next = world->database.backends,
		.worker = worker,
		.alive = true,
		.asked_at = world->now,
	};
	world->database.backends = backend;
	return backend;
}

void backend_end(struct world *world, void *subject, uint64_t argument)
{
	struct backend *backend = subject;

	(void)argument;
	backend->alive = false;
	for (unsigned i = 0; i < LANES; i++)
		if (world->database.holders[i] == backend)
			world->database.holders[i] = NULL;
}

void database_restart(struct world *world, usec_t away_for)
{
	world->database.away_until = world->now + away_for;
	if (world->database.holders[0] != NULL)
		world->checker.breaks++;
	for (struct backend *at = world->database.backends; at; at = at->next)
		backend_end(world, at, 0);
	world->database.backends = NULL;
}

/* ---- transactions ---- */

static void commit_outcome(struct world *world, const struct settled *settled)
{
	static const enum row_status after[] = {
		[OUTCOME_PUBLISHED] = ROW_PUBLISHED,
		[OUTCOME_RETRY] = ROW_PENDING,
		[OUTCOME_ERROR] = ROW_ERROR,
		[OUTCOME_INVALID] = ROW_INVALID,
	};
	const struct outcome *outcome = &settled->outcome;
	struct row *row = &world->database.rows[outcome->seq - 1];

	if (row->status != ROW_PENDING)
		return;
	row->status = after[outcome->kind];
	row->next_retry_at = outcome->kind == OUTCOME_RETRY ? settled->due : 0;
	if (outcome->attempts > row->retry_count)
		row->retry_count = outcome->attempts;
	checker_settled(world, outcome->seq, outcome);
}

static const struct inbox_entry *find_entry(const struct database *database,
					    struct span message_id)
{
	for (size_t i = 0; i < database->inbox_count; i++)
		if (!database->inbox[i].rejected &&
		    span_present(database->inbox[i].message_id) &&
		    span_equal(database->inbox[i].message_id, message_id))
			return &database->inbox[i];
	return NULL;
}

static void commit_accepted(struct world *world, struct accepted *accepted)
{
	struct database *database = &world->database;
	const struct inbox_entry *known = NULL;
	bool adds = true;

	if (span_present(accepted->message_id) && !accepted->rejected)
		known = find_entry(database, accepted->message_id);
	accepted->result = INBOX_ACCEPTED;
	if (accepted->rejected) {
		accepted->result = INBOX_REJECTED;
	} else if (known != NULL &&
		   span_equal(known->payload, accepted->payload)) {
		accepted->result = INBOX_DUPLICATE;
		adds = false;
	} else if (known != NULL) {
		accepted->result = INBOX_CONFLICT;
	}
	if (adds && database->inbox_count < INBOX_MAX)
		database->inbox[database->inbox_count++] = (struct inbox_entry){
			.message_id = accepted->message_id,
			.payload = accepted->payload,
			.ordering_key = accepted->ordering_key,
			.rejected = accepted->result != INBOX_ACCEPTED,
			.letter = accepted->letter,
		};
	checker_stored(world, accepted);
}

void transaction_commit(struct world *world, struct transaction *transaction)
{
	if (transaction->settled != NULL &&
	    world->database.holders[0] != transaction->backend)
		violated(world, 'K', "outcomes were settled without the lock");
	for (size_t i = 0; i < transaction->count; i++) {
		if (transaction->settled != NULL)
			commit_outcome(world, &transaction->settled[i]);
		else
			commit_accepted(world, &transaction->accepted[i]);
	}
}

/* ---- rows ---- */

struct row *database_write(struct database *database, int64_t *seq)
{
	*seq = ++database->last_seq;
	return &database->rows[*seq - 1];
}

/* One hint in eight is lost. */
void database_commit(struct world *world, int64_t seq)
{
	world->database.rows[seq - 1].committed = true;
	checker_committed(world, seq);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		struct lane *relay = world->workers[i].lanes[0];

		if (relay != NULL && world_below(world, 8) > 0)
			session_wake(relay->session);
	}
}

int64_t database_pending(const struct database *database)
{
	int64_t count = 0;

	for (int64_t seq = 1; seq <= database->last_seq; seq++)
		count += row_is_pending(row_at(database, seq));
	return count;
}
