/* SPDX-License-Identifier: MIT */
/* Reading JSON that passed the check, and writing strings. */
#include "base/json.h"

#include <assert.h>

#include "base/json_bytes.h"
#include "base/utf8.h"

/* ---- walking ---- */

/* From an opening quote to one past the closing one. */
static const char *skip_string(const char *at, const char *end)
{
	at++;
	while ((at = skip_plain(at, end)) < end && *at != '"')
		at += *at == '\\' ? 2 : 1;
	return at + 1;
}

static const char *skip_container(const char *at, const char *end)
{
	size_t depth = 0;

	while (at < end) {
		switch (*at) {
		case '"':
			at = skip_string(at, end);
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (--depth == 0)
				return at + 1;
			break;
		}
		at++;
	}
	return at;
}

static const char *skip_word(const char *at, const char *end)
{
	while (at < end && *at != ',' && *at != '}' && *at != ']' &&
	       *at != ' ' && *at != '\n' && *at != '\r' && *at != '\t')
		at++;
	return at;
}

static struct json_value value_at(const char *at, const char *end)
{
	enum json_type type = type_at(at);
	const char *past;

	if (type == JSON_STRING)
		past = skip_string(at, end);
	else if (type == JSON_OBJECT || type == JSON_ARRAY)
		past = skip_container(at, end);
	else
		past = skip_word(at, end);
	return (struct json_value){type, {at, (size_t)(past - at)}};
}

struct json_cursor json_enter(struct json_value value)
{
	assert(value.type == JSON_OBJECT || value.type == JSON_ARRAY);
	return (struct json_cursor){
		.at = value.text.at + 1,
		.end = value.text.at + value.text.len - 1,
		.object = value.type == JSON_OBJECT,
	};
}

bool json_next(struct json_cursor *cursor, struct span *key,
	       struct json_value *value)
{
	const char *at = skip_blanks(cursor->at, cursor->end);

	if (at < cursor->end && *at == ',')
		at = skip_blanks(at + 1, cursor->end);
	if (at >= cursor->end)
		return false;
	*key = SPAN_NONE;
	if (cursor->object) {
		const char *past = skip_string(at, cursor->end);

		*key = (struct span){at + 1, (size_t)(past - at) - 2};
		at = skip_blanks(past, cursor->end) + 1;
		at = skip_blanks(at, cursor->end);
	}
	*value = value_at(at, cursor->end);
	cursor->at = at + value->text.len;
	return true;
}

/* ---- strings ---- */

static size_t put_utf8(char *out, unsigned code)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* The code point of the \u escape, or pair of them, at *at. */
static unsigned take_unicode(const char **at, const char *end)
{
	unsigned code = (unsigned)hex4(*at + 2, end);

	*at += 6;
	if (code >= 0xd800 && code < 0xe000) {
		unsigned low = (unsigned)hex4(*at + 2, end);

		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
		*at += 6;
	}
	return code;
}

static char unescaped(char letter)
{
	switch (letter) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return letter;
	}
}

struct span json_unescape(struct span raw, struct arena *arena)
{
	const char *at = raw.at;
	const char *end = at + raw.len;
	char *text;
	size_t len = 0;

	if (memchr(raw.at, '\\', raw.len) == NULL)
		return raw;
	text = arena_alloc(arena, raw.len);
	if (text == NULL)
		return SPAN_NONE;
	while (at < end) {
		if (*at != '\\') {
			text[len++] = *at++;
		} else if (at[1] == 'u') {
			len += put_utf8(text + len, take_unicode(&at, end));
		} else {
			text[len++] = unescaped(at[1]);
			at += 2;
		}
	}
	return (struct span){text, len};
}

struct span json_get_string(struct json_value value, struct arena *arena)
{
	assert(value.type == JSON_STRING);
	return json_unescape(
		(struct span){value.text.at + 1, value.text.len - 2}, arena);
}

/* Appends what stands at `at` and has no place in a JSON string as it is;
 * returns how many bytes that were. */
static size_t append_odd(struct buffer *out, const char *at, const char *end)
{
	static const char letters[] = "\bb\ff\nn\rr\tt\"\"\\\\";
	size_t len = utf8_sequence(at, end);

	if (len == 0 || *at == '\0') {
		buffer_append_text(out, "\xef\xbf\xbd"); /* U+FFFD */
		return 1;
	}
	if (len > 1) {
		buffer_append(out, at, len);
		return len;
	}
	for (const char *pair = letters; *pair != '\0'; pair += 2)
		if (*pair == *at) {
			buffer_append(out, "\\", 1);
			buffer_append(out, pair + 1, 1);
			return 1;
		}
	buffer_append_format(out, "\\u%04x", (unsigned)*at);
	return 1;
}

void json_append_string(struct buffer *out, struct span text)
{
	const char *at = text.at;
	const char *end = at + text.len;

	buffer_append_text(out, "\"");
	while (at < end) {
		const char *odd = skip_plain(at, end);

		buffer_append(out, at, (size_t)(odd - at));
		at = odd;
		if (at < end)
			at += append_odd(out, at, end);
	}
	buffer_append_text(out, "\"");
}

/* ---- the rest ---- */

bool json_get_integer(struct json_value value, int64_t *integer)
{
	const char *at = value.text.at;
	const char *end = at + value.text.len;
	int64_t result = 0;
	bool negative;

	if (value.type != JSON_NUMBER)
		return false;
	negative = *at == '-';
	if (negative)
		at++;
	for (; at < end; at++) {
		int digit = *at - '0';

		if (!is_digit(*at) ||
		    __builtin_mul_overflow(result, 10, &result) ||
		    __builtin_sub_overflow(result, digit, &result))
			return false;
	}
	/* Gathered below zero, where there is room for INT64_MIN too. */
	if (!negative && __builtin_sub_overflow(0, result, &result))
		return false;
	*integer = result;
	return true;
}

const char *json_type_name(enum json_type type)
{
	switch (type) {
	case JSON_NULL:
		return "null";
	case JSON_FALSE:
	case JSON_TRUE:
		return "a boolean";
	case JSON_NUMBER:
		return "a number";
	case JSON_STRING:
		return "a string";
	case JSON_ARRAY:
		return "an array";
	case JSON_OBJECT:
		return "an object";
	}
	return "a value";
}
