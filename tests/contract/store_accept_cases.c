/* SPDX-License-Identifier: MIT */
/* Inbound messages: each once, the others kept aside with their reason. */
#include "store_kit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define INBOX "FROM event_bus_inbound_event"
#define REJECTED "FROM event_bus_rejected_message"

static int try_accept(struct kit *kit, struct inbox_row *rows, size_t count)
{
	struct inbox_batch batch = {
		.config_key = "default",
		.broker_type = "rabbitmq",
		.rows = rows,
		.count = count,
	};

	return kit->store->driver->accept(kit->store, &batch, &kit->err);
}

static enum inbox_result accept_one(struct kit *kit, struct inbox_row row)
{
	must(kit, try_accept(kit, &row, 1));
	return row.result;
}

static void an_accepted_message_is_a_row_with_all_it_carries(void **state)
{
	struct kit *kit = *state;
	struct inbox_row row = kit_event("m-1", "{\"n\": 1}");

	row.headers = SPAN_LIT("{\"a\": \"b\"}");
	row.ordering_key = SPAN_LIT("order-7");
	row.envelope.request_id = SPAN_LIT("r-1");
	row.envelope.parent_request_id = SPAN_LIT("r-0");
	row.envelope.reply_to = SPAN_LIT("shop.response.item.reserve");
	row.envelope.status = SPAN_LIT("success");
	row.envelope.chain_depth = 3;
	assert_int_equal(accept_one(kit, row), INBOX_ACCEPTED);
	assert_sql(kit,
		   "SELECT count(*) " INBOX " WHERE message_id = 'm-1' "
		   "AND config_key = 'default' AND broker_type = 'rabbitmq' "
		   "AND topic = 'event.test.thing.done' "
		   "AND event_type = 'thing.done' AND message_type = 'event' "
		   "AND message_status = 'success' AND request_id = 'r-1' "
		   "AND parent_request_id = 'r-0' AND chain_depth = 3 "
		   "AND reply_to = 'shop.response.item.reserve' "
		   "AND source_service = 'tests' AND ordering_key = 'order-7' "
		   "AND status = 'pending' AND NOT processed "
		   "AND processed_at IS NULL AND retry_count = 0 "
		   "AND received_at IS NOT NULL",
		   "1");
	assert_sql(kit, "SELECT payload " INBOX, "{\"n\": 1}");
	assert_sql(kit, "SELECT headers " INBOX, "{\"a\": \"b\"}");
}

static void a_message_seen_again_is_ignored(void **state)
{
	struct kit *kit = *state;

	assert_int_equal(accept_one(kit, kit_event("m-1", "{}")),
			 INBOX_ACCEPTED);
	assert_int_equal(accept_one(kit, kit_event("m-1", "{}")),
			 INBOX_DUPLICATE);
	assert_sql(kit, "SELECT count(*) " INBOX, "1");
	assert_sql(kit, "SELECT count(*) " REJECTED, "0");
}

static void a_message_seen_with_another_payload_is_rejected(void **state)
{
	struct kit *kit = *state;

	assert_int_equal(accept_one(kit, kit_event("m-1", "1")),
			 INBOX_ACCEPTED);
	assert_int_equal(accept_one(kit, kit_event("m-1", "2")),
			 INBOX_CONFLICT);
	assert_sql(kit, "SELECT payload " INBOX, "1");
	assert_sql(kit, "SELECT reason " REJECTED,
		   "message_id was seen before with another payload");
	assert_sql(kit,
		   "SELECT count(*) " REJECTED " WHERE message_id = 'm-1' AND "
		   "topic = 'event.test.thing.done' AND config_key = 'default' "
		   "AND broker_type = 'rabbitmq'",
		   "1");
}

static void a_batch_may_hold_a_message_twice(void **state)
{
	struct kit *kit = *state;
	struct inbox_row rows[4] = {
		kit_event("m-1", "1"), kit_event("m-1", "1"),
		kit_event("m-1", "2"), kit_event("m-2", "2")};

	must(kit, try_accept(kit, rows, 4));
	assert_int_equal(rows[0].result, INBOX_ACCEPTED);
	assert_int_equal(rows[1].result, INBOX_DUPLICATE);
	assert_int_equal(rows[2].result, INBOX_CONFLICT);
	assert_int_equal(rows[3].result, INBOX_ACCEPTED);
	assert_sql(kit, "SELECT count(*) " INBOX, "2");
}

