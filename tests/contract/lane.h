/* SPDX-License-Identifier: MIT */
/* A broker connection as a lane drives it: step, next, flush, wait. */
#ifndef CONTRACT_LANE_H
#define CONTRACT_LANE_H

#include "broker/broker.h"

enum { LANE_TAGS = 2048 }; /* a connection of a test publishes fewer */

struct lane {
	struct broker *broker;
	struct arena arena;	   /* of every event since lane_open */
	struct broker_event event; /* the last one */
	struct wait wait;	   /* what the last turn left to wait for */
	bool confirmed[LANE_TAGS]; /* by lane_settle, on this connection */
};

/* Creates the lane's broker and connects; it is up, or the test has failed. */
void lane_open(struct lane *lane, const struct runtime_config *config,
	       enum broker_role role);
/* Creates and begins to connect only. */
void lane_begin(struct lane *lane, const struct runtime_config *config,
		enum broker_role role);
void lane_destroy(struct lane *lane);

/* Connects again. */
void lane_reconnect(struct lane *lane);

/* Runs until the next event, which is lane->event; fails the test if none
 * comes in time. */
void lane_next(struct lane *lane);

/* The next event, which must be of that kind. */
struct broker_event *lane_expect(struct lane *lane,
				 enum broker_event_kind kind);

/* Runs a few turns and fails the test if there is any event. */
void lane_expect_nothing(struct lane *lane);

/* Queues an event message. The topic may be absent: "event.test.case.done". */
uint64_t lane_publish(struct lane *lane, const char *message_id,
		      const char *topic, struct span body);

/* Runs until `tag` and all before it are confirmed, each of them once. */
void lane_settle(struct lane *lane, uint64_t tag);

#endif
