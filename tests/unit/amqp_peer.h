/* SPDX-License-Identifier: MIT */
/* An AMQP server that says what the test tells it to, byte by byte. */
#ifndef UNIT_AMQP_PEER_H
#define UNIT_AMQP_PEER_H

#include "amqp/connection.h"
#include "amqp/frame.h"

struct peer {
	struct connection *connection;
	struct buffer out;	       /* what the server is about to say */
	struct frame heard;	       /* the last frame from the client */
	amqp_pool_t pool;	       /* of its method */
	struct arena arena;	       /* of the events */
	struct connection_event event; /* the last one */
};

extern const struct connection_options peer_options;

/* The client has sent its protocol header, which has been read. */
void peer_begin(struct peer *peer, const struct connection_options *options);
/* Both have gone through the handshake; tune offered this. */
void peer_open(struct peer *peer, const struct connection_options *options,
	       uint32_t frame_max, uint16_t heartbeat);
/* The handshake with no limits offered, and confirms selected. */
void peer_open_publisher(struct peer *peer);
void peer_end(struct peer *peer);

/* Says something; the client sees it at peer_deliver. */
void peer_say(struct peer *peer, uint16_t channel, amqp_method_number_t id,
	      void *method);
void peer_say_bytes(struct peer *peer, const void *bytes, size_t size);
/* connection.start with these mechanisms. */
void peer_say_start(struct peer *peer, const char *mechanisms);
/* The frames of a message after its method, `body` in one frame. */
void peer_say_content(struct peer *peer, struct span properties,
		      struct span body);

/* The client gets what was said. */
void peer_deliver(struct peer *peer);
/* Says, delivers, and expects this event or, with no kind, none. */
void peer_expect(struct peer *peer, enum connection_event_kind kind);
void peer_expect_nothing(struct peer *peer);
/* The event must be CLOSED with this status, the words in its text. */
void peer_expect_closed(struct peer *peer, enum status status,
			const char *words);

/* The next frame from the client; fails the test if there is none. */
void peer_hear(struct peer *peer);
/* A method frame of that kind from the client, decoded. */
const void *peer_hear_method(struct peer *peer, amqp_method_number_t id);
void peer_hear_nothing(struct peer *peer);

/* The client publishes to exchange "x". */
uint64_t peer_publish(struct peer *peer, const char *message_id,
		      const char *topic, struct span body);
void peer_say_ack(struct peer *peer, uint64_t tag, bool multiple);

/* The client consumes from queue "q" as "c". */
void peer_open_consumer(struct peer *peer);
/* basic.deliver of a redelivered message with topic "a.b"; its content is
 * peer_say_content. */
void peer_say_deliver(struct peer *peer, uint64_t tag);

#endif
