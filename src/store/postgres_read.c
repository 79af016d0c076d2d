/* SPDX-License-Identifier: MIT */
/*
 * Reading claimed rows from PostgreSQL.
 *
 * A jsonb may expand to gigabytes, or its pages be damaged: then the statement
 * fails, after the rows before that one have come. The next is read alone, and
 * is broken if it fails again. A row that is not read in time may cost the
 * session, as a server that expands a value listens to nobody: what is
 * suspected outlives it.
 */
#include <stdio.h>

#include "store/postgres_read.h"
#include "store/row.h"

/* No message may be as large; and how often a row that takes too long is tried
 * before that is the row's own fault. */
enum { PAYLOAD_MAX = 64 * 1024 * 1024, TRIES = 3 };

enum {
	READ_SEQ,
	READ_ID,
	READ_CHAIN_DEPTH,
	READ_RETRY_COUNT,
	READ_CREATED_AT,
	READ_EXPIRED,
	READ_EXPIRES_IN,
	READ_TEXTS,
};

/* A text is cut where it is too long by any rule. */
static const char read_sql[] =
	"SELECT o.seq, o.id, o.chain_depth, o.retry_count, "
	"floor(extract(epoch FROM CASE WHEN isfinite(o.created_at) "
	"THEN o.created_at ELSE now() END))::bigint, "
	"coalesce(o.expires_at <= now(), false), "
	"coalesce(CASE WHEN isfinite(o.expires_at) THEN "
	"floor(extract(epoch FROM o.expires_at - now()))::bigint + 1 END, 0), "
	"left(o.topic, 300), left(o.message_type, 300), "
	"left(o.message_id, 300), left(o.event_type, 300), "
	"left(o.request_id, 300), left(o.parent_request_id, 300), "
	"left(o.reply_to, 300), left(o.message_status, 300), "
	"left(o.source_service, 300), left(o.payload::text, 67108865), "
	"left(o.headers::text, 67108865), o.ordering_key "
	"FROM @.event_bus_outbound_event o "
	"WHERE o.seq = ANY ($1) AND o.status = 'pending' ORDER BY o.seq";

struct reading {
	const struct postgres_pick *picks; /* not read yet */
	size_t count;
	size_t max_bytes;
	size_t bytes; /* of the rows read */
	struct outbox_batch *batch;
};

/* ---- one row ---- */

static int read_text(const PGresult *result, int column, struct outbox_row *row,
		     struct span *member, struct arena *arena)
{
	struct span text = postgres_text(result, column);

	if (text.len == 0)
		return 0;
	if (text.len > PAYLOAD_MAX)
		return row_break(row, PQfname(result, column), "over 64 MiB",
				 arena);
	*member = arena_copy(arena, text);
	return span_present(*member) ? 0 : STATUS_NO_MEMORY;
}

static int read_row(void *context, const PGresult *result, struct error *err)
{
	struct reading *reading = context;
	struct outbox_batch *batch = reading->batch;
	struct outbox_row *row = &batch->rows[batch->count];
	struct span *member;
	int status = 0;

	if (reading->bytes >= reading->max_bytes)
		return 0;
	*row = (struct outbox_row){.seq = postgres_integer(result, READ_SEQ)};
	envelope_init(&row->envelope);
	snprintf(row->id, sizeof(row->id), "%.*s",
		 SPAN_ARG(postgres_text(result, READ_ID)));
	row->envelope.chain_depth = postgres_integer(result, READ_CHAIN_DEPTH);
	row->retry_count = postgres_integer(result, READ_RETRY_COUNT);
	row->created_at = postgres_integer(result, READ_CREATED_AT);
	row->expired = postgres_boolean(result, READ_EXPIRED);
	row->expires_in = postgres_integer(result, READ_EXPIRES_IN);
	if (row->envelope.chain_depth < 0)
		status = row_break(row, "chain_depth", "less than 0",
				   &batch->arena);
	for (int i = 0; status == 0 && (member = row_text(row, i)) != NULL; i++)
		status = read_text(result, READ_TEXTS + i, row, member,
				   &batch->arena);
	if (status < 0)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for an outbox row");
	batch->count++;
	reading->bytes += row_bytes(row);
	return 0;
}

/* ---- portions ---- */

