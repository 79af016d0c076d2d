/* SPDX-License-Identifier: MIT */
/*
 * The simulated store against the SQLite driver's own statements: from each
 * seed a run of operations, and no answer may differ.
 */
#include <stdio.h>
#include <stdlib.h>

#include "twins.h"

enum { OPERATIONS = 60, SETTLED_MAX = 12, ACCEPTED_MAX = 5 };

struct draw {
	struct twins *twins;
	struct random random;
	struct outcome outcomes[SETTLED_MAX]; /* of the last settle */
	size_t outcome_count;
};

static uint64_t below(struct draw *draw, uint64_t bound)
{
	return random_below(&draw->random, bound);
}

static int64_t last_seq(const struct draw *draw)
{
	return draw->twins->world.database.last_seq;
}

/* Mostly the one that has the lock, if any has. */
static unsigned some_session(struct draw *draw)
{
	return below(draw, 8) == 0;
}

/* Nothing, a moment, whole seconds, or any time; and now and then for ever, as
 * far as this run is concerned. */
static usec_t some_time(struct draw *draw)
{
	switch (below(draw, 6)) {
	case 0:
		return 0;
	case 1:
		return USEC_PER_MSEC;
	case 2:
		return (usec_t)(1 + below(draw, 5)) * USEC_PER_SEC;
	case 3:
		return 3600 * USEC_PER_SEC;
	default:
		return (usec_t)below(draw, 8000) * USEC_PER_MSEC;
	}
}

/* Half the calls that can lose a reply are of the kind that do. */
static enum twin_fault some_fault(struct draw *draw, bool commits)
{
	uint64_t chance = below(draw, 24);

	if (chance == 0)
		return FAULT_CALL;
	if (chance == 1)
		return FAULT_SESSION;
	return commits && chance < 4 ? FAULT_REPLY : NO_FAULT;
}

/* ---- operations ---- */

static void write_row(struct draw *draw)
{
	static const char *const keys[] = {NULL, "a", "b"};
	struct twin_row row = {
		.key = keys[below(draw, 3)],
		.named = below(draw, 4) > 0,
		.padding = below(draw, 2) * below(draw, 60),
		.delay = below(draw, 4) == 0 ? some_time(draw) : 0,
		.expires = below(draw, 6) == 0 ? some_time(draw) : 0,
		.later = below(draw, 8) == 0,
	};

	if (last_seq(draw) < TWIN_ROWS_MAX)
		twins_write(draw->twins, &row);
}

static void commit_row(struct draw *draw)
{
	const struct database *database = &draw->twins->world.database;

	for (int64_t seq = 1; seq <= database->last_seq; seq++)
		if (!row_at(database, seq)->committed && below(draw, 2) == 0) {
			twins_commit(draw->twins, seq);
			return;
		}
}

static void pass_time(struct draw *draw)
{
	usec_t duration = some_time(draw);

	twins_pass(draw->twins,
		   duration > 10 * USEC_PER_SEC ? USEC_PER_SEC : duration);
}

static void lock(struct draw *draw)
{
	unsigned session = some_session(draw);

	if (session_holds_lock(draw->twins->lanes[session].session) &&
	    below(draw, 4) > 0)
		return;
	twins_order(draw->twins, session, some_fault(draw, false));
	twins_lock(draw->twins, session);
}

static void unlock(struct draw *draw)
{
	twins_unlock(draw->twins, some_session(draw));
}

static void claim(struct draw *draw)
{
	int64_t busy[TWIN_ROWS_MAX];
	struct outbox_claim wanted = {
		.config_key = "default",
		.limit = 1 + below(draw, below(draw, 2) == 0 ? 6 : 100),
		.max_bytes =
			below(draw, 3) == 0 ? 1 + below(draw, 150) : 1000000,
		.busy = busy,
	};
	unsigned session = some_session(draw);

	if (below(draw, 2) == 0)
		wanted.after_seq =
			(int64_t)below(draw, (uint64_t)last_seq(draw) + 1);
	for (int64_t seq = 1; seq <= last_seq(draw); seq++)
		if (below(draw, 6) == 0)
			busy[wanted.busy_count++] = seq;
	twins_order(draw->twins, session, some_fault(draw, false));
	twins_claim(draw->twins, session, &wanted);
}

