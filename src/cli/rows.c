/* SPDX-License-Identifier: MIT */
/* Rows of the database's tables as JSON and as text. */
#include "cli/rows.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

static const struct column *find(struct row row, const char *name)
{
	for (size_t i = 0; i < row.count; i++)
		if (strcmp(row.columns[i].name, name) == 0)
			return &row.columns[i];
	return NULL;
}

struct span row_get(struct row row, const char *name)
{
	const struct column *column = find(row, name);

	return column == NULL || column->type == COLUMN_NULL ? SPAN_NONE
							     : column->value;
}

double row_number(struct row row, const char *name)
{
	struct span text = row_get(row, name);
	char digits[40];

	if (!span_present(text) || text.len >= sizeof(digits))
		return 0;
	memcpy(digits, text.at, text.len);
	digits[text.len] = '\0';
	return strtod(digits, NULL);
}

static void append_base64(struct buffer *out, struct span bytes)
{
	char *room = buffer_reserve(out, bytes.len / 3 * 4 + 5);

	if (room == NULL)
		return;
	buffer_grew(out,
		    (size_t)EVP_EncodeBlock((unsigned char *)room,
					    (const unsigned char *)bytes.at,
					    (int)bytes.len));
}

static bool is_true(const struct column *column)
{
	return span_is(column->value, "1");
}

static void append_value(struct buffer *out, const struct column *column)
{
	struct json_value ignored;

	switch (column->type) {
	case COLUMN_NULL:
		buffer_append_text(out, "null");
		return;
	case COLUMN_BOOLEAN:
		buffer_append_text(out, is_true(column) ? "true" : "false");
		return;
	case COLUMN_INTEGER:
	case COLUMN_JSON:
		if (json_check(column->value, &ignored, NULL, NULL) == 0) {
			buffer_append_span(out, column->value);
			return;
		}
		break;
	case COLUMN_TEXT:
	case COLUMN_BYTES:
		break;
	}
	json_append_string(out, column->value);
}

void row_append_members(struct buffer *out, struct row row)
{
	for (size_t i = 0; i < row.count; i++) {
		const struct column *column = &row.columns[i];
		bool encode = column->type != COLUMN_NULL &&
			      !utf8_valid(column->value);

		buffer_append_format(out, "%s\"%s%s\": ", i == 0 ? "" : ", ",
				     column->name, encode ? "_base64" : "");
		if (encode) {
			buffer_append_text(out, "\"");
			append_base64(out, column->value);
			buffer_append_text(out, "\"");
		} else {
			append_value(out, column);
		}
	}
}

static struct span shown(const struct column *column)
{
	if (column->type == COLUMN_NULL)
		return SPAN_NONE;
	if (column->type == COLUMN_BOOLEAN)
		return span_of(is_true(column) ? "true" : "false");
	return column->value;
}

static size_t longest_name(struct row row)
{
	size_t longest = 0;

	for (size_t i = 0; i < row.count; i++)
		if (strlen(row.columns[i].name) > longest)
			longest = strlen(row.columns[i].name);
	return longest;
}

void row_append_details(struct buffer *out, const struct terminal *terminal,
			struct row row)
{
	size_t longest = longest_name(row);

	for (size_t i = 0; i < row.count; i++) {
		const struct column *column = &row.columns[i];
		size_t used;

		if (column->type == COLUMN_NULL)
			continue;
		used = text_append(out, terminal, span_of(column->name),
				   TONE_DIM, SIZE_MAX);
		buffer_append_format(out, "%*s", (int)(longest - used + 2), "");
		if (utf8_valid(column->value)) {
			text_append(out, terminal, shown(column),
				    tone_of(column->value), SIZE_MAX);
		} else {
			buffer_append_text(out, "base64 ");
			append_base64(out, column->value);
		}
		buffer_append_text(out, "\n");
	}
}

/* "2026-01-31 12:00:00.123456" without the fraction. */
static struct span to_the_second(const char *name, struct span text)
{
	size_t len = strlen(name);

	if (len > 3 && strcmp(name + len - 3, "_at") == 0 && text.len > 19)
		text.len = 19;
	return text;
}

void row_add_to_table(struct table *table, struct row row,
		      const char *const *names)
{
	table_add_row(table);
	for (size_t i = 0; names[i] != NULL; i++) {
		const struct column *column = find(row, names[i]);

		if (column != NULL)
			table_set(table, i,
				  to_the_second(names[i], shown(column)),
				  tone_of(column->value));
	}
}
