/* SPDX-License-Identifier: MIT */
/* Lays a table's columns out and prints it. */
#include "cli/table.h"

#include <stdint.h>

enum { GAP = 2, NARROWEST = 6 };

struct table_cell {
	struct span text;
	enum tone tone;
};

struct table_row {
	struct table_row *next;
	struct table_cell cells[TABLE_MAX_COLUMNS];
};

void table_init(struct table *table, const char *const *titles)
{
	*table = (struct table){0};
	arena_init(&table->memory);
	table_add_row(table);
	table->rows = 0;
	for (; titles[table->columns] != NULL; table->columns++)
		table_set(table, table->columns,
			  span_of(titles[table->columns]), TONE_TITLE);
}

void table_finish(struct table *table)
{
	arena_finish(&table->memory);
}

void table_add_row(struct table *table)
{
	struct table_row *row = arena_alloc(&table->memory, sizeof(*row));

	if (row == NULL) {
		table->failed = true;
		return;
	}
	*row = (struct table_row){0};
	if (table->last == NULL)
		table->first = row;
	else
		table->last->next = row;
	table->last = row;
	table->rows++;
}

void table_set(struct table *table, size_t column, struct span text,
	       enum tone tone)
{
	struct table_cell *cell;
	size_t width = text_width(text);

	if (table->failed || text.len == 0)
		return;
	cell = &table->last->cells[column];
	cell->text = arena_copy(&table->memory, text);
	cell->tone = tone;
	if (!span_present(cell->text))
		table->failed = true;
	if (width > table->width[column])
		table->width[column] = width;
}

static size_t widest_of(const size_t *widths, size_t count)
{
	size_t widest = 0;

	for (size_t i = 1; i < count; i++)
		if (widths[i] > widths[widest])
			widest = i;
	return widest;
}

/* Narrows the widest column by one until the line fits. */
static void fit(size_t *widths, size_t count, size_t room)
{
	size_t total = (count - 1) * GAP;

	for (size_t i = 0; i < count; i++)
		total += widths[i];
	while (total > room) {
		size_t widest = widest_of(widths, count);

		if (widths[widest] <= NARROWEST)
			return;
		widths[widest]--;
		total--;
	}
}

static void print_row(const struct table *table, const struct table_row *row,
		      const size_t *widths, const struct terminal *terminal,
		      struct buffer *out)
{
	size_t owed = 0; /* blanks, written only before more text */

	for (size_t i = 0; i < table->columns; i++) {
		const struct table_cell *cell = &row->cells[i];
		size_t used = 0;

		if (cell->text.len > 0) {
			buffer_append_format(out, "%*s", (int)owed, "");
			owed = 0;
			used = text_append(out, terminal, cell->text,
					   cell->tone, widths[i]);
		}
		owed += widths[i] - used + GAP;
	}
	buffer_append_text(out, "\n");
}

void table_print(const struct table *table, const struct terminal *terminal,
		 struct buffer *out)
{
	size_t widths[TABLE_MAX_COLUMNS];

	for (size_t i = 0; i < table->columns; i++)
		widths[i] = table->width[i];
	fit(widths, table->columns, terminal->width);
	for (const struct table_row *row = table->first; row != NULL;
	     row = row->next)
		print_row(table, row, widths, terminal, out);
	if (table->failed)
		out->failed = true;
}
