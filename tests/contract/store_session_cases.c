/* SPDX-License-Identifier: MIT */
/* Opening, migrating, locking, waking. */
#include "store_kit.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- open and migrate ---- */

static void what_is_not_there_is_not_found(void **state)
{
	struct kit *kit = *state;
	struct kit nowhere = {.driver = kit->driver};
	struct store *store = NULL;

	if (kit->driver == &kit_postgres)
		return; /* a database is its administrator's to make */
	kit->driver->create(&nowhere);
	assert_int_equal(store_open(&store, nowhere.url, false, &kit->err),
			 STATUS_NOT_FOUND);
	assert_null(store);
	assert_non_null(strstr(kit->err.text, "no database"));
	kit->driver->destroy(&nowhere);
}

static void an_empty_database_has_version_0_until_it_is_migrated(void **state)
{
	struct kit *kit = *state;
	struct kit empty = {.driver = kit->driver};
	struct store *store = NULL;
	int have = -1;
	int want = -1;

	kit->driver->create(&empty);
	must(kit, store_open(&store, empty.url, true, &kit->err));
	must(kit, store->driver->schema(store, &have, &want, &kit->err));
	assert_int_equal(have, 0);
	assert_true(want > 0);
	must(kit, store->driver->migrate(store, &kit->err));
	must(kit, store->driver->schema(store, &have, &want, &kit->err));
	assert_int_equal(have, want);
	store->driver->close(store);
	kit->driver->destroy(&empty);
}

static void what_is_not_migrated_says_what_to_do(void **state)
{
	struct kit *kit = *state;
	struct kit empty = {.driver = kit->driver};
	struct store *store = NULL;
	int64_t version;

	kit->driver->create(&empty);
	must(kit, store_open(&store, empty.url, true, &kit->err));
	assert_int_equal(store->driver->config_version(store, "default",
						       &version, &kit->err),
			 STATUS_MISMATCH);
	assert_non_null(strstr(kit->err.text, "postbus migrate"));
	store->driver->close(store);
	kit->driver->destroy(&empty);
}

static void migrating_twice_changes_nothing(void **state)
{
	struct kit *kit = *state;
	int have, want;

	WRITE(kit, .topic = NULL);
	must(kit, kit->store->driver->migrate(kit->store, &kit->err));
	assert_int_equal(claim_all(kit)->count, 1);
	must(kit,
	     kit->store->driver->schema(kit->store, &have, &want, &kit->err));
	assert_int_equal(
		sql_integer(kit,
			    "SELECT count(*) FROM event_bus_schema_version"),
		want);
}

static void every_migration_has_a_name_and_its_sql(void **state)
{
	struct kit *kit = *state;
	const char *name;
	int have, want;
	int count = 0;

	while (kit->store->driver->migration(count, &name) != NULL) {
		assert_non_null(name);
		count++;
	}
	must(kit,
	     kit->store->driver->schema(kit->store, &have, &want, &kit->err));
	assert_int_equal(count, want);
}

static void *migrate(void *context)
{
	struct store *store = context;

	return store->driver->migrate(store, NULL) == 0 ? context : NULL;
}

static void two_may_migrate_at_once(void **state)
{
	struct kit *kit = *state;
	struct kit empty = {.driver = kit->driver};
	struct store *stores[2];
	pthread_t threads[2];
	int have, want;

	kit->driver->create(&empty);
	for (int i = 0; i < 2; i++)
		must(kit, store_open(&stores[i], empty.url, true, &kit->err));
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, migrate, stores[i]),
			0);
	for (int i = 0; i < 2; i++) {
		void *done = NULL;

		pthread_join(threads[i], &done);
		assert_non_null(done);
	}
	must(kit,
	     stores[0]->driver->schema(stores[0], &have, &want, &kit->err));
	assert_int_equal(have, want);
	for (int i = 0; i < 2; i++)
		stores[i]->driver->close(stores[i]);
	kit->driver->destroy(&empty);
}

static void closing_nothing_is_allowed(void **state)
{
	struct kit *kit = *state;

	kit->store->driver->close(NULL);
}

/* ---- lock ---- */

