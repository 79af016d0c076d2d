/* SPDX-License-Identifier: MIT */
/* PostgreSQL alone: what is committed in one statement or in several, at once
 * or in two parts, and answers that are lost. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kit_postgres.h"
#include "proxy.h"

static int accept_one(struct kit *kit, struct store *store,
		      struct inbox_row *row)
{
	struct inbox_batch batch = {"default", "rabbitmq", row, 1};

	*row = kit_event("m-1", "{}");
	return store->driver->accept(store, &batch, &kit->err);
}

/* ---- answers that are lost ---- */

static struct store *open_through(struct kit *kit, struct proxy *proxy)
{
	struct kit_server server = kit_postgres_server();
	struct store *store = NULL;
	char url[512];

	snprintf(url, sizeof(url),
		 "postgresql://%s@127.0.0.1:%d/%s?schema=%s&notify=off",
		 server.user, proxy_port(proxy), server.database, kit->place);
	must(kit, store_open(&store, url, false, &kit->err));
	return store;
}

static struct proxy *start_proxy(void)
{
	return proxy_start((uint16_t)atoi(kit_postgres_server().port));
}

static void an_insert_whose_reply_is_lost_is_unknown(void **state)
{
	struct kit *kit = *state;
	struct proxy *proxy = start_proxy();
	struct store *store = open_through(kit, proxy);
	struct inbox_row row;

	proxy_lose_answers_to(proxy, "m-1");
	assert_int_equal(accept_one(kit, store, &row), STATUS_UNKNOWN);
	proxy_lose_answers_to(proxy, NULL);
	must(kit, accept_one(kit, store, &row));
	assert_int_equal(row.result, INBOX_DUPLICATE);
	assert_sql(kit, "SELECT count(*) FROM event_bus_inbound_event", "1");
	store->driver->close(store);
	proxy_stop(proxy);
}

static void a_commit_whose_reply_is_lost_is_unknown(void **state)
{
	struct kit *kit = *state;
	struct proxy *proxy = start_proxy();
	struct store *store = open_through(kit, proxy);
	struct inbox_row rows[2];
	struct inbox_batch batch = {"default", "rabbitmq", rows, 2};

	rows[0] = kit_event("m-1", "{}");
	rows[1] = kit_event("m-1", "{}");
	rows[1].rejected = SPAN_LIT("no good");
	proxy_lose_answers_to(proxy, "COMMIT");
	assert_int_equal(store->driver->accept(store, &batch, &kit->err),
			 STATUS_UNKNOWN);
	proxy_lose_answers_to(proxy, NULL);
	must(kit, accept_one(kit, store, &rows[0]));
	assert_int_equal(rows[0].result, INBOX_DUPLICATE);
	assert_sql(kit, "SELECT count(*) FROM event_bus_rejected_message", "1");
	store->driver->close(store);
	proxy_stop(proxy);
}

static void a_reply_lost_before_the_commit_leaves_nothing(void **state)
{
	struct kit *kit = *state;
	struct proxy *proxy = start_proxy();
	struct store *store = open_through(kit, proxy);
	struct inbox_row row;

	proxy_lose_answers_to(proxy, "ON CONFLICT");
	assert_int_equal(accept_one(kit, store, &row), STATUS_AWAY);
	proxy_lose_answers_to(proxy, NULL);
	must(kit, accept_one(kit, store, &row));
	assert_int_equal(row.result, INBOX_ACCEPTED);
	store->driver->close(store);
	proxy_stop(proxy);
}

/* ---- a batch accepted in two parts ---- */

static int end_when_ready(struct kit *kit, struct store *store,
			  struct inbox_batch *batch)
{
	kit_until_ready(store);
	return store->driver->accept_end(store, batch, &kit->err);
}

