/* SPDX-License-Identifier: MIT */
/* Drawing a run from its seed. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"

static const char *const names[DEED_KINDS] = {
	[WORK_WRITE] = "row-written",
	[WORK_LETTER] = "letter",
	[WORKER_KILLED] = "worker-killed",
	[WORKER_STOPPED] = "worker-stopped",
	[WORKER_DRAINED] = "worker-drained",
	[CALL_KILLED_BEFORE] = "killed-before-call",
	[CALL_KILLED_AFTER] = "killed-after-call",
	[CALL_STOPPED_BEFORE] = "stopped-before-call",
	[CALL_STOPPED_AFTER] = "stopped-after-call",
	[CALL_FAILED] = "store-call-failed",
	[CALL_HUNG] = "store-call-hung",
	[CALL_SESSION_DIED] = "session-died",
	[CALL_COMMIT_CUT] = "commit-cut",
	[CALL_REPLY_LOST] = "commit-reply-lost",
	[CALL_COMMIT_LATE] = "commit-late",
	[DATABASE_AWAY] = "database-away",
	[DATABASE_FROZEN] = "database-frozen",
	[LINK_CUT] = "link-cut",
	[LINK_HALF_OPEN] = "link-half-open",
	[BROKER_AWAY] = "broker-away",
	[BROKER_CRASHED] = "broker-crashed",
	[BROKER_FROZEN] = "broker-frozen",
	[BROKER_BLOCKS] = "broker-blocks",
	[BROKER_CANCELS] = "broker-cancels",
	[BROKER_REFUSES] = "broker-refuses",
	[BROKER_NACKS] = "broker-nacks",
	[BROKER_MUTE] = "broker-mute",
	[BROKER_REPEATS] = "broker-repeats",
};

const char *deed_name(enum deed_kind kind)
{
	return names[kind];
}

bool deed_is_fault(const struct deed *deed)
{
	return deed->kind != WORK_WRITE && deed->kind != WORK_LETTER;
}

const char *wire_name(enum wire_kind kind)
{
	static const char *const wires[WIRES] = {
		[WIRE_BROKER] = "broker",
		[WIRE_AMQP] = "amqp",
		[WIRE_MQTT] = "mqtt",
	};

	return wires[kind];
}

static uint64_t below(struct random *random, uint64_t bound)
{
	return random_below(random, bound);
}

static bool chance(struct random *random, unsigned in)
{
	return below(random, in) == 0;
}

static usec_t between(struct random *random, usec_t least, usec_t most)
{
	return least + (usec_t)below(random, (uint64_t)(most - least) + 1);
}

static struct deed *add(struct plan *plan, usec_t at, enum deed_kind kind)
{
	struct deed *deed = &plan->deeds[plan->count++];

	*deed = (struct deed){.at = at, .kind = kind};
	return deed;
}

/* ---- work ---- */

static enum content draw_content(struct random *random)
{
	return chance(random, 3) ? (enum content)below(random, CONTENTS)
				 : CONTENT_PLAIN;
}

/* Who writes rows of one key waits for his own commits: what commits late with
 * a lower seq cannot be put before what was sent (see CONTRACT in relay.h). */
static void draw_write(struct plan *plan, struct random *random, usec_t at,
		       usec_t free_at[KEYS + 1])
{
	unsigned key =
		chance(random, 2) ? 0 : 1 + (unsigned)below(random, KEYS);
	struct deed *deed;

	if (key > 0 && at < free_at[key])
		at = free_at[key];
	deed = add(plan, at, WORK_WRITE);
	deed->content = draw_content(random);
	deed->key = key;
	if (chance(random, 8))
		deed->lasts = between(random, USEC_PER_MSEC, 3 * USEC_PER_SEC);
	deed->aborted = chance(random, 24);
	free_at[key] = at + deed->lasts + 1;
}

static void draw_work(struct plan *plan, struct random *random)
{
	usec_t free_at[KEYS + 1] = {0};
	unsigned bursts = 1 + (unsigned)below(random, 6);

	for (unsigned i = 0; i < bursts; i++) {
		usec_t at = between(random, 0, PLAN_SAFETY - 5 * USEC_PER_SEC);
		unsigned rows = 1 + (unsigned)below(random, 10);

		for (unsigned j = 0; j < rows; j++) {
			at += between(random, 0, 3 * USEC_PER_MSEC);
			draw_write(plan, random, at, free_at);
		}
	}
	while (chance(random, 2) && plan->count < 90)
		add(plan, between(random, 0, PLAN_SAFETY - USEC_PER_SEC),
		    WORK_LETTER)
			->content = draw_content(random);
}

/* ---- faults ---- */

static void draw_fault(struct plan *plan, struct random *random)
{
	unsigned kinds = DEED_KINDS - WORKER_KILLED;
	enum deed_kind kind =
		(enum deed_kind)(WORKER_KILLED + below(random, kinds));
	struct deed *deed =
		add(plan, between(random, 0, PLAN_SAFETY - USEC_PER_SEC), kind);

	deed->whom = (unsigned)below(random, plan->workers * LANES);
	deed->nth = 1 + (unsigned)below(random, chance(random, 2) ? 4 : 20);
	deed->lasts = between(random, USEC_PER_MSEC,
			      (chance(random, 2) ? 2 : 10) * USEC_PER_SEC);
}

