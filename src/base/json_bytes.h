/* SPDX-License-Identifier: MIT */
/* What the check and the reading of JSON share. */
#ifndef BASE_JSON_BYTES_H
#define BASE_JSON_BYTES_H

#include "base/json.h"

static inline const char *skip_blanks(const char *at, const char *end)
{
	while (at < end &&
	       (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	return at;
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Needs no look inside a string: ASCII, no control, quote or backslash. */
static inline bool is_plain(char c)
{
	return c >= ' ' && c != '"' && c != '\\' && (c & 0x80) == 0;
}

/*
 * The same for eight bytes at once. Each difference sets a byte's top bit when
 * that byte is not plain; a borrow can only come from such a byte, so no top
 * bit at all means that all eight are plain, in either byte order.
 */
static inline bool are_plain(const char *at)
{
	const uint64_t each = UINT64_C(0x0101010101010101);
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return ((word | (word - each * ' ') | ((word ^ each * '"') - each) |
		 ((word ^ each * '\\') - each)) &
		each * 0x80) == 0;
}

static inline const char *skip_plain(const char *at, const char *end)
{
	while (end - at >= 8 && are_plain(at))
		at += 8;
	while (at < end && is_plain(*at))
		at++;
	return at;
}

static inline enum json_type type_at(const char *at)
{
	switch (*at) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 'n':
		return JSON_NULL;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	default:
		return JSON_NUMBER;
	}
}

/* The four digits of a \u escape, -1 when there are none. */
static inline int hex4(const char *at, const char *end)
{
	int value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = at[i];

		if (is_digit(c))
			value = value * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (c - 'A' + 10);
		else
			return -1;
	}
	return value;
}

#endif
