/* SPDX-License-Identifier: MIT */
/* What standard output can show: width, colour, or nothing but bytes. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/span.h"

struct terminal {
	bool interactive; /* a person watches; else a pipe or a file */
	bool colour;	  /* never when NO_COLOR is set */
	size_t width;	  /* columns; SIZE_MAX when not interactive */
};

void terminal_init(struct terminal *terminal);

enum tone { TONE_PLAIN, TONE_TITLE, TONE_DIM, TONE_GOOD, TONE_WAIT, TONE_BAD };

/* The tone of a status or a lane's state. */
enum tone tone_of(struct span word);

/* Columns that text_append takes for the whole text. */
size_t text_width(struct span text);

/*
 * Appends text in its tone, in at most `width` columns: what is too long ends
 * in an ellipsis. Line ends and tabs become blanks; whatever else could move
 * the cursor, or is no UTF-8, becomes '?'. Returns the columns taken.
 */
size_t text_append(struct buffer *out, const struct terminal *terminal,
		   struct span text, enum tone tone, size_t width);

#endif
