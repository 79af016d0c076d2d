/* SPDX-License-Identifier: MIT */
/* Base64 with its usual alphabet and padding (RFC 4648, section 4). */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/span.h"

void base64_append(struct buffer *out, struct span bytes);

/* The bytes that a text stands for, in the arena, a NUL after them.
 * STATUS_INVALID: the text is no base64; STATUS_NO_MEMORY. */
int base64_decode(struct span text, struct arena *arena, struct span *bytes,
		  struct error *err);

#endif
