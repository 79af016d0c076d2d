/* SPDX-License-Identifier: MIT */
/* Outcomes, as they are written. */
#include "store_kit.h"

#define OUTBOX "FROM event_bus_outbound_event"

static void a_published_row_is_marked_and_never_claimed_again(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	SETTLE(kit, .seq = seq, .kind = OUTCOME_PUBLISHED);
	assert_sql(kit, "SELECT status " OUTBOX, "published");
	assert_sql(kit, "SELECT count(*) " OUTBOX " WHERE published", "1");
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX
		   " WHERE published_at >= created_at "
		   "AND last_error IS NULL AND retry_count = 0",
		   "1");
	assert_int_equal(claim_all(kit)->count, 0);
}

static void a_remark_on_a_published_row_is_noted(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	SETTLE(kit, .seq = seq, .kind = OUTCOME_PUBLISHED,
	       REASON("unroutable"));
	assert_sql(kit, "SELECT last_error " OUTBOX, "unroutable");
}

static void success_clears_the_error_of_an_earlier_attempt(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	SETTLE(kit, .seq = seq, .kind = OUTCOME_RETRY, .attempts = 1,
	       .delay = USEC_PER_SEC, REASON("no"));
	SETTLE(kit, .seq = seq, .kind = OUTCOME_PUBLISHED);
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE last_error IS NULL "
		   "AND next_retry_at IS NULL AND retry_count = 1",
		   "1");
}

static void a_failed_attempt_is_counted_and_waits(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	SETTLE(kit, .seq = seq, .kind = OUTCOME_RETRY, .attempts = 1,
	       .delay = 3600 * USEC_PER_SEC, REASON("nack"));
	assert_int_equal(claim_all(kit)->count, 0);
	assert_in_range(kit->batch.next_due_in, 3000 * USEC_PER_SEC,
			3601 * USEC_PER_SEC);
	assert_sql(kit, "SELECT status " OUTBOX, "pending");
	assert_sql(kit, "SELECT retry_count " OUTBOX, "1");
	assert_sql(kit, "SELECT last_error " OUTBOX, "nack");
	make_due(kit, seq);
	assert_rows(claim_all(kit), seq);
	assert_int_equal(kit->batch.rows[0].retry_count, 1);
}

/* After a commit whose answer was lost nobody knows whether it was written. */
static void an_attempt_that_is_settled_twice_counts_once(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	for (int i = 0; i < 2; i++)
		SETTLE(kit, .seq = seq, .kind = OUTCOME_RETRY, .attempts = 1,
		       .delay = USEC_PER_SEC, REASON("nack"));
	assert_sql(kit, "SELECT retry_count " OUTBOX, "1");
}

static void an_error_counts_its_attempt_if_there_was_one(void **state)
{
	struct kit *kit = *state;
	int64_t tried = WRITE(kit, .topic = "event.test.thing.tried");
	int64_t expired = WRITE(kit, .topic = "event.test.thing.expired");

	SETTLE(kit, .seq = tried, .kind = OUTCOME_ERROR, .attempts = 1,
	       REASON("nack"));
	SETTLE(kit, .seq = expired, .kind = OUTCOME_ERROR, REASON("expired"));
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE status = 'error' AND "
		   "topic = 'event.test.thing.tried' AND retry_count = 1 "
		   "AND last_error = 'nack'",
		   "1");
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE status = 'error' AND "
		   "topic = 'event.test.thing.expired' AND retry_count = 0 "
		   "AND last_error = 'expired'",
		   "1");
	assert_int_equal(claim_all(kit)->count, 0);
}

static void an_invalid_row_is_parked_with_its_reason(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	SETTLE(kit, .seq = seq, .kind = OUTCOME_INVALID,
	       REASON("topic is missing"));
	assert_sql(kit, "SELECT status " OUTBOX, "invalid");
	assert_sql(kit, "SELECT last_error " OUTBOX, "topic is missing");
	assert_sql(kit, "SELECT retry_count " OUTBOX, "0");
	assert_int_equal(claim_all(kit)->count, 0);
}

static void a_scheduled_row_can_be_settled_too(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .delay = USEC_PER_SEC);

	SETTLE(kit, .seq = seq, .kind = OUTCOME_PUBLISHED);
	assert_sql(kit, "SELECT status " OUTBOX, "published");
	assert_int_equal(claim_all(kit)->next_due_in, USEC_NEVER);
}

static void a_row_that_is_no_longer_pending_is_left_alone(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	sql_run(kit, "UPDATE event_bus_outbound_event SET status = 'error', "
		     "last_error = 'cancelled'");
	SETTLE(kit, .seq = seq, .kind = OUTCOME_PUBLISHED);
	assert_sql(kit, "SELECT status " OUTBOX, "error");
	assert_sql(kit, "SELECT last_error " OUTBOX, "cancelled");
}

