/* SPDX-License-Identifier: MIT */
/*
 * MQTT messages that are no envelopes: EdgeX events, and whatever else is
 * published. Pure functions of bytes.
 */
#ifndef MESSAGE_FOREIGN_H
#define MESSAGE_FOREIGN_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "message/envelope.h"
#include "message/headers.h"

struct foreign {
	struct span topic; /* as received, parts joined by slashes */
	struct span body;
	struct span content_type; /* MQTT 5's, or absent */
};

/*
 * What is in a message. Payload and strings lie in the body or in the arena.
 * A `message_id` that is absent means: at least once.
 */
struct foreign_event {
	struct envelope envelope; /* message_id, message_type, event_type,
				   * source_service, topic, payload */
	struct headers headers;
};

/*
 * Reads an EdgeX device event (v2, v3, v4). Looked for in this order: a message
 * envelope around the next, an AddEventRequest, a bare event; in JSON, or in
 * CBOR if the first byte is that of a map. The payload is the event object as
 * received, or what json_from_cbor makes of it.
 *
 * 1 when it is one. 0 when it is something else: no object, an object without
 * deviceName and readings, an envelope whose payload cannot be decoded or
 * breaks a bound of `limits`. STATUS_NO_MEMORY.
 */
int edgex_read(struct foreign_event *event, const struct foreign *message,
	       const struct envelope_limits *limits, struct arena *arena,
	       struct error *err);

/*
 * Reads anything as a plain event: JSON as it is; UTF-8 without NUL as a JSON
 * string; other bytes in base64, with the headers `encoding` and
 * `content_type`. An EdgeX envelope that reports an error (errorCode other than
 * 0) becomes the text of that error, with its code in the headers.
 * STATUS_INVALID: a bound of `limits` is broken; STATUS_NO_MEMORY.
 */
int plain_read(struct foreign_event *event, const struct foreign *message,
	       const struct envelope_limits *limits, struct arena *arena,
	       struct error *err);

#endif
