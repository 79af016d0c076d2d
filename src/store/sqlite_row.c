/* SPDX-License-Identifier: MIT */
/* Reading one outbox row of a SQLite database. */
#include "store/sqlite_row.h"

#include "store/row.h"

#include <stdio.h>

/* A value over this is not read: it could never be sent. */
enum { VALUE_MAX = 128 * 1024 * 1024 };

/* The statement's columns. */
enum {
	ROW_ID,
	ROW_CHAIN_DEPTH,
	ROW_RETRY_COUNT,
	ROW_CREATED_AT,
	ROW_EXPIRED,
	ROW_EXPIRES_IN,
	ROW_TEXTS,
};

static const char row_sql[] =
	"SELECT id, chain_depth, retry_count, coalesce("
	"CAST(strftime('%s', created_at) AS integer), "
	"CAST(strftime('%s', ?2) AS integer)), "
	"coalesce(nullif(expires_at, '') <= ?2, 0), "
	"coalesce(max((CAST(round((julianday(nullif(expires_at, '')) - "
	"julianday(?2)) * 86400000) AS integer) + 999) / 1000, 1), 0), "
	"topic, message_type, message_id, event_type, request_id, "
	"parent_request_id, reply_to, message_status, source_service, "
	"payload, headers, ordering_key "
	"FROM event_bus_outbound_event WHERE seq = ?1";

int sqlite_check_lock(struct sqlite_store *store, struct error *err)
{
	if (store->place->holds(store))
		return 0;
	return error_set(err, STATUS_BUSY,
			 "database %s: the lock of this lane is lost",
			 store->name);
}

static int read_text(sqlite3_stmt *statement, int at, struct span *member,
		     struct outbox_row *row, struct arena *arena)
{
	struct span text;

	if (sqlite3_column_type(statement, at) == SQLITE_BLOB)
		return row_break(row, sqlite3_column_name(statement, at),
				 "a BLOB; write it as text", arena);
	text = sqlite_text(statement, at);
	/* Empty is as good as absent, but an empty payload is no JSON. */
	if (!span_present(text) ||
	    (text.len == 0 && member != &row->envelope.payload))
		return 0;
	*member = arena_copy(arena, text);
	return span_present(*member) ? 0 : STATUS_NO_MEMORY;
}

static int read_columns(sqlite3_stmt *statement, struct outbox_row *row,
			struct arena *arena)
{
	struct span *member;
	int status = 0;

	snprintf(row->id, sizeof(row->id), "%.*s",
		 SPAN_ARG(sqlite_text(statement, ROW_ID)));
	row->retry_count = sqlite3_column_int64(statement, ROW_RETRY_COUNT);
	row->created_at = sqlite3_column_int64(statement, ROW_CREATED_AT);
	row->expired = sqlite3_column_int(statement, ROW_EXPIRED) != 0;
	row->expires_in = sqlite3_column_int64(statement, ROW_EXPIRES_IN);
	row->envelope.chain_depth =
		sqlite3_column_int64(statement, ROW_CHAIN_DEPTH);
	if (sqlite3_column_type(statement, ROW_CHAIN_DEPTH) != SQLITE_INTEGER ||
	    row->envelope.chain_depth < 0)
		status = row_break(row, "chain_depth",
				   "not an integer of 0 or more", arena);
	for (int i = 0; status == 0 && (member = row_text(row, i)) != NULL; i++)
		status =
			read_text(statement, ROW_TEXTS + i, member, row, arena);
	return status;
}

int sqlite_read_row(struct sqlite_store *store, int64_t seq, const char *now,
		    struct arena *arena, struct outbox_row *row,
		    struct error *err)
{
	sqlite3_stmt *statement;
	int limit, rc;
	int status = sqlite_prepare(store, row_sql, &statement, err);

	if (status < 0)
		return status;
	*row = (struct outbox_row){.seq = seq};
	envelope_init(&row->envelope);
	sqlite3_bind_int64(statement, 1, seq);
	sqlite_bind_string(statement, 2, now);
	limit = sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
	rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW)
		status = read_columns(statement, row, arena);
	else if (rc == SQLITE_TOOBIG)
		status = row_break(row, "the row", "over 128 MiB", arena);
	else
		status = sqlite_failure(store, rc, err);
	sqlite3_reset(statement);
	sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, limit);
	if (status == STATUS_NO_MEMORY)
		error_set(err, status, "no memory for an outbox row");
	return status;
}
