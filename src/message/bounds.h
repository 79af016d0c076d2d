/* SPDX-License-Identifier: MIT */
/* The bounds that hold for JSON from outside, whatever shape it has. */
#ifndef MESSAGE_BOUNDS_H
#define MESSAGE_BOUNDS_H

#include "base/json.h"
#include "message/envelope.h"

/* json_check, and no more bytes than max_message_bytes. */
int bounds_check_text(struct span text, const struct envelope_limits *limits,
		      struct json_value *value, struct json_measure *measure,
		      struct error *err);

/* A database may write out a payload's numbers: with those exponents it must
 * still keep to max_message_bytes. */
int bounds_check_numbers(struct span payload, size_t exponents,
			 const struct envelope_limits *limits,
			 struct error *err);

#endif
