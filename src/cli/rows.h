/* SPDX-License-Identifier: MIT */
/* What store_driver.browse gives, shown as JSON or as text. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "base/buffer.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "store/store.h"

struct row {
	const struct column *columns;
	size_t count;
};

/* A column's value, absent when it is null or there is no such column. */
struct span row_get(struct row row, const char *name);

/* The same where a number is expected; 0 when absent. */
double row_number(struct row row, const char *name);

/*
 * Appends the columns as members of a JSON object, without the braces. JSON
 * columns go through byte for byte. What is no UTF-8 becomes "<name>_base64".
 */
void row_append_members(struct buffer *out, struct row row);

/* Appends one aligned "name value" line for each column that is not null. */
void row_append_details(struct buffer *out, const struct terminal *terminal,
			struct row row);

/* Adds a row with the named columns, NULL after the last, to a table; times
 * to the second. */
void row_add_to_table(struct table *table, struct row row,
		      const char *const *names);

#endif
