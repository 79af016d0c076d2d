/* SPDX-License-Identifier: MIT */
/* What the cases of every store use. */
#include "store_kit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

const struct kit_driver *kit_driver;

void must_at(struct kit *kit, int status, const char *file, int line)
{
	if (status < 0) {
		print_error("status %d: %s\n", status, kit->err.text);
		_fail(file, line);
	}
}

struct store *kit_open(struct kit *kit)
{
	struct store *store = NULL;

	must(kit, store_open(&store, kit->url, false, &kit->err));
	return store;
}

struct store *kit_other(struct kit *kit)
{
	if (kit->other == NULL)
		kit->other = kit_open(kit);
	return kit->other;
}

int kit_setup(void **state)
{
	struct kit *kit = calloc(1, sizeof(*kit));

	assert_non_null(kit);
	kit->driver = kit_driver;
	kit->driver->create(kit);
	must(kit, store_open(&kit->store, kit->url, true, &kit->err));
	must(kit, kit->store->driver->migrate(kit->store, &kit->err));
	*state = kit;
	return 0;
}

int kit_teardown(void **state)
{
	struct kit *kit = *state;

	if (kit->other != NULL)
		kit->other->driver->close(kit->other);
	if (kit->store != NULL)
		kit->store->driver->close(kit->store);
	arena_finish(&kit->batch.arena);
	kit->driver->destroy(kit);
	free(kit);
	return 0;
}

/* ---- SQL ---- */

int64_t sql_integer(struct kit *kit, const char *query)
{
	return strtoll(kit->driver->sql(kit, query), NULL, 10);
}

void sql_run(struct kit *kit, const char *format, ...)
{
	char *sql;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&sql, format, args) >= 0);
	va_end(args);
	kit->driver->sql(kit, sql);
	free(sql);
}

void make_due(struct kit *kit, int64_t seq)
{
	sql_run(kit,
		"UPDATE event_bus_outbound_event SET "
		"next_retry_at = '2020-01-01 00:00:00.000000' WHERE seq = %lld",
		(long long)seq);
}

/* ---- rows ---- */

int64_t write_row(struct kit *kit, struct written written)
{
	struct outbox_row row = {.ordering_key = span_of(written.key)};
	const char *config_key =
		written.config_key == NULL ? "default" : written.config_key;
	char id[UUID_TEXT_SIZE];

	envelope_init(&row.envelope);
	row.envelope.topic =
		span_of(written.topic == NULL ? "event.test.thing.done"
					      : written.topic);
	row.envelope.message_type = SPAN_LIT("event");
	row.envelope.event_type = SPAN_LIT("thing.done");
	row.envelope.source_service = SPAN_LIT("tests");
	row.envelope.payload = span_of(written.payload);
	must(kit, kit->store->driver->enqueue(kit->store, config_key, &row,
					      written.delay, written.expires,
					      id, &kit->err));
	return sql_integer(kit,
			   "SELECT max(seq) FROM event_bus_outbound_event");
}

struct outbox_batch *claim_some(struct kit *kit, struct outbox_claim claim)
{
	const struct store_driver *driver = kit->store->driver;

	if (claim.config_key == NULL)
		claim.config_key = "default";
	if (claim.limit == 0)
		claim.limit = 1000;
	if (claim.max_bytes == 0)
		claim.max_bytes = 64 * 1024 * 1024;
	must(kit,
	     driver->lock(kit->store, claim.config_key, "relay", &kit->err));
	must(kit, driver->claim(kit->store, &claim, &kit->batch, &kit->err));
	return &kit->batch;
}

struct outbox_batch *claim_all(struct kit *kit)
{
	return CLAIM(kit, .after_seq = 0);
}

void assert_rows_are(const struct outbox_batch *batch, const int64_t *seqs)
{
	size_t count = 0;

	while (seqs[count] != 0)
		count++;
	assert_int_equal(batch->count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(batch->rows[i].seq, seqs[i]);
}

void kit_until_ready(struct store *store)
{
	for (;;) {
		struct wait wait;

		wait_init(&wait);
		if (store->driver->ready(store, &wait))
			break;
		assert_int_equal(wait.count, 1);
		poll(wait.fds, wait.count, 100);
	}
}

int settle_in_two_parts(struct kit *kit, struct store *store,
			struct outcome outcome)
{
	must(kit, store->driver->settle_begin(store, &outcome, 1, &kit->err));
	kit_until_ready(store);
	return store->driver->settle_end(store, &outcome, 1, &kit->err);
}

void settle_one(struct kit *kit, struct outcome outcome)
{
	const struct store_driver *driver = kit->store->driver;

	must(kit, driver->lock(kit->store, "default", "relay", &kit->err));
	if (driver->settle_begin != NULL)
		must(kit, settle_in_two_parts(kit, kit->store, outcome));
	else
		must(kit, driver->settle(kit->store, &outcome, 1, &kit->err));
}

struct inbox_row kit_event(const char *message_id, const char *payload)
{
	struct inbox_row row = {.body = SPAN_LIT("as received")};

	envelope_init(&row.envelope);
	row.envelope.message_id = span_of(message_id);
	row.envelope.message_type = SPAN_LIT("event");
	row.envelope.topic = SPAN_LIT("event.test.thing.done");
	row.envelope.event_type = SPAN_LIT("thing.done");
	row.envelope.source_service = SPAN_LIT("tests");
	row.envelope.chain_depth = 0;
	row.envelope.payload = span_of(payload);
	return row;
}
