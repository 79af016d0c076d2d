/* SPDX-License-Identifier: MIT */
/* Accepting inbound messages on PostgreSQL: each once, the hopeless aside. */
#include "base/testing.h"
#include "store/postgres.h"
#include "store/text.h"

/* What one statement carries, so that memory stays small. */
enum { CHUNK_BYTES = 1024 * 1024 };

/* The columns of an inbox row that come from the message. */
static const struct inbox_column {
	const char *name;
	Oid type;
	size_t offset; /* of a span in struct inbox_row */
} columns[] = {
#define COLUMN(name, member)                                             \
	{                                                                \
#name, POSTGRES_TEXT, offsetof(struct inbox_row, member) \
	}
	COLUMN(message_id, envelope.message_id),
	COLUMN(topic, envelope.topic),
	COLUMN(event_type, envelope.event_type),
	COLUMN(message_type, envelope.message_type),
	COLUMN(message_status, envelope.status),
	COLUMN(request_id, envelope.request_id),
	COLUMN(parent_request_id, envelope.parent_request_id),
	COLUMN(reply_to, envelope.reply_to),
	COLUMN(source_service, envelope.source_service),
	COLUMN(ordering_key, ordering_key),
#undef COLUMN
	{"payload", POSTGRES_JSONB,
	 offsetof(struct inbox_row, envelope.payload)},
	{"headers", POSTGRES_JSONB, offsetof(struct inbox_row, headers)},
};
enum { COLUMNS = sizeof(columns) / sizeof(*columns) };

/* Rows come back in the order given, and of one message_id the first. */
static const char insert_sql[] =
	"INSERT INTO @.event_bus_inbound_event (config_key, broker_type, "
	"message_id, topic, event_type, message_type, message_status, "
	"request_id, parent_request_id, reply_to, source_service, "
	"ordering_key, payload, headers, chain_depth) "
	"SELECT $1, $2, g.* FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, "
	"$12, $13, $14, $15) AS g "
	"ON CONFLICT (message_id) WHERE message_id IS NOT NULL DO NOTHING "
	"RETURNING message_id";

/* What was there before counts as the same once it has been purged. */
static const char compare_sql[] =
	"SELECT coalesce((SELECT i.payload = g.payload "
	"FROM @.event_bus_inbound_event i WHERE i.message_id = g.message_id "
	"AND i.message_id IS NOT NULL), true) "
	"FROM unnest($1, $2) AS g (message_id, payload)";

static const char reject_sql[] =
	"INSERT INTO @.event_bus_rejected_message "
	"(config_key, broker_type, topic, message_id, body, reason) "
	"SELECT $1, $2, g.* FROM unnest($3, $4, $5, $6) AS g";

struct accepting {
	struct inbox_batch *batch;
	size_t from, to; /* the rows of the statement under way */
	size_t at;	 /* the next of them to look at */
	bool alone;	 /* each statement is a transaction of its own */
};

/* ---- rows in, in chunks ---- */

typedef bool wanted_fn(const struct inbox_row *row);
typedef int chunk_fn(struct postgres_store *store, struct accepting *accepting,
		     struct error *err);

static bool is_new(const struct inbox_row *row)
{
	return !span_present(row->rejected);
}

static bool is_seen(const struct inbox_row *row)
{
	return row->result == INBOX_DUPLICATE;
}

static bool is_rejected(const struct inbox_row *row)
{
	return row->result == INBOX_CONFLICT || row->result == INBOX_REJECTED;
}

static size_t bytes_of(const struct inbox_row *row)
{
	return row->envelope.payload.len + row->headers.len + row->body.len;
}

/* Runs `work` over the wanted rows, as many at a time as a chunk holds; the
 * others between them are for work to skip. */
static int each_chunk(struct postgres_store *store, struct accepting *accepting,
		      wanted_fn *wanted, chunk_fn *work, struct error *err)
{
	const struct inbox_batch *batch = accepting->batch;
	size_t bytes = 0;
	size_t count = 0;
	int status = 0;

	accepting->from = 0;
	for (size_t i = 0; status == 0 && i < batch->count; i++) {
		if (wanted(&batch->rows[i])) {
			bytes += bytes_of(&batch->rows[i]);
			count++;
		}
		if (count == 0 || (bytes < CHUNK_BYTES && i + 1 < batch->count))
			continue;
		accepting->at = accepting->from;
		accepting->to = i + 1;
		status = work(store, accepting, err);
		accepting->from = i + 1;
		bytes = count = 0;
	}
	return status;
}

/* The next wanted row of the chunk, NULL after the last. */
static struct inbox_row *next_row(struct accepting *accepting,
				  wanted_fn *wanted)
{
	while (accepting->at < accepting->to) {
		struct inbox_row *row =
			&accepting->batch->rows[accepting->at++];

		if (wanted(row))
			return row;
	}
	return NULL;
}

