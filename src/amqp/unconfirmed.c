/* SPDX-License-Identifier: MIT */
/* A ring of hashes, indexed by tag. */
#include "amqp/unconfirmed.h"

#include <stdlib.h>

enum { FIRST_CAP = 256 };

void unconfirmed_finish(struct unconfirmed *set)
{
	free(set->hashes);
	*set = (struct unconfirmed){0};
}

static uint64_t *slot(const struct unconfirmed *set, uint64_t tag)
{
	return &set->hashes[tag & (set->cap - 1)];
}

bool unconfirmed_reserve(struct unconfirmed *set)
{
	struct unconfirmed bigger = *set;

	if (set->newest + 1 - set->oldest < set->cap)
		return true;
	bigger.cap = set->cap == 0 ? FIRST_CAP : set->cap * 2;
	bigger.hashes = malloc(bigger.cap * sizeof(*bigger.hashes));
	if (bigger.hashes == NULL)
		return false;
	for (uint64_t tag = set->oldest; set->cap > 0 && tag <= set->newest;
	     tag++)
		*slot(&bigger, tag) = *slot(set, tag);
	free(set->hashes);
	*set = bigger;
	return true;
}

/* FNV-1a, going on from `hash`. */
static uint64_t mix(uint64_t hash, struct span bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		hash = (hash ^ (uint8_t)bytes.at[i]) * 0x100000001b3;
	return hash;
}

static uint64_t hash_of(struct span message_id, struct span routing_key)
{
	uint64_t hash = mix(0xcbf29ce484222325, message_id);

	hash = mix(hash, (struct span){"", 1});
	return mix(hash, routing_key) | 1;
}

uint64_t unconfirmed_add(struct unconfirmed *set, struct span message_id,
			 struct span routing_key)
{
	uint64_t tag = ++set->newest;

	if (set->oldest == 0)
		set->oldest = tag;
	*slot(set, tag) = hash_of(message_id, routing_key);
	return tag;
}

static uint64_t search(const struct unconfirmed *set, uint64_t hash,
		       uint64_t from, uint64_t to)
{
	for (uint64_t tag = from; tag <= to; tag++)
		if (*slot(set, tag) == hash)
			return tag;
	return 0;
}

uint64_t unconfirmed_find(struct unconfirmed *set, struct span message_id,
			  struct span routing_key)
{
	uint64_t hash = hash_of(message_id, routing_key);
	uint64_t after = set->last_returned + 1;
	uint64_t tag;

	if (set->cap == 0)
		return 0;
	if (after < set->oldest)
		after = set->oldest;
	tag = search(set, hash, after, set->newest);
	if (tag == 0)
		tag = search(set, hash, set->oldest, after - 1);
	if (tag != 0)
		set->last_returned = tag;
	return tag;
}

bool unconfirmed_settle(struct unconfirmed *set, uint64_t tag, bool multiple)
{
	if (tag == 0 && multiple)
		tag = set->newest;
	if (tag == 0 || tag > set->newest)
		return false;
	if (tag < set->oldest)
		return true;
	if (multiple)
		set->oldest = tag + 1;
	else
		*slot(set, tag) = 0;
	while (set->oldest <= set->newest && *slot(set, set->oldest) == 0)
		set->oldest++;
	return true;
}
