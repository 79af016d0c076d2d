/* SPDX-License-Identifier: MIT */
/* Writing outbox rows on PostgreSQL: their outcomes, and new ones. */
#include <stdio.h>

#include "store/postgres.h"
#include "store/row.h"
#include "store/text.h"

/*
 * One statement, one transaction. It need not be on disk at once: what a
 * crash takes away is published again, and the receiver drops it.
 */
#define NOT_ON_DISK "FROM set_config('synchronous_commit', 'off', true)"

static const char settle_sql[] =
	"UPDATE @.event_bus_outbound_event AS o SET status = s.status, "
	"published = s.status = 'published', "
	"published_at = CASE s.status WHEN 'published' THEN now() END, "
	"next_retry_at = now() + s.delay * interval '1 microsecond', "
	"retry_count = greatest(o.retry_count, s.attempts::integer), "
	"last_error = s.reason, updated_at = now() " NOT_ON_DISK ", "
	"unnest($1, $2, $3, $4, $5) "
	"AS s (seq, status, delay, attempts, reason) "
	"WHERE o.seq = s.seq AND o.status = 'pending'";

/* The same where all went well, for less. */
static const char published_sql[] =
	"UPDATE @.event_bus_outbound_event SET status = 'published', "
	"published = true, published_at = now(), next_retry_at = NULL, "
	"last_error = NULL, updated_at = now() " NOT_ON_DISK " "
	"WHERE seq = ANY ($1) AND status = 'pending'";

struct settling {
	const struct outcome *outcomes;
	size_t count;
};

enum { SEQ, STATUS, DELAY, ATTEMPTS, REASON, SETTLE_COLUMNS };

static bool all_went_well(const struct settling *settling)
{
	for (size_t i = 0; i < settling->count; i++)
		if (settling->outcomes[i].kind != OUTCOME_PUBLISHED ||
		    span_present(settling->outcomes[i].reason))
			return false;
	return true;
}

static int add_outcome(struct postgres_array *columns,
		       const struct outcome *outcome, struct arena *arena,
		       struct error *err)
{
	bool retry = outcome->kind == OUTCOME_RETRY;
	struct span reason;
	int status = text_clean(outcome->reason, arena, &reason, err);

	if (status < 0)
		return status;
	postgres_array_add_integer(&columns[SEQ], outcome->seq);
	postgres_array_add(&columns[STATUS],
			   span_of(row_status_after(outcome->kind)));
	if (retry)
		postgres_array_add_integer(&columns[DELAY], outcome->delay);
	else
		postgres_array_add(&columns[DELAY], SPAN_NONE);
	postgres_array_add_integer(&columns[ATTEMPTS], outcome->attempts);
	postgres_array_add(&columns[REASON], reason);
	return 0;
}

/* Sends `sql` over the columns, and ends them. */
static int send_columns(struct postgres_store *store, const char *sql,
			struct postgres_array *columns, int count, int status,
			struct error *err)
{
	struct postgres_query query;

	postgres_query_init(&query, sql);
	for (int i = 0; i < count; i++)
		postgres_add_array(&query, &columns[i]);
	if (status == 0)
		status = postgres_send(store, &query, err);
	for (int i = 0; i < count; i++)
		postgres_array_finish(&columns[i]);
	return status;
}

static int send_published(struct postgres_store *store,
			  const struct settling *settling, struct error *err)
{
	struct postgres_array seqs;

	postgres_array_init(&seqs, POSTGRES_BIGINT, "an outcome");
	for (size_t i = 0; i < settling->count; i++)
		postgres_array_add_integer(&seqs, settling->outcomes[i].seq);
	return send_columns(store, published_sql, &seqs, 1, 0, err);
}

static int send_mixed(struct postgres_store *store,
		      const struct settling *settling, struct error *err)
{
	static const Oid types[SETTLE_COLUMNS] = {
		[SEQ] = POSTGRES_BIGINT,   [STATUS] = POSTGRES_TEXT,
		[DELAY] = POSTGRES_BIGINT, [ATTEMPTS] = POSTGRES_BIGINT,
		[REASON] = POSTGRES_TEXT,
	};
	struct postgres_array columns[SETTLE_COLUMNS];
	struct arena arena = {0};
	int status = 0;

	for (int i = 0; i < SETTLE_COLUMNS; i++)
		postgres_array_init(&columns[i], types[i], "an outcome");
	for (size_t i = 0; status == 0 && i < settling->count; i++)
		status = add_outcome(columns, &settling->outcomes[i], &arena,
				     err);
	status = send_columns(store, settle_sql, columns, SETTLE_COLUMNS,
			      status, err);
	arena_finish(&arena);
	return status;
}

