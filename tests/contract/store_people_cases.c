/* SPDX-License-Identifier: MIT */
/* What people ask: counts, listings by filter, retry, purge. */
#include "store_kit.h"

#include <stdio.h>

/* ---- a listing, as text ---- */

struct listing {
	char text[4096]; /* the first column of each row, by commas */
	size_t rows;
	size_t stop_after; /* rows, 0: never */
	const char *watched;
	struct column seen; /* the watched column of the last row */
	char value[256];
};

static int note(void *context, const struct column *columns, size_t count)
{
	struct listing *listing = context;
	size_t len = strlen(listing->text);

	snprintf(listing->text + len, sizeof(listing->text) - len, "%s%.*s",
		 len == 0 ? "" : ",", SPAN_ARG(columns[0].value));
	for (size_t i = 0; listing->watched != NULL && i < count; i++)
		if (strcmp(columns[i].name, listing->watched) == 0) {
			listing->seen = columns[i];
			snprintf(listing->value, sizeof(listing->value), "%.*s",
				 SPAN_ARG(columns[i].value));
		}
	listing->rows++;
	return listing->rows == listing->stop_after ? 17 : 0;
}

static struct listing browse(struct kit *kit, enum store_table table,
			     struct store_filter filter, const char *watched)
{
	struct listing listing = {.watched = watched};

	must(kit, kit->store->driver->browse(kit->store, table, &filter, note,
					     &listing, &kit->err));
	return listing;
}

#define LIST(kit, table, ...) \
	browse((kit), (table), (struct store_filter){__VA_ARGS__}, NULL).text

/* Three outbox rows: 1 published, 2 error, 3 pending. */
static void write_three(struct kit *kit)
{
	sql_run(kit,
		"INSERT INTO event_bus_outbound_event (config_key, topic, "
		"message_id, payload, status, created_at) VALUES "
		"('default', 'event.a.b.c', 'm-1', '{\"n\": 1}', 'published', "
		"'2020-01-01 00:00:00.000000'), "
		"('default', 'event.a.x.c', NULL, '[]', 'error', "
		"'2020-01-01 00:00:00.000000')");
	sql_run(kit, "INSERT INTO event_bus_outbound_event (config_key, topic) "
		     "VALUES ('another', 'event_a.b.c')");
}

static void a_listing_begins_with_the_newest(void **state)
{
	struct kit *kit = *state;

	write_three(kit);
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .limit = 0), "3,2,1");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .limit = 2), "3,2");
}

static void a_listing_is_filtered_by_what_is_given(void **state)
{
	struct kit *kit = *state;

	write_three(kit);
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .config_key = "default"),
			    "2,1");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .status = "error"), "2");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .message_id = "m-1"), "1");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .older_than = 3600), "2,1");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .older_than = 3600,
				 .status = "pending"),
			    "");
}

static void a_topic_is_found_exactly_or_by_asterisks(void **state)
{
	struct kit *kit = *state;

	write_three(kit);
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .topic = "event.a.b.c"),
			    "1");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .topic = "event.*.c"),
			    "2,1");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .topic = "event_*"), "3");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .topic = "EVENT.*"), "");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .topic = "event?a*"), "");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .topic = "event[.]a*"), "");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .topic = "event%c"), "");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .topic = "*\\*"), "");
}

static void a_row_is_found_by_its_id_or_seq(void **state)
{
	struct kit *kit = *state;
	char id[64];

	write_three(kit);
	snprintf(id, sizeof(id), "%s",
		 kit->driver->sql(kit,
				  "SELECT id FROM event_bus_outbound_event "
				  "WHERE seq = 2"));
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .id = id), "2");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .id = "3"), "3");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .id = "4"), "");
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .id = "' OR true --"), "");
	assert_string_equal(LIST(kit, TABLE_OUTBOX,
				 .id = "00000000-0000-4000-8000-000000000000"),
			    "");
}

static void a_filter_that_the_table_has_not_is_refused(void **state)
{
	struct kit *kit = *state;
	struct store_filter filter = {.status = "pending"};
	struct listing listing = {.rows = 0};
	int64_t affected = 0;

	assert_int_equal(kit->store->driver->browse(kit->store, TABLE_REJECTED,
						    &filter, note, &listing,
						    &kit->err),
			 STATUS_INVALID);
	assert_non_null(strstr(kit->err.text, "status"));
	assert_int_equal(kit->store->driver->purge(kit->store, TABLE_REJECTED,
						   &filter, false, &affected,
						   &kit->err),
			 STATUS_INVALID);
}

