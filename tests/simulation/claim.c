/* SPDX-License-Identifier: MIT */
/* Which rows a claim brings, as store/store.h has it. */
#include <stdlib.h>

#include "database.h"

struct candidate {
	int64_t seq;
	usec_t due;
};

struct selection {
	const struct database *database;
	const struct outbox_claim *claim;
	usec_t now;
	bool picked[OUTBOX_MAX + 1];
	bool due[OUTBOX_MAX + 1];
	bool more;
};

static bool is_busy(const struct outbox_claim *claim, int64_t seq)
{
	for (size_t i = 0; i < claim->busy_count; i++)
		if (claim->busy[i] == seq)
			return true;
	return false;
}

static bool waits_in_key(const struct row *other, const struct row *row)
{
	return row_is_pending(other) && other->next_retry_at != 0 &&
	       span_equal(other->key, row->key);
}

/* The first waiting row of its key, 0 if there is none. */
static int64_t head_of(const struct database *database, int64_t seq)
{
	const struct row *row = row_at(database, seq);

	for (int64_t i = 1; row->key.len > 0 && i <= database->last_seq; i++)
		if (waits_in_key(row_at(database, i), row))
			return i;
	return 0;
}

/* The last waiting row before it in its key: what holds it back. */
static int64_t holder_of(const struct database *database, int64_t seq)
{
	const struct row *row = row_at(database, seq);

	for (int64_t i = seq - 1; row->key.len > 0 && i > 0; i--)
		if (waits_in_key(row_at(database, i), row))
			return i;
	return 0;
}

static int by_due(const void *left, const void *right)
{
	const struct candidate *a = left;
	const struct candidate *b = right;

	if (a->due != b->due)
		return a->due < b->due ? -1 : 1;
	return (a->seq > b->seq) - (a->seq < b->seq);
}

static size_t list_due(const struct selection *selection,
		       struct candidate *list)
{
	const struct database *database = selection->database;
	size_t count = 0;

	for (int64_t seq = 1; seq <= database->last_seq; seq++) {
		const struct row *row = row_at(database, seq);
		int64_t head;

		if (!row_is_pending(row) || row->next_retry_at == 0 ||
		    row->next_retry_at > selection->now)
			continue;
		head = head_of(database, seq);
		if (head == 0 ||
		    row_at(database, head)->next_retry_at <= selection->now)
			list[count++] =
				(struct candidate){seq, row->next_retry_at};
	}
	qsort(list, count, sizeof(*list), by_due);
	return count;
}

/* Those that have waited longest, each with the first waiting row of its
 * key. */
static void select_due(struct selection *selection)
{
	const struct database *database = selection->database;
	struct candidate list[OUTBOX_MAX];
	size_t count = list_due(selection, list);
	size_t chosen = 0;

	for (size_t i = 0; i < count; i++) {
		int64_t seq = list[i].seq;
		int64_t head = head_of(database, seq);

		selection->more = chosen >= selection->claim->limit;
		if (selection->more)
			break;
		if (is_busy(selection->claim, seq) ||
		    (head != 0 && is_busy(selection->claim, head)))
			continue;
		selection->due[seq] = true;
		chosen++;
		if (holder_of(database, seq) != 0) {
			selection->due[head] = true;
			chosen++;
		}
	}
}

static bool is_fresh(const struct selection *selection, int64_t seq)
{
	const struct row *row = row_at(selection->database, seq);

	return row_is_pending(row) && row->next_retry_at == 0 &&
	       seq > selection->claim->after_seq &&
	       !is_busy(selection->claim, seq);
}

/* Between a holder below after_seq and the row there may be fresh rows of the
 * key, which this claim does not see. */
static bool is_held(const struct selection *selection, int64_t seq)
{
	int64_t holder = holder_of(selection->database, seq);

	return holder != 0 && (holder <= selection->claim->after_seq ||
			       !selection->picked[holder]);
}

static size_t select_rows(struct selection *selection)
{
	size_t count = 0;

	select_due(selection);
	for (int64_t seq = 1; seq <= selection->database->last_seq; seq++) {
		if (!selection->due[seq] && !is_fresh(selection, seq))
			continue;
		if (count == selection->claim->limit) {
			selection->more = true;
			break;
		}
		selection->picked[seq] = !is_held(selection, seq);
		count += selection->picked[seq];
	}
	return count;
}

static struct span keep(struct outbox_batch *batch, struct span span)
{
	return arena_copy(&batch->arena, span);
}

static void read_row(const struct database *database, usec_t now, int64_t seq,
		     struct outbox_batch *batch, struct outbox_row *out)
{
	const struct row *row = row_at(database, seq);
	usec_t left = row->expires_at - now;

	*out = (struct outbox_row){.seq = seq};
	memcpy(out->id, row->id, sizeof(out->id));
	out->envelope = row->envelope;
	out->envelope.message_id = keep(batch, row->envelope.message_id);
	out->envelope.topic = keep(batch, row->envelope.topic);
	out->envelope.payload = keep(batch, row->envelope.payload);
	if (out->envelope.chain_depth == CHAIN_DEPTH_ABSENT)
		out->envelope.chain_depth = 0;
	out->ordering_key = keep(batch, row->key);
	out->retry_count = row->retry_count;
	out->created_at = seq; /* so the broker can tell whose message it is */
	out->expired = row->expires_at != 0 && left <= 0;
	if (row->expires_at != 0 && left > 0)
		out->expires_in = (left + USEC_PER_SEC - 1) / USEC_PER_SEC;
}

static usec_t next_due_in(const struct database *database, usec_t now)
{
	usec_t next = USEC_NEVER;

	for (int64_t seq = 1; seq <= database->last_seq; seq++) {
		const struct row *row = row_at(database, seq);

		if (row_is_pending(row) && row->next_retry_at > now &&
		    row->next_retry_at - now < next)
			next = row->next_retry_at - now;
	}
	return next;
}

static void read_rows(struct selection *selection, size_t count,
		      struct outbox_batch *batch)
{
	size_t bytes = 0;

	batch->rows = arena_alloc(&batch->arena, count * sizeof(*batch->rows));
	for (int64_t seq = 1; batch->count < count; seq++) {
		if (!selection->picked[seq])
			continue;
		read_row(selection->database, selection->now, seq, batch,
			 &batch->rows[batch->count++]);
		bytes += row_at(selection->database, seq)->envelope.payload.len;
		if (bytes >= selection->claim->max_bytes)
			break;
	}
	selection->more = selection->more || batch->count < count;
}

void database_claim(const struct database *database, usec_t now,
		    const struct outbox_claim *claim,
		    struct outbox_batch *batch)
{
	struct selection selection = {
		.database = database, .claim = claim, .now = now};
	size_t count = select_rows(&selection);

	if (count > 0)
		read_rows(&selection, count, batch);
	batch->next_due_in = selection.more ? 0 : next_due_in(database, now);
}
