/* SPDX-License-Identifier: MIT */
/* What people ask of a SQLite database: counts, listings, retry, purge. */
#include "base/json.h"
#include "store/config_sql.h"
#include "store/sqlite_dialect.h"

/* Rows that one transaction changes, so that lanes get their turn. */
enum { CHANGE_STEP = 1000 };

/* ---- dialect ---- */

static void glob_pattern(struct buffer *pattern, const char *topic)
{
	for (; *topic != '\0'; topic++)
		if (*topic == '?' || *topic == '[')
			buffer_append_format(pattern, "[%c]", *topic);
		else
			buffer_append(pattern, topic, 1);
}

static void from_now(struct buffer *sql, double seconds)
{
	buffer_append_format(sql,
			     "strftime('%%Y-%%m-%%d %%H:%%M:%%f000', 'now', "
			     "'%+.3f seconds')",
			     seconds);
}

const struct dialect sqlite_dialect = {
	.prefix = "",
	.parameter = '?',
	.like = "GLOB",
	.pattern = glob_pattern,
	.from_now = from_now,
	.time = buffer_append_text,
};

int sqlite_prepare_buffer(struct sqlite_store *store, const struct buffer *sql,
			  sqlite3_stmt **statement, struct error *err)
{
	if (sql->failed)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a statement");
	return sqlite_prepare_once(store, buffer_span(sql), statement, err);
}

static int prepare_query(struct sqlite_store *store, const struct query *query,
			 sqlite3_stmt **statement, struct error *err)
{
	int status = sqlite_prepare_buffer(store, &query->sql, statement, err);

	for (size_t i = 0; status == 0 && i < query->parameter_count; i++)
		sqlite_bind_span(*statement, (int)i + 1, query->parameters[i]);
	return status;
}

/* ---- counts ---- */

/* Each part off an index of its own; ?1 null counts every config key. */
static const char counts_sql[] =
	"SELECT f.count, w.count, w.later, d.published, d.invalid, d.error, "
	"i.count, h.processed, h.error, r.count, 86400 * max(0, "
	"coalesce(julianday('now') - julianday(o.created_at), 0), "
	"coalesce(julianday('now') - julianday(w.first), 0)) "
	"FROM (SELECT count(*) AS count, min(seq) AS first "
	"FROM event_bus_outbound_event "
	"INDEXED BY event_bus_outbound_event_fresh "
	"WHERE status = 'pending' AND next_retry_at IS NULL "
	"AND (?1 IS NULL OR config_key = ?1)) f, "
	"(SELECT count(*) AS count, min(next_retry_at) AS first, "
	"sum(next_retry_at > strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS later "
	"FROM event_bus_outbound_event "
	"INDEXED BY event_bus_outbound_event_waiting "
	"WHERE status = 'pending' AND next_retry_at IS NOT NULL "
	"AND (?1 IS NULL OR config_key = ?1)) w, "
	"(SELECT sum(status = 'published') AS published, "
	"sum(status = 'invalid') AS invalid, sum(status = 'error') AS error "
	"FROM event_bus_outbound_event "
	"INDEXED BY event_bus_outbound_event_done "
	"WHERE status <> 'pending' AND (?1 IS NULL OR config_key = ?1)) d, "
	"(SELECT count(*) AS count FROM event_bus_inbound_event "
	"INDEXED BY event_bus_inbound_event_pending "
	"WHERE status = 'pending' AND (?1 IS NULL OR config_key = ?1)) i, "
	"(SELECT sum(status = 'processed') AS processed, "
	"sum(status = 'error') AS error FROM event_bus_inbound_event "
	"INDEXED BY event_bus_inbound_event_done "
	"WHERE status <> 'pending' AND (?1 IS NULL OR config_key = ?1)) h, "
	"(SELECT count(*) AS count FROM event_bus_rejected_message "
	"WHERE ?1 IS NULL OR config_key = ?1) r "
	"LEFT JOIN event_bus_outbound_event o ON o.seq = f.first";

static void read_counts(sqlite3_stmt *statement, struct store_counts *counts)
{
	int64_t waiting = sqlite3_column_int64(statement, 1);

	*counts = (struct store_counts){
		.outbox_pending = sqlite3_column_int64(statement, 0) + waiting,
		.outbox_scheduled = sqlite3_column_int64(statement, 2),
		.outbox_published = sqlite3_column_int64(statement, 3),
		.outbox_invalid = sqlite3_column_int64(statement, 4),
		.outbox_error = sqlite3_column_int64(statement, 5),
		.inbox_pending = sqlite3_column_int64(statement, 6),
		.inbox_processed = sqlite3_column_int64(statement, 7),
		.inbox_error = sqlite3_column_int64(statement, 8),
		.rejected = sqlite3_column_int64(statement, 9),
		.oldest_pending = sqlite3_column_double(statement, 10),
	};
}

int sqlite_counts(struct store *base, const char *config_key,
		  struct store_counts *counts, struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	sqlite3_stmt *statement;
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = sqlite_prepare(store, counts_sql, &statement, err);
	if (status == 0) {
		sqlite_bind_string(statement, 1, config_key);
		status = sqlite_step(store, statement, err);
		if (status > 0)
			read_counts(statement, counts);
		sqlite3_reset(statement);
	}
	return sqlite_leave(store, status < 0 ? status : 0);
}

/* ---- listings ---- */