/* As many as there is room for, going by what they take on disk. */
static size_t portion_of(const struct postgres_store *store,
			 const struct reading *reading)
{
	size_t room = reading->max_bytes - reading->bytes;
	size_t count = 0;

	if (reading->picks->seq <= store->suspect.near)
		return 1;
	while (count < reading->count && room > 0) {
		size_t size = reading->picks[count++].size;

		room -= size < room ? size : room;
	}
	return count;
}

static void skip(struct reading *reading, size_t count)
{
	reading->picks += count;
	reading->count -= count;
}

static void skip_up_to(struct reading *reading, int64_t seq)
{
	while (reading->count > 0 && reading->picks->seq <= seq)
		skip(reading, 1);
}

static int read_portion(struct postgres_store *store, struct reading *reading,
			size_t count, struct error *err)
{
	const struct outbox_batch *batch = reading->batch;
	struct postgres_query query;
	struct postgres_array seqs;
	int status;

	postgres_array_init(&seqs, POSTGRES_BIGINT, "a claim");
	for (size_t i = 0; i < count; i++)
		postgres_array_add_integer(&seqs, reading->picks[i].seq);
	postgres_query_init(&query, read_sql);
	postgres_add_array(&query, &seqs);
	status = postgres_run(store, &query, read_row, reading, err);
	postgres_array_finish(&seqs);
	if (status == 0)
		skip(reading, count);
	else if (batch->count > 0)
		skip_up_to(reading, batch->rows[batch->count - 1].seq);
	return status;
}

/* ---- rows that cannot be read ---- */

/* A server may be slow for other reasons: only one that is slow with this very
 * row, time after time, is taken at its word. */
static bool is_convicted(const struct postgres_store *store, int64_t seq)
{
	return store->suspect.seq == seq && store->suspect.times >= TRIES;
}

static void suspect(struct postgres_store *store, int64_t seq)
{
	if (store->suspect.seq != seq)
		store->suspect.times = 0;
	store->suspect.seq = seq;
	store->suspect.times++;
}

static int add_broken(struct reading *reading, const char *why,
		      struct error *err)
{
	struct outbox_batch *batch = reading->batch;
	struct outbox_row *row = &batch->rows[batch->count];

	*row = (struct outbox_row){.seq = reading->picks->seq};
	envelope_init(&row->envelope);
	row->broken = arena_copy(&batch->arena, span_of(why));
	if (!span_present(row->broken))
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for an outbox row");
	batch->count++;
	skip(reading, 1);
	return 0;
}

/* What is to be thought of the `left` rows, up to the seq `last`, that a read
 * has not brought. 0: it is dealt with, reading may go on. A session that was
 * lost may have kept rows to itself that come before the one to blame. */
static int blame(struct postgres_store *store, struct reading *reading,
		 size_t left, int64_t last, const struct error *why,
		 struct error *err)
{
	bool certain = why->status == STATUS_INVALID && left > 0;

	if (left > 1 && (certain || store->row_fault))
		store->suspect.near = store->lost ? last : reading->picks->seq;
	if (certain)
		return left > 1 ? 0 : add_broken(reading, why->text, err);
	if (left == 1 && store->row_fault)
		suspect(store, reading->picks->seq);
	if (err != NULL)
		*err = *why;
	return why->status;
}

/* Of the next portion, or of the row that is not to be read any more. */
static int read_next(struct postgres_store *store, struct reading *reading,
		     struct error *err)
{
	size_t count = portion_of(store, reading);
	const struct postgres_pick *end = reading->picks + count;
	struct error why;

	if (is_convicted(store, reading->picks->seq))
		return add_broken(reading,
				  "the database took too long to read this "
				  "row, each time",
				  err);
	if (read_portion(store, reading, count, &why) < 0)
		return blame(store, reading, (size_t)(end - reading->picks),
			     end[-1].seq, &why, err);
	if (reading->count == 0)
		store->suspect.near = 0;
	return 0;
}

int postgres_read_rows(struct postgres_store *store,
		       const struct outbox_claim *claim,
		       const struct postgres_pick *picks, size_t count,
		       struct outbox_batch *batch, struct error *err)
{
	struct reading reading = {picks, count, claim->max_bytes, 0, batch};
	int status = 0;

	batch->rows =
		arena_alloc(&batch->arena, (count + 1) * sizeof(*batch->rows));
	if (batch->rows == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a claim");
	while (status == 0 && reading.count > 0 &&
	       reading.bytes < reading.max_bytes)
		status = read_next(store, &reading, err);
	return batch->count > 0 && !store->lost ? 0 : status;
}
