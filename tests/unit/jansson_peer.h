/* SPDX-License-Identifier: MIT */
/* jansson behind a wall: its header and base/json.h share names. */
#ifndef UNIT_JANSSON_PEER_H
#define UNIT_JANSSON_PEER_H

#include "base/span.h"

enum peer_verdict {
	PEER_ACCEPTS,
	PEER_REFUSES,
	PEER_OVERFLOWS, /* a number is too large for C's types */
};

enum peer_verdict peer_check(struct span text);

/* Whether jansson reads the same value from both. */
bool peer_same(struct span text, struct span other);

#endif
