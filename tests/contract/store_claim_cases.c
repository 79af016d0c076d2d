/* SPDX-License-Identifier: MIT */
/* What a claim brings, and how it reads. */
#include "store_kit.h"

#include <stdio.h>
#include <stdlib.h>

static void rows_come_in_the_order_they_were_written(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .topic = "event.test.thing.first");
	int64_t second = WRITE(kit, .topic = "event.test.thing.second");
	struct outbox_batch *batch = claim_all(kit);

	assert_rows(batch, first, second);
	assert_true(span_is(batch->rows[0].envelope.topic,
			    "event.test.thing.first"));
	assert_true(span_is(batch->rows[1].envelope.topic,
			    "event.test.thing.second"));
}

static void an_empty_outbox_gives_an_empty_batch(void **state)
{
	struct kit *kit = *state;
	struct outbox_batch *batch = claim_all(kit);

	assert_int_equal(batch->count, 0);
	assert_int_equal(batch->next_due_in, USEC_NEVER);
}

static void only_rows_of_the_config_key_are_claimed(void **state)
{
	struct kit *kit = *state;
	int64_t ours;

	WRITE(kit, .config_key = "another");
	ours = WRITE(kit, .config_key = "default");
	WRITE(kit, .config_key = "another", .delay = USEC_PER_SEC);
	assert_rows(claim_all(kit), ours);
	assert_int_equal(kit->batch.next_due_in, USEC_NEVER);
}

static void a_claim_keeps_to_its_limit_and_says_that_there_is_more(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .topic = NULL);
	int64_t second = WRITE(kit, .topic = NULL);

	WRITE(kit, .topic = NULL);
	assert_rows(CLAIM(kit, .limit = 2), first, second);
	assert_int_equal(kit->batch.next_due_in, 0);
}

static void due_rows_beyond_the_limit_are_more_too(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .delay = USEC_PER_SEC);
	int64_t second = WRITE(kit, .delay = USEC_PER_SEC);

	make_due(kit, first);
	make_due(kit, second);
	assert_int_equal(CLAIM(kit, .limit = 1)->count, 1);
	assert_int_equal(kit->batch.next_due_in, 0);
	assert_rows(CLAIM(kit, .limit = 2), first, second);
}

static void a_claim_stops_after_the_row_that_reaches_max_bytes(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .payload = "\"0123456789\"");
	int64_t second = WRITE(kit, .payload = "\"0123456789\"");

	WRITE(kit, .payload = "\"0123456789\"");
	assert_rows(CLAIM(kit, .max_bytes = 24), first, second);
	assert_int_equal(kit->batch.next_due_in, 0);
	assert_rows(CLAIM(kit, .max_bytes = 1), first);
}

static void busy_rows_are_left_out(void **state)
{
	struct kit *kit = *state;
	int64_t busy[2];
	int64_t second, fourth;

	busy[0] = WRITE(kit, .topic = NULL);
	second = WRITE(kit, .topic = NULL);
	busy[1] = WRITE(kit, .delay = USEC_PER_SEC);
	fourth = WRITE(kit, .topic = NULL);
	make_due(kit, busy[1]);
	assert_rows(CLAIM(kit, .busy = busy, .busy_count = 2), second, fourth);
}

static void busy_rows_do_not_use_up_the_limit(void **state)
{
	struct kit *kit = *state;
	int64_t busy[3];
	int64_t free_row, due_row;

	for (size_t i = 0; i < 3; i++) {
		busy[i] = WRITE(kit, .delay = USEC_PER_SEC);
		make_due(kit, busy[i]);
	}
	due_row = WRITE(kit, .delay = USEC_PER_SEC);
	make_due(kit, due_row);
	free_row = WRITE(kit, .topic = NULL);
	assert_rows(CLAIM(kit, .busy = busy, .busy_count = 3, .limit = 2),
		    due_row, free_row);
}

static void nothing_but_busy_rows_is_nothing_more(void **state)
{
	struct kit *kit = *state;
	int64_t busy[2];

	busy[0] = WRITE(kit, .topic = NULL);
	busy[1] = WRITE(kit, .delay = USEC_PER_SEC);
	make_due(kit, busy[1]);
	assert_int_equal(
		CLAIM(kit, .busy = busy, .busy_count = 2, .limit = 1)->count,
		0);
	assert_int_equal(kit->batch.next_due_in, USEC_NEVER);
}

static void fresh_rows_up_to_after_seq_are_left_out(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .topic = NULL);
	int64_t second = WRITE(kit, .topic = NULL);

	assert_rows(CLAIM(kit, .after_seq = first), second);
}

static void due_rows_come_whatever_after_seq_says(void **state)
{
	struct kit *kit = *state;
	int64_t due = WRITE(kit, .delay = USEC_PER_SEC);
	int64_t last = WRITE(kit, .topic = NULL);

	make_due(kit, due);
	assert_rows(CLAIM(kit, .after_seq = last), due);
}

