/* SPDX-License-Identifier: MIT */
/* Text columns take UTF-8 without NUL; what the world sends may be neither. */
#include "store/text.h"

#include "base/utf8.h"

int text_clean(struct span text, struct arena *arena, struct span *clean,
	       struct error *err)
{
	const char *end;
	char *copy, *to;

	if (!span_present(text) ||
	    (utf8_valid(text) && memchr(text.at, '\0', text.len) == NULL)) {
		*clean = text;
		return 0;
	}
	copy = to = arena_alloc(arena, text.len + 1);
	if (copy == NULL)
		return error_set(err, STATUS_NO_MEMORY, "no memory for a text");
	end = text.at + text.len;
	for (const char *at = text.at; at < end;) {
		size_t len = *at == '\0' ? 0 : utf8_sequence(at, end);

		if (len == 0) {
			*to++ = '?';
			at++;
			continue;
		}
		memcpy(to, at, len);
		to += len;
		at += len;
	}
	*clean = (struct span){copy, text.len};
	return 0;
}
