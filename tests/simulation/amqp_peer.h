/* SPDX-License-Identifier: MIT */
/* What the two files of the AMQP peer share. */
#ifndef SIMULATION_AMQP_PEER_H
#define SIMULATION_AMQP_PEER_H

#include <amqp.h>
#include <amqp_framing.h>

#include "peer.h"

/* Speech is a method's number; these are none. */
enum { AMQP_SAYS_HEARTBEAT = 1, AMQP_SAYS_GREETING = 2 };

struct amqp_state {
	bool greeted;
	bool open;	 /* the client is in */
	bool bound;	 /* it has asked for the queue and its bindings */
	bool confirms;	 /* ... to be told what was taken */
	bool limited;	 /* ... for no more than it can hold */
	usec_t interval; /* of signs of life, as agreed upon */
};

void amqp_say(struct connection *connection, const struct frame *frame,
	      struct buffer *out);

#endif
