/* SPDX-License-Identifier: MIT */
/*
 * How long claims take through the driver, whatever else is in the outbox.
 *
 *	bench-claim TIMES IN-FLIGHT DATABASE-URL
 *
 * So many rows are taken first and left out of every claim. `next` are claims
 * that go on where the last one ended, as a relay's do; `all` look at
 *everything from the start, as a relay does once a second. Prints which it was,
 *the rows that it brought and the seconds that it took, a line for each claim.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

enum { CLAIM_ROWS = 500, CLAIM_BYTES = 16 * 1024 * 1024 };

static void die(const char *text)
{
	fprintf(stderr, "bench-claim: %s\n", text);
	exit(1);
}

static void claim(struct store *store, const struct outbox_claim *wanted,
		  struct outbox_batch *batch)
{
	struct error err;

	if (store->driver->claim(store, wanted, batch, &err) < 0)
		die(err.text);
}

/* The seqs of the first `count` rows. */
static int64_t *take_in_flight(struct store *store, size_t count)
{
	const struct outbox_claim wanted = {.config_key = "default",
					    .limit = count,
					    .max_bytes = CLAIM_BYTES};
	int64_t *seqs = calloc(count + 1, sizeof(*seqs));
	struct outbox_batch batch = {0};

	if (seqs == NULL)
		die("no memory");
	if (count == 0)
		return seqs;
	claim(store, &wanted, &batch);
	if (batch.count < count)
		die("there are fewer rows than shall be in flight");
	for (size_t i = 0; i < count; i++)
		seqs[i] = batch.rows[i].seq;
	arena_finish(&batch.arena);
	return seqs;
}

/* The highest seq that the claim brought, or where it began. */
static int64_t measure(struct store *store, const struct outbox_claim *wanted,
		       struct outbox_batch *batch)
{
	usec_t began = clock_monotonic();

	claim(store, wanted, batch);
	printf("%s %zu %.6f\n", wanted->after_seq == 0 ? "all" : "next",
	       batch->count,
	       (double)(clock_monotonic() - began) / USEC_PER_SEC);
	return batch->count > 0 ? batch->rows[batch->count - 1].seq
				: wanted->after_seq;
}

static void measure_all(struct store *store, struct outbox_claim *wanted,
			unsigned long times)
{
	struct outbox_batch batch = {0};
	int64_t last = 0;

	for (unsigned long i = 0; i < times; i++) {
		wanted->after_seq = 0;
		last = measure(store, wanted, &batch);
	}
	for (unsigned long i = 0; i < times; i++) {
		wanted->after_seq = last;
		last = measure(store, wanted, &batch);
	}
	arena_finish(&batch.arena);
}

int main(int argc, char **argv)
{
	struct outbox_claim wanted = {.config_key = "default",
				      .limit = CLAIM_ROWS,
				      .max_bytes = CLAIM_BYTES};
	struct store *store = NULL;
	int64_t *in_flight;
	struct error err;

	if (argc != 4)
		die("usage: bench-claim TIMES IN-FLIGHT DATABASE-URL");
	if (store_open(&store, argv[3], false, &err) < 0 ||
	    store->driver->lock(store, wanted.config_key, "relay", &err) < 0)
		die(err.text);
	wanted.busy_count = strtoul(argv[2], NULL, 10);
	in_flight = take_in_flight(store, wanted.busy_count);
	wanted.busy = in_flight;
	measure_all(store, &wanted, strtoul(argv[1], NULL, 10));
	store->driver->close(store);
	free(in_flight);
	return 0;
}
