/* SPDX-License-Identifier: MIT */
/*
 * An MQTT server that says what the test tells it to, byte by byte.
 *
 * Packets are written as hexadecimal bytes with text in quotes and blanks
 * anywhere: "30 06 0001 't' 00 'hi'".
 */
#ifndef UNIT_MQTT_PEER_H
#define UNIT_MQTT_PEER_H

#include <cmocka.h>

#include "mqtt/session.h"

struct peer {
	struct session *session;
	struct buffer out;	    /* what the client has not been given yet */
	struct arena arena;	    /* of the events */
	struct session_event event; /* the last one */
};

/* Runs the tests twice: the client gets what is said at once, and one byte at
 * a time. */
int peer_run(const struct CMUnitTest *tests, size_t count);

/* Version 5, client id "c", clean start, nothing kept, no keep-alive. */
extern const struct session_options peer_options;
/* The same for version 3.1.1. */
extern const struct session_options peer_options_3;
/* Version 5 and 3.1.1 with a session that is kept for an hour. */
extern const struct session_options peer_kept;
extern const struct session_options peer_kept_3;

/* CONNACKs: success with and without a session. */
#define WELCOME "20 03 00 00 00"
#define WELCOME_BACK "20 03 01 00 00"
#define WELCOME_3 "20 02 00 00"
#define WELCOME_BACK_3 "20 02 01 00"

/* The session is there and connects; its CONNECT has not been read. */
void peer_begin(struct peer *peer, const struct session_options *options);
/* Begins, reads the CONNECT whatever it is, and welcomes with that CONNACK. */
void peer_open(struct peer *peer, const struct session_options *options,
	       const char *connack);
/* The transport breaks; the session tells it and connects again. */
void peer_reconnect(struct peer *peer, const char *connack);
void peer_end(struct peer *peer);

/* The client will get this. */
void peer_say(struct peer *peer, const char *bytes);
/* The client has queued exactly this since the last time. */
void peer_hear(struct peer *peer, const char *bytes);
/* Drops whatever the client has queued. */
void peer_ignore(struct peer *peer);

/* Gives the client what was said until there is an event: this one. */
void peer_expect(struct peer *peer, enum session_event_kind kind);
/* All that was said is no event. */
void peer_expect_nothing(struct peer *peer);
/* The event must be CLOSED with this status, the words in its text. */
void peer_expect_closed(struct peer *peer, enum status status,
			const char *words);

/* Publishes "hi" to "t"; fails the test unless the tag is as expected. */
void peer_publish(struct peer *peer, uint8_t qos, uint64_t tag);

#endif