static int lock(struct kit *kit, struct store *store, const char *config_key,
		const char *lane)
{
	return store->driver->lock(store, config_key, lane, &kit->err);
}

static void one_store_at_a_time_holds_a_lane(void **state)
{
	struct kit *kit = *state;
	struct store *other = kit_other(kit);

	must(kit, lock(kit, kit->store, "default", "relay"));
	assert_int_equal(lock(kit, other, "default", "relay"), STATUS_BUSY);
	assert_non_null(strstr(kit->err.text, "default"));
}

static void locking_again_while_held_is_no_change(void **state)
{
	struct kit *kit = *state;

	must(kit, lock(kit, kit->store, "default", "relay"));
	must(kit, lock(kit, kit->store, "default", "relay"));
	kit->store->driver->unlock(kit->store);
	must(kit, lock(kit, kit_other(kit), "default", "relay"));
}

static void other_lanes_and_keys_are_other_locks(void **state)
{
	struct kit *kit = *state;
	struct store *third = kit_open(kit);

	must(kit, lock(kit, kit->store, "default", "relay"));
	must(kit, lock(kit, kit_other(kit), "default", "intake"));
	must(kit, lock(kit, third, "another", "relay"));
	third->driver->close(third);
}

static void unlocking_lets_the_next_one_in(void **state)
{
	struct kit *kit = *state;

	must(kit, lock(kit, kit->store, "default", "relay"));
	kit->store->driver->unlock(kit->store);
	must(kit, lock(kit, kit_other(kit), "default", "relay"));
	assert_int_equal(lock(kit, kit->store, "default", "relay"),
			 STATUS_BUSY);
}

static void closing_gives_up_the_lock(void **state)
{
	struct kit *kit = *state;
	struct store *third = kit_open(kit);

	must(kit, lock(kit, third, "default", "relay"));
	third->driver->close(third);
	must(kit, lock(kit, kit->store, "default", "relay"));
}

/* ---- wake ---- */

/* Waits as a lane does until the store says that something was written. */
static bool becomes_awake(struct store *store)
{
	for (int i = 0; i < 100; i++) {
		struct pollfd wait = {.fd = store->driver->wake_fd(store),
				      .events = POLLIN};

		poll(&wait, 1, 100);
		if (store->driver->woken(store))
			return true;
	}
	return false;
}

static void a_row_that_another_store_wrote_wakes(void **state)
{
	struct kit *kit = *state;
	struct store *other = kit_other(kit);
	struct pollfd quiet = {.fd = other->driver->wake_fd(other),
			       .events = POLLIN};

	assert_true(quiet.fd >= 0);
	becomes_awake(other);
	WRITE(kit, .topic = NULL);
	assert_true(becomes_awake(other));
}

static void a_row_written_by_plain_sql_wakes(void **state)
{
	struct kit *kit = *state;

	if (kit->driver == &kit_memory)
		return; /* nobody else writes there */
	kit->store->driver->wake_fd(kit->store);
	becomes_awake(kit->store);
	sql_run(kit, "INSERT INTO event_bus_outbound_event (topic) "
		     "VALUES ('event.test.thing.done')");
	assert_true(becomes_awake(kit->store));
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(what_is_not_there_is_not_found),
	STORE_TEST(an_empty_database_has_version_0_until_it_is_migrated),
	STORE_TEST(what_is_not_migrated_says_what_to_do),
	STORE_TEST(migrating_twice_changes_nothing),
	STORE_TEST(every_migration_has_a_name_and_its_sql),
	STORE_TEST(two_may_migrate_at_once),
	STORE_TEST(closing_nothing_is_allowed),
	STORE_TEST(one_store_at_a_time_holds_a_lane),
	STORE_TEST(locking_again_while_held_is_no_change),
	STORE_TEST(other_lanes_and_keys_are_other_locks),
	STORE_TEST(unlocking_lets_the_next_one_in),
	STORE_TEST(closing_gives_up_the_lock),
	STORE_TEST(a_row_that_another_store_wrote_wakes),
	STORE_TEST(a_row_written_by_plain_sql_wakes),
};

const struct kit_cases session_cases = {tests, sizeof(tests) / sizeof(*tests)};
