/* SPDX-License-Identifier: MIT */
/*
 * What happens in a run: drawn from the seed alone, kept as data, so that a
 * failure can be replayed with some of it left out.
 */
#ifndef SIMULATION_PLAN_H
#define SIMULATION_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

enum {
	WORKERS_MAX = 3,
	LANES = 2, /* of a worker: its relay, its intake */
	KEYS = 3,
	DEEDS_MAX = 160,
};

/* Faults have an end; by then everything has to have been healed. */
#define PLAN_SAFETY (20 * USEC_PER_SEC)

enum deed_kind {
	/* What the application and strangers do. */
	WORK_WRITE,  /* a row of the outbox, committed after `lasts` */
	WORK_LETTER, /* a message from somebody else into our queue */

	/* What happens to a process. */
	WORKER_KILLED,	/* started again after `lasts` */
	WORKER_STOPPED, /* SIGSTOP, for so long */
	WORKER_DRAINED, /* SIGTERM, then started again */

	/* What happens in the `nth` next call of a lane to the outside. */
	CALL_KILLED_BEFORE,
	CALL_KILLED_AFTER, /* it has taken effect, nobody hears of it */
	CALL_STOPPED_BEFORE,
	CALL_STOPPED_AFTER,
	/* The same, in calls to the store. */
	CALL_FAILED,	   /* nothing done, the session lives on */
	CALL_HUNG,	   /* no answer for two seconds, nothing done */
	CALL_SESSION_DIED, /* nothing done, the lock is lost */
	CALL_COMMIT_CUT,   /* nothing done, and the caller cannot know */
	CALL_REPLY_LOST,   /* done, and the caller cannot know */
	CALL_COMMIT_LATE,  /* done after the caller has given up */

	DATABASE_AWAY,
	DATABASE_FROZEN,

	LINK_CUT,	/* the network between a lane and the broker */
	LINK_HALF_OPEN, /* the same, and nobody notices for `lasts` */
	BROKER_AWAY,
	BROKER_CRASHED, /* what was not confirmed may be gone */
	BROKER_FROZEN,
	BROKER_BLOCKS,	/* connection.blocked */
	BROKER_CANCELS, /* who consumes is told that he does not any more */
	BROKER_REFUSES, /* the `nth` next who want to consume */
	BROKER_NACKS,	/* the `nth` next messages */
	BROKER_MUTE,	/* they are never answered */
	BROKER_REPEATS, /* they are delivered twice */
	DEED_KINDS
};

/* What is special about a row or a letter. */
enum content {
	CONTENT_PLAIN,
	CONTENT_UNROUTABLE,
	CONTENT_REQUEST,
	CONTENT_UNROUTABLE_REQUEST,
	CONTENT_INVALID, /* breaks a rule of the envelope */
	CONTENT_EXPIRES, /* soon */
	CONTENT_SCHEDULED,
	CONTENT_SAME,	  /* message_id and payload of another row */
	CONTENT_CONFLICT, /* message_id of another row, other payload */
	CONTENT_POISON,	  /* the inbox's database will not have it */
	CONTENT_CHOKING,  /* the broker closes the connection over it */
	CONTENTS
};

/* What is between a lane and the broker. */
enum wire_kind {
	WIRE_BROKER, /* a driver of the simulation's own */
	WIRE_AMQP,   /* the product's, and bytes of AMQP 0-9-1 */
	WIRE_MQTT,   /* the same with MQTT 3.1.1 or 5 */
	WIRES,
	WIRE_ANY = WIRES, /* the seed chooses */
};

struct deed {
	usec_t at;
	enum deed_kind kind;
	unsigned whom; /* worker * LANES + lane */
	unsigned nth;
	usec_t lasts;
	enum content content; /* WORK_* */
	unsigned key;	      /* WORK_WRITE: ordering key, 0: none */
	bool aborted;	      /* WORK_WRITE: rolled back in the end */
	bool left_out;
};

struct plan {
	uint64_t seed;
	enum wire_kind wire;
	unsigned workers;
	int64_t window, prefetch, max_retry_count;
	double retry_interval;
	usec_t latency;		  /* to the broker, one way, at most */
	usec_t confirming;	  /* until a message is safe with it, at most */
	unsigned receive_maximum; /* messages it takes unanswered; 0: any */
	bool alone;		  /* one intake at a time, as with MQTT */
	bool multiple; /* confirms in order and many at once, else any order */
	bool overlaps; /* batches are accepted while the intake goes on */
	bool dribbles; /* what comes over a wire of bytes comes in parts */
	size_t socket; /* bytes that such a wire takes at a time */
	double heartbeat;     /* seconds between a lane's signs of life on it */
	uint8_t qos, version; /* MQTT */
	bool outdated;	      /* the broker knows only 3.1.1 */
	uint16_t first_id;    /* packet ids begin behind it */
	bool steals; /* a standby ends a session whose worker is silent */
	struct deed deeds[DEEDS_MAX]; /* by time */
	size_t count;
};

/* With WIRE_ANY the seed chooses the wire as well. */
void plan_draw(struct plan *plan, uint64_t seed, enum wire_kind wire);

const char *wire_name(enum wire_kind kind);

bool deed_is_fault(const struct deed *deed);
const char *deed_name(enum deed_kind kind);

/* One line each, for a person; those left out are not mentioned. */
void plan_print(const struct plan *plan);

#endif
