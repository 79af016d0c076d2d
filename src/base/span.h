/* SPDX-License-Identifier: MIT */
/* A borrowed run of bytes; `at` is NULL when the value is absent. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *at;
	size_t len;
};

#define SPAN_NONE ((struct span){NULL, 0})
#define SPAN_LIT(literal) ((struct span){(literal), sizeof(literal) - 1})
/* For "%.*s"; at most 200 bytes, enough for a sentence. */
#define SPAN_ARG(span)                                \
	((int)((span).len < 200 ? (span).len : 200)), \
		((span).at ? (span).at : "")

static inline struct span span_of(const char *text)
{
	return (struct span){text, text == NULL ? 0 : strlen(text)};
}

static inline bool span_present(struct span span)
{
	return span.at != NULL;
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool span_is(struct span span, const char *text)
{
	return span.at != NULL && span_equal(span, span_of(text));
}

#endif
