/* SPDX-License-Identifier: MIT */
/* Runs seeds; replays one, and shrinks what makes it fail. */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

struct options {
	const char *program;
	uint64_t from;
	uint64_t seeds;
	unsigned jobs;
	bool one; /* --seed: tell about it */
	bool tracing;
	bool twice;	  /* each seed has to give the same hash again */
	const char *only; /* the deeds to keep, by number */
	enum wire_kind wire;
};

/* Shared between the jobs. */
struct totals {
	_Atomic uint64_t runs, failures, faults, rows, letters, repeats, breaks;
	_Atomic uint64_t hash; /* of all the hashes, in any order */
};

/* ---- one plan ---- */

/* A kept list is "3,17,20". */
static void keep_only(struct plan *plan, const char *list)
{
	for (size_t i = 0; i < plan->count; i++)
		plan->deeds[i].left_out = true;
	while (*list != '\0') {
		char *end;
		unsigned long number = strtoul(list, &end, 10);

		if (end == list)
			break;
		if (number < plan->count)
			plan->deeds[number].left_out = false;
		list = *end == ',' ? end + 1 : end;
	}
}

static char verdict_of(struct world *world, const struct plan *plan)
{
	world_run(world, plan, false);
	return world->checker.verdict;
}

/* Leaves out a stretch of deeds if the same promise is broken without it. */
static bool try_without(struct world *world, struct plan *plan, char verdict,
			size_t from, size_t length)
{
	struct plan less = *plan;
	bool any = false;

	for (size_t i = from; i < from + length && i < plan->count; i++) {
		any = any || !less.deeds[i].left_out;
		less.deeds[i].left_out = true;
	}
	if (!any || verdict_of(world, &less) != verdict)
		return false;
	*plan = less;
	return true;
}

/* Stretches of half the plan, then a quarter, ... then one deed at a time,
 * until nothing more can go. */
static void shrink(struct world *world, struct plan *plan, char verdict)
{
	size_t length = plan->count / 2;
	bool less = true;

	while (length > 0 || less) {
		less = false;
		if (length == 0)
			length = 1;
		for (size_t from = 0; from < plan->count; from += length)
			if (try_without(world, plan, verdict, from, length))
				less = true;
		length = less && length == 1 ? 1 : length / 2;
	}
}

/* ---- telling ---- */

static void print_command(const struct options *options,
			  const struct plan *plan)
{
	const char *comma = "";

	printf("%s --wire %s --seed %llu --only ", options->program,
	       wire_name(plan->wire), (unsigned long long)plan->seed);
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->deeds[i].left_out) {
			printf("%s%zu", comma, i);
			comma = ",";
		}
	printf(" --trace\n");
}

static void tell_failure(const struct options *options, struct world *world,
			 struct plan *plan)
{
	char verdict = world->checker.verdict;

	printf("seed %llu breaks %c: %s\n", (unsigned long long)plan->seed,
	       verdict, world->checker.why);
	shrink(world, plan, verdict);
	world_run(world, plan, false);
	printf("smallest: %c: %s\n", world->checker.verdict,
	       world->checker.why);
	plan_print(plan);
	printf("replay: ");
	print_command(options, plan);
	fflush(stdout);
}

/* ---- crashes: the lanes' own asserts and worse ---- */

static char running[256]; /* what to say if this run is the last */

static void tell_crash(int signal)
{
	(void)signal;
	if (write(STDOUT_FILENO, running, strlen(running)) > 0)
		fsync(STDOUT_FILENO);
	_exit(1);
}

static void tell_of_crashes(void)
{
	static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		signal(signals[i], tell_crash);
}

/* ---- many ---- */

static void count_run(struct totals *totals, const struct world *world)
{
	totals->runs++;
	for (size_t i = 0; i < world->plan->count; i++)
		totals->faults += deed_is_fault(&world->plan->deeds[i]);
	totals->rows += (uint64_t)world->database.last_seq;
	totals->letters += world->checker.letter_count;
	totals->repeats += world->checker.repeats;
	totals->breaks += world->checker.breaks;
	totals->hash += world->checker.hash;
}

static bool run_seed(const struct options *options, struct totals *totals,
		     struct world *world, uint64_t seed)
{
	struct plan plan;
	uint64_t hash;

