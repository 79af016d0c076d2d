/* SPDX-License-Identifier: MIT */
/* The PostgreSQL driver's life, its schema and its table of operations. */
#include "store/postgres.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/testing.h"
#include "store/migration.h"

/* ---- life ---- */

static void open_pattern(struct buffer *pattern, const char *topic)
{
	for (; *topic != '\0'; topic++)
		if (*topic == '*')
			buffer_append_text(pattern, "%");
		else if (strchr("%_\\", *topic) != NULL)
			buffer_append_format(pattern, "\\%c", *topic);
		else
			buffer_append(pattern, topic, 1);
	buffer_append(pattern, "", 1);
}

static void from_now(struct buffer *sql, double seconds)
{
	buffer_append_format(sql, "now() + %.3f * interval '1 second'",
			     seconds);
}

static void time_as_text(struct buffer *sql, const char *column)
{
	buffer_append_format(sql, "to_char(%s, 'YYYY-MM-DD HH24:MI:SS.US')",
			     column);
}

static int open_store(struct postgres_store *store, const char *url,
		      struct error *err)
{
	int status = postgres_target_parse(&store->target, url, err);

	if (status < 0)
		return status;
	store->base.driver = &store_postgres;
	store->dialect = (struct dialect){
		.prefix = store->target.prefix,
		.parameter = '$',
		.like = "LIKE",
		.pattern = open_pattern,
		.from_now = from_now,
		.time = time_as_text,
	};
	store->deadline = clock_monotonic() + 2 * USEC_PER_SEC;
	return postgres_connect(store, err);
}

static void close_store(struct store *base)
{
	struct postgres_store *store = postgres_of(base);

	if (store == NULL)
		return;
	/* The server notices an end of session a moment later. */
	postgres_unlock(base);
	postgres_deafen(&store->ears);
	postgres_disconnect(store);
	postgres_target_finish(&store->target);
	free(store);
}

static int open_url(struct store **out, const char *url, bool create,
		    struct error *err)
{
	struct postgres_store *store = calloc(1, sizeof(*store));
	int status;

	(void)create; /* a database is its administrator's to create */
	if (store == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a store");
	status = open_store(store, url, err);
	if (status < 0) {
		close_store(&store->base);
		return status;
	}
	*out = &store->base;
	return 0;
}

/* ---- schema ---- */

/* The migration that brings the trigger for NOTIFY, from 0. */
enum { NOTIFY_MIGRATION = 1 };

static const char *migration(int i, const char **name)
{
	if (name != NULL)
		*name = migrations_postgres[i].name;
	return migrations_postgres[i].sql;
}

static int run_sql(struct postgres_store *store, const char *sql,
		   postgres_row_fn *each, void *context, struct error *err)
{
	struct postgres_query query;

	postgres_query_init(&query, sql);
	query.once = true;
	return postgres_run(store, &query, each, context, err);
}

static int run_named(struct postgres_store *store, const char *sql,
		     const char *name, postgres_row_fn *each, void *context,
		     struct error *err)
{
	struct postgres_query query;

	postgres_query_init(&query, sql);
	query.once = true;
	postgres_add_string(&query, name);
	return postgres_run(store, &query, each, context, err);
}

static int read_version(struct postgres_store *store, void *context,
			struct error *err)
{
	static const char exists[] =
		"SELECT count(*) FROM pg_class c "
		"JOIN pg_namespace n ON n.oid = c.relnamespace "
		"WHERE n.nspname = $1 "
		"AND c.relname = 'event_bus_schema_version'";
	int64_t tables = 0;
	int64_t version = 0;
	int status = run_named(store, exists, store->target.schema,
			       postgres_read_integer, &tables, err);

	if (status == 0 && tables > 0)
		status = run_sql(store,
				 "SELECT max(version) FROM "
				 "@.event_bus_schema_version",
				 postgres_read_integer, &version, err);
	if (status == 0)
		*(int *)context = (int)version;
	return status;
}

static int read_schema(struct store *store, int *have, int *want,
		       struct error *err)
{
	int status = postgres_call(store, read_version, have, err);