static void a_row_that_turns_up_late_is_found_without_after_seq(void **state)
{
	struct kit *kit = *state;
	int64_t late = WRITE(kit, .topic = NULL);
	int64_t last = WRITE(kit, .topic = NULL);

	sql_run(kit,
		"UPDATE event_bus_outbound_event SET status = 'error' "
		"WHERE seq = %lld",
		(long long)late);
	assert_rows(claim_all(kit), last);
	sql_run(kit, "UPDATE event_bus_outbound_event SET status = 'pending'");
	assert_int_equal(CLAIM(kit, .after_seq = last)->count, 0);
	assert_rows(claim_all(kit), late, last);
}

static void a_scheduled_row_waits_and_the_batch_says_how_long(void **state)
{
	struct kit *kit = *state;
	int64_t now;

	WRITE(kit, .delay = 2 * 3600 * USEC_PER_SEC);
	WRITE(kit, .delay = 3600 * USEC_PER_SEC);
	now = WRITE(kit, .topic = NULL);
	assert_rows(claim_all(kit), now);
	assert_in_range(kit->batch.next_due_in, 3000 * USEC_PER_SEC,
			3601 * USEC_PER_SEC);
}

static void a_row_that_has_become_due_comes_in_its_place(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .topic = NULL);
	int64_t due = WRITE(kit, .delay = USEC_PER_SEC);
	int64_t third = WRITE(kit, .topic = NULL);

	make_due(kit, due);
	assert_rows(claim_all(kit), first, due, third);
	assert_int_equal(kit->batch.next_due_in, USEC_NEVER);
}

static void a_short_delay_passes_on_the_database_clock(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .delay = 30 * USEC_PER_MSEC);

	while (claim_all(kit)->count == 0)
		assert_in_range(kit->batch.next_due_in, 1, USEC_PER_SEC);
	assert_rows(&kit->batch, seq);
}

static void a_row_past_its_expiry_says_so(void **state)
{
	struct kit *kit = *state;

	WRITE(kit, .topic = NULL);
	WRITE(kit, .expires = 3600 * USEC_PER_SEC);
	WRITE(kit, .expires = USEC_PER_SEC);
	sql_run(kit, "UPDATE event_bus_outbound_event SET "
		     "expires_at = '2020-01-01 00:00:00.000000' WHERE seq = "
		     "(SELECT max(seq) FROM event_bus_outbound_event)");
	assert_int_equal(claim_all(kit)->count, 3);
	assert_false(kit->batch.rows[0].expired);
	assert_false(kit->batch.rows[1].expired);
	assert_true(kit->batch.rows[2].expired);
	assert_int_equal(kit->batch.rows[0].expires_in, 0);
	assert_in_range(kit->batch.rows[1].expires_in, 3000, 3600);
}

static void every_column_of_a_row_is_read(void **state)
{
	struct kit *kit = *state;
	struct outbox_row row = {.headers = SPAN_LIT("{\"a\": \"b\"}"),
				 .ordering_key = SPAN_LIT("order-7")};
	struct envelope *envelope = &row.envelope;
	char id[UUID_TEXT_SIZE];

	envelope_init(envelope);
	envelope->topic = SPAN_LIT("stock.request.item.reserve");
	envelope->message_type = SPAN_LIT("request");
	envelope->message_id = SPAN_LIT("m-1");
	envelope->event_type = SPAN_LIT("e");
	envelope->request_id = SPAN_LIT("r-1");
	envelope->parent_request_id = SPAN_LIT("r-0");
	envelope->reply_to = SPAN_LIT("shop.response.item.reserve");
	envelope->status = SPAN_LIT("success");
	envelope->source_service = SPAN_LIT("shop");
	envelope->chain_depth = 3;
	envelope->payload = SPAN_LIT("{\"n\": 1}");
	must(kit, kit->store->driver->enqueue(kit->store, "default", &row, 0, 0,
					      id, &kit->err));
	assert_int_equal(claim_all(kit)->count, 1);
	row = kit->batch.rows[0];
	assert_string_equal(row.id, id);
	assert_true(span_is(envelope->topic, "stock.request.item.reserve"));
	assert_true(span_is(envelope->message_type, "request"));
	assert_true(span_is(envelope->message_id, "m-1"));
	assert_true(span_is(envelope->event_type, "e"));
	assert_true(span_is(envelope->request_id, "r-1"));
	assert_true(span_is(envelope->parent_request_id, "r-0"));
	assert_true(span_is(envelope->reply_to, "shop.response.item.reserve"));
	assert_true(span_is(envelope->status, "success"));
	assert_true(span_is(envelope->source_service, "shop"));
	assert_int_equal(envelope->chain_depth, 3);
	assert_true(span_is(envelope->payload, "{\"n\": 1}"));
	assert_true(span_is(row.headers, "{\"a\": \"b\"}"));
	assert_true(span_is(row.ordering_key, "order-7"));
	assert_int_equal(row.retry_count, 0);
	assert_false(span_present(row.broken));
}

