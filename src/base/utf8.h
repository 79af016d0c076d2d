/* SPDX-License-Identifier: MIT */
/* UTF-8 as RFC 3629 defines it: no surrogates, nothing overlong. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* How many bytes the character at `at` takes, 1 to 4; 0 when what stands
 * there is no UTF-8 or is cut off by `end`. Requires at < end. */
size_t utf8_sequence(const char *at, const char *end);

bool utf8_valid(struct span text);

#endif
