/* SPDX-License-Identifier: MIT */
/* Writing outbox rows on SQLite: their outcomes, and new ones. */
#include <stdio.h>

#include "base/testing.h"
#include "store/row.h"
#include "store/sqlite_row.h"
#include "store/text.h"

static const char settle_sql[] =
	"UPDATE event_bus_outbound_event SET status = ?2, "
	"published = ?2 = 'published', "
	"published_at = CASE ?2 WHEN 'published' THEN ?3 END, "
	"next_retry_at = ?4, retry_count = max(retry_count, ?5), "
	"last_error = ?6, updated_at = ?3 "
	"WHERE seq = ?1 AND status = 'pending'";

static int settle_row(struct sqlite_store *store, const struct outcome *outcome,
		      const char *now, struct arena *arena, struct error *err)
{
	bool retry = outcome->kind == OUTCOME_RETRY;
	char due[CLOCK_TEXT_SIZE];
	struct span reason;
	sqlite3_stmt *statement;
	int status = text_clean(outcome->reason, arena, &reason, err);

	if (status == 0 && retry)
		status = sqlite_now(store, outcome->delay, due, err);
	if (status == 0)
		status = sqlite_prepare(store, settle_sql, &statement, err);
	if (status < 0)
		return status;
	sqlite3_bind_int64(statement, 1, outcome->seq);
	sqlite_bind_string(statement, 2, row_status_after(outcome->kind));
	sqlite_bind_string(statement, 3, now);
	sqlite_bind_string(statement, 4, retry ? due : NULL);
	sqlite3_bind_int64(statement, 5, outcome->attempts);
	sqlite_bind_span(statement, 6, reason);
	return sqlite_run(store, statement, err);
}

static int settle_rows(struct sqlite_store *store,
		       const struct outcome *outcomes, size_t count,
		       struct error *err)
{
	struct arena arena = {0};
	char now[CLOCK_TEXT_SIZE];
	int status = sqlite_now(store, 0, now, err);

	for (size_t i = 0; status == 0 && i < count; i++)
		status = settle_row(store, &outcomes[i], now, &arena, err);
	testing_crash_point("settling");
	arena_finish(&arena);
	return status;
}

int sqlite_settle(struct store *base, const struct outcome *outcomes,
		  size_t count, struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = sqlite_check_lock(store, err);
	if (status == 0)
		status = sqlite_begin(store, false, err);
	if (status == 0) {
		status = settle_rows(store, outcomes, count, err);
		status = sqlite_end(store, status, err);
	}
	return sqlite_leave(store, status);
}

/* ---- enqueue ---- */

static const char enqueue_sql[] =
	"INSERT INTO event_bus_outbound_event (config_key, topic, "
	"message_type, message_id, event_type, request_id, parent_request_id, "
	"chain_depth, reply_to, message_status, source_service, payload, "
	"headers, ordering_key, next_retry_at, expires_at) "
	"VALUES (?1, coalesce(?2, ''), coalesce(?3, 'event'), ?4, ?5, ?6, ?7, "
	"max(?8, 0), ?9, ?10, ?11, coalesce(?12, '{}'), ?13, ?14, ?15, ?16) "
	"RETURNING id";

static void bind_row(sqlite3_stmt *statement, const char *config_key,
		     const struct outbox_row *row)
{
	const struct envelope *envelope = &row->envelope;

	sqlite_bind_string(statement, 1, config_key);
	sqlite_bind_span(statement, 2, envelope->topic);
	sqlite_bind_span(statement, 3, envelope->message_type);
	sqlite_bind_span(statement, 4, envelope->message_id);
	sqlite_bind_span(statement, 5, envelope->event_type);
	sqlite_bind_span(statement, 6, envelope->request_id);
	sqlite_bind_span(statement, 7, envelope->parent_request_id);
	sqlite3_bind_int64(statement, 8, envelope->chain_depth);
	sqlite_bind_span(statement, 9, envelope->reply_to);
	sqlite_bind_span(statement, 10, envelope->status);
	sqlite_bind_span(statement, 11, envelope->source_service);
	sqlite_bind_span(statement, 12, envelope->payload);
	sqlite_bind_span(statement, 13, row->headers);
	sqlite_bind_span(statement, 14, row->ordering_key);
}

static int insert_row(struct sqlite_store *store, const char *config_key,
		      const struct outbox_row *row, usec_t delay,
		      usec_t expires, char id[UUID_TEXT_SIZE],
		      struct error *err)
{
	char due[CLOCK_TEXT_SIZE];
	char end[CLOCK_TEXT_SIZE];
	sqlite3_stmt *statement;
	int status = sqlite_now(store, delay, due, err);

	if (status == 0)
		status = sqlite_now(store, expires, end, err);
	if (status == 0)
		status = sqlite_prepare(store, enqueue_sql, &statement, err);
	if (status < 0)
		return status;
	bind_row(statement, config_key, row);
	sqlite_bind_string(statement, 15, delay > 0 ? due : NULL);
	sqlite_bind_string(statement, 16, expires > 0 ? end : NULL);
	status = sqlite_step(store, statement, err);
	if (status > 0) {
		snprintf(id, UUID_TEXT_SIZE, "%.*s",
			 SPAN_ARG(sqlite_text(statement, 0)));
		status = sqlite_run(store, statement, err);
	}
	return status;
}

int sqlite_enqueue(struct store *base, const char *config_key,
		   const struct outbox_row *row, usec_t delay, usec_t expires,
		   char id[UUID_TEXT_SIZE], struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	char fresh[UUID_TEXT_SIZE] = "";
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = sqlite_begin(store, true, err);
	if (status == 0) {
		status = insert_row(store, config_key, row, delay, expires,
				    fresh, err);
		status = sqlite_end(store, status, err);
	}
	if (status == 0)
		memcpy(id, fresh, sizeof(fresh));
	return sqlite_leave(store, status);
}
