/* SPDX-License-Identifier: MIT */
/*
 * What was asked of the server and has no answer yet, in the order of asking.
 *
 * A request's tag and its packet id go round together, so that an id is found
 * without a search, and is unused whenever it is given out (2.2.1-3).
 */
#ifndef MQTT_REQUESTS_H
#define MQTT_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum request_state {
	REQUEST_DONE,	      /* answered */
	REQUEST_QUEUED,	      /* PUBLISH of QoS 0; its end is to be told */
	REQUEST_PUBLISHED,    /* PUBACK or PUBREC is awaited */
	REQUEST_RELEASED,     /* PUBREC has come, PUBCOMP is awaited */
	REQUEST_SUBSCRIBED,   /* SUBACK is awaited */
	REQUEST_UNSUBSCRIBED, /* UNSUBACK is awaited */
	REQUEST_LOST,	      /* no answer will come; this is to be told */
};

struct request {
	enum request_state state;
	uint8_t qos;
	uint8_t reason;	  /* what PUBREC said */
	bool counted;	  /* in the quota of this connection */
	size_t count;	  /* filters */
	struct span copy; /* PUBLISH as sent, owned; absent if not kept */
};

/* All zeroes when empty. Tags run from 1 without gaps. */
struct requests {
	struct request *at; /* a ring of `cap`, a power of two */
	size_t cap;
	uint64_t answered; /* every tag up to this one is done */
	uint64_t newest;   /* the highest tag given out */
	size_t untold;	   /* how many are QUEUED or LOST */
	uint64_t look;	   /* no tag below is one of them */
};

void requests_finish(struct requests *requests);

/* Whether there is an unused packet id. */
bool requests_has_id(const struct requests *requests);

/* Makes room for one more; false when memory has run out. */
bool requests_reserve(struct requests *requests);

/* Adds one, whose room and id are there; takes its copy. Returns its tag. */
uint64_t requests_add(struct requests *requests, struct request request);

uint16_t requests_id(uint64_t tag);
/* The tag that has this packet id and is not done, 0 when there is none. */
uint64_t requests_find(const struct requests *requests, uint16_t id);
struct request *requests_get(const struct requests *requests, uint64_t tag);

/* Moves on. A copy is forgotten when it is no longer PUBLISHED. */
void requests_move(struct requests *requests, uint64_t tag,
		   enum request_state state);

/* The oldest that is QUEUED or LOST, 0 when there is none. */
uint64_t requests_untold(struct requests *requests);

#endif