static void a_batch_in_two_parts_is_accepted_like_any_other(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);
	struct inbox_row rows[4];
	struct inbox_batch batch = {"default", "rabbitmq", rows, 4};

	must(kit, accept_one(kit, store, &rows[0]));
	for (int i = 0; i < 4; i++)
		rows[i] = kit_event("m-1", "{}");
	rows[1].envelope.message_id = SPAN_LIT("m-2");
	rows[2].envelope.message_id = SPAN_NONE;
	rows[3].envelope.payload = SPAN_LIT("[1]");
	must(kit, store->driver->accept_begin(store, &batch, &kit->err));
	must(kit, end_when_ready(kit, store, &batch));
	assert_int_equal(rows[0].result, INBOX_DUPLICATE);
	assert_int_equal(rows[1].result, INBOX_ACCEPTED);
	assert_int_equal(rows[2].result, INBOX_ACCEPTED);
	assert_int_equal(rows[3].result, INBOX_CONFLICT);
	assert_sql(kit, "SELECT count(*) FROM event_bus_inbound_event", "3");
	assert_sql(kit, "SELECT count(*) FROM event_bus_rejected_message", "1");
	store->driver->close(store);
}

static void a_batch_in_two_parts_gives_up_in_time(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);
	PGconn *conn = kit_postgres_connect(kit);
	struct inbox_row row;
	struct inbox_batch batch = {"default", "rabbitmq", &row, 1};

	must(kit, accept_one(kit, store, &row)); /* is prepared */
	row = kit_event("m-1", "{}");
	kit_postgres_sql(kit, conn,
			 "BEGIN; LOCK TABLE event_bus_inbound_event");
	must(kit, store->driver->accept_begin(store, &batch, &kit->err));
	assert_int_equal(end_when_ready(kit, store, &batch), STATUS_AWAY);
	PQfinish(conn);
	must(kit, accept_one(kit, store, &row));
	assert_int_equal(row.result, INBOX_DUPLICATE);
	store->driver->close(store);
}

static void a_batch_in_two_parts_whose_reply_is_lost_is_unknown(void **state)
{
	struct kit *kit = *state;
	struct proxy *proxy = start_proxy();
	struct store *store = open_through(kit, proxy);
	struct inbox_row row;
	struct inbox_batch batch = {"default", "rabbitmq", &row, 1};

	row = kit_event("m-1", "{}");
	proxy_lose_answers_to(proxy, "m-1");
	must(kit, store->driver->accept_begin(store, &batch, &kit->err));
	assert_int_equal(end_when_ready(kit, store, &batch), STATUS_UNKNOWN);
	proxy_lose_answers_to(proxy, NULL);
	must(kit, accept_one(kit, store, &row));
	assert_int_equal(row.result, INBOX_DUPLICATE);
	store->driver->close(store);
	proxy_stop(proxy);
}

static void what_takes_more_than_one_statement_is_not_begun(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);
	struct inbox_row row;
	struct inbox_batch batch = {"default", "rabbitmq", &row, 1};

	row = kit_event("m-1", "{}");
	row.rejected = SPAN_LIT("no good");
	assert_int_equal(store->driver->accept_begin(store, &batch, &kit->err),
			 STATUS_BUSY);
	must(kit, store->driver->accept(store, &batch, &kit->err));
	store->driver->close(store);
}

/* ---- outcomes settled in two parts ---- */

static struct outcome failed(int64_t seq, struct span reason)
{
	return (struct outcome){.seq = seq,
				.kind = OUTCOME_ERROR,
				.attempts = 1,
				.reason = reason};
}

static int begin_to_settle(struct kit *kit, struct store *store, int64_t seq)
{
	const struct outcome outcome = {.seq = seq, .kind = OUTCOME_PUBLISHED};

	return store->driver->settle_begin(store, &outcome, 1, &kit->err);
}

static void take_lock(struct kit *kit, struct store *store)
{
	must(kit, store->driver->lock(store, "default", "relay", &kit->err));
}