/* What an application wrote need not be what the column is for. */
static struct column read_column(sqlite3_stmt *statement, int at,
				 const struct listed_column *listed)
{
	struct column column = {.name = listed->name, .type = listed->type};
	struct json_value json;
	int stored = sqlite3_column_type(statement, at);

	column.value = sqlite_text(statement, at);
	if (stored == SQLITE_NULL)
		column.type = COLUMN_NULL;
	else if (stored == SQLITE_BLOB)
		column.type = COLUMN_BYTES;
	else if (listed->type == COLUMN_JSON &&
		 json_check(column.value, &json, NULL, NULL) < 0)
		column.type = COLUMN_TEXT;
	else if (stored == SQLITE_TEXT && (listed->type == COLUMN_INTEGER ||
					   listed->type == COLUMN_BOOLEAN))
		column.type = COLUMN_TEXT;
	return column;
}

static int list_rows(struct sqlite_store *store, sqlite3_stmt *statement,
		     enum store_table table, row_fn *each, void *context,
		     struct error *err)
{
	const struct listed_table *listed = query_table(table);
	struct column columns[CONFIG_SQL_MAX];
	int status;

	while ((status = sqlite_step(store, statement, err)) > 0) {
		for (size_t i = 0; i < listed->column_count; i++)
			columns[i] = read_column(statement, (int)i,
						 &listed->columns[i]);
		status = each(context, columns, listed->column_count);
		if (status != 0)
			break;
	}
	return status;
}

static int list_configs(struct sqlite_store *store, sqlite3_stmt *statement,
			const struct store_filter *filter, row_fn *each,
			void *context, struct error *err)
{
	struct span values[CONFIG_SQL_MAX];
	struct column columns[CONFIG_SQL_MAX];
	int status;

	while ((status = sqlite_step(store, statement, err)) > 0) {
		sqlite_config_values(statement, values);
		if (filter->config_key != NULL &&
		    !span_is(values[CONFIG_SQL_KEY], filter->config_key))
			continue;
		status = each(context, columns,
			      config_sql_columns(values, columns));
		if (status != 0)
			break;
	}
	return status;
}

int sqlite_browse(struct store *base, enum store_table table,
		  const struct store_filter *filter, row_fn *each,
		  void *context, struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	sqlite3_stmt *statement = NULL;
	struct query query;
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	query_init(&query, &sqlite_dialect);
	if (table == TABLE_CONFIGS)
		config_sql_select(&query.sql, &sqlite_dialect, true);
	else
		status = query_list(&query, table, filter, err);
	if (status == 0)
		status = prepare_query(store, &query, &statement, err);
	/* Whoever reads the listing takes the time it takes. */
	store->deadline = USEC_NEVER;
	if (status == 0 && table == TABLE_CONFIGS)
		status = list_configs(store, statement, filter, each, context,
				      err);
	else if (status == 0)
		status = list_rows(store, statement, table, each, context, err);
	sqlite3_finalize(statement);
	query_finish(&query);
	return sqlite_leave(store, status);
}

/* ---- retry and purge ---- */

static int count_affected(struct sqlite_store *store, enum store_table table,
			  bool purge, const struct store_filter *filter,
			  int64_t *affected, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	struct query query;
	int status;

	query_init(&query, &sqlite_dialect);
	status = query_count(&query, table, purge, filter, err);
	if (status == 0)
		status = prepare_query(store, &query, &statement, err);
	store->deadline = USEC_NEVER;
	if (status == 0)
		status = sqlite_step(store, statement, err);
	if (status > 0) {
		*affected = sqlite3_column_int64(statement, 0);
		if (filter->limit > 0 && *affected > filter->limit)
			*affected = filter->limit;
	}
	sqlite3_finalize(statement);
	query_finish(&query);
	return status < 0 ? status : 0;
}

/* One transaction; *changed rows of at most `limit`. */
static int change_some(struct sqlite_store *store, enum store_table table,
		       bool purge, const struct store_filter *filter,
		       int64_t limit, int64_t *changed, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	struct query query;
	int status;

	query_init(&query, &sqlite_dialect);
	status = query_change(&query, table, purge, filter, limit, err);
	if (status == 0)
		status = sqlite_begin(store, true, err);
	if (status == 0) {
		status = prepare_query(store, &query, &statement, err);
		store->deadline = USEC_NEVER;
		if (status == 0)
			status = sqlite_run(store, statement, err);
		*changed = sqlite3_changes64(store->db);
		sqlite3_finalize(statement);
		status = sqlite_end(store, status, err);
	}
	query_finish(&query);
	return status;
}

static int change(struct store *base, enum store_table table, bool purge,
		  const struct store_filter *filter, bool dry_run,
		  int64_t *affected, struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	int64_t left = filter->limit > 0 ? filter->limit : INT64_MAX;
	int64_t total = 0;
	int64_t step, changed;
	int status;

	do {
		status = sqlite_enter(store, err);
		if (status < 0)
			return status;
		step = left < CHANGE_STEP ? left : CHANGE_STEP;
		changed = 0;
		if (dry_run)
			status = count_affected(store, table, purge, filter,
						&total, err);
		else
			status = change_some(store, table, purge, filter, step,
					     &changed, err);
		total += changed;
		left -= changed;
		status = sqlite_leave(store, status);
	} while (status == 0 && changed == step && left > 0);
	if (status == 0)
		*affected = total;
	return status;
}

int sqlite_retry(struct store *store, enum store_table table,
		 const struct store_filter *filter, bool dry_run,
		 int64_t *affected, struct error *err)
{
	return change(store, table, false, filter, dry_run, affected, err);
}

int sqlite_purge(struct store *store, enum store_table table,
		 const struct store_filter *filter, bool dry_run,
		 int64_t *affected, struct error *err)
{
	return change(store, table, true, filter, dry_run, affected, err);
}
