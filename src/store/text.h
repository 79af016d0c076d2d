/* SPDX-License-Identifier: MIT */
/* Foreign text on its way into a text column. */
#ifndef STORE_TEXT_H
#define STORE_TEXT_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

/*
 * `text` as any database takes it: bytes that are no UTF-8, and NUL, become
 * '?'. Text that is clean is given back as it is, not copied.
 */
int text_clean(struct span text, struct arena *arena, struct span *clean,
	       struct error *err);

#endif