/* Of rows in any order, some of which were settled long ago. */
static void draw_outcomes(struct draw *draw)
{
	const struct database *database = &draw->twins->world.database;
	int64_t from = 1 + (int64_t)below(draw, (uint64_t)last_seq(draw) + 1);

	draw->outcome_count = 0;
	for (int64_t seq = from; seq <= last_seq(draw); seq++) {
		if (!row_at(database, seq)->committed || below(draw, 3) == 0)
			continue;
		if (draw->outcome_count == SETTLED_MAX)
			break;
		draw->outcomes[draw->outcome_count++] = (struct outcome){
			.seq = seq,
			.kind = below(draw, 2) == 0
					? OUTCOME_RETRY
					: (enum outcome_kind)below(draw, 4),
			.attempts = (int64_t)below(draw, 4),
			.delay = some_time(draw),
			.reason = SPAN_LIT("drawn"),
		};
	}
}

static void settle(struct draw *draw)
{
	unsigned session = some_session(draw);

	if (below(draw, 4) > 0)
		draw_outcomes(draw);
	if (draw->outcome_count == 0)
		return;
	twins_order(draw->twins, session, some_fault(draw, true));
	twins_settle(draw->twins, session, draw->outcomes, draw->outcome_count);
}

static struct span name_of(struct draw *draw, const char *what, unsigned number)
{
	char text[64];

	snprintf(text, sizeof(text), "%s-%u", what, number);
	return world_copy(&draw->twins->world, span_of(text));
}

static struct inbox_row draw_message(struct draw *draw)
{
	unsigned id = (unsigned)below(draw, 7);
	bool other = below(draw, 4) == 0;
	bool hopeless = below(draw, 6) == 0;
	struct inbox_row row = {
		.body = name_of(draw, "body", id * 4 + other * 2 + hopeless),
		.rejected = hopeless ? SPAN_LIT("drawn") : SPAN_NONE,
	};

	envelope_init(&row.envelope);
	row.envelope.chain_depth = 0;
	row.envelope.topic = below(draw, 32) == 0
				     ? SPAN_LIT("event.test.poison.row")
				     : SPAN_LIT("event.test.thing.done");
	row.envelope.message_type = SPAN_LIT("event");
	row.envelope.event_type = SPAN_LIT("test");
	row.envelope.source_service = SPAN_LIT("tester");
	row.envelope.payload =
		other ? SPAN_LIT("{\"n\":1}") : SPAN_LIT("{\"n\":0}");
	if (below(draw, 2) == 0)
		row.ordering_key = SPAN_LIT("a");
	if (id > 0)
		row.envelope.message_id = name_of(draw, "m", id);
	return row;
}

static void accept(struct draw *draw)
{
	struct inbox_row rows[ACCEPTED_MAX];
	size_t count = 1 + below(draw, ACCEPTED_MAX);
	unsigned session = some_session(draw);

	if (draw->twins->world.database.inbox_count + count > INBOX_MAX)
		return;
	for (size_t i = 0; i < count; i++)
		rows[i] = draw_message(draw);
	twins_order(draw->twins, session, some_fault(draw, true));
	twins_accept(draw->twins, session, rows, count);
}

/* ---- runs ---- */

static void operate(struct draw *draw)
{
	static const struct {
		unsigned weight;
		void (*operation)(struct draw *draw);
	} operations[] = {
		{30, write_row}, {6, commit_row}, {14, pass_time}, {24, lock},
		{2, unlock},	 {26, claim},	  {16, settle},	   {12, accept},
	};
	uint64_t chance = below(draw, 130);
	size_t i = 0;

	while (chance >= operations[i].weight)
		chance -= operations[i++].weight;
	operations[i].operation(draw);
}

static bool run(struct twins *twins, uint64_t seed, bool tracing)
{
	struct draw draw = {.twins = twins, .random = {seed}};

	twins_begin(twins, seed, tracing);
	for (int i = 0; i < OPERATIONS && twins->difference[0] == '\0'; i++)
		operate(&draw);
	if (twins->difference[0] == '\0')
		twins_conclude(twins);
	return twins->difference[0] == '\0';
}

/* store_test [SEEDS [FROM]] */
int main(int argc, char **argv)
{
	static struct twins twins;
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000;
	uint64_t from = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	int failed = 0;

	twins_open(&twins);
	for (uint64_t seed = from; seed < from + seeds && !failed; seed++) {
		failed = !run(&twins, seed, false);
		if (!failed)
			continue;
		run(&twins, seed, true);
		printf("seed %llu, operation %u, %s: %s\n",
		       (unsigned long long)seed, twins.operations, twins.told,
		       twins.difference);
	}
	if (!failed)
		printf("%llu seeds, no difference\n",
		       (unsigned long long)seeds);
	twins_close(&twins);
	return failed;
}
