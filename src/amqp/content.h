/* SPDX-License-Identifier: MIT */
/*
 * A message on its way in: a method frame, a header frame, body frames.
 *
 * It is collected in a buffer that grows with what has come, never by the size
 * that was announced, and copied to the caller's arena when it is complete.
 */
#ifndef AMQP_CONTENT_H
#define AMQP_CONTENT_H

#include "amqp/frame.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

enum content_stage { CONTENT_NONE, CONTENT_HEADER, CONTENT_BODY };

/* All zeroes when there is none. */
struct content {
	enum content_stage stage; /* what must come next */
	size_t method_size;
	size_t header_size;
	size_t longest;	     /* of a longer body only so many bytes are kept;
			      * 0: all. Outlives a message */
	uint64_t body_size;  /* as announced */
	uint64_t missing;    /* bytes of the body */
	struct buffer bytes; /* method, header and body one after the other */
};

/* A complete message; its memory is the arena's. */
struct message {
	amqp_method_number_t method;
	struct span fields; /* the method frame's payload */
	struct span properties;
	struct span body;
	size_t full_size; /* of the body, if it was cut; else 0 */
};

void content_finish(struct content *content);

/* Begins with basic.deliver or basic.return. */
void content_begin(struct content *content, const struct frame *method);

/*
 * Takes the next frame: 1 when the message is complete and in *message, 0 when
 * more frames must come. STATUS_PROTOCOL: not the frame that must come;
 * STATUS_NO_MEMORY.
 */
int content_add(struct content *content, const struct frame *frame,
		struct arena *arena, struct message *message,
		struct error *err);

#endif