static void a_batch_is_settled_all_or_none(void **state)
{
	struct kit *kit = *state;
	const struct store_driver *driver = kit->store->driver;
	struct outcome outcomes[2] = {
		{.seq = WRITE(kit, .topic = NULL), .kind = OUTCOME_PUBLISHED},
		{.seq = WRITE(kit, .topic = "event.test.poison.row"),
		 .kind = OUTCOME_PUBLISHED},
	};

	sql_run(kit, "%s", kit->driver->poison_sql);
	assert_int_equal(claim_all(kit)->count, 2);
	assert_true(driver->settle(kit->store, outcomes, 2, &kit->err) < 0);
	assert_sql(kit, "SELECT count(*) " OUTBOX " WHERE status = 'pending'",
		   "2");
	must(kit, driver->lock(kit->store, "default", "relay", &kit->err));
	must(kit, driver->settle(kit->store, outcomes, 1, &kit->err));
	assert_sql(kit, "SELECT count(*) " OUTBOX " WHERE status = 'pending'",
		   "1");
}

static void a_whole_window_is_settled_at_once(void **state)
{
	enum { ROWS = 300 };
	struct kit *kit = *state;
	const struct store_driver *driver = kit->store->driver;
	struct outcome outcomes[ROWS] = {0};
	struct outbox_batch *batch;

	for (int i = 0; i < ROWS; i++)
		sql_run(kit, "INSERT INTO event_bus_outbound_event (topic) "
			     "VALUES ('event.test.thing.done')");
	batch = claim_all(kit);
	assert_int_equal(batch->count, ROWS);
	for (int i = 0; i < ROWS; i++)
		outcomes[i] = (struct outcome){
			.seq = batch->rows[i].seq,
			.kind = i % 3 == 0   ? OUTCOME_PUBLISHED
				: i % 3 == 1 ? OUTCOME_RETRY
					     : OUTCOME_INVALID,
			.attempts = i % 3 == 1,
			.delay = USEC_PER_SEC * 3600,
			REASON("because"),
		};
	must(kit, driver->settle(kit->store, outcomes, ROWS, &kit->err));
	assert_sql(kit, "SELECT count(*) " OUTBOX " WHERE status = 'published'",
		   "100");
	assert_sql(kit, "SELECT count(*) " OUTBOX " WHERE status = 'invalid'",
		   "100");
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE status = 'pending' "
		   "AND retry_count = 1 AND next_retry_at IS NOT NULL",
		   "100");
}

static void a_reason_that_is_no_text_does_no_harm(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	SETTLE(kit, .seq = seq, .kind = OUTCOME_INVALID,
	       REASON("bad \xff\xc3 and \0 nul"));
	assert_sql(kit, "SELECT last_error " OUTBOX, "bad ?? and ? nul");
}

static void settling_needs_the_lock(void **state)
{
	struct kit *kit = *state;
	const struct store_driver *driver = kit->store->driver;
	struct outcome outcome = {.seq = WRITE(kit, .topic = NULL),
				  .kind = OUTCOME_PUBLISHED};

	assert_int_equal(driver->settle(kit->store, &outcome, 1, &kit->err),
			 STATUS_BUSY);
	assert_sql(kit, "SELECT status " OUTBOX, "pending");
}

static void updated_at_follows_every_change(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);

	sql_run(kit, "UPDATE event_bus_outbound_event SET "
		     "updated_at = '2020-01-01 00:00:00.000000'");
	SETTLE(kit, .seq = seq, .kind = OUTCOME_PUBLISHED);
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE updated_at >= created_at",
		   "1");
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(a_published_row_is_marked_and_never_claimed_again),
	STORE_TEST(a_remark_on_a_published_row_is_noted),
	STORE_TEST(success_clears_the_error_of_an_earlier_attempt),
	STORE_TEST(a_failed_attempt_is_counted_and_waits),
	STORE_TEST(an_attempt_that_is_settled_twice_counts_once),
	STORE_TEST(an_error_counts_its_attempt_if_there_was_one),
	STORE_TEST(an_invalid_row_is_parked_with_its_reason),
	STORE_TEST(a_scheduled_row_can_be_settled_too),
	STORE_TEST(a_row_that_is_no_longer_pending_is_left_alone),
	STORE_TEST(a_batch_is_settled_all_or_none),
	STORE_TEST(a_whole_window_is_settled_at_once),
	STORE_TEST(a_reason_that_is_no_text_does_no_harm),
	STORE_TEST(settling_needs_the_lock),
	STORE_TEST(updated_at_follows_every_change),
};

const struct kit_cases settle_cases = {tests, sizeof(tests) / sizeof(*tests)};
