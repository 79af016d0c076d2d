/* SPDX-License-Identifier: MIT */
/* Processes and their lanes. */
#include <stdlib.h>

#include "world.h"

static const usec_t heartbeat = USEC_PER_SEC;
static const usec_t drain_within = 5 * USEC_PER_SEC;
/* A step takes this long at least, so that time passes. */
static const usec_t step_takes = 20;

/* ---- lanes ---- */

static const struct lane_report *report_of(const struct lane *lane)
{
	return lane->relay != NULL ? relay_report(lane->relay)
				   : intake_report(lane->intake);
}

static struct lane *open_lane(struct worker *worker, enum broker_role role)
{
	struct world *world = worker->world;
	struct lane *lane = world_alloc(world, sizeof(*lane));
	int status;

	lane->world = world;
	lane->worker = worker;
	lane->role = role;
	lane->session = session_open(world, lane);
	lane->link = link_create(world, lane);
	lane->wake = world->now;
	if (role == BROKER_PUBLISHER)
		status = relay_create(&lane->relay, &world->config,
				      session_store(lane->session),
				      link_broker(lane->link),
				      world->plan->seed + worker->starts, NULL);
	else
		status = intake_create(&lane->intake, &world->config,
				       session_store(lane->session),
				       link_broker(lane->link), NULL);
	if (status < 0)
		abort();
	return lane;
}

static void bury(struct lane *lane)
{
	relay_destroy(lane->relay);
	intake_destroy(lane->intake);
	link_destroy(lane->link);
	lane->relay = NULL;
	lane->intake = NULL;
}

/* Whoever is inside one of its calls finds it dead on return. */
static void kill_lane(struct lane *lane)
{
	lane->dead = true;
	session_abandon(lane->session);
	link_abandon(lane->link);
	if (!lane->stepping)
		bury(lane);
}

usec_t lane_wakes_at(const struct lane *lane)
{
	usec_t at = lane->wake;

	if (link_ready_at(lane->link) < at)
		at = link_ready_at(lane->link);
	if (lane->hears_store && session_has_news(lane->session))
		at = lane->world->now;
	if (at < lane->worker->frozen_until)
		at = lane->worker->frozen_until;
	return at;
}

static void step(struct lane *lane)
{
	struct world *world = lane->world;
	usec_t began = world->now;
	struct wait wait;

	if (++world->steps == STEPS_MAX)
		violated(world, 'V', "worker %u spins", lane->worker->number);
	lane->stepping = true;
	if (lane->relay != NULL)
		relay_step(lane->relay, world->now, &wait);
	else
		intake_step(lane->intake, world->now, &wait);
	lane->stepping = false;
	if (lane->dead) {
		bury(lane);
		return;
	}
	link_stood_still(lane->link, world->now - began);
	lane->wake = wait.until;
	if (lane->wake < world->now + step_takes)
		lane->wake = world->now + step_takes;
	lane->hears_store = wait.count > 0;
}

enum deed_kind lane_trap(struct lane *lane, bool to_store, usec_t *lasts)
{
	struct trap *trap = &lane->trap;

	*lasts = trap->lasts;
	if (trap->nth == 0 || (!to_store && trap->kind != CALL_KILLED_BEFORE &&
			       trap->kind != CALL_KILLED_AFTER))
		return DEED_KINDS;
	if (--trap->nth > 0)
		return DEED_KINDS;
	return trap->kind;
}

/* ---- workers ---- */

void worker_vanish(struct worker *worker)
{
	for (unsigned i = 0; i < LANES && worker->lanes[i] != NULL; i++) {
		kill_lane(worker->lanes[i]);
		worker->lanes[i] = NULL;
	}
}

void worker_start(struct world *world, void *subject, uint64_t argument)
{
	struct worker *worker = subject;

	(void)argument;
	if (worker->lanes[0] != NULL)
		return;
	note(world, NULL, "worker starts", worker->number, 0);
	worker->starts++;
	worker->frozen_until = 0;
	worker->drain_by = 0;
	worker->beat_at = world->now;
	worker->lanes[0] = open_lane(worker, BROKER_PUBLISHER);
	worker->lanes[1] = open_lane(worker, BROKER_CONSUMER);
}

void worker_kill(struct worker *worker, usec_t back_after)
{
	struct world *world = worker->world;

	if (worker->lanes[0] == NULL)
		return;
	note(world, NULL, "worker is killed", worker->number, back_after);
	checker_broken(world, worker->lanes[0]);
	worker_vanish(worker);
	world_at(world, world->now + back_after, worker_start, worker, 0);
}

void worker_stop(struct worker *worker, usec_t duration)
{
	struct world *world = worker->world;

	note(world, NULL, "worker is stopped", worker->number, duration);
	for (unsigned i = 0; i < LANES && worker->lanes[i] != NULL; i++)
		link_stood_still(worker->lanes[i]->link, duration);
	if (worker->frozen_until < world->now + duration)
		worker->frozen_until = world->now + duration;
}

bool worker_is_silent(const struct worker *worker)
{
	return worker->world->now - worker->beat_at > 3 * heartbeat;
}

void worker_beat(struct world *world, void *subject, uint64_t argument)
{
	struct worker *worker = subject;

	(void)argument;
	if (worker->lanes[0] != NULL && worker->frozen_until <= world->now &&
	    world->database.away_until <= world->now &&
	    world->database.frozen_until <= world->now)
		worker->beat_at = world->now;
	world_at(world, world->now + heartbeat, worker_beat, worker, 0);
}

static void check_drained(struct world *world, void *subject, uint64_t starts)
{
	struct worker *worker = subject;

	if (worker->lanes[0] == NULL || worker->starts != starts)
		return;
	if (worker->frozen_until > worker->drain_by) {
		worker_kill(worker, heartbeat);
		return;
	}
	violated(world, 'V', "worker %u does not end", worker->number);
}

void worker_drain(struct worker *worker)
{
	struct world *world = worker->world;

	if (worker->lanes[0] == NULL || worker->drain_by != 0)
		return;
	note(world, NULL, "worker is drained", worker->number, 0);
	worker->drain_by = world->now + drain_within;
	relay_drain(worker->lanes[0]->relay, worker->drain_by);
	intake_drain(worker->lanes[1]->intake, worker->drain_by);
	for (unsigned i = 0; i < LANES; i++)
		worker->lanes[i]->wake = world->now;
	/* A call to the store may hold each up for two seconds. */
	world_at(world, worker->drain_by + 6 * USEC_PER_SEC, check_drained,
		 worker, worker->starts);
}

/* Once both lanes have stopped the process ends; a supervisor starts it. */
static void end_if_drained(struct worker *worker)
{
	struct world *world = worker->world;

	if (worker->drain_by == 0)
		return;
	for (unsigned i = 0; i < LANES; i++)
		if (report_of(worker->lanes[i])->state != LANE_STOPPED)
			return;
	note(world, NULL, "worker has ended", worker->number, 0);
	worker_vanish(worker);
	world_at(world, world->now + USEC_PER_SEC, worker_start, worker, 0);
}

void lane_step(struct lane *lane)
{
	struct worker *worker = lane->worker;

	step(lane);
	if (worker->lanes[0] != NULL)
		end_if_drained(worker);
}
