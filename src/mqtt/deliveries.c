/* SPDX-License-Identifier: MIT */
/* A ring of deliveries, indexed by number. */
#include "mqtt/deliveries.h"

#include <stdlib.h>

enum { FIRST_CAP = 16 };

bool id_set_has(const struct id_set *set, uint16_t id)
{
	return set->bits[id / 64] >> id % 64 & 1;
}

void id_set_put(struct id_set *set, uint16_t id, bool in)
{
	uint64_t bit = (uint64_t)1 << id % 64;

	if (in)
		set->bits[id / 64] |= bit;
	else
		set->bits[id / 64] &= ~bit;
}

static struct waiting *slot(const struct deliveries *deliveries,
			    uint64_t number)
{
	return &deliveries->at[number & (deliveries->cap - 1)];
}

void deliveries_finish(struct deliveries *deliveries)
{
	free(deliveries->at);
	*deliveries = (struct deliveries){0};
}

static bool reserve(struct deliveries *deliveries)
{
	size_t cap = deliveries->cap == 0 ? FIRST_CAP : deliveries->cap * 2;
	struct waiting *at;

	if (deliveries->newest - deliveries->acknowledged < deliveries->cap)
		return true;
	at = malloc(cap * sizeof(*at));
	if (at == NULL)
		return false;
	for (uint64_t number = deliveries->acknowledged + 1;
	     number <= deliveries->newest; number++)
		at[number & (cap - 1)] = *slot(deliveries, number);
	free(deliveries->at);
	deliveries->at = at;
	deliveries->cap = cap;
	return true;
}

uint64_t deliveries_add(struct deliveries *deliveries, struct waiting waiting)
{
	if (!reserve(deliveries))
		return 0;
	*slot(deliveries, ++deliveries->newest) = waiting;
	id_set_put(&deliveries->waiting, waiting.id, true);
	return deliveries->newest;
}

bool deliveries_take(struct deliveries *deliveries, uint64_t number,
		     struct waiting *first)
{
	if (deliveries->acknowledged == deliveries->newest ||
	    deliveries->acknowledged >= number)
		return false;
	*first = *slot(deliveries, ++deliveries->acknowledged);
	id_set_put(&deliveries->waiting, first->id, false);
	return true;
}

void deliveries_forget(struct deliveries *deliveries)
{
	deliveries->acknowledged = deliveries->newest;
	deliveries->waiting = (struct id_set){0};
}