	plan_draw(&plan, seed, options->wire);
	snprintf(running, sizeof(running),
		 "seed %llu crashes\nreplay: %s --wire %s --seed %llu "
		 "--trace\n",
		 (unsigned long long)seed, options->program,
		 wire_name(plan.wire), (unsigned long long)seed);
	if (options->only != NULL)
		keep_only(&plan, options->only);
	if (options->tracing)
		setvbuf(stdout, NULL, _IOLBF, 0); /* it may crash */
	if (options->one)
		plan_print(&plan);
	world_run(world, &plan, options->tracing);
	count_run(totals, world);
	hash = world->checker.hash;
	if (world->checker.verdict != 0) {
		totals->failures++;
		if (options->only == NULL)
			tell_failure(options, world, &plan);
		else
			printf("seed %llu breaks %c: %s\n",
			       (unsigned long long)seed, world->checker.verdict,
			       world->checker.why);
		return false;
	}
	if (!options->twice)
		return true;
	world_run(world, &plan, false);
	if (world->checker.hash == hash)
		return true;
	totals->failures++;
	printf("seed %llu runs in more than one way\n",
	       (unsigned long long)seed);
	return false;
}

/* Every jobs-th seed, until enough has failed. */
static void run_share(const struct options *options, struct totals *totals,
		      unsigned job)
{
	struct world *world = malloc(sizeof(*world));

	if (world == NULL)
		abort();
	world_init(world);
	for (uint64_t i = job; i < options->seeds; i += options->jobs) {
		run_seed(options, totals, world, options->from + i);
		if (totals->failures >= 3)
			break;
	}
	world_finish(world);
	free(world);
}

static int run_all(const struct options *options, struct totals *totals)
{
	unsigned crashed = 0;
	int code;

	if (options->jobs == 1) {
		run_share(options, totals, 0);
		return 0;
	}
	fflush(stdout);
	for (unsigned job = 0; job < options->jobs; job++)
		if (fork() == 0) {
			run_share(options, totals, job);
			fflush(stdout);
			_exit(0);
		}
	while (wait(&code) > 0)
		crashed += code != 0;
	return crashed > 0 ? 1 : 0;
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void tell_totals(const struct totals *totals, double seconds)
{
	printf("%llu seeds in %.1f s (%.0f a second): %llu rows, %llu letters, "
	       "%llu faults, %llu breaks, %llu repeats; trace %016llx; "
	       "%llu violations\n",
	       (unsigned long long)totals->runs, seconds,
	       (double)totals->runs / seconds, (unsigned long long)totals->rows,
	       (unsigned long long)totals->letters,
	       (unsigned long long)totals->faults,
	       (unsigned long long)totals->breaks,
	       (unsigned long long)totals->repeats,
	       (unsigned long long)totals->hash,
	       (unsigned long long)totals->failures);
}

/* ---- options ---- */

static int usage(void)
{
	fprintf(stderr,
		"usage: simulation [--seeds N] [--from SEED] [--jobs N] "
		"[--twice] [--wire WIRE]\n"
		"       simulation --seed SEED [--only DEEDS] [--trace] "
		"[--wire WIRE]\n"
		"WIRE is broker, amqp or mqtt; else each seed chooses\n");
	return 2;
}

static bool parse_wire(struct options *options, const char *name)
{
	for (options->wire = 0; options->wire < WIRES; options->wire++)
		if (strcmp(wire_name(options->wire), name) == 0)
			return true;
	return false;
}

static bool parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"seeds", required_argument, NULL, 'n'},
		{"from", required_argument, NULL, 'f'},
		{"jobs", required_argument, NULL, 'j'},
		{"seed", required_argument, NULL, 's'},
		{"only", required_argument, NULL, 'o'},
		{"trace", no_argument, NULL, 't'},
		{"twice", no_argument, NULL, '2'},
		{"wire", required_argument, NULL, 'w'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'n':
			options->seeds = strtoull(optarg, NULL, 10);
			break;
		case 's':
			options->one = true;
			options->seeds = 1;
			options->from = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			options->from = strtoull(optarg, NULL, 10);
			break;
		case 'j':
			options->jobs = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'o':
			options->only = optarg;
			break;
		case 'w':
			if (!parse_wire(options, optarg))
				return false;
			break;
		case 't':
			options->tracing = true;
			break;
		case '2':
			options->twice = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc && options->jobs > 0;
}

int main(int argc, char **argv)
{
	struct options options = {.seeds = 1000, .jobs = 1, .wire = WIRE_ANY};
	struct totals *totals =
		mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct timespec start;
	int status;

	options.program = argv[0];
	/* A run's memory is wanted by the next one. */
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	if (totals == MAP_FAILED || !parse(&options, argc, argv))
		return usage();
	tell_of_crashes();
	clock_gettime(CLOCK_MONOTONIC, &start);
	status = run_all(&options, totals);
	tell_totals(totals, seconds_since(&start));
	return status != 0 || totals->failures > 0;
}
