/* SPDX-License-Identifier: MIT */
/* EdgeX's message envelope, and how members of EdgeX objects are found. */
#ifndef MESSAGE_EDGEX_ENVELOPE_H
#define MESSAGE_EDGEX_ENVELOPE_H

#include "message/foreign.h"
#include "message/members.h"

/* Go reads names without regard to case, and v2.0 wrote some capitalised; so
 * does this. NULL when there is none. */
const struct json_value *edgex_member(const struct members *members,
				      const char *name);

/* Decoded; absent unless it is a string that is not empty. Sets *failed when
 * memory has run out. */
struct span edgex_string(const struct members *members, const char *name,
			 struct arena *arena, bool *failed);

struct edgex_envelope {
	const struct json_value *payload;
	struct span content_type; /* without parameters; absent: not said */
	struct span correlation_id;
	struct span api_version;
	int64_t error_code;
};

/* 1 when the members are an envelope's: a payload, and with it contentType or
 * correlationID. 0 when not; STATUS_NO_MEMORY. */
int edgex_envelope_read(struct edgex_envelope *envelope,
			const struct members *members, struct arena *arena,
			struct error *err);

/*
 * What is in the payload, as a checked JSON value: the value itself (v4), or
 * what its base64 holds (v2, v3), JSON or CBOR as the content type says, in its
 * absence the first byte. STATUS_INVALID: it cannot be decoded, or breaks a
 * bound.
 */
int edgex_envelope_open(const struct edgex_envelope *envelope,
			const struct envelope_limits *limits,
			struct arena *arena, struct json_value *value,
			struct json_measure *measure, struct error *err);

/* The error that the payload tells of, as a JSON string. */
int edgex_envelope_error(const struct edgex_envelope *envelope,
			 struct arena *arena, struct span *text,
			 struct error *err);

/* Bytes that are CBOR made into JSON text, checked. */
int edgex_read_cbor(struct span cbor, const struct envelope_limits *limits,
		    struct arena *arena, struct json_value *value,
		    struct json_measure *measure, struct error *err);

/* Appends a header that has a value; there must be room. */
static inline void edgex_add_header(struct headers *headers, const char *name,
				    struct span value)
{
	if (span_present(value))
		headers->at[headers->count++] =
			(struct header){span_of(name), value};
}

#endif