static void start_query(struct postgres_query *query, const char *sql,
			const struct inbox_batch *batch)
{
	postgres_query_init(query, sql);
	postgres_add_string(query, batch->config_key);
	postgres_add_string(query, batch->broker_type);
}

/* ---- into the inbox ---- */

static void add_row(struct postgres_array *arrays, const struct inbox_row *row)
{
	for (int i = 0; i < COLUMNS; i++)
		postgres_array_add(
			&arrays[i],
			*(const struct span *)(const void *)((const char *)row +
							     columns[i]
								     .offset));
	postgres_array_add_integer(&arrays[COLUMNS], row->envelope.chain_depth);
}

static void start_insert(struct postgres_query *query,
			 const struct accepting *accepting)
{
	start_query(query, insert_sql, accepting->batch);
	query->commits = accepting->alone;
}

static int send_insert(struct postgres_store *store,
		       struct accepting *accepting, struct error *err)
{
	struct postgres_array arrays[COLUMNS + 1];
	struct postgres_query query;
	struct inbox_row *row;
	int status;

	for (int i = 0; i < COLUMNS; i++)
		postgres_array_init(&arrays[i], columns[i].type,
				    columns[i].name);
	postgres_array_init(&arrays[COLUMNS], POSTGRES_BIGINT, "chain_depth");
	while ((row = next_row(accepting, is_new)) != NULL)
		add_row(arrays, row);
	start_insert(&query, accepting);
	for (int i = 0; i <= COLUMNS; i++)
		postgres_add_array(&query, &arrays[i]);
	status = postgres_send(store, &query, err);
	for (int i = 0; i <= COLUMNS; i++)
		postgres_array_finish(&arrays[i]);
	return status;
}

static bool is_it(const struct inbox_row *row, const PGresult *inserted, int at)
{
	struct span message_id = row->envelope.message_id;

	if (PQgetisnull(inserted, at, 0) || !span_present(message_id))
		return PQgetisnull(inserted, at, 0) &&
		       !span_present(message_id);
	return span_equal(message_id,
			  (struct span){PQgetvalue(inserted, at, 0),
					(size_t)PQgetlength(inserted, at, 0)});
}

/* Every new row counts as seen until the server says that it was inserted. */
static int note_inserted(struct postgres_store *store,
			 struct accepting *accepting, struct error *err)
{
	struct postgres_query query;
	PGresult *inserted;
	struct inbox_row *row;
	int status;

	start_insert(&query, accepting);
	status = postgres_answer(store, &query, &inserted, err);
	testing_crash_point("inserted");
	if (status < 0)
		return status;
	accepting->at = accepting->from;
	for (int i = 0; i < PQntuples(inserted); i++) {
		do
			row = next_row(accepting, is_new);
		while (row != NULL && !is_it(row, inserted, i));
		if (row != NULL)
			row->result = INBOX_ACCEPTED;
	}
	PQclear(inserted);
	return 0;
}

static int insert_chunk(struct postgres_store *store,
			struct accepting *accepting, struct error *err)
{
	int status = send_insert(store, accepting, err);

	return status < 0 ? status : note_inserted(store, accepting, err);
}

/* ---- what was seen before ---- */

static int note_same(void *context, const PGresult *result, struct error *err)
{
	struct inbox_row *row = next_row(context, is_seen);

	(void)err;
	if (row != NULL && !postgres_boolean(result, 0))
		row->result = INBOX_CONFLICT;
	return 0;
}

static int compare_chunk(struct postgres_store *store,
			 struct accepting *accepting, struct error *err)
{
	struct postgres_array message_ids, payloads;
	struct postgres_query query;
	struct inbox_row *row;
	int status;

	postgres_array_init(&message_ids, POSTGRES_TEXT, "message_id");
	postgres_array_init(&payloads, POSTGRES_JSONB, "payload");
	while ((row = next_row(accepting, is_seen)) != NULL) {
		postgres_array_add(&message_ids, row->envelope.message_id);
		postgres_array_add(&payloads, row->envelope.payload);
	}
	postgres_query_init(&query, compare_sql);
	postgres_add_array(&query, &message_ids);
	postgres_add_array(&query, &payloads);
	accepting->at = accepting->from;
	status = postgres_run(store, &query, note_same, accepting, err);
	postgres_array_finish(&message_ids);
	postgres_array_finish(&payloads);
	return status;
}

/* ---- into rejected ---- */

enum { TOPIC, MESSAGE_ID, BODY, REASON, REJECT_COLUMNS };