static void outcomes_in_two_parts_give_up_in_time(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);
	PGconn *conn = kit_postgres_connect(kit);
	int64_t seq = WRITE(kit, .topic = NULL);

	take_lock(kit, store);
	kit_postgres_sql(kit, conn,
			 "BEGIN; SELECT 1 FROM event_bus_outbound_event "
			 "FOR UPDATE");
	assert_int_equal(
		settle_in_two_parts(kit, store, failed(seq, SPAN_LIT("bad"))),
		STATUS_AWAY);
	PQfinish(conn);
	/* The lock is held still. */
	must(kit,
	     settle_in_two_parts(kit, store, failed(seq, SPAN_LIT("bad"))));
	assert_sql(kit, "SELECT last_error FROM event_bus_outbound_event",
		   "bad");
	store->driver->close(store);
}

static void outcomes_in_two_parts_whose_reply_is_lost_are_unknown(void **state)
{
	struct kit *kit = *state;
	struct proxy *proxy = start_proxy();
	struct store *store = open_through(kit, proxy);
	int64_t first = WRITE(kit, .topic = NULL);
	int64_t seq = WRITE(kit, .topic = NULL);

	take_lock(kit, store);
	must(kit,
	     settle_in_two_parts(kit, store, failed(first, SPAN_LIT("bad"))));
	proxy_lose_answers_to(proxy, "worse");
	assert_int_equal(
		settle_in_two_parts(kit, store, failed(seq, SPAN_LIT("worse"))),
		STATUS_UNKNOWN);
	proxy_lose_answers_to(proxy, NULL);
	assert_int_equal(begin_to_settle(kit, store, seq), STATUS_BUSY);
	take_lock(kit, store);
	must(kit,
	     settle_in_two_parts(kit, store, failed(seq, SPAN_LIT("worst"))));
	assert_sql(kit,
		   "SELECT last_error FROM event_bus_outbound_event "
		   "ORDER BY seq DESC LIMIT 1",
		   "worse");
	store->driver->close(store);
	proxy_stop(proxy);
}

/* As where the process stood still meanwhile. */
static void an_answer_that_is_looked_at_late_counts(void **state)
{
	static const struct timespec beyond_the_deadline = {2, 100000000};
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);
	const struct outcome outcome = {.seq = WRITE(kit, .topic = NULL),
					.kind = OUTCOME_PUBLISHED};

	take_lock(kit, store);
	must(kit, begin_to_settle(kit, store, outcome.seq));
	nanosleep(&beyond_the_deadline, NULL);
	must(kit, store->driver->settle_end(store, &outcome, 1, &kit->err));
	must(kit, begin_to_settle(kit, store, outcome.seq));
	store->driver->close(store);
}

static void outcomes_are_not_begun_without_the_lock(void **state)
{
	struct kit *kit = *state;
	struct store *store = kit_postgres_open_named(kit);
	int64_t seq = WRITE(kit, .topic = NULL);

	take_lock(kit, store);
	store->driver->unlock(store);
	assert_int_equal(begin_to_settle(kit, store, seq), STATUS_BUSY);
	store->driver->close(store);
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(an_insert_whose_reply_is_lost_is_unknown),
	STORE_TEST(a_commit_whose_reply_is_lost_is_unknown),
	STORE_TEST(a_batch_in_two_parts_is_accepted_like_any_other),
	STORE_TEST(a_batch_in_two_parts_gives_up_in_time),
	STORE_TEST(a_batch_in_two_parts_whose_reply_is_lost_is_unknown),
	STORE_TEST(what_takes_more_than_one_statement_is_not_begun),
	STORE_TEST(a_reply_lost_before_the_commit_leaves_nothing),
	STORE_TEST(outcomes_in_two_parts_give_up_in_time),
	STORE_TEST(outcomes_in_two_parts_whose_reply_is_lost_are_unknown),
	STORE_TEST(an_answer_that_is_looked_at_late_counts),
	STORE_TEST(outcomes_are_not_begun_without_the_lock),
};

int main(void)
{
	return kit_postgres_run("postgresql commits", tests,
				sizeof(tests) / sizeof(*tests));
}
