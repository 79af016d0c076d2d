/* SPDX-License-Identifier: MIT */
/*
 * The bus's topics on MQTT: `event.orders.order.created` goes to
 * `event/orders/order/created`, or stays as it is, behind a prefix if one is
 * set.
 */
#ifndef BROKER_MQTT_TOPIC_H
#define BROKER_MQTT_TOPIC_H

#include "base/arena.h"
#include "base/span.h"

struct mqtt_topics {
	struct span prefix; /* absent: none */
	char joint;	    /* '/' or '.', between prefix and topic too */
};

/* Both give a span in the arena, absent when memory has run out. */
struct span mqtt_topic_of(const struct mqtt_topics *topics, struct span topic,
			  struct arena *arena);
struct span mqtt_topic_to_bus(const struct mqtt_topics *topics,
			      struct span topic, struct arena *arena);

#endif
