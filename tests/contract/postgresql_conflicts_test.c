/* SPDX-License-Identifier: MIT */
/* PostgreSQL alone: transactions that others are in the way of. */
#include "kit_postgres.h"

static int lock(struct kit *kit)
{
	return kit->store->driver->lock(kit->store, "default", "relay",
					&kit->err);
}

static int settle(struct kit *kit, int64_t seq)
{
	const struct outcome outcome = {.seq = seq, .kind = OUTCOME_PUBLISHED};

	return kit->store->driver->settle(kit->store, &outcome, 1, &kit->err);
}

static int accept_one(struct kit *kit, struct inbox_row *row)
{
	struct inbox_batch batch = {"default", "rabbitmq", row, 1};

	*row = kit_event("m-1", "{}");
	return kit->store->driver->accept(kit->store, &batch, &kit->err);
}

/* The next `times` changes of that table end so; a sequence counts them over
 * every rollback. */
static void obstruct(struct kit *kit, const char *table, const char *code,
		     int64_t times)
{
	sql_run(kit, "CREATE SEQUENCE tries");
	sql_run(kit,
		"CREATE FUNCTION obstruct() RETURNS trigger "
		"LANGUAGE plpgsql AS $$ BEGIN "
		"IF nextval('%s.tries') <= %lld THEN "
		"RAISE EXCEPTION 'in the way' USING ERRCODE = '%s'; END IF; "
		"RETURN NEW; END $$",
		kit->place, (long long)times, code);
	sql_run(kit,
		"CREATE TRIGGER obstruct BEFORE INSERT OR UPDATE ON %s "
		"FOR EACH ROW EXECUTE FUNCTION obstruct()",
		table);
}

static void clear_the_way(struct kit *kit)
{
	sql_run(kit, "DROP FUNCTION obstruct CASCADE");
	sql_run(kit, "DROP SEQUENCE tries");
}

static void a_serialization_failure_is_tried_again(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);
	struct inbox_row row;

	must(kit, lock(kit));
	obstruct(kit, "event_bus_inbound_event", "40001", 3);
	must(kit, accept_one(kit, &row));
	assert_int_equal(row.result, INBOX_ACCEPTED);
	clear_the_way(kit);
	obstruct(kit, "event_bus_outbound_event", "40001", 3);
	must(kit, settle(kit, seq));
	assert_sql(kit, "SELECT count(*) FROM event_bus_inbound_event", "1");
	assert_sql(kit, "SELECT status FROM event_bus_outbound_event",
		   "published");
}

static void a_deadlock_is_tried_again_and_not_for_ever(void **state)
{
	struct kit *kit = *state;
	int64_t seq = WRITE(kit, .topic = NULL);
	struct inbox_row row;

	must(kit, lock(kit));
	obstruct(kit, "event_bus_inbound_event", "40P01", INT32_MAX);
	assert_int_equal(accept_one(kit, &row), STATUS_AWAY);
	assert_non_null(strstr(kit->err.text, "in the way"));
	assert_sql(kit, "SELECT last_value > 1 FROM tries", "t");
	clear_the_way(kit);
	obstruct(kit, "event_bus_outbound_event", "40P01", INT32_MAX);
	assert_int_equal(settle(kit, seq), STATUS_AWAY);
	clear_the_way(kit);
	must(kit, accept_one(kit, &row));
	must(kit, settle(kit, seq)); /* the lock is held still */
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(a_serialization_failure_is_tried_again),
	STORE_TEST(a_deadlock_is_tried_again_and_not_for_ever),
};

int main(void)
{
	return kit_postgres_run("postgresql conflicts", tests,
				sizeof(tests) / sizeof(*tests));
}
