/* SPDX-License-Identifier: MIT */
/*
 * Memory that lives as long as a batch: many small allocations, one release.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/span.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used;		    /* bytes handed out since the last reset */
};

/* An arena of zeroes is ready for use; this is the same, said aloud. */
void arena_init(struct arena *arena);
void arena_finish(struct arena *arena);

/* Aligned for any object, not zeroed. NULL when memory has run out. */
void *arena_alloc(struct arena *arena, size_t size);

/* A copy that a NUL follows; an absent span stays absent. On exhaustion the
 * copy is absent: only a caller that passed a present span need look. */
struct span arena_copy(struct arena *arena, struct span span);

/* Forgets everything handed out; keeps one ordinary block for the next use
 * and gives the rest back. */
void arena_reset(struct arena *arena);

#endif