static void a_plain_insert_is_a_row_like_any_other(void **state)
{
	struct kit *kit = *state;
	struct outbox_row *row;

	sql_run(kit, "INSERT INTO event_bus_outbound_event (topic, "
		     "message_type, event_type, source_service, payload) "
		     "VALUES ('event.test.thing.done', 'event', 'thing.done', "
		     "'tests', '{\"n\": 1}')");
	assert_int_equal(claim_all(kit)->count, 1);
	row = &kit->batch.rows[0];
	assert_int_equal(strlen(row->id), 36);
	assert_int_equal(row->id[14], '4');
	assert_non_null(strchr("89ab", row->id[19]));
	assert_false(span_present(row->envelope.message_id));
	assert_false(span_present(row->headers));
	assert_false(span_present(row->ordering_key));
	assert_in_range(row->created_at, clock_wall() / USEC_PER_SEC - 600,
			clock_wall() / USEC_PER_SEC + 600);
}

static void empty_strings_count_as_absent(void **state)
{
	struct kit *kit = *state;

	sql_run(kit, "INSERT INTO event_bus_outbound_event (topic, message_id, "
		     "event_type, request_id, ordering_key) "
		     "VALUES ('event.test.thing.done', '', '', '', '')");
	assert_int_equal(claim_all(kit)->count, 1);
	assert_false(span_present(kit->batch.rows[0].envelope.message_id));
	assert_false(span_present(kit->batch.rows[0].envelope.event_type));
	assert_false(span_present(kit->batch.rows[0].envelope.request_id));
	assert_false(span_present(kit->batch.rows[0].ordering_key));
}

static void a_payload_keeps_its_digits_and_characters(void **state)
{
	static const char payload[] =
		"{\"n\": 123456789012345678901234567890.12345678901234567890, "
		"\"s\": \"\xf0\x9f\x90\xab \xc3\xa9\"}";
	struct kit *kit = *state;

	WRITE(kit, .payload = payload);
	assert_int_equal(claim_all(kit)->count, 1);
	assert_true(span_is(kit->batch.rows[0].envelope.payload, payload));
}

static void a_payload_of_a_mebibyte_is_read(void **state)
{
	enum { SIZE = 1024 * 1024 };
	struct kit *kit = *state;
	char *payload = malloc(SIZE + 1);

	assert_non_null(payload);
	memset(payload, 'x', SIZE);
	payload[0] = payload[SIZE - 1] = '"';
	payload[SIZE] = '\0';
	WRITE(kit, .payload = payload);
	assert_int_equal(claim_all(kit)->count, 1);
	assert_true(span_is(kit->batch.rows[0].envelope.payload, payload));
	free(payload);
}

static void a_seq_is_never_used_twice(void **state)
{
	struct kit *kit = *state;
	int64_t last = WRITE(kit, .topic = NULL);

	sql_run(kit, "DELETE FROM event_bus_outbound_event");
	assert_true(WRITE(kit, .topic = NULL) > last);
}

static void a_failed_claim_leaves_an_empty_batch(void **state)
{
	struct kit *kit = *state;
	const struct store_driver *driver = kit->store->driver;
	const struct outbox_claim claim = {
		.config_key = "default", .limit = 10, .max_bytes = 1000};

	WRITE(kit, .topic = NULL);
	assert_int_equal(claim_all(kit)->count, 1);
	driver->unlock(kit->store);
	assert_int_equal(
		driver->claim(kit->store, &claim, &kit->batch, &kit->err),
		STATUS_BUSY);
	assert_int_equal(kit->batch.count, 0);
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(rows_come_in_the_order_they_were_written),
	STORE_TEST(an_empty_outbox_gives_an_empty_batch),
	STORE_TEST(only_rows_of_the_config_key_are_claimed),
	STORE_TEST(a_claim_keeps_to_its_limit_and_says_that_there_is_more),
	STORE_TEST(due_rows_beyond_the_limit_are_more_too),
	STORE_TEST(a_claim_stops_after_the_row_that_reaches_max_bytes),
	STORE_TEST(busy_rows_are_left_out),
	STORE_TEST(busy_rows_do_not_use_up_the_limit),
	STORE_TEST(nothing_but_busy_rows_is_nothing_more),
	STORE_TEST(fresh_rows_up_to_after_seq_are_left_out),
	STORE_TEST(due_rows_come_whatever_after_seq_says),
	STORE_TEST(a_row_that_turns_up_late_is_found_without_after_seq),
	STORE_TEST(a_scheduled_row_waits_and_the_batch_says_how_long),
	STORE_TEST(a_row_that_has_become_due_comes_in_its_place),
	STORE_TEST(a_short_delay_passes_on_the_database_clock),
	STORE_TEST(a_row_past_its_expiry_says_so),
	STORE_TEST(every_column_of_a_row_is_read),
	STORE_TEST(a_plain_insert_is_a_row_like_any_other),
	STORE_TEST(empty_strings_count_as_absent),
	STORE_TEST(a_payload_keeps_its_digits_and_characters),
	STORE_TEST(a_payload_of_a_mebibyte_is_read),
	STORE_TEST(a_seq_is_never_used_twice),
	STORE_TEST(a_failed_claim_leaves_an_empty_batch),
};

const struct kit_cases claim_cases = {tests, sizeof(tests) / sizeof(*tests)};
