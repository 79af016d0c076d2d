/* SPDX-License-Identifier: MIT */
/* Walks field tables; nested ones become JSON text. */
#include "amqp/fields.h"

#include <inttypes.h>
#include <math.h>

#include "amqp/reader.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/utf8.h"

enum { MAX_DEPTH = 32 };

/* A value as it stands in the table; RabbitMQ's kinds, not the
 * specification's. */
struct field {
	struct span name; /* absent in an array */
	char kind;
	struct span raw; /* without the length that strings, tables and arrays
			  * begin with */
};

static struct span read_raw(struct reader *reader, char kind)
{
	switch (kind) {
	case 'V':
		return read_bytes(reader, 0);
	case 't':
	case 'b':
	case 'B':
		return read_bytes(reader, 1);
	case 's':
	case 'u':
		return read_bytes(reader, 2);
	case 'I':
	case 'i':
	case 'f':
		return read_bytes(reader, 4);
	case 'D':
		return read_bytes(reader, 5);
	case 'l':
	case 'L':
	case 'T':
	case 'd':
		return read_bytes(reader, 8);
	case 'S':
	case 'x':
	case 'A':
	case 'F':
		return read_long_string(reader);
	default:
		reader->failed = true;
		return SPAN_NONE;
	}
}

/* The next member or element; false at the end and where the rest is
 * malformed. */
static bool next_field(struct reader *reader, bool named, struct field *field)
{
	if (reader->left.len == 0)
		return false;
	field->name = named ? read_short_string(reader) : SPAN_NONE;
	field->kind = (char)read_uint(reader, 1);
	field->raw = read_raw(reader, field->kind);
	return !reader->failed;
}

static uint64_t unsigned_of(struct span raw)
{
	struct reader reader = {.left = raw};

	return read_uint(&reader, raw.len);
}

static int64_t signed_of(struct span raw)
{
	unsigned unused = 64 - 8 * (unsigned)raw.len;

	return (int64_t)(unsigned_of(raw) << unused) >> unused;
}

static double float_of(struct span raw)
{
	uint32_t bits = (uint32_t)unsigned_of(raw);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return (double)value;
}

static double double_of(struct span raw)
{
	uint64_t bits = unsigned_of(raw);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static void append_number(struct buffer *out, double value, int digits)
{
	if (isfinite(value))
		buffer_append_format(out, "%.*g", digits, value);
	else
		buffer_append_text(out, "null");
}

static void append_decimal(struct buffer *out, struct span raw)
{
	struct span digits = {raw.at + 1, raw.len - 1};

	buffer_append_format(out, "%" PRId64 "e-%u", signed_of(digits),
			     (unsigned)(uint8_t)raw.at[0]);
}

/* Appends text, with U+FFFD for what no text in a database may hold. */
static void append_clean(struct buffer *out, struct span text)
{
	const char *end = text.at + text.len;

	for (const char *at = text.at; at < end;) {
		size_t size = *at == '\0' ? 0 : utf8_sequence(at, end);

		if (size == 0)
			buffer_append_text(out, "\xef\xbf\xbd");
		else
			buffer_append(out, at, size);
		at += size == 0 ? 1 : size;
	}
}

static void append_string(struct buffer *out, struct span text)
{
	struct buffer copy;

	buffer_init(&copy);
	append_clean(&copy, text);
	json_append_string(out, buffer_span(&copy));
	out->failed |= copy.failed;
	buffer_finish(&copy);
}

static bool append_json(struct buffer *out, const struct field *field,
			int depth);

/* A table as an object or an array as one; false when it is malformed. */
static bool append_nested(struct buffer *out, const struct field *field,
			  int depth)
{
	bool table = field->kind == 'F';
	struct reader reader = {.left = field->raw};
	const char *comma = "";
	struct field inner;

	if (depth == MAX_DEPTH) {
		buffer_append_text(out, "null");
		return true;
	}
	buffer_append_text(out, table ? "{" : "[");
	while (next_field(&reader, table, &inner)) {
		buffer_append_text(out, comma);
		if (table) {
			append_string(out, inner.name);
			buffer_append_text(out, ":");
		}
		if (!append_json(out, &inner, depth + 1))
			return false;
		comma = ",";
	}
	buffer_append_text(out, table ? "}" : "]");
	return !reader.failed;
}

static bool append_json(struct buffer *out, const struct field *field,
			int depth)
{
	switch (field->kind) {
	case 'V':
		buffer_append_text(out, "null");
		break;
	case 't':
		buffer_append_text(out, field->raw.at[0] ? "true" : "false");
		break;
	case 'B':
	case 'u':
	case 'i':
	case 'L':
	case 'T':
		buffer_append_format(out, "%" PRIu64, unsigned_of(field->raw));
		break;
	case 'b':
	case 's':
	case 'I':
	case 'l':
		buffer_append_format(out, "%" PRId64, signed_of(field->raw));
		break;
	case 'f':
		append_number(out, float_of(field->raw), 9);
		break;
	case 'd':
		append_number(out, double_of(field->raw), 17);
		break;
	case 'D':
		append_decimal(out, field->raw);
		break;
	case 'A':
	case 'F':
		return append_nested(out, field, depth);
	default:
		append_string(out, field->raw);
		break;
	}
	return true;
}

/* A header's value: strings as they are, void empty, the rest as in JSON. */
static bool append_value(struct buffer *out, const struct field *field)
{
	if (field->kind == 'V')
		return true;
	if (field->kind != 'S' && field->kind != 'x')
		return append_json(out, field, 0);
	append_clean(out, field->raw);
	return true;
}

static bool usable_as_it_is(const struct field *field)
{
	return field->kind == 'S' && utf8_valid(field->raw) &&
	       memchr(field->raw.at, '\0', field->raw.len) == NULL;
}

static size_t count_fields(struct span table)
{
	struct reader reader = {.left = table};
	struct field field;
	size_t count = 0;

	while (next_field(&reader, true, &field))
		count++;
	return count;
}

static int take_value(struct span *value, const struct field *field,
		      struct buffer *scratch, struct arena *arena,
		      struct error *err)
{
	if (usable_as_it_is(field)) {
		*value = field->raw;
		return 0;
	}
	buffer_reset(scratch);
	if (!append_value(scratch, field))
		return error_set(err, STATUS_PROTOCOL,
				 "a message's header table is malformed");
	*value = arena_copy(arena, buffer_span(scratch));
	if (scratch->failed || !span_present(*value))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	return 0;
}

static int fill_headers(struct headers *headers, struct reader *reader,
			struct arena *arena, struct error *err)
{
	struct buffer scratch;
	struct field field;
	int status = 0;

	buffer_init(&scratch);
	while (status == 0 && next_field(reader, true, &field)) {
		struct header *header = &headers->at[headers->count];

		if (field.name.len == 0 || !utf8_valid(field.name))
			continue;
		header->name = field.name;
		status = take_value(&header->value, &field, &scratch, arena,
				    err);
		headers->count++;
	}
	buffer_finish(&scratch);
	return status;
}

int fields_read(struct headers *headers, struct span table, struct arena *arena,
		struct error *err)
{
	struct reader reader = {.left = table};
	struct headers found = {0};
	size_t count = count_fields(table);
	int status;

	found.at = arena_alloc(arena, count * sizeof(*found.at));
	if (found.at == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	status = fill_headers(&found, &reader, arena, err);
	if (status == 0 && reader.failed)
		status = error_set(err, STATUS_PROTOCOL,
				   "a message's header table is malformed");
	if (status == 0)
		*headers = found;
	return status;
}
