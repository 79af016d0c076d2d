/* SPDX-License-Identifier: MIT */
/*
 * A message's basic properties (specification, 4.2.6.1), its header table as
 * strings.
 *
 * Reading is done here and not by librabbitmq, whose decoder follows nested
 * tables without bound: any publisher could exhaust a consumer's stack.
 */
#ifndef AMQP_PROPERTIES_H
#define AMQP_PROPERTIES_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/span.h"
#include "message/headers.h"

/* Absent where the message has none. */
struct properties {
	struct span content_type;
	struct span correlation_id;
	struct span reply_to;
	struct span message_id;
	struct span type;
	struct span app_id;
	uint64_t timestamp; /* seconds since 1970; 0: none */
	struct headers headers;
};

/*
 * Reads what follows a content header's body size. Spans point into `encoded`
 * or the arena. Header values of every type become strings: numbers,
 * booleans and times (seconds) as in JSON, tables and arrays as JSON text
 * (below 32 levels: null), void as the empty string. Bytes of a string that are
 * no UTF-8, and NUL, become U+FFFD. Headers without a name are left out.
 * STATUS_PROTOCOL: malformed; STATUS_NO_MEMORY.
 */
int properties_read(struct properties *properties, struct span encoded,
		    struct arena *arena, struct error *err);

/* Appends the properties' content header frame for a persistent message.
 * STATUS_INVALID names what does not fit; STATUS_NO_MEMORY. */
int properties_write(const struct properties *properties, struct buffer *out,
		     uint16_t channel, uint64_t body_size, size_t frame_max,
		     struct arena *scratch, struct error *err);

#endif
