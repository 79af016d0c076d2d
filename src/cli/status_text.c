/* SPDX-License-Identifier: MIT */
/* `postbus status` for people. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/status.h"

enum { AGE_SIZE = 32 };

static void format_age(double seconds, char text[AGE_SIZE])
{
	static const struct {
		double up_to, unit;
		const char *name;
	} steps[] = {
		{120, 1, "s"},
		{120 * 60, 60, "min"},
		{48 * 3600, 3600, "h"},
		{1e15, 86400, "d"},
	};
	size_t i = 0;

	while (i + 1 < sizeof(steps) / sizeof(steps[0]) &&
	       seconds >= steps[i].up_to)
		i++;
	snprintf(text, AGE_SIZE, "%.0f %s", seconds / steps[i].unit,
		 steps[i].name);
}

static void set_heartbeat(struct table *table, size_t column,
			  const struct overview_row *row)
{
	char age[AGE_SIZE], text[AGE_SIZE + 16];

	if (row->age < 0) {
		table_set(table, column, SPAN_LIT("never"), TONE_DIM);
		return;
	}
	format_age(row->age, age);
	snprintf(text, sizeof(text), "%s ago%s", age,
		 row->stale ? ", stale" : "");
	table_set(table, column, span_of(text),
		  row->stale ? TONE_BAD : TONE_PLAIN);
}

static void append_title(struct buffer *out, const struct terminal *terminal,
			 const char *title)
{
	text_append(out, terminal, span_of(title), TONE_TITLE, SIZE_MAX);
	buffer_append_text(out, "\n");
}

/* The named columns, and the heartbeat as an age in the one named so. */
static void append_rows(struct buffer *out, const struct terminal *terminal,
			const struct overview_rows *rows,
			const char *const *columns, size_t heartbeat)
{
	struct table table;

	table_init(&table, columns);
	for (const struct overview_row *at = rows->first; at != NULL;
	     at = at->next) {
		row_add_to_table(&table, at->row, columns);
		set_heartbeat(&table, heartbeat, at);
	}
	table_print(&table, terminal, out);
	table_finish(&table);
}

static void append_configs(const struct overview *overview,
			   const struct terminal *terminal, struct buffer *out)
{
	static const char *const columns[] = {
		"config_key",	 "is_active", "broker_type",	   "host",
		"worker_status", "heartbeat", "worker_last_error", NULL,
	};

	append_title(out, terminal, "Configs");
	if (overview->configs.first == NULL)
		buffer_append_text(
			out, "None yet. Next: postbus config set default "
			     "broker_type=rabbitmq source_service=NAME\n");
	else
		append_rows(out, terminal, &overview->configs, columns, 5);
}

static void append_workers(const struct overview *overview,
			   const struct terminal *terminal, struct buffer *out)
{
	static const char *const columns[] = {
		"config_key",  "hostname",     "pid",	     "heartbeat",
		"relay_state", "intake_state", "last_error", NULL,
	};
	struct span key = SPAN_LIT("default");

	buffer_append_text(out, "\n");
	append_title(out, terminal, "Workers");
	if (overview->workers.first != NULL) {
		append_rows(out, terminal, &overview->workers, columns, 3);
		return;
	}
	if (overview->configs.first != NULL)
		key = row_get(overview->configs.first->row, "config_key");
	buffer_append_format(
		out, "None runs. Next: postbus worker --config-key %.*s\n",
		SPAN_ARG(key));
}

static void set_count(struct table *table, size_t column, int64_t count,
		      enum tone tone)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, count);
	table_set(table, column, span_of(text), count > 0 ? tone : TONE_DIM);
}

static void append_counts(const struct store_counts *counts,
			  const struct terminal *terminal, struct buffer *out)
{
	static const char *const columns[] = {
		"", "pending", "done", "invalid", "error", NULL,
	};
	struct table table;
	char age[AGE_SIZE];

	buffer_append_text(out, "\n");
	table_init(&table, columns);
	table_add_row(&table);
	table_set(&table, 0, SPAN_LIT("outbox"), TONE_PLAIN);
	set_count(&table, 1, counts->outbox_pending, TONE_WAIT);
	set_count(&table, 2, counts->outbox_published, TONE_GOOD);
	set_count(&table, 3, counts->outbox_invalid, TONE_BAD);
	set_count(&table, 4, counts->outbox_error, TONE_BAD);
	table_add_row(&table);
	table_set(&table, 0, SPAN_LIT("inbox"), TONE_PLAIN);
	set_count(&table, 1, counts->inbox_pending, TONE_WAIT);
	set_count(&table, 2, counts->inbox_processed, TONE_GOOD);
	table_set(&table, 3, SPAN_LIT("-"), TONE_DIM);
	set_count(&table, 4, counts->inbox_error, TONE_BAD);
	table_print(&table, terminal, out);
	table_finish(&table);
	if (counts->rejected > 0)
		buffer_append_format(out, "%" PRId64 " rejected.\n",
				     counts->rejected);
	if (counts->outbox_scheduled > 0)
		buffer_append_format(
			out, "%" PRId64 " of the pending are due later.\n",
			counts->outbox_scheduled);
	if (counts->oldest_pending > 0) {
		format_age(counts->oldest_pending, age);
		buffer_append_format(
			out, "The oldest that is due has waited %s.\n", age);
	}
}

static struct span first_present(struct row row, const char *one,
				 const char *other)
{
	struct span value = row_get(row, one);

	return span_present(value) ? value : row_get(row, other);
}

static void append_failures(const struct overview *overview,
			    const struct terminal *terminal, struct buffer *out)
{
	static const char *const columns[] = {"table", "id", "topic", "error",
					      NULL};
	struct table table;

	if (overview->failures.first == NULL)
		return;
	buffer_append_text(out, "\n");
	append_title(out, terminal, "Last errors");
	table_init(&table, columns);
	for (const struct overview_row *at = overview->failures.first;
	     at != NULL; at = at->next) {
		table_add_row(&table);
		table_set(&table, 0, span_of(at->table), TONE_PLAIN);
		table_set(&table, 1, first_present(at->row, "seq", "id"),
			  TONE_PLAIN);
		table_set(&table, 2, row_get(at->row, "topic"), TONE_PLAIN);
		table_set(&table, 3,
			  first_present(at->row, "last_error", "reason"),
			  TONE_BAD);
	}
	table_print(&table, terminal, out);
	table_finish(&table);
}

void overview_append_text(const struct overview *overview,
			  const struct terminal *terminal, struct buffer *out)
{
	append_configs(overview, terminal, out);
	append_workers(overview, terminal, out);
	append_counts(&overview->counts, terminal, out);
	append_failures(overview, terminal, out);
}
