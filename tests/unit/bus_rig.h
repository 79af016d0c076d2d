/* SPDX-License-Identifier: MIT */
/*
 * Lanes over the memory store and the memory broker, with a clock that only
 * moves when a test says so.
 */
#ifndef UNIT_BUS_RIG_H
#define UNIT_BUS_RIG_H

#include "broker/memory.h"
#include "bus/intake.h"
#include "bus/relay.h"
#include "store/memory.h"
#include "unit.h"

struct rig_lane {
	struct store *store;
	struct broker *broker;
	struct relay *relay; /* one of the two, or neither */
	struct intake *intake;
};

struct rig {
	struct runtime_config config; /* set it up before a lane is opened */
	struct memory_broker *server;
	struct store *application;
	usec_t now;
	struct rig_lane relay;
	struct rig_lane intake;
	struct rig_lane rival; /* a second relay or intake */
};

int rig_set_up(void **state);
int rig_tear_down(void **state);

void rig_open_relay(struct rig *rig, struct rig_lane *lane);
void rig_open_intake(struct rig *rig);
void rig_open_rival_intake(struct rig *rig);
void rig_close_lane(struct rig_lane *lane);

/* Steps every open lane for so long. */
void rig_run(struct rig *rig, usec_t duration);
/* The same, until the lane is in the state; fails after a minute of the
 * rig's time. */
void rig_run_until(struct rig *rig, const struct lane_report *report,
		   enum lane_state state);

enum lane_state rig_relay_state(const struct rig_lane *lane);
const struct lane_report *rig_intake_report(const struct rig *rig);

/* Writes an event row; key may be NULL. Its id is good for rig_expect. */
struct rig_row {
	char id[UUID_TEXT_SIZE];
};
struct rig_row rig_event(struct rig *rig, const char *topic, const char *key);
struct rig_row rig_request(struct rig *rig, const char *topic);

/* Fails unless the row has this status, retry_count, and a last_error that
 * contains `why` (NULL: none). */
#define rig_expect(rig, row, status, retries, why) \
	rig_expect_at((rig), (row), (status), (retries), (why), __LINE__)
void rig_expect_at(struct rig *rig, struct rig_row row, const char *status,
		   const char *retries, const char *why, int line);

/* Runs statements on the store's database, behind its driver's back. */
void rig_sql(const char *sql);

struct store_counts rig_counts(struct rig *rig);

/* Puts an envelope of this message_id straight into the server's queue. */
void rig_send(struct rig *rig, const char *message_id, const char *payload);
/* The same with any body at all. */
void rig_send_body(struct rig *rig, const char *message_id, struct span body,
		   struct headers headers);

size_t rig_depth(struct rig *rig);

#endif