/* One in eight goes undisturbed: then nothing may be sent twice. */
static void draw_faults(struct plan *plan, struct random *random)
{
	uint64_t faults = chance(random, 8) ? 0 : 1 + below(random, 12);

	for (uint64_t i = 0; i < faults; i++)
		draw_fault(plan, random);
}

static int compare(const void *left, const void *right)
{
	const struct deed *a = left;
	const struct deed *b = right;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return (int)a->kind - (int)b->kind;
}

static enum wire_kind draw_wire(struct random *random)
{
	return (enum wire_kind)below(random, WIRES);
}

static void draw_bytes(struct plan *plan, struct random *random)
{
	plan->dribbles = chance(random, 2);
	plan->socket = chance(random, 3) ? 100 + below(random, 2000) : 65536;
	plan->heartbeat = 1 + (double)below(random, chance(random, 2) ? 2 : 5);
}

static void draw_mqtt(struct plan *plan, struct random *random)
{
	plan->qos = 1 + (uint8_t)below(random, 2);
	plan->version = chance(random, 4) ? 4 : 5;
	plan->outdated = chance(random, 4);
	plan->first_id = chance(random, 2) ? 0 : UINT16_MAX - 5;
}

/* What a protocol does not know, or always does. */
static void fit_to_wire(struct plan *plan)
{
	if (plan->wire == WIRE_MQTT) {
		plan->alone = true;
		plan->multiple = false;
	}
	if (plan->wire == WIRE_AMQP) {
		plan->alone = false;
		plan->receive_maximum = 0;
	}
}

void plan_draw(struct plan *plan, uint64_t seed, enum wire_kind wire)
{
	struct random random = {seed};

	*plan = (struct plan){.seed = seed, .wire = draw_wire(&random)};
	if (wire != WIRE_ANY)
		plan->wire = wire;
	plan->workers = 1 + (unsigned)below(&random, WORKERS_MAX);
	plan->window = 1 + (int64_t)below(&random, 12);
	plan->prefetch = 1 + (int64_t)below(&random, 16);
	plan->max_retry_count = 2 + (int64_t)below(&random, 4);
	plan->retry_interval = 1 + (double)below(&random, 3);
	plan->latency = between(&random, 50, 20 * USEC_PER_MSEC);
	plan->confirming = between(&random, 50,
				   chance(&random, 4) ? 2 * USEC_PER_SEC
						      : 30 * USEC_PER_MSEC);
	plan->receive_maximum =
		chance(&random, 3) ? 1 + (unsigned)below(&random, 8) : 0;
	plan->alone = chance(&random, 3);
	plan->multiple = chance(&random, 2);
	plan->steals = chance(&random, 2);
	plan->overlaps = chance(&random, 2);
	draw_bytes(plan, &random);
	draw_mqtt(plan, &random);
	fit_to_wire(plan);
	draw_work(plan, &random);
	draw_faults(plan, &random);
	qsort(plan->deeds, plan->count, sizeof(*plan->deeds), compare);
}

/* ---- for people ---- */

static void print_deed(size_t number, const struct deed *deed)
{
	static const char *const contents[CONTENTS] = {
		"plain",    "unroutable", "request",   "unroutable request",
		"invalid",  "expires",	  "scheduled", "same message_id",
		"conflict", "poison",	  "choking",
	};

	printf("  %3zu  %9.6f  %-20s", number, (double)deed->at / USEC_PER_SEC,
	       names[deed->kind]);
	if (deed_is_fault(deed))
		printf(" worker %u %s, nth %u, lasts %.6f\n",
		       deed->whom / LANES,
		       deed->whom % LANES == 0 ? "relay" : "intake", deed->nth,
		       (double)deed->lasts / USEC_PER_SEC);
	else
		printf(" %s, key %u, open for %.6f%s\n",
		       contents[deed->content], deed->key,
		       (double)deed->lasts / USEC_PER_SEC,
		       deed->aborted ? ", rolled back" : "");
}

void plan_print(const struct plan *plan)
{
	printf("seed %llu: %s, %u workers, window %lld, prefetch %lld, at most "
	       "%lld "
	       "attempts, latency %.3f ms, confirms within %.3f ms%s%s%s%s\n",
	       (unsigned long long)plan->seed, wire_name(plan->wire),
	       plan->workers, (long long)plan->window,
	       (long long)plan->prefetch, (long long)plan->max_retry_count,
	       (double)plan->latency / USEC_PER_MSEC,
	       (double)plan->confirming / USEC_PER_MSEC,
	       plan->alone ? ", one intake at a time" : "",
	       plan->multiple ? ", multiple confirms" : "",
	       plan->overlaps ? ", commits overlap" : "",
	       plan->steals ? ", locks are stolen from the silent" : "");
	if (plan->wire != WIRE_BROKER)
		printf("     heartbeat %.0f s, %zu bytes at a time%s\n",
		       plan->heartbeat, plan->socket,
		       plan->dribbles ? ", in parts" : "");
	if (plan->wire == WIRE_MQTT)
		printf("     QoS %u, version %u%s, receive maximum %u\n",
		       plan->qos, plan->version,
		       plan->outdated ? ", the broker knows only 4" : "",
		       plan->receive_maximum);
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->deeds[i].left_out)
			print_deed(i, &plan->deeds[i]);
}
