/* SPDX-License-Identifier: MIT */
/* What a worker keeps in PostgreSQL about itself, and its config. */
#include "store/config_sql.h"
#include "store/postgres.h"
#include "store/text.h"

/* ---- heartbeat ---- */

/* Forgets workers that died without a word, too. */
static const char beat_sql[] =
	"WITH dead AS (DELETE FROM @.event_bus_worker "
	"WHERE heartbeat_at < now() - interval '1 day'), "
	"beat AS (INSERT INTO @.event_bus_worker AS w (id, config_key, "
	"hostname, pid, version, broker_type, relay_state, intake_state, "
	"config_version, last_error) VALUES ($1::uuid, $2, $3, $4, $5, $6, "
	"$7, $8, $9, $10) ON CONFLICT (id) DO UPDATE SET "
	"heartbeat_at = now(), broker_type = excluded.broker_type, "
	"relay_state = excluded.relay_state, "
	"intake_state = excluded.intake_state, "
	"config_version = excluded.config_version, "
	"last_error = excluded.last_error) "
	"UPDATE @.event_bus_runtime_config SET worker_status = $11, "
	"worker_heartbeat_at = now(), worker_last_error = $10 "
	"FROM set_config('synchronous_commit', 'off', true) "
	"WHERE config_key = $2";

static const char farewell_sql[] =
	"WITH gone AS (DELETE FROM @.event_bus_worker WHERE id = $1::uuid) "
	"UPDATE @.event_bus_runtime_config SET worker_status = 'stopped', "
	"worker_heartbeat_at = now(), worker_last_error = NULL "
	"WHERE config_key = $2";

struct beating {
	const struct heartbeat *beat;
	struct arena arena;
};

static int write_beat(struct postgres_store *store, void *context,
		      struct error *err)
{
	struct beating *beating = context;
	const struct heartbeat *beat = beating->beat;
	struct postgres_query query;
	struct span last_error;
	int status = text_clean(span_of(beat->last_error), &beating->arena,
				&last_error, err);

	if (status < 0)
		return status;
	postgres_query_init(&query, beat_sql);
	postgres_add_string(&query, beat->worker_id);
	postgres_add_string(&query, beat->config_key);
	postgres_add_string(&query, beat->hostname);
	postgres_add_integer(&query, beat->pid);
	postgres_add_string(&query, beat->version);
	postgres_add_string(&query, beat->broker_type);
	postgres_add_string(&query, beat->relay_state);
	postgres_add_string(&query, beat->intake_state);
	postgres_add_integer(&query, beat->config_version);
	postgres_add_text(&query, last_error);
	postgres_add_string(&query, beat->worker_status);
	return postgres_run(store, &query, NULL, NULL, err);
}

int postgres_heartbeat(struct store *store, const struct heartbeat *beat,
		       struct error *err)
{
	struct beating beating = {.beat = beat};
	int status = postgres_call(store, write_beat, &beating, err);

	arena_finish(&beating.arena);
	return status;
}

static int write_farewell(struct postgres_store *store, void *context,
			  struct error *err)
{
	const struct heartbeat *beat = context;
	struct postgres_query query;

	postgres_query_init(&query, farewell_sql);
	postgres_add_string(&query, beat->worker_id);
	postgres_add_string(&query, beat->config_key);
	return postgres_run(store, &query, NULL, NULL, err);
}

int postgres_farewell(struct store *store, const struct heartbeat *beat,
		      struct error *err)
{
	return postgres_call(store, write_farewell, (void *)beat, err);
}

/* ---- reading the config ---- */

struct config_reading {
	const char *config_key;
	int64_t version; /* 0: there is no such config */
	struct runtime_config *config;
};

static int read_config_version(struct postgres_store *store, void *context,
			       struct error *err)
{
	struct config_reading *reading = context;
	struct postgres_query query;
	int status;

