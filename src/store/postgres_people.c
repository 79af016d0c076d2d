/* SPDX-License-Identifier: MIT */
/* What people ask of PostgreSQL: counts, listings, retry, purge. */
#include "store/config_sql.h"
#include "store/postgres.h"

/* Rows that one transaction changes, so that nobody waits for long. */
enum { CHANGE_STEP = 1000 };

/* ---- counts ---- */

/* Each part off an index of its own. */
static const char counts_sql[] =
	"SELECT f.count + w.count, w.later, d.published, d.invalid, d.error, "
	"i.count, h.processed, h.error, r.count, "
	"floor(1000000 * greatest(0, extract(epoch FROM now() - (SELECT "
	"o.created_at FROM @.event_bus_outbound_event o "
	"WHERE o.seq = f.first)), extract(epoch FROM now() - "
	"w.first)))::bigint "
	"FROM (SELECT count(*) AS count, min(seq) AS first "
	"FROM @.event_bus_outbound_event "
	"WHERE status = 'pending' AND next_retry_at IS NULL %s) f, "
	"(SELECT count(*) AS count, min(next_retry_at) AS first, "
	"count(*) FILTER (WHERE next_retry_at > now()) AS later "
	"FROM @.event_bus_outbound_event "
	"WHERE status = 'pending' AND next_retry_at IS NOT NULL %s) w, "
	"(SELECT count(*) FILTER (WHERE status = 'published') AS published, "
	"count(*) FILTER (WHERE status = 'invalid') AS invalid, "
	"count(*) FILTER (WHERE status = 'error') AS error "
	"FROM @.event_bus_outbound_event WHERE status <> 'pending' %s) d, "
	"(SELECT count(*) AS count FROM @.event_bus_inbound_event "
	"WHERE status = 'pending' %s) i, "
	"(SELECT count(*) FILTER (WHERE status = 'processed') AS processed, "
	"count(*) FILTER (WHERE status = 'error') AS error "
	"FROM @.event_bus_inbound_event WHERE status <> 'pending' %s) h, "
	"(SELECT count(*) AS count FROM @.event_bus_rejected_message "
	"WHERE true %s) r";

struct counting {
	const char *config_key;
	struct store_counts counts;
};

static int read_counts(void *context, const PGresult *row, struct error *err)
{
	(void)err;
	*(struct store_counts *)context = (struct store_counts){
		.outbox_pending = postgres_integer(row, 0),
		.outbox_scheduled = postgres_integer(row, 1),
		.outbox_published = postgres_integer(row, 2),
		.outbox_invalid = postgres_integer(row, 3),
		.outbox_error = postgres_integer(row, 4),
		.inbox_pending = postgres_integer(row, 5),
		.inbox_processed = postgres_integer(row, 6),
		.inbox_error = postgres_integer(row, 7),
		.rejected = postgres_integer(row, 8),
		.oldest_pending =
			(double)postgres_integer(row, 9) / USEC_PER_SEC,
	};
	return 0;
}

static int count_rows(struct postgres_store *store, void *context,
		      struct error *err)
{
	struct counting *counting = context;
	const char *only =
		counting->config_key == NULL ? "" : "AND config_key = $1";
	struct postgres_query query;
	struct buffer sql;
	int status;

	buffer_init(&sql);
	buffer_append_format(&sql, counts_sql, only, only, only, only, only,
			     only);
	postgres_query_build(&query, &sql);
	if (counting->config_key != NULL)
		postgres_add_string(&query, counting->config_key);
	status = postgres_be_patient(store, err);
	if (status == 0)
		status = postgres_run(store, &query, read_counts,
				      &counting->counts, err);
	buffer_finish(&sql);
	return status;
}

int postgres_counts(struct store *store, const char *config_key,
		    struct store_counts *counts, struct error *err)
{
	struct counting counting = {.config_key = config_key};
	int status = postgres_transaction(store, count_rows, &counting, err);

	if (status == 0)
		*counts = counting.counts;
	return status;
}

/* ---- listings ---- */

struct browsing {
	enum store_table table;
	const struct store_filter *filter;
	row_fn *each;
	void *context;
};

