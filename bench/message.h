/* SPDX-License-Identifier: MIT */
/* The message of the bare loops. */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include "base/buffer.h"
#include "message/envelope.h"

enum { MESSAGE_BYTES = 300 };

/* An event that the relay would send for a row of the same size; its memory is
 * the program's. */
void message_build(struct envelope *envelope, struct buffer *body);

#endif
