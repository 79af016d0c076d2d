/* SPDX-License-Identifier: MIT */
/* A table for people: cells are collected, then printed aligned. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "cli/terminal.h"

enum { TABLE_MAX_COLUMNS = 12 };

struct table_row;

struct table {
	struct arena memory;
	struct table_row *first, *last;
	size_t columns;
	size_t rows; /* the title row not counted */
	size_t width[TABLE_MAX_COLUMNS];
	bool failed; /* memory ran out; rows are missing */
};

/* Takes the titles of at most TABLE_MAX_COLUMNS columns, NULL after the last.
 */
void table_init(struct table *table, const char *const *titles);
void table_finish(struct table *table);

/* Begins a row; its cells are empty until set. */
void table_add_row(struct table *table);

/* Sets a cell of the newest row; text is copied. */
void table_set(struct table *table, size_t column, struct span text,
	       enum tone tone);

/* Appends the table. Where the terminal is too narrow the widest columns give
 * way, down to a few characters each. */
void table_print(const struct table *table, const struct terminal *terminal,
		 struct buffer *out);

#endif
