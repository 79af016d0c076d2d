/* SPDX-License-Identifier: MIT */
/* A table that doubles until tags do not collide. */
#include "client/pending.h"

#include <stdlib.h>

enum { FIRST_CAP = 16 };

static struct waiter *place(const struct pending *pending, uint64_t tag)
{
	return &pending->at[tag & (pending->cap - 1)];
}

void pending_finish(struct pending *pending)
{
	free(pending->at);
	*pending = (struct pending){0};
}

static bool grow(struct pending *pending)
{
	struct pending bigger = {.cap = pending->cap == 0 ? FIRST_CAP
							  : pending->cap * 2};

	bigger.at = calloc(bigger.cap, sizeof(*bigger.at));
	if (bigger.at == NULL)
		return false;
	for (size_t i = 0; i < pending->cap; i++)
		if (pending->at[i].tag != 0)
			*place(&bigger, pending->at[i].tag) = pending->at[i];
	free(pending->at);
	*pending = bigger;
	return true;
}

bool pending_reserve(struct pending *pending, uint64_t tag)
{
	while (pending->cap == 0 || place(pending, tag)->tag != 0)
		if (!grow(pending))
			return false;
	return true;
}

void pending_add(struct pending *pending, struct waiter waiter)
{
	*place(pending, waiter.tag) = waiter;
}

struct waiter pending_take(struct pending *pending, uint64_t tag)
{
	struct waiter found = {0};

	if (pending->cap > 0 && place(pending, tag)->tag == tag) {
		found = *place(pending, tag);
		*place(pending, tag) = (struct waiter){0};
	}
	return found;
}

uint64_t pending_any(const struct pending *pending)
{
	for (size_t i = 0; i < pending->cap; i++)
		if (pending->at[i].tag != 0)
			return pending->at[i].tag;
	return 0;
}
