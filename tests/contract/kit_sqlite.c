/* SPDX-License-Identifier: MIT */
/* Databases for tests on SQLite, in a directory of their own or in memory. */
#include "kit_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/memory.h"

static const char poison_sql[] =
	"CREATE TRIGGER poison_outbox BEFORE UPDATE ON "
	"event_bus_outbound_event "
	"WHEN NEW.topic = 'event.test.poison.row' "
	"BEGIN SELECT RAISE(ABORT, 'poison'); END;"
	"CREATE TRIGGER poison_inbox BEFORE INSERT ON event_bus_inbound_event "
	"WHEN NEW.topic = 'event.test.poison.row' "
	"BEGIN SELECT RAISE(ABORT, 'poison'); END;";

sqlite3 *kit_sqlite_open(struct kit *kit)
{
	sqlite3 *db = NULL;
	char path[256];
	int rc;

	if (kit->driver == &kit_memory) {
		snprintf(path, sizeof(path), "/%s", kit->place);
		rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE,
				     "postbus-memory");
	} else {
		rc = sqlite3_open_v2(kit_sqlite_path(kit), &db,
				     SQLITE_OPEN_READWRITE, NULL);
	}
	assert_int_equal(rc, SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
	return db;
}

const char *kit_sqlite_path(const struct kit *kit)
{
	return kit->url + strlen("sqlite://");
}

/* Every statement is run; the answer is the last one's. */
static const char *run_sql(struct kit *kit, const char *sql)
{
	sqlite3 *db = kit_sqlite_open(kit);

	kit->answer[0] = '\0';
	while (*sql != '\0') {
		sqlite3_stmt *statement;
		int rc = sqlite3_prepare_v2(db, sql, -1, &statement, &sql);

		if (rc == SQLITE_OK && statement != NULL)
			rc = sqlite3_step(statement);
		if (rc == SQLITE_ROW && sqlite3_column_text(statement, 0))
			snprintf(kit->answer, sizeof(kit->answer), "%s",
				 (const char *)sqlite3_column_text(statement,
								   0));
		if (rc != SQLITE_ROW && rc != SQLITE_DONE && rc != SQLITE_OK)
			fail_msg("%s", sqlite3_errmsg(db));
		sqlite3_finalize(statement);
	}
	sqlite3_close(db);
	return kit->answer;
}

/* ---- in a file ---- */

static void create_file(struct kit *kit)
{
	const char *directory = getenv("TMPDIR");

	snprintf(kit->place, sizeof(kit->place), "%s/postbus-XXXXXX",
		 directory == NULL ? "/tmp" : directory);
	assert_non_null(mkdtemp(kit->place));
	snprintf(kit->url, sizeof(kit->url), "sqlite://%s/bus.db", kit->place);
}

static void destroy_file(struct kit *kit)
{
	static const char *const names[] = {
		"", "-wal", "-shm", "-journal", "-postbus-lock", "-moved"};
	char path[512];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s%s", kit_sqlite_path(kit),
			 names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(kit->place), 0);
}

const struct kit_driver kit_sqlite = {
	.name = "sqlite",
	.create = create_file,
	.destroy = destroy_file,
	.sql = run_sql,
	.poison_sql = poison_sql,
};

/* ---- in memory ---- */

static void create_memory(struct kit *kit)
{
	static int number;

	snprintf(kit->place, sizeof(kit->place), "test-%d", number++);
	snprintf(kit->url, sizeof(kit->url), "memory:%s", kit->place);
}

static void destroy_memory(struct kit *kit)
{
	memory_drop(kit->place);
}

const struct kit_driver kit_memory = {
	.name = "memory",
	.create = create_memory,
	.destroy = destroy_memory,
	.sql = run_sql,
	.poison_sql = poison_sql,
};
