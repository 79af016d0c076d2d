/* SPDX-License-Identifier: MIT */
/*
 * CBOR to JSON in one pass: libcbor tells the items one by one, a stack of
 * open containers knows what stands between them.
 */
#include "message/from_cbor.h"

#include <cbor.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/utf8.h"

enum { TAG_BIGNUM = 2, TAG_NEGATIVE_BIGNUM = 3 };

enum container { ARRAY, MAP, TEXT_CHUNKS, BYTE_CHUNKS };

struct level {
	enum container kind;
	bool endless; /* until its break */
	bool empty;   /* nothing was put in yet */
	bool key;     /* MAP: a key is next */
	size_t left;  /* items or pairs to come, unless endless */
};

struct writer {
	struct buffer *out;
	struct buffer chunks; /* of the string that comes in pieces */
	struct level levels[JSON_MAX_DEPTH + 1]; /* a string on top */
	size_t depth;
	bool complete;
	const char *why; /* it cannot go on */
};

static struct level *top(struct writer *writer)
{
	return writer->depth == 0 ? NULL : &writer->levels[writer->depth - 1];
}

static bool in_chunks(struct writer *writer)
{
	const struct level *level = top(writer);

	return level != NULL && level->kind >= TEXT_CHUNKS;
}

/* ---- values in their places ---- */

/* What stands before a value. False when none may stand here. */
static bool begin_value(struct writer *writer, bool is_text)
{
	struct level *level = top(writer);

	if (writer->why != NULL)
		return false;
	if (level == NULL)
		return true;
	if (in_chunks(writer))
		writer->why = "a string in pieces of another kind";
	else if (level->kind == MAP && level->key && !is_text)
		writer->why = "a key that is no text";
	else if (!level->empty && (level->kind == ARRAY || level->key))
		buffer_append_text(writer->out, ",");
	level->empty = false;
	return writer->why == NULL;
}

/* What stands after a value: the ends, too, of what it was the last of. */
static void end_value(struct writer *writer)
{
	struct level *level;

	while ((level = top(writer)) != NULL) {
		if (level->kind == MAP) {
			level->key = !level->key;
			if (!level->key) {
				buffer_append_text(writer->out, ":");
				return;
			}
		}
		if (level->endless || --level->left > 0)
			return;
		buffer_append_text(writer->out, level->kind == MAP ? "}" : "]");
		writer->depth--;
	}
	writer->complete = true;
}

static void push(struct writer *writer, struct level level)
{
	level.empty = true;
	level.key = level.kind == MAP;
	writer->levels[writer->depth++] = level;
}

static void begin_container(struct writer *writer, struct level level)
{
	if (!begin_value(writer, false))
		return;
	if (writer->depth == JSON_MAX_DEPTH) {
		writer->why = "too many levels of nesting";
		return;
	}
	buffer_append_text(writer->out, level.kind == MAP ? "{" : "[");
	if (level.endless || level.left > 0) {
		push(writer, level);
		return;
	}
	buffer_append_text(writer->out, level.kind == MAP ? "}" : "]");
	end_value(writer);
}

static void put(struct writer *writer, const char *text)
{
	if (!begin_value(writer, false))
		return;
	buffer_append_text(writer->out, text);
	end_value(writer);
}

static void write_text(struct writer *writer, struct span text)
{
	if (!utf8_valid(text) ||
	    (text.len > 0 && memchr(text.at, 0, text.len) != NULL))
		writer->why = "a text that is not UTF-8 without NUL";
	else
		json_append_string(writer->out, text);
}

static void write_bytes(struct writer *writer, struct span bytes)
{
	buffer_append_text(writer->out, "\"");
	base64_append(writer->out, bytes);
	buffer_append_text(writer->out, "\"");
}

static void write_string(struct writer *writer, enum container kind,
			 struct span string)
{
	if (kind == TEXT_CHUNKS)
		write_text(writer, string);
	else
		write_bytes(writer, string);
	end_value(writer);
}

static void string(struct writer *writer, enum container kind,
		   struct span string)
{
	const struct level *level = top(writer);

	if (level != NULL && level->kind == kind)
		buffer_append_span(&writer->chunks, string);
	else if (begin_value(writer, kind == TEXT_CHUNKS))
		write_string(writer, kind, string);
}

static void begin_chunks(struct writer *writer, enum container kind)
{
	if (!begin_value(writer, kind == TEXT_CHUNKS))
		return;
	buffer_reset(&writer->chunks);
	push(writer, (struct level){.kind = kind, .endless = true});
}

/* ---- libcbor's callbacks ---- */

static void on_unsigned(void *context, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	put(context, text);
}

/* CBOR says -1 - value; value + 1 may not fit. */
static void on_negative(void *context, uint64_t value)
{
	char text[24];

	if (value == UINT64_MAX)
		snprintf(text, sizeof(text), "-18446744073709551616");
	else
		snprintf(text, sizeof(text), "-%" PRIu64, value + 1);
	put(context, text);
}

static void on_uint8(void *context, uint8_t value)
{
	on_unsigned(context, value);
}

