/* SPDX-License-Identifier: MIT */
/* The SQLite driver's life, lock, wake and schema, wherever the database is. */
#include "store/sqlite.h"

#include <stdlib.h>

#include "base/testing.h"
#include "store/migration.h"

void sqlite_close(struct store *base)
{
	struct sqlite_store *store = sqlite_of(base);

	if (store == NULL)
		return;
	sqlite_disconnect(store);
	store->place->destroy(store);
	free(store->name);
	free(store);
}

int sqlite_lock(struct store *base, const char *config_key, const char *lane,
		struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	if (!store->place->holds(store))
		status = store->place->lock(store, config_key, lane, err);
	return sqlite_leave(store, status);
}

void sqlite_unlock(struct store *base)
{
	sqlite_of(base)->place->unlock(sqlite_of(base));
}

int sqlite_wake_fd(struct store *base)
{
	struct sqlite_store *store = sqlite_of(base);

	return store->db == NULL ? -1 : store->place->wake_fd(store);
}

bool sqlite_woken(struct store *base)
{
	struct sqlite_store *store = sqlite_of(base);

	return store->db == NULL || store->place->woken(store);
}

/* ---- schema ---- */

const char *sqlite_migration(int i, const char **name)
{
	if (name != NULL)
		*name = migrations_sqlite[i].name;
	return migrations_sqlite[i].sql;
}

static int read_number(struct sqlite_store *store, const char *sql, int *number,
		       struct error *err)
{
	sqlite3_stmt *statement;
	int status = sqlite_prepare_once(store, span_of(sql), &statement, err);

	if (status < 0)
		return status;
	status = sqlite_step(store, statement, err);
	if (status > 0)
		*number = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return status < 0 ? status : 0;
}

static int read_schema(struct sqlite_store *store, int *have, struct error *err)
{
	int tables = 0;
	int version = 0;
	int status = read_number(store,
				 "SELECT count(*) FROM sqlite_schema WHERE "
				 "name = 'event_bus_schema_version'",
				 &tables, err);

	if (status == 0 && tables > 0)
		status = read_number(
			store,
			"SELECT max(version) FROM event_bus_schema_version",
			&version, err);
	if (status == 0)
		*have = version;
	return status;
}

int sqlite_schema(struct store *base, int *have, int *want, struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = read_schema(store, have, err);
	if (status == 0)
		*want = migration_count(migrations_sqlite);
	return sqlite_leave(store, status);
}

/* One migration, unless somebody else was faster. */
static int apply(struct sqlite_store *store, int i, struct error *err)
{
	int have = 0;
	int status = sqlite_begin(store, true, err);

	if (status < 0)
		return status;
	status = read_schema(store, &have, err);
	/* However large the tables, a migration is finished once begun. */
	store->deadline = USEC_NEVER;
	if (status == 0 && have <= i)
		status = sqlite_exec(store, migrations_sqlite[i].sql, err);
	testing_crash_point("migrated");
	if (status < 0 && err != NULL)
		error_prefix(err, "migration %s", migrations_sqlite[i].name);
	return sqlite_end(store, status, err);
}

int sqlite_migrate(struct store *base, struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	int want = migration_count(migrations_sqlite);
	int have = 0;
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = read_schema(store, &have, err);
	for (int i = have; status == 0 && i < want; i++)
		status = apply(store, i, err);
	/* Readers and writers then do not wait for each other. It needs a
	 * moment alone with the file; if it has none now, the next connection
	 * tries again. */
	if (status == 0)
		sqlite3_exec(store->db, "PRAGMA journal_mode=WAL", NULL, NULL,
			     NULL);
	return sqlite_leave(store, status);
}