static void a_listing_ends_when_its_reader_has_enough(void **state)
{
	struct kit *kit = *state;
	struct listing listing = {.stop_after = 2};

	write_three(kit);
	assert_int_equal(
		kit->store->driver->browse(kit->store, TABLE_OUTBOX,
					   &(struct store_filter){.limit = 0},
					   note, &listing, &kit->err),
		17);
	assert_string_equal(listing.text, "3,2");
}

static void columns_come_with_their_types(void **state)
{
	struct kit *kit = *state;
	const struct store_filter first = {.id = "1"};
	struct listing found;

	write_three(kit);
	found = browse(kit, TABLE_OUTBOX, first, "seq");
	assert_int_equal(found.seen.type, COLUMN_INTEGER);
	found = browse(kit, TABLE_OUTBOX, first, "payload");
	assert_int_equal(found.seen.type, COLUMN_JSON);
	assert_string_equal(found.value, "{\"n\": 1}");
	found = browse(kit, TABLE_OUTBOX, first, "published");
	assert_int_equal(found.seen.type, COLUMN_BOOLEAN);
	assert_string_equal(found.value, "0");
	found = browse(kit, TABLE_OUTBOX, first, "headers");
	assert_int_equal(found.seen.type, COLUMN_NULL);
	found = browse(kit, TABLE_OUTBOX, first, "created_at");
	assert_int_equal(found.seen.type, COLUMN_TEXT);
	assert_string_equal(found.value, "2020-01-01 00:00:00.000000");
}

static void a_literal_password_is_not_listed(void **state)
{
	struct kit *kit = *state;
	struct config_change change = {config_field_find(SPAN_LIT("password")),
				       SPAN_LIT("canary")};
	const struct store_filter all = {.limit = 0};

	must(kit, kit->store->driver->config_save(kit->store, "default",
						  &change, 1, &kit->err));
	assert_string_equal(browse(kit, TABLE_CONFIGS, all, "password").value,
			    "***");
	change.value = SPAN_LIT("env:SECRET");
	must(kit, kit->store->driver->config_save(kit->store, "default",
						  &change, 1, &kit->err));
	assert_string_equal(browse(kit, TABLE_CONFIGS, all, "password").value,
			    "env:SECRET");
}

static void a_config_is_listed_with_the_settings_of_its_broker(void **state)
{
	struct kit *kit = *state;
	struct config_change change = {
		config_field_find(SPAN_LIT("broker_type")), SPAN_LIT("mqtt")};
	const struct store_filter all = {.limit = 0};

	must(kit, kit->store->driver->config_save(kit->store, "default",
						  &change, 1, &kit->err));
	must(kit, kit->store->driver->config_save(kit->store, "another", NULL,
						  0, &kit->err));
	assert_string_equal(LIST(kit, TABLE_CONFIGS, .limit = 0),
			    "another,default");
	assert_string_equal(LIST(kit, TABLE_CONFIGS, .config_key = "default"),
			    "default");
	assert_string_equal(
		browse(kit, TABLE_CONFIGS,
		       (struct store_filter){.config_key = "default"}, "qos")
			.value,
		"1");
	assert_string_equal(
		browse(kit, TABLE_CONFIGS,
		       (struct store_filter){.config_key = "default"},
		       "exchange")
			.value,
		"");
	assert_string_equal(browse(kit, TABLE_CONFIGS, all, "exchange").value,
			    "interservice");
	assert_string_equal(browse(kit, TABLE_CONFIGS, all, "is_active").value,
			    "1");
	assert_string_equal(browse(kit, TABLE_CONFIGS, all, "tls").value, "0");
}

