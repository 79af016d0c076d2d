/* SPDX-License-Identifier: MIT */
/* The clock, the processes, and the faults that befall them. */
#include "world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* By so long after healing whatever began before it has ended. */
static const usec_t faults_end = 12 * USEC_PER_SEC;
/* From healing to rest: a confirm that never comes is waited for a minute, and
 * where the broker chokes on a row the others go one by one for a while. */
static const usec_t rest_within = 240 * USEC_PER_SEC;

/* ---- memory and chance ---- */

void *world_alloc(struct world *world, size_t size)
{
	void *memory = arena_alloc(&world->memory, size);

	if (memory == NULL)
		abort();
	return memset(memory, 0, size);
}

struct span world_copy(struct world *world, struct span span)
{
	return arena_copy(&world->memory, span);
}

usec_t world_below(struct world *world, usec_t bound)
{
	return (usec_t)random_below(&world->random, (uint64_t)bound);
}

/* ---- actions: a heap by time ---- */

static bool before(const struct action *a, const struct action *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void grow(struct world *world)
{
	size_t room = world->action_room == 0 ? 256 : 2 * world->action_room;

	world->actions =
		realloc(world->actions, room * sizeof(*world->actions));
	if (world->actions == NULL)
		abort();
	world->action_room = room;
}

void world_at(struct world *world, usec_t at, action_fn *run, void *subject,
	      uint64_t argument)
{
	struct action action = {at, ++world->action_order, run, subject,
				argument};
	size_t i;

	if (world->action_count == world->action_room)
		grow(world);
	for (i = world->action_count++; i > 0; i = (i - 1) / 2) {
		if (!before(&action, &world->actions[(i - 1) / 2]))
			break;
		world->actions[i] = world->actions[(i - 1) / 2];
	}
	world->actions[i] = action;
}

static struct action pop_action(struct world *world)
{
	struct action first = world->actions[0];
	struct action last = world->actions[--world->action_count];
	size_t count = world->action_count;
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= count)
			break;
		if (child + 1 < count &&
		    before(&world->actions[child + 1], &world->actions[child]))
			child++;
		if (before(&last, &world->actions[child]))
			break;
		world->actions[i] = world->actions[child];
		i = child;
	}
	world->actions[i] = last;
	return first;
}

/* ---- the loop ---- */

static struct lane *first_lane(struct world *world, usec_t *at)
{
	struct lane *first = NULL;

	*at = USEC_NEVER;
	for (unsigned i = 0; i < WORKERS_MAX * LANES; i++) {
		struct lane *lane = world->workers[i / LANES].lanes[i % LANES];

		if (lane == NULL || lane->stepping ||
		    lane_wakes_at(lane) >= *at)
			continue;
		first = lane;
		*at = lane_wakes_at(lane);
	}
	return first;
}

static void pass_until(struct world *world, usec_t end)
{
	while (!world->over) {
		usec_t at;
		struct lane *lane = first_lane(world, &at);
		bool acts =
			world->action_count > 0 && world->actions[0].at <= at;

		if (acts)
			at = world->actions[0].at;
		if (at > end)
			break;
		if (at > world->now)
			world->now = at;
		if (acts) {
			struct action action = pop_action(world);

			action.run(world, action.subject, action.argument);
		} else if (lane != NULL) {
			lane_step(lane);
		}
		if (world->steps > STEPS_MAX || world->checker.verdict != 0)
			world->over = true;
	}
	if (!world->over && end != USEC_NEVER && world->now < end)
		world->now = end;
}

/* The calls that wait are nested: one that began later cannot last longer. */
bool lane_wait(struct lane *lane, usec_t duration)
{
	struct world *world = lane->world;
	struct worker *worker = lane->worker;
	usec_t latest = world->innermost_ends;
	usec_t end = world->now + duration;

	do {
		if (end < worker->frozen_until)
			end = worker->frozen_until;
		if (end > latest)
			end = latest;
		if (worker->frozen_until > end)
			worker->frozen_until = end;
		world->innermost_ends = end;
		pass_until(world, end);
	} while (!world->over && !lane->dead &&
		 world->now < worker->frozen_until);
	world->innermost_ends = latest;
	return !lane->dead;
}

/* ---- healing and rest ---- */

static bool is_at_rest(const struct world *world)
{
	for (unsigned i = 0; i < world->plan->workers; i++)
		if (world->workers[i].lanes[0] == NULL)
			return false;
	return database_pending(&world->database) == 0 &&
	       server_is_idle(&world->server);
}

static void look_for_rest(struct world *world, void *subject, uint64_t deadline)
{
	(void)subject;
	if (!is_at_rest(world) && world->now >= (usec_t)deadline)
		violated(world, 'V', "%lld rows and %s in the queue after %d s",
			 (long long)database_pending(&world->database),
			 server_is_idle(&world->server) ? "nothing"
							: "messages",
			 (int)(rest_within / USEC_PER_SEC));
	world->over = is_at_rest(world) || world->checker.verdict != 0;
	if (!world->over)
		world_at(world, world->now + USEC_PER_SEC / 4, look_for_rest,
			 NULL, deadline);
}

