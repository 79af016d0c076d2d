/* SPDX-License-Identifier: MIT */
/*
 * What broker and database can do by themselves: bare loops that publish or
 * consume without a database behind them, or fill the inbox without a broker.
 * The relay and the intake are measured against these.
 *
 *	bench-raw publish|consume|insert COUNT DATABASE-URL
 *
 * The config row `default` of the database says where the broker is, exactly
 * as it does for a worker. Prints the seconds from the first publish to the
 * last confirm, from the first delivery to the last acknowledgement, or from
 * the first batch to the last commit.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "broker/broker.h"
#include "message.h"
#include "store/store.h"

enum { BATCH_ROWS = 500 };

/* The window is filled up again when this part of it is free: going by single
 * messages costs the broker more than it gains. */
enum { REFILL_PART = 4 };

struct bench {
	struct store *store;
	struct runtime_config config;
	struct broker *broker; /* not for insert */
	struct arena arena;    /* what broker_next gives */
	uint64_t count;
	bool up;
	usec_t began;

	uint64_t published;
	uint64_t confirmed;
	bool *answered;	 /* by tag */
	uint64_t oldest; /* no tag below it is unanswered */

	uint64_t consumed;
	uint64_t acknowledged;
	uint64_t last_tag;
};

static void die(const char *text)
{
	fprintf(stderr, "bench-raw: %s\n", text);
	exit(1);
}

/* ---- the events both loops share ---- */

static void answer(struct bench *bench, uint64_t tag)
{
	if (bench->answered[tag])
		return;
	bench->answered[tag] = true;
	bench->confirmed++;
}

static void confirm(struct bench *bench, const struct broker_event *event)
{
	if (!event->multiple)
		answer(bench, event->tag);
	for (; event->multiple && bench->oldest <= event->tag; bench->oldest++)
		answer(bench, bench->oldest);
}

static void deliver(struct bench *bench, const struct delivery *delivery)
{
	if (bench->consumed++ == 0)
		bench->began = clock_monotonic();
	bench->last_tag = delivery->tag;
}

static void handle(struct bench *bench, const struct broker_event *event)
{
	switch (event->kind) {
	case BROKER_UP:
		bench->up = true;
		break;
	case BROKER_CONFIRMED:
		confirm(bench, event);
		break;
	case BROKER_DELIVERED:
		deliver(bench, &event->delivery);
		break;
	case BROKER_DOWN:
	case BROKER_REFUSED:
	case BROKER_RETURNED:
	case BROKER_BLOCKED:
		die(event->error.text);
		break;
	case BROKER_UNBLOCKED:
		break;
	}
}

static void listen_to_broker(struct bench *bench)
{
	const struct broker_driver *driver = bench->broker->driver;
	struct broker_event event;
	uint64_t batch = bench->consumed + BATCH_ROWS;

	driver->step(bench->broker, clock_monotonic());
	while (bench->consumed < batch &&
	       driver->next(bench->broker, &bench->arena, &event))
		handle(bench, &event);
	arena_reset(&bench->arena);
}

static void flush(struct bench *bench, usec_t now, struct wait *wait)
{
	wait_init(wait);
	bench->broker->driver->flush(bench->broker, now, wait);
}

static void flush_and_wait(struct bench *bench)
{
	usec_t now = clock_monotonic();
	struct wait wait;
	int milliseconds;

	flush(bench, now, &wait);
	wait_until(&wait, now + USEC_PER_SEC);
	milliseconds = wait.until <= now
			       ? 0
			       : (int)((wait.until - now) / USEC_PER_MSEC) + 1;
	poll(wait.fds, wait.count, milliseconds);
}

/* ---- publishing ---- */

static void fill_window(struct bench *bench, const struct publication *message)
{
	uint64_t end = bench->confirmed + (uint64_t)bench->config.window;
	uint64_t tag;
	struct error err;

	if (bench->published == 0)
		bench->began = clock_monotonic();
	for (; bench->published < bench->count && bench->published < end;
	     bench->published++)
		if (bench->broker->driver->publish(bench->broker, message, &tag,
						   &err) < 0)
			die(err.text);
}

