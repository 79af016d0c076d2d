/* SPDX-License-Identifier: MIT */
/* What has arrived with QoS 1 and 2 and is not acknowledged yet, in order. */
#ifndef MQTT_DELIVERIES_H
#define MQTT_DELIVERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct waiting {
	uint16_t id;
	uint8_t qos;
};

/* A set of packet ids. */
struct id_set {
	uint64_t bits[65536 / 64];
};

/* All zeroes when empty. Numbers run from 1 without gaps. */
struct deliveries {
	struct waiting *at; /* a ring of `cap`, a power of two */
	size_t cap;
	uint64_t acknowledged;	/* every number up to this one */
	uint64_t newest;	/* the highest number given out */
	struct id_set waiting;	/* their ids */
	struct id_set released; /* of QoS 2: PUBREC is sent, PUBREL awaited */
};

bool id_set_has(const struct id_set *set, uint16_t id);
void id_set_put(struct id_set *set, uint16_t id, bool in);

void deliveries_finish(struct deliveries *deliveries);

/* Adds one at the end. Returns its number, 0 when memory has run out. */
uint64_t deliveries_add(struct deliveries *deliveries, struct waiting waiting);

/* Takes out the first, if its number is not above `number`. */
bool deliveries_take(struct deliveries *deliveries, uint64_t number,
		     struct waiting *first);

/* None of them will be acknowledged: the connection has gone. */
void deliveries_forget(struct deliveries *deliveries);

#endif
