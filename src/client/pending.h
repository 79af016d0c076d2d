/* SPDX-License-Identifier: MIT */
/* Who wants to know how a request ended. */
#ifndef CLIENT_PENDING_H
#define CLIENT_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postbus/mqtt.h"

/* At most one of the callbacks is set. */
struct waiter {
	uint64_t tag; /* 0: the place is free */
	postbus_mqtt_done *done;
	postbus_mqtt_granted *granted;
	void *user;
};

/* All zeroes when empty. Tags in it lie close together. */
struct pending {
	struct waiter *at; /* by tag, in a table of `cap`, a power of two */
	size_t cap;
};

void pending_finish(struct pending *pending);

/* Makes sure that the tag has a place; false when memory has run out. */
bool pending_reserve(struct pending *pending, uint64_t tag);

void pending_add(struct pending *pending, struct waiter waiter);

/* Takes out the waiter for the tag; one of zeroes if there is none. */
struct waiter pending_take(struct pending *pending, uint64_t tag);

/* The tag of any waiter, 0 when there is none. */
uint64_t pending_any(const struct pending *pending);

#endif
