/* SPDX-License-Identifier: MIT */
/*
 * The message that crosses the bus, `interservice.envelope.v1`: parse,
 * normalise, validate, build. Pure functions of bytes, used alike by relay,
 * intake, command line and library.
 *
 * The way in is parse, normalise, validate. The way out is a row's fields,
 * envelope_unwrap, normalise, validate, build.
 */
#ifndef MESSAGE_ENVELOPE_H
#define MESSAGE_ENVELOPE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/span.h"
#include "message/topic.h"

#define ENVELOPE_SCHEMA "interservice.envelope.v1"

enum { ENVELOPE_MAX_STRING = 255 }; /* bytes: an AMQP short string's */

/* Fields are decoded UTF-8 and absent until given; payload is raw JSON. */
struct envelope {
	struct span schema;
	struct span message_id;
	struct span message_type;
	struct span topic;
	struct span source_service;
	struct span request_id;
	struct span parent_request_id;
	struct span reply_to;
	struct span status;
	struct span event_type;
	int64_t chain_depth; /* CHAIN_DEPTH_ABSENT until given */
	struct span payload;
	struct span extra; /* unknown members, as a JSON object's text */
};

enum { CHAIN_DEPTH_ABSENT = -1 };

struct envelope_limits {
	size_t max_message_bytes;
	int max_chain_depth;
};

#define ENVELOPE_LIMITS_DEFAULT                                     \
	((struct envelope_limits){.max_message_bytes = 1024 * 1024, \
				  .max_chain_depth = 32})

/* Nothing present, chain_depth absent. */
void envelope_init(struct envelope *envelope);

/*
 * Reads a body into *envelope. Spans point into body, or into the arena where
 * a string had escapes. Refuses with STATUS_INVALID what is no JSON object,
 * breaks a bound of `limits` or of json_check, repeats a key, or has a member
 * of the wrong type; the exponents of numbers count towards the payload's size.
 * Null counts as absent. Does not judge what the fields
 * mean. STATUS_NO_MEMORY when the arena cannot grow.
 */
int envelope_parse(struct envelope *envelope, struct span body,
		   const struct envelope_limits *limits, struct arena *arena,
		   struct error *err);

/*
 * If the payload is itself an envelope (an object whose `schema` is
 * ENVELOPE_SCHEMA), fills from it what *envelope leaves absent, and makes its
 * payload the payload; a missing inner payload becomes {}. What the columns
 * hold when nobody set them counts as absent: chain_depth 0, and message_type
 * "event" beside an absent topic. A payload of null becomes absent, blanks
 * around one go. Otherwise changes nothing. Also the place where an outgoing
 * payload is held against the bounds.
 */
int envelope_unwrap(struct envelope *envelope,
		    const struct envelope_limits *limits, struct arena *arena,
		    struct error *err);

/*
 * Fills what is absent from `fallback`: any field that is present there, then
 * schema, chain_depth 0 and payload {}. Changes nothing that is present.
 * Sources by direction (see envelope.c): outbound the row's id and the
 * config's source_service, inbound the message's properties.
 */
void envelope_normalise(struct envelope *envelope,
			const struct envelope *fallback);

/*
 * Holds a normalised envelope against every rule. On failure the text names
 * the field, what was found and what is allowed; *type is set on success.
 */
int envelope_validate(const struct envelope *envelope,
		      const struct envelope_limits *limits,
		      enum message_type *type, struct error *err);

/* Only what every string must be: valid UTF-8 without control characters, at
 * most ENVELOPE_MAX_STRING bytes. */
int envelope_check_strings(const struct envelope *envelope, struct error *err);

/*
 * Appends the envelope as JSON, absent fields left out, payload byte for byte,
 * `extra` not included. Check out->failed.
 */
void envelope_build(const struct envelope *envelope, struct buffer *out);

#endif
