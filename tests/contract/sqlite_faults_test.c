/* SPDX-License-Identifier: MIT */
/* SQLite on a disk that fails, or takes its time: nothing half done, nothing
 * lost, and on again by itself. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "kit_sqlite.h"
#include "store/sqlite.h"

/* ---- a disk that fails at the n-th write ---- */

static int writes_left; /* before one fails; negative: none does */
static int write_errno;
static struct store *asked_after_each; /* whether it was woken */

/* From the n-th write on every one fails. */
static ssize_t failing_pwrite(int fd, const void *bytes, size_t size,
			      off_t offset)
{
	ssize_t done;

	if (writes_left == 0) {
		errno = write_errno;
		return -1;
	}
	if (writes_left > 0)
		writes_left--;
	done = pwrite(fd, bytes, size, offset);
	if (asked_after_each != NULL)
		asked_after_each->driver->woken(asked_after_each);
	return done;
}

static int install(void **state)
{
	static const char *const names[] = {"pwrite", "pwrite64"};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	writes_left = -1;
	for (size_t i = 0; i < 2; i++)
		if (vfs->xGetSystemCall(vfs, names[i]) != NULL)
			vfs->xSetSystemCall(
				vfs, names[i],
				(sqlite3_syscall_ptr)failing_pwrite);
	return kit_setup(state);
}

static int uninstall(void **state)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	writes_left = -1;
	vfs->xSetSystemCall(vfs, NULL, NULL);
	return kit_teardown(state);
}

static void break_disk(int after, int number)
{
	writes_left = after;
	write_errno = number;
}

static void mend_disk(void)
{
	writes_left = -1;
}

/* ---- what is tried on it ---- */

enum { ROWS = 20 };

static int accept_rows(struct kit *kit)
{
	static char ids[ROWS][16];
	struct inbox_row rows[ROWS] = {0};
	struct inbox_batch batch = {
		.config_key = "default",
		.broker_type = "rabbitmq",
		.rows = rows,
		.count = ROWS,
	};

	for (int i = 0; i < ROWS; i++) {
		envelope_init(&rows[i].envelope);
		snprintf(ids[i], sizeof(ids[i]), "m-%d", i);
		rows[i].envelope.message_id = span_of(ids[i]);
		rows[i].envelope.message_type = SPAN_LIT("event");
		rows[i].envelope.topic = SPAN_LIT("event.test.thing.done");
		rows[i].envelope.chain_depth = 0;
		rows[i].envelope.payload = SPAN_LIT("{}");
	}
	return kit->store->driver->accept(kit->store, &batch, &kit->err);
}

/* Each write of an accept fails in turn. Whatever is said is true, and the
 * next try, on a good disk, makes all well. */
static void survive_every_write(struct kit *kit, int number)
{
	bool failed = true;
	int after;

	for (after = 0; failed; after++) {
		int64_t found;
		int status;

		sql_run(kit, "DELETE FROM event_bus_inbound_event");
		break_disk(after, number);
		status = accept_rows(kit);
		mend_disk();
		failed = status < 0;
		found = sql_integer(
			kit, "SELECT count(*) FROM event_bus_inbound_event");
		if (failed)
			assert_true(status_is_transient(status));
		if (status != STATUS_UNKNOWN)
			assert_int_equal(found, failed ? 0 : ROWS);
		if (failed)
			must(kit, accept_rows(kit));
		assert_int_equal(sql_integer(kit, "SELECT count(*) FROM "
						  "event_bus_inbound_event"),
				 ROWS);
		assert_sql(kit, "PRAGMA integrity_check", "ok");
	}
	assert_true(after > 2);
}

static void a_full_disk_leaves_nothing_half_done(void **state)
{
	survive_every_write(*state, ENOSPC);
}

static void a_failing_disk_leaves_nothing_half_done(void **state)
{
	survive_every_write(*state, EIO);
}

static void a_full_disk_is_named(void **state)
{
	struct kit *kit = *state;

	break_disk(0, ENOSPC);
	assert_int_equal(accept_rows(kit), STATUS_FAILED);
	assert_non_null(strstr(kit->err.text, "disk is full"));
	assert_non_null(strstr(kit->err.text, kit_sqlite_path(kit)));
}

static void a_failing_disk_is_named_with_the_systems_word(void **state)
{
	struct kit *kit = *state;

	break_disk(0, EIO);
	assert_true(status_is_transient(accept_rows(kit)));
	assert_non_null(strstr(kit->err.text, "reading or writing failed"));
}

static void a_failed_settle_marks_nothing(void **state)
{
	struct kit *kit = *state;
	struct outcome outcome = {.seq = WRITE(kit, .topic = NULL),
				  .kind = OUTCOME_PUBLISHED};

	assert_int_equal(claim_all(kit)->count, 1);
	break_disk(0, ENOSPC);
	assert_int_equal(
		kit->store->driver->settle(kit->store, &outcome, 1, &kit->err),
		STATUS_FAILED);
	mend_disk();
	assert_int_equal(claim_all(kit)->count, 1);
	must(kit,
	     kit->store->driver->settle(kit->store, &outcome, 1, &kit->err));
}

static void a_database_at_its_size_limit_is_named(void **state)
{
	struct kit *kit = *state;
	sqlite3 *db = sqlite_of(kit->store)->db;

	sqlite3_exec(db, "PRAGMA max_page_count=1", NULL, NULL, NULL);
	while (accept_rows(kit) == 0)
		sql_run(kit, "UPDATE event_bus_inbound_event SET "
			     "message_id = hex(randomblob(500))");
	assert_non_null(strstr(kit->err.text, "size limit"));
	sqlite3_exec(db, "PRAGMA max_page_count=1000000", NULL, NULL, NULL);
	must(kit, accept_rows(kit));
}

static void what_may_not_be_written_is_named(void **state)
{
	struct kit *kit = *state;

	sqlite3_exec(sqlite_of(kit->store)->db, "PRAGMA query_only=1", NULL,
		     NULL, NULL);
	assert_int_equal(accept_rows(kit), STATUS_DENIED);
	assert_non_null(strstr(kit->err.text, "may not be written"));
	must(kit, accept_rows(kit));
}

/* The kernel tells of the bytes when the transaction cannot be seen yet. */
static void a_commit_that_comes_long_after_its_bytes_wakes(void **state)
{
	struct kit *kit = *state;
	struct store *other = kit_other(kit);
	struct pollfd wait = {.fd = other->driver->wake_fd(other),
			      .events = POLLIN};

	other->driver->woken(other);
	asked_after_each = other;
	must(kit, accept_rows(kit));
	asked_after_each = NULL;
	do
		assert_int_equal(poll(&wait, 1, 10000), 1);
	while (!other->driver->woken(other));
}

#define FAULT_TEST(name) \
	cmocka_unit_test_setup_teardown(name, install, uninstall)

static const struct CMUnitTest tests[] = {
	FAULT_TEST(a_full_disk_leaves_nothing_half_done),
	FAULT_TEST(a_failing_disk_leaves_nothing_half_done),
	FAULT_TEST(a_full_disk_is_named),
	FAULT_TEST(a_failing_disk_is_named_with_the_systems_word),
	FAULT_TEST(a_failed_settle_marks_nothing),
	FAULT_TEST(a_database_at_its_size_limit_is_named),
	FAULT_TEST(what_may_not_be_written_is_named),
	FAULT_TEST(a_commit_that_comes_long_after_its_bytes_wakes),
};

int main(void)
{
	kit_driver = &kit_sqlite;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
