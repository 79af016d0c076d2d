/* SPDX-License-Identifier: MIT */
/*
 * Message headers: a flat JSON object of strings in the tables, pairs of
 * strings on the wire.
 */
#ifndef MESSAGE_HEADERS_H
#define MESSAGE_HEADERS_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

struct header {
	struct span name;  /* 1 to 255 bytes */
	struct span value; /* UTF-8 */
};

struct headers {
	struct header *at;
	size_t count;
};

/* The value of the first header of that name, or absent. */
struct span headers_find(const struct headers *headers, const char *name);

/*
 * Reads a column's text: a JSON object of strings, or absent. The array and
 * decoded strings live in the arena or in text. STATUS_INVALID names the
 * header that is no string, nameless, too long or twice there.
 */
int headers_parse(struct headers *headers, struct span text,
		  struct arena *arena, struct error *err);

/*
 * The column's text for what arrived: the members of `extra` (a JSON object's
 * text, may be absent) and the pairs. Of one name the member wins, then the
 * first pair. Values that are no strings become their JSON text. Absent when
 * there is nothing; *failed says whether memory has run out.
 */
struct span headers_merge(const struct headers *headers, struct span extra,
			  struct arena *arena, bool *failed);

/* Adds the members of an envelope's `extra` to headers that go out: strings
 * decoded, other values as their JSON text; headers already there win. */
int headers_add_extra(struct headers *headers, struct span extra,
		      struct arena *arena, struct error *err);

/* Puts one header among them; it wins over one of the same name. */
int headers_set(struct headers *headers, struct header header,
		struct arena *arena, struct error *err);

#endif
