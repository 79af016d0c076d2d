/* SPDX-License-Identifier: MIT */
/* What MQTT takes as a topic name and as a topic filter (version 5, 4.7). */
#ifndef MQTT_TOPIC_H
#define MQTT_TOPIC_H

#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"

/* STATUS_INVALID unless a client may publish to it. */
int mqtt_topic_check(struct span topic, struct error *err);

/* STATUS_INVALID unless it may be subscribed to; "$share/group/filter" is
 * taken apart, and cannot be had with no_local (3.8.3-4). */
int mqtt_filter_check(struct span filter, bool no_local, struct error *err);

/* It begins with "$share/"; it has a wildcard somewhere. */
bool mqtt_filter_is_shared(struct span filter);
bool mqtt_filter_is_wild(struct span filter);

#endif