static int send_settle(struct postgres_store *store,
		       const struct settling *settling, struct error *err)
{
	int status = postgres_check_lock(store, err);

	if (status < 0)
		return status;
	return all_went_well(settling) ? send_published(store, settling, err)
				       : send_mixed(store, settling, err);
}

static int hear_settled(struct postgres_store *store, struct error *err)
{
	struct postgres_query query = {.commits = true};
	PGresult *answer = NULL;
	int status = postgres_answer(store, &query, &answer, err);

	PQclear(answer);
	return status;
}

static int settle_rows(struct postgres_store *store, void *context,
		       struct error *err)
{
	int status = send_settle(store, context, err);

	return status < 0 ? status : hear_settled(store, err);
}

int postgres_settle(struct store *store, const struct outcome *outcomes,
		    size_t count, struct error *err)
{
	struct settling settling = {outcomes, count};

	return postgres_call(store, settle_rows, &settling, err);
}

/* ---- the same in two parts ---- */

int postgres_settle_begin(struct store *base, const struct outcome *outcomes,
			  size_t count, struct error *err)
{
	struct postgres_store *store = postgres_of(base);
	const struct settling settling = {outcomes, count};
	int status;

	if (store->conn == NULL)
		return STATUS_BUSY;
	postgres_enter(store);
	status = send_settle(store, &settling, err);
	postgres_leave(store);
	return status;
}

int postgres_settle_end(struct store *base, const struct outcome *outcomes,
			size_t count, struct error *err)
{
	struct postgres_store *store = postgres_of(base);
	int status;

	store->again = false;
	status = hear_settled(store, err);
	postgres_leave(store);
	if (status < 0 && store->again && store->conn != NULL)
		return postgres_settle(base, outcomes, count, err);
	return status;
}

/* ---- enqueue ---- */

static const char enqueue_sql[] =
	"INSERT INTO @.event_bus_outbound_event (config_key, topic, "
	"message_type, message_id, event_type, request_id, parent_request_id, "
	"chain_depth, reply_to, message_status, source_service, payload, "
	"headers, ordering_key, next_retry_at, expires_at) "
	"VALUES ($1, coalesce($2, ''), coalesce($3, 'event'), $4, $5, $6, $7, "
	"greatest($8, 0)::integer, $9, $10, $11, coalesce($12, '{}')::jsonb, "
	"$13::jsonb, $14, "
	"CASE WHEN $15 > 0 THEN now() + $15 * interval '1 microsecond' END, "
	"CASE WHEN $16 > 0 THEN now() + $16 * interval '1 microsecond' END) "
	"RETURNING id";

struct enqueuing {
	const char *config_key;
	const struct outbox_row *row;
	usec_t delay;
	usec_t expires;
	char *id;
};

static int read_id(void *context, const PGresult *row, struct error *err)
{
	(void)err;
	snprintf(context, UUID_TEXT_SIZE, "%.*s",
		 SPAN_ARG(postgres_text(row, 0)));
	return 0;
}

static int insert_row(struct postgres_store *store, void *context,
		      struct error *err)
{
	const struct enqueuing *enqueuing = context;
	const struct outbox_row *row = enqueuing->row;
	const struct envelope *envelope = &row->envelope;
	struct postgres_query query;

	postgres_query_init(&query, enqueue_sql);
	query.commits = true;
	postgres_add_string(&query, enqueuing->config_key);
	postgres_add_text(&query, envelope->topic);
	postgres_add_text(&query, envelope->message_type);
	postgres_add_text(&query, envelope->message_id);
	postgres_add_text(&query, envelope->event_type);
	postgres_add_text(&query, envelope->request_id);
	postgres_add_text(&query, envelope->parent_request_id);
	postgres_add_integer(&query, envelope->chain_depth);
	postgres_add_text(&query, envelope->reply_to);
	postgres_add_text(&query, envelope->status);
	postgres_add_text(&query, envelope->source_service);
	postgres_add_text(&query, envelope->payload);
	postgres_add_text(&query, row->headers);
	postgres_add_text(&query, row->ordering_key);
	postgres_add_integer(&query, enqueuing->delay);
	postgres_add_integer(&query, enqueuing->expires);
	return postgres_run(store, &query, read_id, enqueuing->id, err);
}

int postgres_enqueue(struct store *store, const char *config_key,
		     const struct outbox_row *row, usec_t delay, usec_t expires,
		     char id[UUID_TEXT_SIZE], struct error *err)
{
	char fresh[UUID_TEXT_SIZE] = "";
	struct enqueuing enqueuing = {config_key, row, delay, expires, fresh};
	int status = postgres_call(store, insert_row, &enqueuing, err);

	if (status == 0)
		memcpy(id, fresh, sizeof(fresh));
	return status;
}
