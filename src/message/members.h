/* SPDX-License-Identifier: MIT */
/* The members of a JSON object, told apart by their decoded names. */
#ifndef MESSAGE_MEMBERS_H
#define MESSAGE_MEMBERS_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/span.h"

struct member {
	struct span name;
	struct json_value value;
	struct span text; /* name and value as written */
};

struct members {
	struct member *at;
	size_t count;
};

/* Reads a checked object, in its order, into the arena. STATUS_INVALID: a
 * name is there twice. */
int members_read(struct members *members, struct json_value object,
		 struct arena *arena, struct error *err);

/* Sorts pointers to names that lie in one array; equal names end up side by
 * side in the array's order. Hostile input may bring a hundred thousand. */
void names_sort(struct span **names, size_t count);

#endif
