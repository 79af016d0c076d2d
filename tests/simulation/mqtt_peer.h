/* SPDX-License-Identifier: MIT */
/* What the two files of the MQTT peer share. */
#ifndef SIMULATION_MQTT_PEER_H
#define SIMULATION_MQTT_PEER_H

#include "peer.h"

enum mqtt_type {
	MQTT_CONNECT = 1,
	MQTT_CONNACK,
	MQTT_PUBLISH,
	MQTT_PUBACK,
	MQTT_PUBREC,
	MQTT_PUBREL,
	MQTT_PUBCOMP,
	MQTT_SUBSCRIBE,
	MQTT_SUBACK,
	MQTT_UNSUBSCRIBE,
	MQTT_UNSUBACK,
	MQTT_PINGREQ,
	MQTT_PINGRESP,
	MQTT_DISCONNECT,
};

enum { MQTT_3 = 4, MQTT_5 = 5 };

/* Speech is a packet's type, a code and a packet id. */
static inline uint32_t mqtt_speech(enum mqtt_type type, unsigned code,
				   unsigned id)
{
	return (uint32_t)type << 24 | code << 16 | id;
}

static inline enum mqtt_type mqtt_speech_type(uint32_t speech)
{
	return (enum mqtt_type)(speech >> 24);
}

static inline unsigned mqtt_speech_code(uint32_t speech)
{
	return speech >> 16 & 0xff;
}

static inline unsigned mqtt_speech_id(uint32_t speech)
{
	return speech & 0xffff;
}

struct mqtt_state {
	bool greeted; /* it has sent its CONNECT */
	bool open;    /* ... and is in */
	uint8_t version;
	bool clean;
	uint16_t keep_alive;
	uint16_t receive_maximum;
	unsigned filters;		    /* of its SUBSCRIBE */
	uint16_t published[UNANSWERED_MAX]; /* packet ids, by tag */
	uint16_t delivered[UNANSWERED_MAX];
	unsigned unanswered; /* publishes that have come */
};

void mqtt_say(struct connection *connection, const struct frame *frame,
	      struct buffer *out);

#endif