static void arrival_order_is_id_order(void **state)
{
	struct kit *kit = *state;
	struct inbox_row rows[3] = {kit_event("m-3", "1"),
				    kit_event("m-1", "1"),
				    kit_event("m-2", "1")};

	must(kit, try_accept(kit, rows, 3));
	assert_sql(kit, "SELECT message_id " INBOX " ORDER BY id", "m-3");
	assert_sql(kit, "SELECT message_id " INBOX " ORDER BY id DESC", "m-2");
}

static void a_message_id_counts_over_every_config_key(void **state)
{
	struct kit *kit = *state;
	struct inbox_row row = kit_event("m-1", "1");
	struct inbox_batch batch = {
		.config_key = "another",
		.broker_type = "mqtt",
		.rows = &row,
		.count = 1,
	};

	assert_int_equal(accept_one(kit, row), INBOX_ACCEPTED);
	must(kit, kit->store->driver->accept(kit->store, &batch, &kit->err));
	assert_int_equal(row.result, INBOX_DUPLICATE);
}

static void messages_without_an_id_are_all_kept(void **state)
{
	struct kit *kit = *state;

	assert_int_equal(accept_one(kit, kit_event(NULL, "1")), INBOX_ACCEPTED);
	assert_int_equal(accept_one(kit, kit_event(NULL, "1")), INBOX_ACCEPTED);
	assert_sql(kit, "SELECT count(*) " INBOX " WHERE message_id IS NULL",
		   "2");
}

static void a_rejected_message_is_kept_byte_for_byte(void **state)
{
	struct kit *kit = *state;
	struct inbox_row row = kit_event("m-1", NULL);

	row.body = SPAN_LIT("\xff\0\x01{");
	row.rejected = SPAN_LIT("the body is not JSON");
	assert_int_equal(accept_one(kit, row), INBOX_REJECTED);
	assert_sql(kit, "SELECT count(*) " INBOX, "0");
	assert_sql(kit, "SELECT reason " REJECTED, "the body is not JSON");
	assert_sql(kit, "SELECT length(body) " REJECTED, "4");
	assert_sql(kit, "SELECT message_id " REJECTED, "m-1");
}

static void a_rejected_message_of_hostile_text_is_kept(void **state)
{
	struct kit *kit = *state;
	struct inbox_row row = kit_event(NULL, NULL);

	row.envelope.topic = SPAN_LIT("a\0b\xff");
	row.envelope.message_id = SPAN_LIT("\xc3");
	row.rejected = SPAN_LIT("topic is \xff");
	assert_int_equal(accept_one(kit, row), INBOX_REJECTED);
	assert_sql(kit, "SELECT topic " REJECTED, "a?b?");
	assert_sql(kit, "SELECT message_id " REJECTED, "?");
	assert_sql(kit, "SELECT reason " REJECTED, "topic is ?");
}

static void an_empty_rejected_body_is_kept(void **state)
{
	struct kit *kit = *state;
	struct inbox_row row = kit_event(NULL, NULL);

	row.body = SPAN_NONE;
	row.rejected = SPAN_LIT("the body is empty");
	assert_int_equal(accept_one(kit, row), INBOX_REJECTED);
	assert_sql(kit, "SELECT length(body) " REJECTED, "0");
}

static void a_rejected_message_does_not_take_its_id(void **state)
{
	struct kit *kit = *state;
	struct inbox_row row = kit_event("m-1", NULL);

	row.rejected = SPAN_LIT("no good");
	assert_int_equal(accept_one(kit, row), INBOX_REJECTED);
	assert_int_equal(accept_one(kit, kit_event("m-1", "1")),
			 INBOX_ACCEPTED);
}

static void one_row_of_bad_data_leaves_nothing_of_its_batch(void **state)
{
	struct kit *kit = *state;
	struct inbox_row rows[3] = {kit_event("m-1", "1"),
				    kit_event("m-2", "1"),
				    kit_event("m-3", "1")};

	sql_run(kit, "%s", kit->driver->poison_sql);
	rows[0].rejected = SPAN_LIT("no good");
	rows[2].envelope.topic = SPAN_LIT("event.test.poison.row");
	assert_int_equal(try_accept(kit, rows, 3), STATUS_INVALID);
	assert_sql(kit, "SELECT count(*) " INBOX, "0");
	assert_sql(kit, "SELECT count(*) " REJECTED, "0");
	must(kit, try_accept(kit, rows, 2));
	assert_sql(kit, "SELECT count(*) " INBOX, "1");
}

