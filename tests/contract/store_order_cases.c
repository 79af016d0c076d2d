/* SPDX-License-Identifier: MIT */
/* Rows of one ordering key: none comes before an earlier one that waits. */
#include "store_kit.h"

static void a_row_in_retry_holds_back_its_key_alone(void **state)
{
	struct kit *kit = *state;
	int64_t failed = WRITE(kit, .key = "a");
	int64_t other;

	WRITE(kit, .key = "a");
	other = WRITE(kit, .key = "b");
	SETTLE(kit, .seq = failed, .kind = OUTCOME_RETRY,
	       .delay = 3600 * USEC_PER_SEC);
	assert_rows(claim_all(kit), other);
}

static void a_scheduled_row_holds_back_later_rows_of_its_key(void **state)
{
	struct kit *kit = *state;
	int64_t before = WRITE(kit, .key = "a");

	WRITE(kit, .key = "a", .delay = 3600 * USEC_PER_SEC);
	WRITE(kit, .key = "a");
	assert_rows(claim_all(kit), before);
}

static void a_due_row_comes_with_the_later_ones_of_its_key(void **state)
{
	struct kit *kit = *state;
	int64_t failed = WRITE(kit, .key = "a");
	int64_t second = WRITE(kit, .key = "a");

	SETTLE(kit, .seq = failed, .kind = OUTCOME_RETRY,
	       .delay = 3600 * USEC_PER_SEC);
	make_due(kit, failed);
	assert_rows(claim_all(kit), failed, second);
}

static void a_later_row_never_comes_without_the_due_one_before_it(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .topic = NULL);
	int64_t due = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);
	int64_t later = WRITE(kit, .key = "a");

	make_due(kit, due);
	assert_rows(CLAIM(kit, .limit = 1), first);
	assert_rows(CLAIM(kit, .limit = 2), first, due);
	assert_rows(CLAIM(kit, .limit = 3), first, due, later);
}

/* The second row is out of sight, and must not be overtaken by the third. */
static void a_due_row_up_to_after_seq_comes_without_the_later_ones(void **state)
{
	struct kit *kit = *state;
	int64_t due = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);
	int64_t second = WRITE(kit, .key = "a");
	int64_t third = WRITE(kit, .key = "a");

	make_due(kit, due);
	assert_rows(CLAIM(kit, .after_seq = second), due);
	assert_rows(claim_all(kit), due, second, third);
}

static void a_waiting_row_that_is_busy_still_holds_its_key(void **state)
{
	struct kit *kit = *state;
	int64_t due = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);
	int64_t second_due, other;

	WRITE(kit, .key = "a");
	second_due = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);
	other = WRITE(kit, .topic = NULL);
	make_due(kit, due);
	make_due(kit, second_due);
	assert_rows(CLAIM(kit, .busy = &due, .busy_count = 1), other);
}

static void a_fresh_row_that_is_busy_holds_nothing_back(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .key = "a");
	int64_t second = WRITE(kit, .key = "a");

	assert_rows(CLAIM(kit, .busy = &first, .busy_count = 1), second);
}

static void a_parked_row_releases_its_key(void **state)
{
	struct kit *kit = *state;
	int64_t failed = WRITE(kit, .key = "a");
	int64_t second = WRITE(kit, .key = "a");

	SETTLE(kit, .seq = failed, .kind = OUTCOME_RETRY,
	       .delay = 3600 * USEC_PER_SEC);
	assert_int_equal(claim_all(kit)->count, 0);
	SETTLE(kit, .seq = failed, .kind = OUTCOME_ERROR, REASON("enough"));
	assert_rows(claim_all(kit), second);
}

static void a_published_row_releases_its_key(void **state)
{
	struct kit *kit = *state;
	int64_t failed = WRITE(kit, .key = "a");
	int64_t second = WRITE(kit, .key = "a");

	SETTLE(kit, .seq = failed, .kind = OUTCOME_RETRY,
	       .delay = 3600 * USEC_PER_SEC);
	SETTLE(kit, .seq = failed, .kind = OUTCOME_PUBLISHED);
	assert_rows(claim_all(kit), second);
}

