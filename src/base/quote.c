/* SPDX-License-Identifier: MIT */
/* Quoting of foreign text, cut between characters. */
#include "base/quote.h"

#include <stdio.h>

#include "base/utf8.h"

enum { SHOWN_SIZE = 5 }; /* the longest form of a character, \xNN and a NUL */

/* Writes how the character at `at` is shown; returns its bytes in the text. */
static size_t show(const char *at, const char *end, char shown[SHOWN_SIZE])
{
	size_t len = utf8_sequence(at, end);
	unsigned char c = (unsigned char)*at;

	if (len == 0 || c < 0x20 || c == 0x7f) {
		snprintf(shown, SHOWN_SIZE, "\\x%02x", c);
		return 1;
	}
	snprintf(shown, SHOWN_SIZE, "%s%.*s", c == '"' || c == '\\' ? "\\" : "",
		 (int)len, at);
	return len;
}

struct quote quote(struct span text)
{
	const size_t room = QUOTE_SIZE - sizeof("...\"");
	const char *at = text.at;
	const char *end = at + text.len;
	struct quote quoted = {"\""};
	size_t used = 1;

	while (at < end) {
		char shown[SHOWN_SIZE];
		size_t taken = show(at, end, shown);

		if (used + strlen(shown) > room) {
			memcpy(quoted.text + used, "...", 3);
			used += 3;
			break;
		}
		memcpy(quoted.text + used, shown, strlen(shown));
		used += strlen(shown);
		at += taken;
	}
	quoted.text[used] = '"';
	return quoted;
}