static void a_payload_keeps_its_digits_and_characters(void **state)
{
	static const char payload[] =
		"{\"n\": 123456789012345678901234567890.12345678901234567890, "
		"\"s\": \"\xf0\x9f\x90\xab \xc3\xa9\"}";
	struct kit *kit = *state;

	assert_int_equal(accept_one(kit, kit_event("m-1", payload)),
			 INBOX_ACCEPTED);
	assert_sql(kit, "SELECT payload " INBOX, payload);
	assert_int_equal(accept_one(kit, kit_event("m-1", payload)),
			 INBOX_DUPLICATE);
}

static void a_payload_of_a_mebibyte_is_stored(void **state)
{
	enum { SIZE = 1024 * 1024 };
	struct kit *kit = *state;
	char *payload = malloc(SIZE + 1);

	assert_non_null(payload);
	memset(payload, 'x', SIZE);
	payload[0] = payload[SIZE - 1] = '"';
	payload[SIZE] = '\0';
	assert_int_equal(accept_one(kit, kit_event("m-1", payload)),
			 INBOX_ACCEPTED);
	assert_int_equal(accept_one(kit, kit_event("m-1", payload)),
			 INBOX_DUPLICATE);
	assert_sql(kit, "SELECT length(CAST(payload AS text)) " INBOX,
		   "1048576");
	free(payload);
}

/* ---- two at once ---- */

enum { SHARED_MESSAGES = 200 };

struct contender {
	pthread_t thread;
	struct kit *kit;
	struct store *store;
	size_t accepted;
};

static void *accept_all(void *context)
{
	struct contender *contender = context;

	for (int i = 0; i < SHARED_MESSAGES; i++) {
		char id[32];
		struct inbox_row row;
		struct inbox_batch batch = {
			.config_key = "default",
			.broker_type = "rabbitmq",
			.rows = &row,
			.count = 1,
		};

		snprintf(id, sizeof(id), "shared-%d", i);
		row = kit_event(id, "1");
		while (contender->store->driver->accept(contender->store,
							&batch, NULL) < 0)
			;
		contender->accepted += row.result == INBOX_ACCEPTED;
	}
	return NULL;
}

static void two_that_accept_the_same_keep_each_message_once(void **state)
{
	struct kit *kit = *state;
	struct contender both[2] = {
		{.kit = kit, .store = kit->store},
		{.kit = kit, .store = kit_other(kit)},
	};

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&both[i].thread, NULL,
						accept_all, &both[i]),
				 0);
	for (int i = 0; i < 2; i++)
		pthread_join(both[i].thread, NULL);
	assert_int_equal(both[0].accepted + both[1].accepted, SHARED_MESSAGES);
	assert_int_equal(sql_integer(kit, "SELECT count(*) " INBOX),
			 SHARED_MESSAGES);
	assert_sql(kit, "SELECT count(*) " REJECTED, "0");
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(an_accepted_message_is_a_row_with_all_it_carries),
	STORE_TEST(a_message_seen_again_is_ignored),
	STORE_TEST(a_message_seen_with_another_payload_is_rejected),
	STORE_TEST(a_batch_may_hold_a_message_twice),
	STORE_TEST(arrival_order_is_id_order),
	STORE_TEST(a_message_id_counts_over_every_config_key),
	STORE_TEST(messages_without_an_id_are_all_kept),
	STORE_TEST(a_rejected_message_is_kept_byte_for_byte),
	STORE_TEST(a_rejected_message_of_hostile_text_is_kept),
	STORE_TEST(an_empty_rejected_body_is_kept),
	STORE_TEST(a_rejected_message_does_not_take_its_id),
	STORE_TEST(one_row_of_bad_data_leaves_nothing_of_its_batch),
	STORE_TEST(a_payload_keeps_its_digits_and_characters),
	STORE_TEST(a_payload_of_a_mebibyte_is_stored),
	STORE_TEST(two_that_accept_the_same_keep_each_message_once),
};

const struct kit_cases accept_cases = {tests, sizeof(tests) / sizeof(*tests)};