static int add_rejected(struct postgres_array *arrays,
			const struct inbox_row *row, struct arena *arena,
			struct error *err)
{
	struct span reason = row->result == INBOX_CONFLICT
				     ? SPAN_LIT(STORE_CONFLICT_REASON)
				     : row->rejected;
	const struct span texts[] = {
		[TOPIC] = row->envelope.topic,
		[MESSAGE_ID] = row->envelope.message_id,
		[REASON] = reason,
	};

	for (int i = 0; i < REJECT_COLUMNS; i++) {
		struct span clean = row->body;
		int status = 0;

		if (i != BODY)
			status = text_clean(texts[i], arena, &clean, err);
		else if (!span_present(clean))
			clean = SPAN_LIT("");
		if (status < 0)
			return status;
		postgres_array_add(&arrays[i], clean);
	}
	return 0;
}

static int reject_chunk(struct postgres_store *store,
			struct accepting *accepting, struct error *err)
{
	struct postgres_array arrays[REJECT_COLUMNS];
	struct arena arena = {0};
	struct postgres_query query;
	struct inbox_row *row;
	int status = 0;

	for (int i = 0; i < REJECT_COLUMNS; i++)
		postgres_array_init(&arrays[i],
				    i == BODY ? POSTGRES_BYTEA : POSTGRES_TEXT,
				    "a rejected message");
	while (status == 0 && (row = next_row(accepting, is_rejected)) != NULL)
		status = add_rejected(arrays, row, &arena, err);
	start_query(&query, reject_sql, accepting->batch);
	query.commits = accepting->alone;
	for (int i = 0; i < REJECT_COLUMNS; i++)
		postgres_add_array(&query, &arrays[i]);
	if (status == 0)
		status = postgres_run(store, &query, NULL, NULL, err);
	for (int i = 0; i < REJECT_COLUMNS; i++)
		postgres_array_finish(&arrays[i]);
	arena_finish(&arena);
	return status;
}

/* ---- the batch ---- */

static void expect_duplicates(struct inbox_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		batch->rows[i].result = is_new(&batch->rows[i])
						? INBOX_DUPLICATE
						: INBOX_REJECTED;
}

/* What is left once the new rows are in. */
static int judge_the_rest(struct postgres_store *store,
			  struct accepting *accepting, struct error *err)
{
	int status = each_chunk(store, accepting, is_seen, compare_chunk, err);

	if (status < 0)
		return status;
	return each_chunk(store, accepting, is_rejected, reject_chunk, err);
}

static int accept_rows(struct postgres_store *store, void *context,
		       struct error *err)
{
	struct accepting *accepting = context;
	int status;

	expect_duplicates(accepting->batch);
	status = each_chunk(store, accepting, is_new, insert_chunk, err);
	return status < 0 ? status : judge_the_rest(store, accepting, err);
}

/* Whether one statement inserts all of it, and all that may be left to do then
 * is to reject what was seen before with another payload. */
static bool is_one_insert(const struct inbox_batch *batch)
{
	size_t bytes = 0;

	for (size_t i = 0; i < batch->count; i++) {
		bytes += bytes_of(&batch->rows[i]);
		if (!is_new(&batch->rows[i]) || bytes >= CHUNK_BYTES)
			return false;
	}
	return true;
}

/*
 * As a rule one trip to the server does it. If a failure comes between the
 * insert and a rejection after it, the rows are told as duplicates when the
 * batch is accepted again, and what is to be rejected then is.
 */
int postgres_accept(struct store *store, struct inbox_batch *batch,
		    struct error *err)
{
	struct accepting accepting = {.batch = batch,
				      .alone = is_one_insert(batch)};

	if (accepting.alone)
		return postgres_call(store, accept_rows, &accepting, err);
	return postgres_transaction(store, accept_rows, &accepting, err);
}

/* ---- the batch, in two parts ---- */

static struct accepting all_alone(struct inbox_batch *batch)
{
	return (struct accepting){
		.batch = batch, .to = batch->count, .alone = true};
}

int postgres_accept_begin(struct store *base, struct inbox_batch *batch,
			  struct error *err)
{
	struct postgres_store *store = postgres_of(base);
	struct accepting accepting = all_alone(batch);
	int status;

	if (store->conn == NULL || !is_one_insert(batch))
		return STATUS_BUSY;
	postgres_enter(store);
	expect_duplicates(batch);
	status = send_insert(store, &accepting, err);
	postgres_leave(store);
	return status;
}

int postgres_accept_end(struct store *base, struct inbox_batch *batch,
			struct error *err)
{
	struct postgres_store *store = postgres_of(base);
	struct accepting accepting = all_alone(batch);
	int status;

	store->again = false;
	status = note_inserted(store, &accepting, err);
	if (status == 0)
		status = judge_the_rest(store, &accepting, err);
	postgres_leave(store);
	if (status < 0 && store->again && store->conn != NULL)
		return postgres_accept(base, batch, err);
	return status;
}
