/* SPDX-License-Identifier: MIT */
/*
 * JSON without a tree: checks a text and gives spans into it (RFC 8259).
 *
 * Nothing here allocates or changes the text, and no number is ever converted
 * except by json_get_integer, so every digit survives.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/span.h"

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_value {
	enum json_type type;
	struct span text; /* as written, quotes and brackets included */
};

enum { JSON_MAX_DEPTH = 128, JSON_MAX_NUMBER = 1000 };

struct json_measure {
	size_t depth;	  /* levels of nesting; 0 for a scalar */
	size_t exponents; /* sum of every number's |exponent|, at most SIZE_MAX:
			   * what the text grows by when numbers are written
			   * out */
};

/*
 * Checks that text is one JSON value, blanks around it allowed, and gives its
 * type and trimmed span. Refused with STATUS_INVALID, the byte offset named:
 * anything RFC 8259 forbids, invalid UTF-8, \u0000, lone surrogates, nesting
 * over JSON_MAX_DEPTH, a number literal over JSON_MAX_NUMBER characters. The
 * measure may be NULL.
 */
int json_check(struct span text, struct json_value *value,
	       struct json_measure *measure, struct error *err);

/*
 * Walks the members of a checked object, or the elements of a checked array:
 *
 *	struct json_cursor at = json_enter(object);
 *	while (json_next(&at, &key, &value))
 *
 * For an array key is absent. The key is raw: between the quotes, escapes and
 * all; json_unescape decodes it. Only for text that json_check accepted.
 */
struct json_cursor {
	const char *at;
	const char *end;
	bool object;
};
struct json_cursor json_enter(struct json_value value);
bool json_next(struct json_cursor *cursor, struct span *key,
	       struct json_value *value);

/*
 * The characters of a checked string value or raw key: a span into the text
 * when nothing is escaped, else a copy in the arena. Absent when memory has
 * run out.
 */
struct span json_get_string(struct json_value value, struct arena *arena);
struct span json_unescape(struct span raw, struct arena *arena);

/* False unless the value is an integer literal (no fraction, no exponent) that
 * fits. */
bool json_get_integer(struct json_value value, int64_t *integer);

/* Appends text as a JSON string with its quotes, fit for json_check: NUL and
 * bytes that are no UTF-8 become U+FFFD. */
void json_append_string(struct buffer *out, struct span text);

/* "null", "a boolean", "a number", "a string", "an array", "an object". */
const char *json_type_name(enum json_type type);

#endif
