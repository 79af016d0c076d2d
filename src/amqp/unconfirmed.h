/* SPDX-License-Identifier: MIT */
/*
 * The publishes that have no answer yet, so that a returned message finds its
 * tag.
 *
 * A return carries the message but not its tag. Messages are remembered by a
 * hash of their message_id and routing key.
 */
#ifndef AMQP_UNCONFIRMED_H
#define AMQP_UNCONFIRMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* All zeroes when empty. Tags run from 1 without gaps. */
struct unconfirmed {
	uint64_t *hashes; /* a ring of `cap`, a power of two; 0: answered */
	size_t cap;
	uint64_t oldest; /* the lowest tag without an answer is not below */
	uint64_t newest; /* the highest tag given out */
	uint64_t last_returned; /* the broker returns in publishing order */
};

void unconfirmed_finish(struct unconfirmed *set);

/* Makes room for one more; false when memory has run out. */
bool unconfirmed_reserve(struct unconfirmed *set);

/* Gives the message its tag; the room was reserved. */
uint64_t unconfirmed_add(struct unconfirmed *set, struct span message_id,
			 struct span routing_key);

/* The tag of a returned message, 0 when none is known. */
uint64_t unconfirmed_find(struct unconfirmed *set, struct span message_id,
			  struct span routing_key);

/* Takes the broker's answer; false if it never could answer that tag. */
bool unconfirmed_settle(struct unconfirmed *set, uint64_t tag, bool multiple);

#endif
