/* SPDX-License-Identifier: MIT */
/*
 * AMQP 0-9-1 frames out of bytes and into bytes (specification, 4.2.3).
 *
 * librabbitmq encodes and decodes what is in a method frame; sizes and types
 * are checked here before it sees them.
 */
#ifndef AMQP_FRAME_H
#define AMQP_FRAME_H

#include <amqp.h>
#include <amqp_framing.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/span.h"

enum {
	FRAME_OVERHEAD = 8,	/* header and end mark */
	FRAME_MIN_MAX = 4096,	/* the least a peer may limit frames to */
	FRAME_OUR_MAX = 131072, /* the most we ask for */
	FRAME_BASIC_CLASS = 60,
};

struct frame {
	uint8_t type;
	uint16_t channel;
	struct span payload;
	size_t size; /* of all of it in the input */
};

/*
 * Looks at the first frame of `input`: 1 when it is complete, 0 when more must
 * come. STATUS_PROTOCOL: no frame can begin like this, or it is larger
 * than frame_max; the text says what seems to be there instead.
 */
int frame_read(struct span input, size_t frame_max, struct frame *frame,
	       struct error *err);

/* The id of a method frame, 0 when its payload is too short to have one. */
amqp_method_number_t frame_method(const struct frame *frame);

/*
 * The method's fields, a struct of librabbitmq's for `id`, which must have no
 * table among them: its decoder nests without bound. Strings point into
 * payload, the struct lives in the pool. NULL when the fields are cut off.
 */
const void *frame_decode(amqp_pool_t *pool, amqp_method_number_t id,
			 struct span payload);

/* What a content header frame begins with; false when it is cut off. */
bool frame_content_header(struct span payload, uint64_t *body_size,
			  struct span *properties);

/* Appends a method frame; `method` is librabbitmq's struct for id.
 * STATUS_INVALID: it does not fit; STATUS_NO_MEMORY. */
int frame_write_method(struct buffer *out, uint16_t channel,
		       amqp_method_number_t id, void *method,
		       struct error *err);

/* Appends a content's header frame; `room` bounds the encoded properties. */
int frame_write_header(struct buffer *out, uint16_t channel,
		       amqp_basic_properties_t *properties, uint64_t body_size,
		       size_t room, struct error *err);

/* Appends as many body frames as `frame_max` demands; none for an empty one. */
void frame_write_body(struct buffer *out, uint16_t channel, struct span body,
		      size_t frame_max);

void frame_write_heartbeat(struct buffer *out);

static inline amqp_bytes_t bytes_of(struct span span)
{
	return (amqp_bytes_t){.len = span.len, .bytes = (void *)span.at};
}

static inline struct span span_of_bytes(amqp_bytes_t bytes)
{
	return (struct span){bytes.len == 0 ? "" : bytes.bytes, bytes.len};
}

#endif
