/* SPDX-License-Identifier: MIT */
/*
 * Topics: dot-joined segments of [A-Za-z0-9_-]+ whose form tells the message
 * type.
 *
 *	<target_service>.request.<entity>.<action>[.<subaction>...]
 *	<requesting_service>.response.<entity>.<action>[...]
 *	event.<domain>.<entity>.<action>[...]
 */
#ifndef MESSAGE_TOPIC_H
#define MESSAGE_TOPIC_H

#include "base/error.h"
#include "base/span.h"

enum message_type { MESSAGE_REQUEST, MESSAGE_RESPONSE, MESSAGE_EVENT };

/* "request", "response", "event". */
const char *message_type_name(enum message_type type);

/* False when the name is none of the three. */
bool message_type_parse(struct span name, enum message_type *type);

/* Checks that a topic has the form of its type; `field` names it in the
 * error: "topic" or "reply_to". */
int topic_check(struct span topic, enum message_type type, const char *field,
		struct error *err);

#endif
