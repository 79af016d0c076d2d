/* SPDX-License-Identifier: MIT */
/* What every unit test begins with. */
#ifndef UNIT_UNIT_H
#define UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/span.h"

/* From the nth allocation on there is no more memory; 0: there is again. */
void memory_ends_at(unsigned nth);

/* Whether an allocation has failed since the last memory_ends_at. */
bool memory_ended(void);

/* A copy in memory of just that size, so that the sanitizer sees every step
 * beyond it. Free its `at`. */
struct span exact_copy(struct span text);

/* Fails the test unless the span is present and holds just this text. */
#define assert_span(span, text) \
	assert_span_is((span), (text), __FILE__, __LINE__)
void assert_span_is(struct span found, const char *text, const char *file,
		    int line);

#endif