static void every_table_can_be_listed(void **state)
{
	struct kit *kit = *state;
	const struct heartbeat beat = {
		.worker_id = "00000000-0000-4000-8000-00000000000a",
		.config_key = "default",
		.hostname = "host",
		.version = "0.1.0",
		.broker_type = "rabbitmq",
		.worker_status = "running",
	};

	must(kit, kit->store->driver->heartbeat(kit->store, &beat, &kit->err));
	sql_run(kit, "INSERT INTO event_bus_inbound_event (topic, message_id) "
		     "VALUES ('event.a.b.c', 'm-1')");
	sql_run(kit, "INSERT INTO event_bus_rejected_message (topic, "
		     "message_id, reason) VALUES ('event.a.b.c', 'm-1', 'no')");
	assert_string_equal(LIST(kit, TABLE_INBOX, .topic = "event.*",
				 .message_id = "m-1", .status = "pending"),
			    "1");
	assert_string_equal(LIST(kit, TABLE_REJECTED, .topic = "event.*",
				 .message_id = "m-1"),
			    "1");
	assert_string_equal(LIST(kit, TABLE_WORKERS, .config_key = "default"),
			    beat.worker_id);
	assert_string_equal(LIST(kit, TABLE_WORKERS, .config_key = "another"),
			    "");
}

/* ---- counts ---- */

static void rows_are_counted_by_status(void **state)
{
	struct kit *kit = *state;
	struct store_counts counts;

	write_three(kit);
	WRITE(kit, .delay = 3600 * USEC_PER_SEC);
	make_due(kit, WRITE(kit, .delay = 3600 * USEC_PER_SEC));
	sql_run(kit, "INSERT INTO event_bus_inbound_event (status) VALUES "
		     "('pending'), ('processed'), ('processed'), ('error')");
	sql_run(kit, "INSERT INTO event_bus_rejected_message (reason) "
		     "VALUES ('no')");
	must(kit, kit->store->driver->counts(kit->store, "default", &counts,
					     &kit->err));
	assert_int_equal(counts.outbox_pending, 2);
	assert_int_equal(counts.outbox_scheduled, 1);
	assert_int_equal(counts.outbox_published, 1);
	assert_int_equal(counts.outbox_invalid, 0);
	assert_int_equal(counts.outbox_error, 1);
	assert_int_equal(counts.inbox_pending, 1);
	assert_int_equal(counts.inbox_processed, 2);
	assert_int_equal(counts.inbox_error, 1);
	assert_int_equal(counts.rejected, 1);
	must(kit,
	     kit->store->driver->counts(kit->store, NULL, &counts, &kit->err));
	assert_int_equal(counts.outbox_pending, 3);
}

static void the_oldest_pending_row_tells_its_age(void **state)
{
	struct kit *kit = *state;
	struct store_counts counts;

	WRITE(kit, .delay = 3600 * USEC_PER_SEC);
	must(kit, kit->store->driver->counts(kit->store, "default", &counts,
					     &kit->err));
	assert_true(counts.oldest_pending == 0);
	sql_run(kit, "INSERT INTO event_bus_outbound_event (topic, created_at) "
		     "VALUES ('event.a.b.c', '2020-01-01 00:00:00.000000')");
	must(kit, kit->store->driver->counts(kit->store, "default", &counts,
					     &kit->err));
	assert_true(counts.oldest_pending > 1e6);
}

/* ---- retry and purge ---- */

static int64_t retry(struct kit *kit, enum store_table table, bool dry_run,
		     struct store_filter filter)
{
	int64_t affected = -1;

	must(kit, kit->store->driver->retry(kit->store, table, &filter, dry_run,
					    &affected, &kit->err));
	return affected;
}

static int64_t purge(struct kit *kit, enum store_table table, bool dry_run,
		     struct store_filter filter)
{
	int64_t affected = -1;

	must(kit, kit->store->driver->purge(kit->store, table, &filter, dry_run,
					    &affected, &kit->err));
	return affected;
}

#define ALL ((struct store_filter){.limit = 0})

static void parked_outbox_rows_can_be_retried(void **state)
{
	struct kit *kit = *state;

	write_three(kit);
	sql_run(kit, "UPDATE event_bus_outbound_event SET retry_count = 10");
	assert_int_equal(retry(kit, TABLE_OUTBOX, true, ALL), 1);
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .status = "error"), "2");
	assert_int_equal(retry(kit, TABLE_OUTBOX, false, ALL), 1);
	assert_rows(claim_all(kit), 2);
	assert_int_equal(kit->batch.rows[0].retry_count, 0);
	assert_int_equal(retry(kit, TABLE_OUTBOX, false, ALL), 0);
}