static void a_key_is_another_one_under_another_config_key(void **state)
{
	struct kit *kit = *state;
	int64_t ours;

	WRITE(kit, .key = "a", .config_key = "another",
	      .delay = 3600 * USEC_PER_SEC);
	ours = WRITE(kit, .key = "a");
	assert_rows(claim_all(kit), ours);
}

static void rows_with_an_empty_key_hold_nothing_back(void **state)
{
	struct kit *kit = *state;
	int64_t second;

	WRITE(kit, .key = "", .delay = 3600 * USEC_PER_SEC);
	second = WRITE(kit, .key = "");
	assert_rows(claim_all(kit), second);
}

static void
due_rows_of_a_key_keep_their_order_whenever_they_were_due(void **state)
{
	struct kit *kit = *state;
	int64_t first = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);
	int64_t second = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);
	int64_t third = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);

	make_due(kit, second);
	make_due(kit, third);
	sql_run(kit,
		"UPDATE event_bus_outbound_event SET "
		"next_retry_at = '2021-01-01 00:00:00.000000' WHERE seq = %lld",
		(long long)first);
	assert_rows(claim_all(kit), first, second, third);
	assert_rows(CLAIM(kit, .limit = 1), first);
}

/* The last row of the key was due first, the first one last. */
static void a_key_that_fell_due_backwards_moves_on(void **state)
{
	enum { ROWS = 12 };
	struct kit *kit = *state;
	int64_t seqs[ROWS];

	for (int i = 0; i < ROWS; i++) {
		seqs[i] = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);
		sql_run(kit,
			"UPDATE event_bus_outbound_event SET next_retry_at = "
			"'2020-01-%02d 00:00:00.000000' WHERE seq = %lld",
			ROWS - i, (long long)seqs[i]);
	}
	for (int i = 0; i < ROWS;) {
		struct outbox_batch *batch = CLAIM(kit, .limit = 3);

		assert_in_range(batch->count, 1, 3);
		for (size_t j = 0; j < batch->count; j++, i++) {
			assert_int_equal(batch->rows[j].seq, seqs[i]);
			SETTLE(kit, .seq = seqs[i], .kind = OUTCOME_PUBLISHED);
		}
	}
}

static void a_held_row_that_is_due_does_not_keep_the_others(void **state)
{
	struct kit *kit = *state;
	int64_t held, other;

	WRITE(kit, .key = "a", .delay = 3600 * USEC_PER_SEC);
	held = WRITE(kit, .key = "a", .delay = USEC_PER_SEC);
	other = WRITE(kit, .key = "b", .delay = USEC_PER_SEC);
	make_due(kit, held);
	sql_run(kit,
		"UPDATE event_bus_outbound_event SET "
		"next_retry_at = '2021-01-01 00:00:00.000000' WHERE seq = %lld",
		(long long)other);
	assert_rows(CLAIM(kit, .limit = 1), other);
	assert_in_range(
		CLAIM(kit, .busy = &other, .busy_count = 1)->next_due_in,
		USEC_PER_SEC, 3601 * USEC_PER_SEC);
	assert_int_equal(kit->batch.count, 0);
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(a_row_in_retry_holds_back_its_key_alone),
	STORE_TEST(a_scheduled_row_holds_back_later_rows_of_its_key),
	STORE_TEST(a_due_row_comes_with_the_later_ones_of_its_key),
	STORE_TEST(a_later_row_never_comes_without_the_due_one_before_it),
	STORE_TEST(a_due_row_up_to_after_seq_comes_without_the_later_ones),
	STORE_TEST(a_waiting_row_that_is_busy_still_holds_its_key),
	STORE_TEST(a_fresh_row_that_is_busy_holds_nothing_back),
	STORE_TEST(a_parked_row_releases_its_key),
	STORE_TEST(a_published_row_releases_its_key),
	STORE_TEST(a_key_is_another_one_under_another_config_key),
	STORE_TEST(rows_with_an_empty_key_hold_nothing_back),
	STORE_TEST(due_rows_of_a_key_keep_their_order_whenever_they_were_due),
	STORE_TEST(a_key_that_fell_due_backwards_moves_on),
	STORE_TEST(a_held_row_that_is_due_does_not_keep_the_others),
};

const struct kit_cases order_cases = {tests, sizeof(tests) / sizeof(*tests)};
