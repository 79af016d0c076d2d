/* SPDX-License-Identifier: MIT */
/*
 * The relay's insides, shared by the files that make it up: relay.c (life,
 * lock, step), relay_answers.c (what the broker says), relay_publish.c (claim
 * and publish).
 */
#ifndef BUS_RELAY_INTERNAL_H
#define BUS_RELAY_INTERNAL_H

#include "bus/flight.h"
#include "bus/outgoing.h"
#include "bus/relay.h"

/* A full sweep, and a look whether the lock is free, come this often. */
#define RELAY_SWEEP_EVERY USEC_PER_SEC

struct relay {
	const struct runtime_config *config;
	struct store *store;
	struct broker *broker;
	struct random random;
	struct lane_report report;
	struct flight flight; /* twice the window: as many rows may wait for
			       * their turn as may be on the wire */
	struct outgoing outgoing;
	struct arena events;	  /* what broker_next gives */
	struct outcome *outcomes; /* being settled */
	int64_t *busy;

	bool holding;	 /* the lock is ours and the store answered last time */
	usec_t store_at; /* when to try lock or store again, unless holding */
	usec_t held_at;	 /* when the store last said that the lock is ours */

	bool connected;
	bool linked; /* connect was called; UP or DOWN will follow */
	bool blocked;
	struct error blocked_why;
	usec_t connect_at;
	usec_t up_at;	  /* when it was connected last */
	size_t probation; /* rows to publish one by one: one of them made
			   * the broker close */

	bool hungry;	   /* the store has, or may have, more than we took */
	int64_t after_seq; /* where the last claim ended, if it was full; 0: the
			    * next one looks at everything */
	bool keyed;	   /* the last claim gave rows with a key */
	usec_t sweep_at;
	usec_t due_at;	  /* when the next scheduled row is due */
	usec_t settle_at; /* USEC_NEVER: nothing to settle */

	bool draining;
	bool closing;
	usec_t drain_by;
	usec_t stepped_at; /* when the last step began */
	bool again;	   /* the next step has something to do at once */
};

/* ---- relay.c ---- */

usec_t relay_retry_interval(const struct relay *relay);
void relay_set_state(struct relay *relay, enum lane_state state,
		     const struct error *why);
/* RUNNING or BLOCKED, whichever the link is, once the store is well. */
void relay_set_link_state(struct relay *relay);
/* Publishes nothing more until the lock is known to be ours again. */
void relay_store_failed(struct relay *relay, usec_t now,
			const struct error *why);

/* True if nothing may go out until the store answers. */
bool relay_lock_is_doubtful(const struct relay *relay, usec_t now);

/* ---- relay_answers.c ---- */

/* Handles everything the broker has said. */
void relay_listen(struct relay *relay, usec_t now);
/* Gives a link up on which a confirm is overdue. */
void relay_give_up_late_confirms(struct relay *relay, usec_t now);
/* A row's outcome is known. */
void relay_done(struct relay *relay, struct slot *slot, usec_t now,
		const struct outcome *outcome);

/* ---- relay_publish.c ---- */

bool relay_may_claim(const struct relay *relay);
/* What it takes the next step sends. */
void relay_claim_if_due(struct relay *relay, usec_t now);
void relay_send_ready(struct relay *relay, usec_t now);

#endif
