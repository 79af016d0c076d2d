/* SPDX-License-Identifier: MIT */
/*
 * Broker to inbox, one step at a time.
 *
 * Deliveries are judged, committed in batches, and only then acknowledged.
 * What can never be an inbox row is kept in rejected and acknowledged too.
 */
#ifndef BUS_INTAKE_H
#define BUS_INTAKE_H

#include "base/wait.h"
#include "broker/broker.h"
#include "bus/lane.h"
#include "store/store.h"

struct intake;

/* Borrows all three for its life. */
int intake_create(struct intake **out, const struct runtime_config *config,
		  struct store *store, struct broker *broker,
		  struct error *err);
void intake_destroy(struct intake *intake);

void intake_step(struct intake *intake, usec_t now, struct wait *wait);

/* Takes no more; commits and acknowledges what has come, then STOPPED. */
void intake_drain(struct intake *intake, usec_t deadline);

const struct lane_report *intake_report(const struct intake *intake);

/*
 * Turns what arrived into a row: normalised and valid, or with `rejected`
 * saying why not. Memory: the delivery's and the arena.
 * STATUS_NO_MEMORY only.
 */
int intake_judge(struct inbox_row *row, const struct delivery *delivery,
		 const struct envelope_limits *limits, struct arena *arena,
		 struct error *err);

#endif