static int nibble(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Undoes, in place, the server's "\x0aff". */
static struct span decode_bytes(struct span hex)
{
	char *bytes = (char *)hex.at;
	size_t len = hex.len / 2 - 1;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(nibble(hex.at[2 * i + 2]) << 4 |
				  nibble(hex.at[2 * i + 3]));
	return (struct span){bytes, len};
}

static struct column read_column(const PGresult *row, int at,
				 const struct listed_column *listed)
{
	struct column column = {listed->name, listed->type,
				postgres_shown(row, at)};

	if (!span_present(column.value))
		column.type = COLUMN_NULL;
	else if (listed->type == COLUMN_BYTES)
		column.value = decode_bytes(column.value);
	return column;
}

static int show_row(void *context, const PGresult *row, struct error *err)
{
	const struct browsing *browsing = context;
	const struct listed_table *listed = query_table(browsing->table);
	struct column columns[CONFIG_SQL_MAX];

	(void)err;
	for (size_t i = 0; i < listed->column_count; i++)
		columns[i] = read_column(row, (int)i, &listed->columns[i]);
	return browsing->each(browsing->context, columns, listed->column_count);
}

static int show_config(void *context, const PGresult *row, struct error *err)
{
	const struct browsing *browsing = context;
	const char *only = browsing->filter->config_key;
	struct span values[CONFIG_SQL_MAX];
	struct column columns[CONFIG_SQL_MAX];

	(void)err;
	postgres_config_values(row, values);
	if (only != NULL && !span_is(values[CONFIG_SQL_KEY], only))
		return 0;
	return browsing->each(browsing->context, columns,
			      config_sql_columns(values, columns));
}

static int run_query(struct postgres_store *store, struct query *built,
		     postgres_row_fn *each, void *context, int64_t *affected,
		     struct error *err)
{
	struct postgres_query query;
	int status;

	postgres_query_build(&query, &built->sql);
	for (size_t i = 0; i < built->parameter_count; i++)
		postgres_add_untyped(&query, built->parameters[i]);
	status = postgres_run(store, &query, each, context, err);
	if (status == 0 && affected != NULL)
		*affected = query.affected;
	return status;
}

/* Whoever reads the listing takes the time it takes. */
static int list_rows(struct postgres_store *store, void *context,
		     struct error *err)
{
	struct browsing *browsing = context;
	bool configs = browsing->table == TABLE_CONFIGS;
	struct query query;
	int status = postgres_be_patient(store, err);

	query_init(&query, &store->dialect);
	if (configs)
		config_sql_select(&query.sql, &store->dialect, true);
	else if (status == 0)
		status = query_list(&query, browsing->table, browsing->filter,
				    err);
	if (status == 0)
		status = run_query(store, &query,
				   configs ? show_config : show_row, browsing,
				   NULL, err);
	query_finish(&query);
	return status;
}

int postgres_browse(struct store *store, enum store_table table,
		    const struct store_filter *filter, row_fn *each,
		    void *context, struct error *err)
{
	struct browsing browsing = {table, filter, each, context};

	return postgres_transaction(store, list_rows, &browsing, err);
}

/* ---- retry and purge ---- */

struct changing {
	enum store_table table;
	bool purge;
	const struct store_filter *filter;
	int64_t limit;
	int64_t affected;
};

static int count_affected(struct postgres_store *store, void *context,
			  struct error *err)
{
	struct changing *changing = context;
	int64_t limit = changing->filter->limit;
	struct query query;
	int status = postgres_be_patient(store, err);

	query_init(&query, &store->dialect);
	if (status == 0)
		status = query_count(&query, changing->table, changing->purge,
				     changing->filter, err);
	if (status == 0)
		status = run_query(store, &query, postgres_read_integer,
				   &changing->affected, NULL, err);
	if (limit > 0 && changing->affected > limit)
		changing->affected = limit;
	query_finish(&query);
	return status;
}

static int change_some(struct postgres_store *store, void *context,
		       struct error *err)
{
	struct changing *changing = context;
	struct query query;
	int status = postgres_be_patient(store, err);

	query_init(&query, &store->dialect);
	if (status == 0)
		status = query_change(&query, changing->table, changing->purge,
				      changing->filter, changing->limit, err);
	if (status == 0)
		status = run_query(store, &query, NULL, NULL,
				   &changing->affected, err);
	query_finish(&query);
	return status;
}

static int change(struct store *store, enum store_table table, bool purge,
		  const struct store_filter *filter, bool dry_run,
		  int64_t *affected, struct error *err)
{
	int64_t left = filter->limit > 0 ? filter->limit : INT64_MAX;
	struct changing step = {table, purge, filter, 0, 0};
	int64_t total = 0;
	int status;

	if (dry_run) {
		status =
			postgres_transaction(store, count_affected, &step, err);
		if (status == 0)
			*affected = step.affected;
		return status;
	}
	do {
		step.limit = left < CHANGE_STEP ? left : CHANGE_STEP;
		step.affected = 0;
		status = postgres_transaction(store, change_some, &step, err);
		total += step.affected;
		left -= step.affected;
	} while (status == 0 && step.affected == step.limit && left > 0);
	if (status == 0)
		*affected = total;
	return status;
}

int postgres_retry(struct store *store, enum store_table table,
		   const struct store_filter *filter, bool dry_run,
		   int64_t *affected, struct error *err)
{
	return change(store, table, false, filter, dry_run, affected, err);
}

int postgres_purge(struct store *store, enum store_table table,
		   const struct store_filter *filter, bool dry_run,
		   int64_t *affected, struct error *err)
{
	return change(store, table, true, filter, dry_run, affected, err);
}
