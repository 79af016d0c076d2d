/* SPDX-License-Identifier: MIT */
/* Accepting inbound messages on SQLite: each once, the hopeless kept aside. */
#include "base/testing.h"
#include "store/query.h"
#include "store/sqlite.h"
#include "store/text.h"

static const char insert_sql[] =
	"INSERT INTO event_bus_inbound_event (config_key, broker_type, "
	"message_id, topic, event_type, message_type, message_status, "
	"request_id, parent_request_id, chain_depth, reply_to, "
	"source_service, payload, headers, ordering_key) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
	"?15) ON CONFLICT (message_id) WHERE message_id IS NOT NULL "
	"DO NOTHING";

static const char same_sql[] =
	"SELECT payload = ?2 FROM event_bus_inbound_event "
	"WHERE message_id = ?1";

static const char reject_sql[] =
	"INSERT INTO event_bus_rejected_message "
	"(config_key, broker_type, topic, message_id, body, reason) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

static int insert_row(struct sqlite_store *store,
		      const struct inbox_batch *batch,
		      const struct inbox_row *row, bool *inserted,
		      struct error *err)
{
	const struct envelope *envelope = &row->envelope;
	sqlite3_stmt *statement;
	int status = sqlite_prepare(store, insert_sql, &statement, err);

	if (status < 0)
		return status;
	sqlite_bind_string(statement, 1, batch->config_key);
	sqlite_bind_string(statement, 2, batch->broker_type);
	sqlite_bind_span(statement, 3, envelope->message_id);
	sqlite_bind_span(statement, 4, envelope->topic);
	sqlite_bind_span(statement, 5, envelope->event_type);
	sqlite_bind_span(statement, 6, envelope->message_type);
	sqlite_bind_span(statement, 7, envelope->status);
	sqlite_bind_span(statement, 8, envelope->request_id);
	sqlite_bind_span(statement, 9, envelope->parent_request_id);
	sqlite3_bind_int64(statement, 10, envelope->chain_depth);
	sqlite_bind_span(statement, 11, envelope->reply_to);
	sqlite_bind_span(statement, 12, envelope->source_service);
	sqlite_bind_span(statement, 13, envelope->payload);
	sqlite_bind_span(statement, 14, row->headers);
	sqlite_bind_span(statement, 15, row->ordering_key);
	status = sqlite_run(store, statement, err);
	testing_crash_point("inserted");
	if (status == 0)
		*inserted = sqlite3_changes(store->db) > 0;
	return status;
}

static int compare_payload(struct sqlite_store *store,
			   const struct inbox_row *row, bool *same,
			   struct error *err)
{
	sqlite3_stmt *statement;
	int status = sqlite_prepare(store, same_sql, &statement, err);

	if (status < 0)
		return status;
	sqlite_bind_span(statement, 1, row->envelope.message_id);
	sqlite_bind_span(statement, 2, row->envelope.payload);
	status = sqlite_step(store, statement, err);
	if (status > 0)
		*same = sqlite3_column_int(statement, 0) != 0;
	sqlite3_reset(statement);
	return status < 0 ? status : 0;
}

static int reject_row(struct sqlite_store *store,
		      const struct inbox_batch *batch,
		      const struct inbox_row *row, struct span reason,
		      struct arena *arena, struct error *err)
{
	struct span topic, message_id;
	sqlite3_stmt *statement;
	int status = text_clean(row->envelope.topic, arena, &topic, err);

	if (status == 0)
		status = text_clean(row->envelope.message_id, arena,
				    &message_id, err);
	if (status == 0)
		status = text_clean(reason, arena, &reason, err);
	if (status == 0)
		status = sqlite_prepare(store, reject_sql, &statement, err);
	if (status < 0)
		return status;
	sqlite_bind_string(statement, 1, batch->config_key);
	sqlite_bind_string(statement, 2, batch->broker_type);
	sqlite_bind_span(statement, 3, topic);
	sqlite_bind_span(statement, 4, message_id);
	sqlite3_bind_blob64(statement, 5,
			    row->body.at == NULL ? "" : row->body.at,
			    row->body.len, SQLITE_STATIC);
	sqlite_bind_span(statement, 6, reason);
	return sqlite_run(store, statement, err);
}

static int accept_row(struct sqlite_store *store,
		      const struct inbox_batch *batch, struct inbox_row *row,
		      struct arena *arena, struct error *err)
{
	bool inserted = false;
	bool same = false;
	int status;

	if (span_present(row->rejected)) {
		row->result = INBOX_REJECTED;
		return reject_row(store, batch, row, row->rejected, arena, err);
	}
	row->result = INBOX_ACCEPTED;
	status = insert_row(store, batch, row, &inserted, err);
	if (status < 0 || inserted)
		return status;
	row->result = INBOX_DUPLICATE;
	status = compare_payload(store, row, &same, err);
	if (status < 0 || same)
		return status;
	row->result = INBOX_CONFLICT;
	return reject_row(store, batch, row, SPAN_LIT(STORE_CONFLICT_REASON),
			  arena, err);
}

int sqlite_accept(struct store *base, struct inbox_batch *batch,
		  struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	struct arena arena = {0};
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = sqlite_begin(store, true, err);
	if (status == 0) {
		for (size_t i = 0; status == 0 && i < batch->count; i++)
			status = accept_row(store, batch, &batch->rows[i],
					    &arena, err);
		status = sqlite_end(store, status, err);
	}
	arena_finish(&arena);
	return sqlite_leave(store, status);
}