static void failed_inbox_rows_can_be_retried(void **state)
{
	struct kit *kit = *state;

	sql_run(kit, "INSERT INTO event_bus_inbound_event (status, processed, "
		     "retry_count) VALUES ('error', false, 3), "
		     "('processed', true, 0)");
	assert_int_equal(retry(kit, TABLE_INBOX, false, ALL), 1);
	assert_sql(kit,
		   "SELECT count(*) FROM event_bus_inbound_event WHERE "
		   "status = 'pending' AND NOT processed AND retry_count = 0",
		   "1");
}

static void rejected_messages_cannot_be_retried(void **state)
{
	struct kit *kit = *state;
	int64_t affected;

	assert_int_equal(kit->store->driver->retry(kit->store, TABLE_REJECTED,
						   &ALL, false, &affected,
						   &kit->err),
			 STATUS_INVALID);
}

static void pending_rows_are_never_purged(void **state)
{
	struct kit *kit = *state;

	write_three(kit);
	sql_run(kit, "INSERT INTO event_bus_inbound_event (status) "
		     "VALUES ('pending'), ('processed')");
	assert_int_equal(purge(kit, TABLE_OUTBOX, false,
			       (struct store_filter){.status = "pending"}),
			 0);
	assert_int_equal(purge(kit, TABLE_OUTBOX, true, ALL), 2);
	assert_int_equal(purge(kit, TABLE_OUTBOX, false, ALL), 2);
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .limit = 0), "3");
	assert_int_equal(purge(kit, TABLE_INBOX, false, ALL), 1);
	assert_string_equal(LIST(kit, TABLE_INBOX, .limit = 0), "1");
}

static void a_purge_keeps_to_its_filter_and_limit(void **state)
{
	struct kit *kit = *state;

	write_three(kit);
	assert_int_equal(purge(kit, TABLE_OUTBOX, false,
			       (struct store_filter){.topic = "*.x.*"}),
			 1);
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .limit = 0), "3,1");
	sql_run(kit, "UPDATE event_bus_outbound_event SET status = 'error'");
	assert_int_equal(purge(kit, TABLE_OUTBOX, true,
			       (struct store_filter){.limit = 1}),
			 1);
	assert_int_equal(purge(kit, TABLE_OUTBOX, false,
			       (struct store_filter){.limit = 1}),
			 1);
	assert_string_equal(LIST(kit, TABLE_OUTBOX, .limit = 0), "1");
}

static void a_purge_of_many_goes_on_to_the_last(void **state)
{
	struct kit *kit = *state;

	sql_run(kit, "INSERT INTO event_bus_rejected_message (reason) "
		     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
		     "SELECT i + 1 FROM n WHERE i < 2500) SELECT 'no' FROM n");
	assert_int_equal(purge(kit, TABLE_REJECTED, false,
			       (struct store_filter){.limit = 1200}),
			 1200);
	assert_int_equal(purge(kit, TABLE_REJECTED, false, ALL), 1300);
	assert_string_equal(LIST(kit, TABLE_REJECTED, .limit = 0), "");
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(a_listing_begins_with_the_newest),
	STORE_TEST(a_listing_is_filtered_by_what_is_given),
	STORE_TEST(a_topic_is_found_exactly_or_by_asterisks),
	STORE_TEST(a_row_is_found_by_its_id_or_seq),
	STORE_TEST(a_filter_that_the_table_has_not_is_refused),
	STORE_TEST(a_listing_ends_when_its_reader_has_enough),
	STORE_TEST(columns_come_with_their_types),
	STORE_TEST(a_literal_password_is_not_listed),
	STORE_TEST(a_config_is_listed_with_the_settings_of_its_broker),
	STORE_TEST(every_table_can_be_listed),
	STORE_TEST(rows_are_counted_by_status),
	STORE_TEST(the_oldest_pending_row_tells_its_age),
	STORE_TEST(parked_outbox_rows_can_be_retried),
	STORE_TEST(failed_inbox_rows_can_be_retried),
	STORE_TEST(rejected_messages_cannot_be_retried),
	STORE_TEST(pending_rows_are_never_purged),
	STORE_TEST(a_purge_keeps_to_its_filter_and_limit),
	STORE_TEST(a_purge_of_many_goes_on_to_the_last),
};

const struct kit_cases people_cases = {tests, sizeof(tests) / sizeof(*tests)};
