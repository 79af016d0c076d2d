/* SPDX-License-Identifier: MIT */
/* How foreign text is shown in a sentence. */
#ifndef BASE_QUOTE_H
#define BASE_QUOTE_H

#include "base/span.h"

/*
 * `text` in double quotes, cut with "..." when it is long. Control
 * characters and bytes that are no UTF-8 become \xNN; quotes and backslashes
 * get a backslash. Meant to be used where it is made:
 *
 *	error_set(err, STATUS_INVALID, "found %s", quote(text).text);
 */
enum { QUOTE_SIZE = 80 };
struct quote {
	char text[QUOTE_SIZE];
};
struct quote quote(struct span text);

#endif