/* Who holds the relay's lock has been connected since, and so has every intake
 * that may be. */
static void judge_recovery(struct world *world, void *subject, uint64_t since)
{
	unsigned up[LANES] = {0};

	(void)subject;
	for (unsigned i = 0; i < WORKERS_MAX * LANES; i++) {
		const struct lane *lane =
			world->workers[i / LANES].lanes[i % LANES];

		if (lane != NULL &&
		    link_was_up_at(lane->link) >= (usec_t)since &&
		    (lane->role == BROKER_CONSUMER ||
		     session_holds_lock(lane->session)))
			up[i % LANES]++;
	}
	if (up[0] != 1)
		violated(world, 'V', "%u relays have come back", up[0]);
	if (up[1] < (world->plan->alone ? 1 : world->plan->workers))
		violated(world, 'V', "%u intakes have come back", up[1]);
}

/* Within two seconds and the retry interval; five if a worker has to take
 * over; and two clients of one identity give way to each other. */
static void begin_recovery(struct world *world, void *subject,
			   uint64_t argument)
{
	double seconds =
		7 + world->plan->retry_interval +
		(world->plan->alone ? world->config.retry_max_seconds : 0);

	(void)subject;
	(void)argument;
	world_at(world, world->now + (usec_t)(seconds * USEC_PER_SEC),
		 judge_recovery, NULL, (uint64_t)world->now);
}

/* The world is well from now on. What is under way comes to its end. */
static void heal(struct world *world, void *subject, uint64_t argument)
{
	struct server *server = &world->server;

	(void)argument;
	note(world, NULL, "healed", 0, 0);
	world->healed = true;
	server->nacks = server->mutes = server->repeats = 0;
	server->refusals = 0;
	for (unsigned i = 0; i < world->plan->workers; i++) {
		struct worker *worker = &world->workers[i];

		for (unsigned j = 0; j < LANES; j++)
			if (worker->lanes[j] != NULL)
				worker->lanes[j]->trap.nth = 0;
	}
	world_at(world, world->now + faults_end, begin_recovery, NULL, 0);
	look_for_rest(world, subject, (uint64_t)(world->now + rest_within));
}

/* ---- a run ---- */

void world_init(struct world *world)
{
	struct error err;
	struct runtime_config *config = &world->config;

	*world = (struct world){0};
	if (config_init(config, "default", &err) < 0)
		abort();
	config->broker_type = "memory";
	config->host = "simulated";
	config->source_service = "tester";
	config->retry_max_seconds = 8;
	config->heartbeat_interval_seconds = 1;
	config->mqtt.client_id = "tester";
	config->mqtt.subscribe_topics = "[\"event/#\",\"tester/#\"]";
	if (config_finish(config, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

void world_finish(struct world *world)
{
	config_destroy(&world->config);
	arena_finish(&world->memory);
	buffer_finish(&world->speech);
	free(world->actions);
}

void world_reset(struct world *world, const struct plan *plan, bool tracing)
{
	world->now = USEC_PER_SEC;
	world->random.state = plan->seed ^ UINT64_C(0x706f7374627573);
	arena_reset(&world->memory);
	world->plan = plan;
	world->action_count = 0;
	world->action_order = world->steps = 0;
	world->healed = world->over = false;
	world->innermost_ends = USEC_NEVER;
	memset(world->workers, 0, sizeof(world->workers));
	memset(&world->database, 0, sizeof(world->database));
	memset(&world->server, 0, sizeof(world->server));
	memset(&world->checker, 0, sizeof(world->checker));
	world->checker.tracing = tracing;
	world->config.window = plan->window;
	world->config.max_retry_count = plan->max_retry_count;
	world->config.retry_interval_seconds = plan->retry_interval;
	world->config.rabbitmq.prefetch_count = plan->prefetch;
	world->config.rabbitmq.heartbeat_seconds = plan->heartbeat;
	world->config.mqtt.receive_maximum = plan->prefetch;
	world->config.mqtt.keepalive_seconds = (int64_t)plan->heartbeat;
	world->config.mqtt.qos = plan->qos;
	world->config.mqtt.protocol_version = plan->version;
	world->server.session = 1;
	world->server.last_id = plan->first_id;
}

static void begin(struct world *world)
{
	const struct plan *plan = world->plan;

	for (unsigned i = 0; i < plan->workers; i++) {
		struct worker *worker = &world->workers[i];

		worker->world = world;
		worker->number = i;
		world_at(world,
			 world->now + world_below(world, 2 * USEC_PER_SEC),
			 worker_start, worker, 0);
		world_at(world, world->now, worker_beat, worker, 0);
	}
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->deeds[i].left_out)
			world_at(world, world->now + plan->deeds[i].at, deed_do,
				 NULL, i);
	world_at(world, world->now + PLAN_SAFETY, heal, NULL, 0);
}

static void end(struct world *world)
{
	if (world->checker.verdict == 0)
		checker_conclude(world);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		worker_vanish(&world->workers[i]);
}

void world_run(struct world *world, const struct plan *plan, bool tracing)
{
	world_reset(world, plan, tracing);
	begin(world);
	pass_until(world, USEC_NEVER);
	end(world);
}
