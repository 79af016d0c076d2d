/* SPDX-License-Identifier: MIT */
/*
 * One run: a virtual clock, worker processes with their lanes, a database and
 * a broker, all in one thread. The lanes are the product's own relay_step and
 * intake_step.
 *
 * A process that is killed has no effect on the outside any more: its calls
 * return and do nothing. So it may die inside any of them.
 */
#ifndef SIMULATION_WORLD_H
#define SIMULATION_WORLD_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/random.h"
#include "bus/intake.h"
#include "bus/relay.h"
#include "checker.h"
#include "plan.h"
#include "server.h"
#include "session.h"

#define WORLD_EPOCH ((usec_t)1700000000 * USEC_PER_SEC)

typedef void action_fn(struct world *world, void *subject, uint64_t argument);

struct action {
	usec_t at;
	uint64_t order; /* of those at one time: first come, first served */
	action_fn *run;
	void *subject;
	uint64_t argument;
};

/* A fault that waits for a lane's nth call to the outside. */
struct trap {
	enum deed_kind kind;
	unsigned nth; /* 0: none is set */
	usec_t lasts;
};

enum { STEPS_MAX = 200000 }; /* of a run that does not spin */

struct lane {
	struct world *world;
	struct worker *worker;
	enum broker_role role;
	struct session *session;
	struct link *link;
	struct relay *relay; /* one of the two */
	struct intake *intake;
	bool dead;
	bool stepping;
	usec_t wake; /* when it wants to be stepped at the latest */
	bool hears_store;
	struct trap trap;
};

struct worker {
	struct world *world;
	unsigned number;
	struct lane *lanes[LANES]; /* NULL: not running */
	usec_t frozen_until;
	usec_t beat_at;	 /* the last heartbeat in the database */
	usec_t drain_by; /* 0: not asked to end */
	uint64_t starts;
};

struct world {
	usec_t now;
	struct random random;
	struct arena memory;  /* of all that lives as long as the run */
	struct buffer speech; /* what a peer is about to say */
	const struct plan *plan;
	struct runtime_config config;
	struct action *actions; /* a heap */
	size_t action_count, action_room;
	uint64_t action_order;
	uint64_t steps;
	usec_t innermost_ends; /* the call that waits and began last */
	bool healed;
	bool over;
	struct worker workers[WORKERS_MAX];
	struct database database;
	struct server server;
	struct checker checker;
};

/* What does not change from run to run is made once. */
void world_init(struct world *world);
void world_finish(struct world *world);

/* Forgets the run before; nothing is planned yet. */
void world_reset(struct world *world, const struct plan *plan, bool tracing);
/* Runs the plan to its end; what the checker found is in world->checker. */
void world_run(struct world *world, const struct plan *plan, bool tracing);

/* ---- for the database, the broker and the checker ---- */

void *world_alloc(struct world *world, size_t size); /* zeroed */
struct span world_copy(struct world *world, struct span span);

void world_at(struct world *world, usec_t at, action_fn *run, void *subject,
	      uint64_t argument);
/* Uniform in [0, bound). */
usec_t world_below(struct world *world, usec_t bound);

/* While a lane waits inside a call, the others go on. False if it was killed
 * meanwhile. */
bool lane_wait(struct lane *lane, usec_t duration);

/* Springs the lane's trap if it is time; the kind, or DEED_KINDS. */
enum deed_kind lane_trap(struct lane *lane, bool to_store, usec_t *lasts);

/* ---- lanes and workers; see workers.c ---- */

usec_t lane_wakes_at(const struct lane *lane);
void lane_step(struct lane *lane);

action_fn worker_start;
/* An action that repeats itself. */
action_fn worker_beat;
void worker_kill(struct worker *worker, usec_t back_after);
void worker_stop(struct worker *worker, usec_t duration);
void worker_drain(struct worker *worker);
/* Without a word, and for good. */
void worker_vanish(struct worker *worker);
/* It has not been heard of for three heartbeats. */
bool worker_is_silent(const struct worker *worker);

/* An action: does the plan's deed of that number. */
action_fn deed_do;

#endif
