/* SPDX-License-Identifier: MIT */
/* Reads what `postbus status` shows. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/status.h"

enum { MISSED_BEATS = 3, FAILURES = 5 };

struct gathering {
	struct overview *overview;
	struct overview_rows *rows;
	const char *table;
};

/* A failure is told without its payload, which may be large. */
static bool is_told(const struct gathering *gathering,
		    const struct column *column)
{
	return gathering->table == NULL ||
	       (column->type != COLUMN_JSON && column->type != COLUMN_BYTES);
}

static bool copy_columns(const struct gathering *gathering, struct row *copy,
			 const struct column *columns, size_t count)
{
	struct arena *memory = &gathering->overview->memory;
	struct column *own = arena_alloc(memory, count * sizeof(*own));
	size_t kept = 0;

	for (size_t i = 0; own != NULL && i < count; i++) {
		const struct column *from = &columns[i];
		struct column *to = &own[kept];

		if (!is_told(gathering, from))
			continue;
		*to = *from;
		to->name = arena_copy(memory, span_of(from->name)).at;
		to->value = arena_copy(memory, from->value);
		if (to->name == NULL ||
		    (from->value.at != NULL && to->value.at == NULL))
			return false;
		kept++;
	}
	*copy = (struct row){own, kept};
	return own != NULL;
}

static int keep_row(void *context, const struct column *columns, size_t count)
{
	struct gathering *gathering = context;
	struct arena *memory = &gathering->overview->memory;
	struct overview_row *kept = arena_alloc(memory, sizeof(*kept));

	if (kept == NULL)
		return STATUS_NO_MEMORY;
	*kept = (struct overview_row){.table = gathering->table, .age = -1};
	if (!copy_columns(gathering, &kept->row, columns, count))
		return STATUS_NO_MEMORY;
	*gathering->rows->last = kept;
	gathering->rows->last = &kept->next;
	return 0;
}

static int read_rows(struct overview *overview, struct overview_rows *rows,
		     struct store *store, enum store_table table,
		     const char *name, const struct store_filter *filter,
		     struct error *err)
{
	struct gathering gathering = {overview, rows, name};
	int result = store->driver->browse(store, table, filter, keep_row,
					   &gathering, err);

	if (result == STATUS_NO_MEMORY)
		error_set(err, STATUS_NO_MEMORY, "memory has run out");
	return result;
}

/* The few newest rows that went wrong, from each table. */
static int read_failures(struct overview *overview, struct store *store,
			 const char *config_key, struct error *err)
{
	static const struct {
		enum store_table table;
		const char *name;
		const char *status;
	} kinds[] = {
		{TABLE_OUTBOX, "outbox", "error"},
		{TABLE_OUTBOX, "outbox", "invalid"},
		{TABLE_INBOX, "inbox", "error"},
		{TABLE_REJECTED, "rejected", NULL},
	};
	int result = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct store_filter filter = {.config_key = config_key,
					      .status = kinds[i].status,
					      .limit = FAILURES};

		if (result == 0)
			result = read_rows(overview, &overview->failures, store,
					   kinds[i].table, kinds[i].name,
					   &filter, err);
	}
	return result;
}

/* "2026-01-31 12:00:00.123456" in UTC as seconds; -1 for anything else. */
static double seconds_of(struct span text)
{
	char copy[CLOCK_TEXT_SIZE];
	struct tm parts = {0};
	const char *rest;

	if (!span_present(text) || text.len >= sizeof(copy))
		return -1;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	rest = strptime(copy, "%Y-%m-%d %H:%M:%S", &parts);
	if (rest == NULL)
		return -1;
	return (double)timegm(&parts) + strtod(rest, NULL);
}

/* How often a config's worker says that it lives. */
static double interval_of(const struct overview *overview,
			  const struct store *store, struct span config_key)
{
	const struct overview_row *at = overview->configs.first;

	while (at != NULL &&
	       !span_equal(row_get(at->row, "config_key"), config_key))
		at = at->next;
	if (at == NULL ||
	    row_number(at->row, "heartbeat_interval_seconds") <= 0)
		return store->driver->heartbeat_seconds;
	return row_number(at->row, "heartbeat_interval_seconds");
}

static void judge_heartbeats(const struct overview *overview,
			     const struct store *store,
			     const struct overview_rows *rows,
			     const char *column)
{
	double now = (double)clock_wall() / (double)USEC_PER_SEC;

	for (struct overview_row *at = rows->first; at != NULL; at = at->next) {
		double beat = seconds_of(row_get(at->row, column));
		struct span key = row_get(at->row, "config_key");

		if (beat < 0)
			continue;
		at->age = now > beat ? now - beat : 0;
		at->stale = at->age >
			    MISSED_BEATS * interval_of(overview, store, key);
	}
}

static void begin(struct overview_rows *rows)
{
	rows->last = &rows->first;
}

int overview_gather(struct overview *overview, struct store *store,
		    const char *config_key, struct error *err)
{
	struct store_filter filter = {.config_key = config_key};
	int result;

	*overview = (struct overview){0};
	begin(&overview->configs);
	begin(&overview->workers);
	begin(&overview->failures);
	result = read_rows(overview, &overview->configs, store, TABLE_CONFIGS,
			   NULL, &filter, err);
	if (result == 0)
		result = read_rows(overview, &overview->workers, store,
				   TABLE_WORKERS, NULL, &filter, err);
	if (result == 0)
		result = read_failures(overview, store, config_key, err);
	if (result == 0)
		result = store->driver->counts(store, config_key,
					       &overview->counts, err);
	judge_heartbeats(overview, store, &overview->configs,
			 "worker_heartbeat_at");
	judge_heartbeats(overview, store, &overview->workers, "heartbeat_at");
	if (result < 0)
		overview_finish(overview);
	return result;
}

void overview_finish(struct overview *overview)
{
	arena_finish(&overview->memory);
}
