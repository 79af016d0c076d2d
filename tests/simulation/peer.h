/* SPDX-License-Identifier: MIT */
/*
 * A broker's end of a connection that speaks a protocol in bytes, written
 * apart from the product's own: what each side gets wrong alone, the other
 * notices.
 */
#ifndef SIMULATION_PEER_H
#define SIMULATION_PEER_H

#include "base/buffer.h"
#include "wire.h"

struct peer {
	const struct broker_driver *driver; /* that the lane has */
	size_t state_size;		    /* of a connection, zeroed */

	/* Takes what the lane has written, whole units only, off the buffer and
	 * sends each on its way. What no client may say is a violation. */
	void (*hear)(struct connection *connection, struct buffer *written);

	/* A parcel has arrived. What the server has to do with messages it has
	 * done; what the protocol wants besides is done here. */
	void (*take)(struct connection *connection,
		     const struct parcel *parcel);

	/* The bytes of a frame; none for one that needs no words. */
	void (*say)(struct connection *connection, const struct frame *frame,
		    struct buffer *out);
};

extern const struct peer amqp_peer;

#endif
