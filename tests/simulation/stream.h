/* SPDX-License-Identifier: MIT */
/*
 * A wire of bytes as the product sees it: stream.c stands in for the sockets
 * of net/stream.c.
 */
#ifndef SIMULATION_STREAM_H
#define SIMULATION_STREAM_H

#include "net/stream.h"
#include "wire.h"

/* Whose stream the next stream_open opens. */
void stream_plug(struct link *link);
/* What it waits for is to be told anew. */
void stream_rest(struct stream *stream);
/* When it has something for a lane that waits for it. */
usec_t stream_ready_at(const struct stream *stream);

#endif