static void on_uint16(void *context, uint16_t value)
{
	on_unsigned(context, value);
}

static void on_uint32(void *context, uint32_t value)
{
	on_unsigned(context, value);
}

static void on_negint8(void *context, uint8_t value)
{
	on_negative(context, value);
}

static void on_negint16(void *context, uint16_t value)
{
	on_negative(context, value);
}

static void on_negint32(void *context, uint32_t value)
{
	on_negative(context, value);
}

/* As few digits as give the same double again. */
static void on_double(void *context, double value)
{
	struct writer *writer = context;
	char text[40];
	char *comma;

	if (!isfinite(value)) {
		writer->why = "a number that is not finite";
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	comma = strchr(text, ','); /* of the process's locale */
	if (comma != NULL)
		*comma = '.';
	put(writer, text);
}

static void on_float(void *context, float value)
{
	on_double(context, (double)value);
}

static void on_text(void *context, cbor_data at, size_t len)
{
	string(context, TEXT_CHUNKS, (struct span){(const char *)at, len});
}

static void on_bytes(void *context, cbor_data at, size_t len)
{
	string(context, BYTE_CHUNKS, (struct span){(const char *)at, len});
}

static void on_text_start(void *context)
{
	begin_chunks(context, TEXT_CHUNKS);
}

static void on_bytes_start(void *context)
{
	begin_chunks(context, BYTE_CHUNKS);
}

static void on_array(void *context, size_t count)
{
	begin_container(context, (struct level){.kind = ARRAY, .left = count});
}

static void on_endless_array(void *context)
{
	begin_container(context,
			(struct level){.kind = ARRAY, .endless = true});
}

static void on_map(void *context, size_t count)
{
	begin_container(context, (struct level){.kind = MAP, .left = count});
}

static void on_endless_map(void *context)
{
	begin_container(context, (struct level){.kind = MAP, .endless = true});
}

static void on_break(void *context)
{
	struct writer *writer = context;
	const struct level *level = top(writer);

	if (level == NULL || !level->endless ||
	    (level->kind == MAP && !level->key)) {
		writer->why = "a break where nothing may end";
		return;
	}
	writer->depth--;
	if (level->kind >= TEXT_CHUNKS) {
		write_string(writer, level->kind, buffer_span(&writer->chunks));
		return;
	}
	buffer_append_text(writer->out, level->kind == MAP ? "}" : "]");
	end_value(writer);
}

static void on_tag(void *context, uint64_t tag)
{
	struct writer *writer = context;

	if (tag == TAG_BIGNUM || tag == TAG_NEGATIVE_BIGNUM)
		writer->why = "a number beyond 64 bits";
	if (in_chunks(writer))
		writer->why = "a tag within a string";
}

static void on_null(void *context)
{
	put(context, "null");
}

static void on_boolean(void *context, bool value)
{
	put(context, value ? "true" : "false");
}

static const struct cbor_callbacks callbacks = {
	.uint8 = on_uint8,
	.uint16 = on_uint16,
	.uint32 = on_uint32,
	.uint64 = on_unsigned,
	.negint8 = on_negint8,
	.negint16 = on_negint16,
	.negint32 = on_negint32,
	.negint64 = on_negative,
	.byte_string_start = on_bytes_start,
	.byte_string = on_bytes,
	.string = on_text,
	.string_start = on_text_start,
	.indef_array_start = on_endless_array,
	.array_start = on_array,
	.indef_map_start = on_endless_map,
	.map_start = on_map,
	.tag = on_tag,
	.float2 = on_float,
	.float4 = on_float,
	.float8 = on_double,
	.undefined = on_null,
	.null = on_null,
	.boolean = on_boolean,
	.indef_break = on_break,
};

/* ---- the whole ---- */

/* Gives what has not been read. */
static struct span transcode(struct writer *writer, struct span cbor,
			     size_t start, size_t limit)
{
	while (!writer->complete && writer->why == NULL) {
		struct cbor_decoder_result result = cbor_stream_decode(
			(cbor_data)cbor.at, cbor.len, &callbacks, writer);

		if (result.status == CBOR_DECODER_NEDATA)
			writer->why = "less than it announces";
		else if (result.status != CBOR_DECODER_FINISHED)
			writer->why = "bytes that mean nothing";
		else if (buffer_length(writer->out) - start > limit)
			writer->why = "more than max_message_bytes allows";
		cbor.at += result.read;
		cbor.len -= result.read;
	}
	return cbor;
}

int json_from_cbor(struct span cbor, size_t limit, struct buffer *out,
		   struct error *err)
{
	struct writer writer = {.out = out};
	struct span rest = transcode(&writer, cbor, buffer_length(out), limit);
	bool failed = out->failed || writer.chunks.failed;

	buffer_finish(&writer.chunks);
	if (failed)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	if (writer.why == NULL && rest.len > 0)
		writer.why = "more than one item";
	if (writer.why != NULL)
		return error_set(err, STATUS_INVALID, "CBOR: found %s",
				 writer.why);
	return 0;
}