	postgres_query_init(&query, "SELECT version "
				    "FROM @.event_bus_runtime_config "
				    "WHERE config_key = $1");
	postgres_add_string(&query, reading->config_key);
	status = postgres_run(store, &query, postgres_read_integer,
			      &reading->version, err);
	if (status == 0 && reading->version == 0)
		status = config_sql_missing(reading->config_key, err);
	return status;
}

int postgres_config_version(struct store *store, const char *config_key,
			    int64_t *version, struct error *err)
{
	struct config_reading reading = {.config_key = config_key};
	int status = postgres_call(store, read_config_version, &reading, err);

	if (status == 0)
		*version = reading.version;
	return status;
}

void postgres_config_values(const PGresult *row, struct span *values)
{
	for (int i = 0; i < PQnfields(row); i++)
		values[i] = postgres_shown(row, i);
}

static int read_config(void *context, const PGresult *row, struct error *err)
{
	struct config_reading *reading = context;
	struct span values[CONFIG_SQL_MAX];

	reading->version = postgres_integer(row, CONFIG_SQL_VERSION);
	postgres_config_values(row, values);
	return config_sql_load(reading->config, values, err);
}

static int load_config(struct postgres_store *store, void *context,
		       struct error *err)
{
	struct config_reading *reading = context;
	struct postgres_query query;
	struct buffer sql;
	int status;

	buffer_init(&sql);
	config_sql_select(&sql, &store->dialect, false);
	postgres_query_build(&query, &sql);
	postgres_add_string(&query, reading->config_key);
	status = postgres_run(store, &query, read_config, reading, err);
	if (status == 0 && reading->version == 0)
		status = config_sql_missing(reading->config_key, err);
	buffer_finish(&sql);
	return status;
}

int postgres_config_load(struct store *store, const char *config_key,
			 struct runtime_config *config, struct error *err)
{
	struct config_reading reading = {.config_key = config_key,
					 .config = config};

	return postgres_call(store, load_config, &reading, err);
}

/* ---- writing the config ---- */

struct config_writing {
	const char *config_key;
	const struct config_change *changes;
	size_t count;
};

static int insert_section(struct postgres_store *store,
			  const struct config_writing *writing,
			  enum config_section section, struct error *err)
{
	struct postgres_query query;
	struct buffer sql;
	int status;

	buffer_init(&sql);
	config_sql_insert(&sql, &store->dialect, section);
	postgres_query_build(&query, &sql);
	postgres_add_string(&query, writing->config_key);
	status = postgres_run(store, &query, NULL, NULL, err);
	buffer_finish(&sql);
	return status;
}

static int update_section(struct postgres_store *store,
			  const struct config_writing *writing,
			  enum config_section section, struct error *err)
{
	const struct config_change *changes = writing->changes;
	struct postgres_query query;
	struct buffer sql;
	int status;

	buffer_init(&sql);
	config_sql_update(&sql, &store->dialect, section, changes,
			  writing->count);
	postgres_query_build(&query, &sql);
	postgres_add_string(&query, writing->config_key);
	for (size_t i = 0; i < writing->count; i++)
		if (changes[i].field->section == section)
			postgres_add_untyped(&query,
					     config_sql_value(&changes[i]));
	status = postgres_run(store, &query, NULL, NULL, err);
	buffer_finish(&sql);
	return status;
}

static int save_sections(struct postgres_store *store, void *context,
			 struct error *err)
{
	const struct config_writing *writing = context;
	int status = insert_section(store, writing, CONFIG_COMMON, err);

	for (int i = CONFIG_COMMON; status == 0 && i <= CONFIG_MQTT; i++) {
		enum config_section section = (enum config_section)i;

		if (!config_sql_touches(section, writing->changes,
					writing->count))
			continue;
		if (section != CONFIG_COMMON)
			status = insert_section(store, writing, section, err);
		if (status == 0)
			status = update_section(store, writing, section, err);
	}
	return status;
}

int postgres_config_save(struct store *store, const char *config_key,
			 const struct config_change *changes, size_t count,
			 struct error *err)
{
	struct config_writing writing = {config_key, changes, count};

	return postgres_transaction(store, save_sections, &writing, err);
}
