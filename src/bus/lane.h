/* SPDX-License-Identifier: MIT */
/* What a relay and an intake have in common: their states and their report. */
#ifndef BUS_LANE_H
#define BUS_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

enum lane_state {
	LANE_STANDBY,	 /* another worker holds the config key */
	LANE_AWAY,	 /* no broker connection; tries again at the interval */
	LANE_CONNECTING, /* a connection is being made */
	LANE_RUNNING,	 /* connected; messages cross */
	LANE_BLOCKED,	 /* connected; the broker takes nothing for now */
	LANE_STALLED,	 /* the database does not answer; nothing is lost */
	LANE_DRAINING,	 /* finishing what is under way */
	LANE_STOPPED,	 /* nothing is under way, nothing is open */
};

const char *lane_state_name(enum lane_state state);

struct lane_report {
	enum lane_state state;
	enum lane_state told; /* state, as of the last change */
	uint64_t changes;     /* that a watcher should tell of */
	struct error error;   /* why it is not running; empty text when it is */
	uint64_t messages;    /* published, or accepted */
	uint64_t failures;    /* failed attempts, or rejected messages */
	uint64_t duplicates;  /* intake: ignored */
	uint64_t unroutable;  /* relay: returned by the broker */
};

/*
 * Moves to `state`. `why`, which may be NULL, stays as the reason until the
 * next state. CONNECTING keeps the reason before it and is no change that
 * anybody is told of: a broker that stays away is one line in a log, not one
 * each try.
 */
void lane_set_state(struct lane_report *report, enum lane_state state,
		    const struct error *why);

/* Whether the last that a watcher was told is a trouble, `error` being why.
 * Standing by is none, though it has its reason. */
bool lane_is_troubled(const struct lane_report *report);

/* How long to wait before connecting again: hardly, but for watchers to see it,
 * when a link is lost that was up for two retry intervals, since what ended it
 * may be over. Two clients of one identity, who throw each other out at every
 * try, are up for less. */
usec_t lane_pause(bool was_up, usec_t up_at, usec_t now, usec_t retry_interval);

#endif
