/* SPDX-License-Identifier: MIT */
/* Whether a text is JSON, in one pass and without recursion. */
#include "base/json.h"

#include <stdio.h>

#include "base/json_bytes.h"
#include "base/utf8.h"

static bool is_high_surrogate(int unit)
{
	return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low_surrogate(int unit)
{
	return unit >= 0xdc00 && unit < 0xe000;
}

struct scanner {
	const char *start;
	const char *at;
	const char *end;
	struct json_measure measure;
	size_t depth;
	char closers[JSON_MAX_DEPTH]; /* what ends each open level */
	struct error *err;
};

static int refuse(const struct scanner *s, const char *why)
{
	return error_set(s->err, STATUS_INVALID,
			 "not valid JSON at byte %zu: %s",
			 (size_t)(s->at - s->start), why);
}

static int expected(const struct scanner *s, const char *what)
{
	size_t left = (size_t)(s->end - s->at);
	unsigned char c = left == 0 ? 0 : (unsigned char)*s->at;
	char found[32];
	char why[96];

	if (left == 0)
		snprintf(found, sizeof(found), "the end");
	else if (left >= 3 && memcmp(s->at, "\xef\xbb\xbf", 3) == 0)
		snprintf(found, sizeof(found), "a byte order mark");
	else if (c > ' ' && c < 0x7f)
		snprintf(found, sizeof(found), "'%c'", c);
	else
		snprintf(found, sizeof(found), "byte 0x%02x", c);
	snprintf(why, sizeof(why), "expected %s, found %s", what, found);
	return refuse(s, why);
}

static bool next_is(const struct scanner *s, char c)
{
	return s->at < s->end && *s->at == c;
}

static void add_exponent(struct scanner *s, const char *digit)
{
	size_t *sum = &s->measure.exponents;
	size_t exponent = 0;

	for (; digit < s->at && exponent < SIZE_MAX; digit++)
		if (__builtin_mul_overflow(exponent, 10, &exponent) ||
		    __builtin_add_overflow(exponent, *digit - '0', &exponent))
			exponent = SIZE_MAX;
	if (__builtin_add_overflow(*sum, exponent, sum))
		*sum = SIZE_MAX;
}

static int scan_digits(struct scanner *s)
{
	if (s->at == s->end || !is_digit(*s->at))
		return expected(s, "a digit");
	while (s->at < s->end && is_digit(*s->at))
		s->at++;
	return 0;
}

static int scan_exponent(struct scanner *s)
{
	const char *digits;
	int rc;

	s->at++;
	if (next_is(s, '+') || next_is(s, '-'))
		s->at++;
	digits = s->at;
	rc = scan_digits(s);
	if (rc == 0)
		add_exponent(s, digits);
	return rc;
}

static int scan_number(struct scanner *s)
{
	const char *first = s->at;
	int rc = 0;

	if (*s->at == '-')
		s->at++;
	if (next_is(s, '0'))
		s->at++;
	else
		rc = scan_digits(s);
	if (rc == 0 && next_is(s, '.')) {
		s->at++;
		rc = scan_digits(s);
	}
	if (rc == 0 && (next_is(s, 'e') || next_is(s, 'E')))
		rc = scan_exponent(s);
	if (rc == 0 && s->at - first > JSON_MAX_NUMBER) {
		s->at = first;
		rc = refuse(s, "a number of more than 1000 characters");
	}
	return rc;
}
_Static_assert(JSON_MAX_NUMBER == 1000, "scan_number's sentence says so");

static int scan_unicode(struct scanner *s)
{
	int unit = hex4(s->at + 2, s->end);

	if (unit < 0)
		return refuse(s, "\\u needs four hexadecimal digits");
	if (unit == 0)
		return refuse(s, "\\u0000 is not allowed");
	if (is_low_surrogate(unit))
		return refuse(s, "a lone surrogate");
	if (is_high_surrogate(unit)) {
		const char *second = s->at + 6;

		if (s->end - second < 6 || second[0] != '\\' ||
		    second[1] != 'u' ||
		    !is_low_surrogate(hex4(second + 2, s->end)))
			return refuse(s, "a lone surrogate");
		s->at = second;
	}
	s->at += 6;
	return 0;
}

static int scan_escape(struct scanner *s)
{
	if (s->end - s->at >= 2) {
		switch (s->at[1]) {
		case 'u':
			return scan_unicode(s);
		case '"':
		case '\\':
		case '/':
		case 'b':
		case 'f':
		case 'n':
		case 'r':
		case 't':
			s->at += 2;
			return 0;
		}
	}
	return refuse(s, "a backslash that begins no escape");
}

static int scan_multibyte(struct scanner *s)
{
	size_t len = utf8_sequence(s->at, s->end);

	if (len == 0)
		return refuse(s, "a byte that is not UTF-8");
	s->at += len;
	return 0;
}

static int scan_string(struct scanner *s)
{
	int rc = 0;

	s->at++;
	while (rc == 0) {
		s->at = skip_plain(s->at, s->end);
		if (s->at == s->end)
			return expected(s, "a closing quote");
		if (*s->at == '"') {
			s->at++;
			return 0;
		}
		if (*s->at == '\\')
			rc = scan_escape(s);
		else if ((*s->at & 0x80) != 0)
			rc = scan_multibyte(s);
		else
			rc = refuse(s, "a control character in a string");
	}
	return rc;
}

static int scan_literal(struct scanner *s, struct span literal)
{
	if ((size_t)(s->end - s->at) < literal.len ||
	    memcmp(s->at, literal.at, literal.len) != 0)
		return expected(s, "a value");
	s->at += literal.len;
	return 0;
}

static int scan_scalar(struct scanner *s)
{
	if (s->at == s->end)
		return expected(s, "a value");
	switch (*s->at) {
	case '"':
		return scan_string(s);
	case 'n':
		return scan_literal(s, SPAN_LIT("null"));
	case 't':
		return scan_literal(s, SPAN_LIT("true"));
	case 'f':
		return scan_literal(s, SPAN_LIT("false"));
	default:
		if (*s->at == '-' || is_digit(*s->at))
			return scan_number(s);
		return expected(s, "a value");
	}
}

static int scan_key(struct scanner *s)
{
	int rc;

	s->at = skip_blanks(s->at, s->end);
	if (!next_is(s, '"'))
		return expected(s, "a key in quotes");
	rc = scan_string(s);
	if (rc != 0)
		return rc;
	s->at = skip_blanks(s->at, s->end);
	if (!next_is(s, ':'))
		return expected(s, "':'");
	s->at++;
	return 0;
}

static int open_level(struct scanner *s)
{
	if (s->depth == JSON_MAX_DEPTH)
		return refuse(s, "nested deeper than 128 levels");
	s->closers[s->depth++] = *s->at == '{' ? '}' : ']';
	if (s->measure.depth < s->depth)
		s->measure.depth = s->depth;
	s->at = skip_blanks(s->at + 1, s->end);
	return 0;
}
_Static_assert(JSON_MAX_DEPTH == 128, "open_level's sentence says so");

/* Opens levels until there is one that is empty, or a scalar, and passes the
 * scalar. */
static int scan_value(struct scanner *s)
{
	for (;;) {
		int rc;

		s->at = skip_blanks(s->at, s->end);
		if (!next_is(s, '{') && !next_is(s, '['))
			return scan_scalar(s);
		rc = open_level(s);
		if (rc != 0 || next_is(s, s->closers[s->depth - 1]))
			return rc;
		if (s->closers[s->depth - 1] == '}')
			rc = scan_key(s);
		if (rc != 0)
			return rc;
	}
}

/* Goes from the end of a value to where the next one begins, closing levels
 * on the way. */
static int scan_onward(struct scanner *s)
{
	while (s->depth > 0) {
		char closer = s->closers[s->depth - 1];

		s->at = skip_blanks(s->at, s->end);
		if (next_is(s, closer)) {
			s->at++;
			s->depth--;
		} else if (next_is(s, ',')) {
			s->at++;
			return closer == '}' ? scan_key(s) : 0;
		} else {
			return expected(s, closer == '}' ? "',' or '}'"
							 : "',' or ']'");
		}
	}
	return 0;
}

int json_check(struct span text, struct json_value *value,
	       struct json_measure *measure, struct error *err)
{
	struct scanner s = {.start = text.at, .err = err};
	const char *first;
	struct span found;
	int rc;

	s.end = text.at + text.len;
	s.at = first = skip_blanks(text.at, s.end);
	do {
		rc = scan_value(&s);
		if (rc == 0)
			rc = scan_onward(&s);
	} while (rc == 0 && s.depth > 0);
	if (rc != 0)
		return rc;
	found = (struct span){first, (size_t)(s.at - first)};
	s.at = skip_blanks(s.at, s.end);
	if (s.at != s.end)
		return expected(&s, "nothing more");
	*value = (struct json_value){type_at(first), found};
	if (measure != NULL)
		*measure = s.measure;
	return 0;
}
