/* SPDX-License-Identifier: MIT */
/*
 * Outbox to broker, one step at a time.
 *
 * A row is settled as published only after its confirm. Up to `window` rows
 * are in flight. A row that fails waits longer each time and parks as `error`
 * after max_retry_count attempts. An outage of broker or database costs no
 * attempt.
 */
#ifndef BUS_RELAY_H
#define BUS_RELAY_H

#include "base/wait.h"
#include "broker/broker.h"
#include "bus/lane.h"
#include "store/store.h"

struct relay;

/* Borrows all three for its life. `seed` decides the jitter. */
int relay_create(struct relay **out, const struct runtime_config *config,
		 struct store *store, struct broker *broker, uint64_t seed,
		 struct error *err);
void relay_destroy(struct relay *relay);

/* Does what can be done now and says in *wait until when and on what to wait.
 * Blocks no longer than the store's calls do. */
void relay_step(struct relay *relay, usec_t now, struct wait *wait);

/* Claims no more; settles what is confirmed until nothing is in flight or
 * `deadline` has come, then STOPPED. */
void relay_drain(struct relay *relay, usec_t deadline);

const struct lane_report *relay_report(const struct relay *relay);

#endif