static void publish_all(struct bench *bench)
{
	struct envelope envelope;
	struct buffer body = {0};
	struct publication message = {.envelope = &envelope,
				      .type = MESSAGE_EVENT,
				      .created_at =
					      clock_wall() / USEC_PER_SEC};
	uint64_t window = (uint64_t)bench->config.window;
	uint64_t refill = window - window / REFILL_PART;

	message_build(&envelope, &body);
	message.body = buffer_span(&body);
	while (bench->confirmed < bench->count) {
		if (bench->up && bench->published - bench->confirmed <= refill)
			fill_window(bench, &message);
		flush_and_wait(bench);
		listen_to_broker(bench);
	}
	buffer_finish(&body);
}

/* ---- consuming ---- */

static void consume_all(struct bench *bench)
{
	struct wait wait;

	while (bench->acknowledged < bench->count) {
		flush_and_wait(bench);
		listen_to_broker(bench);
		if (bench->consumed >= bench->acknowledged + BATCH_ROWS ||
		    bench->consumed >= bench->count) {
			bench->broker->driver->acknowledge(bench->broker,
							   bench->last_tag);
			bench->acknowledged = bench->consumed;
		}
	}
	flush(bench, clock_monotonic(), &wait);
}

/* ---- inserting ---- */

static void insert_batch(struct bench *bench, struct inbox_row *rows,
			 size_t count)
{
	static char ids[BATCH_ROWS][UUID_TEXT_SIZE];
	struct inbox_batch batch = {.config_key = "default",
				    .broker_type = "rabbitmq",
				    .rows = rows,
				    .count = count};
	struct error err;

	for (size_t i = 0; i < count; i++) {
		uuid_generate(ids[i]);
		rows[i].envelope.message_id = span_of(ids[i]);
	}
	if (bench->store->driver->accept(bench->store, &batch, &err) < 0)
		die(err.text);
}

/* The intake's batches, made of what the relay would have sent. */
static void insert_all(struct bench *bench)
{
	static struct inbox_row rows[BATCH_ROWS];
	struct buffer body = {0};

	message_build(&rows[0].envelope, &body);
	buffer_finish(&body);
	for (size_t i = 1; i < BATCH_ROWS; i++)
		rows[i].envelope = rows[0].envelope;
	bench->began = clock_monotonic();
	for (uint64_t left = bench->count; left > 0;) {
		size_t count = left < BATCH_ROWS ? left : BATCH_ROWS;

		insert_batch(bench, rows, count);
		left -= count;
	}
}

/* ---- the program ---- */

static void open_store(struct bench *bench, const char *url)
{
	struct error err;

	if (store_open(&bench->store, url, false, &err) < 0 ||
	    bench->store->driver->config_load(bench->store, "default",
					      &bench->config, &err) < 0 ||
	    config_finish(&bench->config, &err) < 0)
		die(err.text);
}

static void open_broker(struct bench *bench, enum broker_role role)
{
	struct error err;

	if (broker_create(&bench->broker, &bench->config, role, &err) < 0)
		die(err.text);
	bench->broker->driver->connect(bench->broker, clock_monotonic());
}

static void run(struct bench *bench, const char *what)
{
	if (strcmp(what, "publish") == 0) {
		open_broker(bench, BROKER_PUBLISHER);
		publish_all(bench);
	} else if (strcmp(what, "consume") == 0) {
		open_broker(bench, BROKER_CONSUMER);
		consume_all(bench);
	} else {
		insert_all(bench);
	}
}

int main(int argc, char **argv)
{
	struct bench bench = {.oldest = 1};

	if (argc != 4)
		die("usage: bench-raw publish|consume|insert COUNT "
		    "DATABASE-URL");
	bench.count = strtoull(argv[2], NULL, 10);
	bench.answered = calloc(bench.count + 1, sizeof(*bench.answered));
	if (bench.answered == NULL)
		die("no memory");
	open_store(&bench, argv[3]);
	run(&bench, argv[1]);
	printf("%.6f\n",
	       (double)(clock_monotonic() - bench.began) / USEC_PER_SEC);
	if (bench.broker != NULL)
		bench.broker->driver->destroy(bench.broker);
	bench.store->driver->close(bench.store);
	config_destroy(&bench.config);
	arena_finish(&bench.arena);
	free(bench.answered);
	return 0;
}