	if (status == 0)
		*want = migration_count(migrations_postgres);
	return status;
}

/* CREATE SCHEMA IF NOT EXISTS asks for a right even if it does exist. */
static int ensure_schema(struct postgres_store *store, struct error *err)
{
	char sql[sizeof("CREATE SCHEMA \"\"") + POSTGRES_SCHEMA_SIZE];
	int64_t found = 0;
	int status = run_named(
		store, "SELECT count(*) FROM pg_namespace WHERE nspname = $1",
		store->target.schema, postgres_read_integer, &found, err);

	if (status < 0 || found > 0)
		return status;
	snprintf(sql, sizeof(sql), "CREATE SCHEMA \"%s\"",
		 store->target.schema);
	return run_sql(store, sql, NULL, NULL, err);
}

/* One migrates at a time, as the files expect: what they name without a schema
 * belongs to ours. */
static int prepare_migration(struct postgres_store *store, struct error *err)
{
	int status = postgres_be_patient(store, err);

	if (status == 0)
		status = run_sql(store,
				 "SET LOCAL lock_timeout = 0; "
				 "SELECT pg_advisory_xact_lock("
				 "hashtextextended('postbus migrate', 0))",
				 NULL, NULL, err);
	if (status == 0)
		status = ensure_schema(store, err);
	if (status == 0)
		status = run_named(store,
				   "SELECT set_config('search_path', "
				   "quote_ident($1) || ', pg_temp', true)",
				   store->target.schema, NULL, NULL, err);
	return status;
}

static int silence(struct postgres_store *store, struct error *err)
{
	return run_sql(store,
		       "ALTER TABLE @.event_bus_outbound_event "
		       "DISABLE TRIGGER event_bus_outbound_event_added",
		       NULL, NULL, err);
}

/* One migration, unless somebody else was faster. */
static int apply(struct postgres_store *store, void *context, struct error *err)
{
	int i = *(const int *)context;
	int have = 0;
	int status = prepare_migration(store, err);

	if (status == 0)
		status = read_version(store, &have, err);
	if (status < 0 || have > i)
		return status;
	status = run_sql(store, migrations_postgres[i].sql, NULL, NULL, err);
	testing_crash_point("migrated");
	if (status == 0 && i == NOTIFY_MIGRATION && !store->target.notify)
		status = silence(store, err);
	if (status < 0 && err != NULL)
		error_prefix(err, "migration %s", migrations_postgres[i].name);
	return status;
}

static int migrate(struct store *store, struct error *err)
{
	int have = 0;
	int status = postgres_call(store, read_version, &have, err);

	for (int i = have;
	     status == 0 && i < migration_count(migrations_postgres); i++)
		status = postgres_transaction(store, apply, &i, err);
	return status;
}

const struct store_driver store_postgres = {
	.name = "postgresql",
	.open = open_url,
	.close = close_store,
	.schema = read_schema,
	.migrate = migrate,
	.migration = migration,
	.lock = postgres_lock,
	.unlock = postgres_unlock,
	.claim = postgres_claim,
	.settle = postgres_settle,
	.settle_begin = postgres_settle_begin,
	.settle_end = postgres_settle_end,
	.accept = postgres_accept,
	.accept_begin = postgres_accept_begin,
	.accept_end = postgres_accept_end,
	.ready = postgres_ready,
	.wake_fd = postgres_wake_fd,
	.woken = postgres_woken,
	.heartbeat = postgres_heartbeat,
	.farewell = postgres_farewell,
	.heartbeat_seconds = 1,
	.config_version = postgres_config_version,
	.config_load = postgres_config_load,
	.config_save = postgres_config_save,
	.enqueue = postgres_enqueue,
	.counts = postgres_counts,
	.browse = postgres_browse,
	.retry = postgres_retry,
	.purge = postgres_purge,
};
