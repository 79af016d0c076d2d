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
	bool only_answers; /* it gives no sign of life by itself */
	bool lingers;	   /* it ends with words, and waits for the client's */

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
extern const struct peer mqtt_peer;

/* ---- what they have in common, see peer.c ---- */

/* The client broke a rule. Returns false. */
bool peer_refuse(struct connection *connection, const char *what);

void peer_say(struct connection *connection, uint32_t speech);

/* The connection ends, and the client is told as far as there are words. */
void peer_close(struct connection *connection, enum status status);

/* Says `sign` twice an interval if it is not 0, and gives up a client that has
 * been silent for `patience`. */
void peer_watch(struct connection *connection, usec_t interval, usec_t patience,
		uint32_t sign);

#endif
