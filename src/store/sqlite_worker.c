/* SPDX-License-Identifier: MIT */
/* What a worker keeps in a SQLite database about itself, and its config. */
#include "store/config_sql.h"
#include "store/sqlite.h"
#include "store/sqlite_dialect.h"
#include "store/text.h"

static const char beat_sql[] =
	"INSERT INTO event_bus_worker (id, config_key, hostname, pid, version, "
	"broker_type, relay_state, intake_state, config_version, last_error) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
	"ON CONFLICT (id) DO UPDATE SET "
	"heartbeat_at = strftime('%Y-%m-%d %H:%M:%f000', 'now'), "
	"broker_type = excluded.broker_type, "
	"relay_state = excluded.relay_state, "
	"intake_state = excluded.intake_state, "
	"config_version = excluded.config_version, "
	"last_error = excluded.last_error";

static const char config_beat_sql[] =
	"UPDATE event_bus_runtime_config SET worker_status = ?2, "
	"worker_heartbeat_at = strftime('%Y-%m-%d %H:%M:%f000', 'now'), "
	"worker_last_error = ?3 WHERE config_key = ?1";

static const char forget_sql[] = "DELETE FROM event_bus_worker WHERE id = ?1";

/* Workers that died without a word. */
static const char forget_dead_sql[] =
	"DELETE FROM event_bus_worker WHERE heartbeat_at < "
	"strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 day')";

static int write_config_beat(struct sqlite_store *store, const char *config_key,
			     const char *worker_status, struct span last_error,
			     struct error *err)
{
	sqlite3_stmt *statement;
	int status = sqlite_prepare(store, config_beat_sql, &statement, err);

	if (status < 0)
		return status;
	sqlite_bind_string(statement, 1, config_key);
	sqlite_bind_string(statement, 2, worker_status);
	sqlite_bind_span(statement, 3, last_error);
	return sqlite_run(store, statement, err);
}

static int write_beat(struct sqlite_store *store, const struct heartbeat *beat,
		      struct span last_error, struct error *err)
{
	sqlite3_stmt *statement;
	int status = sqlite_prepare(store, beat_sql, &statement, err);

	if (status < 0)
		return status;
	sqlite_bind_string(statement, 1, beat->worker_id);
	sqlite_bind_string(statement, 2, beat->config_key);
	sqlite_bind_string(statement, 3, beat->hostname);
	sqlite3_bind_int64(statement, 4, beat->pid);
	sqlite_bind_string(statement, 5, beat->version);
	sqlite_bind_string(statement, 6, beat->broker_type);
	sqlite_bind_string(statement, 7, beat->relay_state);
	sqlite_bind_string(statement, 8, beat->intake_state);
	sqlite3_bind_int64(statement, 9, beat->config_version);
	sqlite_bind_span(statement, 10, last_error);
	return sqlite_run(store, statement, err);
}

static int beat_rows(struct sqlite_store *store, const struct heartbeat *beat,
		     struct error *err)
{
	struct arena arena = {0};
	sqlite3_stmt *statement;
	struct span last_error;
	int status =
		text_clean(span_of(beat->last_error), &arena, &last_error, err);

	if (status == 0)
		status = write_beat(store, beat, last_error, err);
	if (status == 0)
		status =
			write_config_beat(store, beat->config_key,
					  beat->worker_status, last_error, err);
	if (status == 0)
		status =
			sqlite_prepare(store, forget_dead_sql, &statement, err);
	if (status == 0)
		status = sqlite_run(store, statement, err);
	arena_finish(&arena);
	return status;
}

int sqlite_heartbeat(struct store *base, const struct heartbeat *beat,
		     struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = sqlite_begin(store, false, err);
	if (status == 0)
		status = sqlite_end(store, beat_rows(store, beat, err), err);
	return sqlite_leave(store, status);
}

static int farewell_rows(struct sqlite_store *store,
			 const struct heartbeat *beat, struct error *err)
{
	sqlite3_stmt *statement;
	int status = sqlite_prepare(store, forget_sql, &statement, err);

	if (status < 0)
		return status;
	sqlite_bind_string(statement, 1, beat->worker_id);
	status = sqlite_run(store, statement, err);
	if (status == 0)
		status = write_config_beat(store, beat->config_key, "stopped",
					   SPAN_NONE, err);
	return status;
}

int sqlite_farewell(struct store *base, const struct heartbeat *beat,
		    struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = sqlite_begin(store, false, err);
	if (status == 0)
		status =
			sqlite_end(store, farewell_rows(store, beat, err), err);
	return sqlite_leave(store, status);
}

/* ---- config ---- */

int sqlite_config_version(struct store *base, const char *config_key,
			  int64_t *version, struct error *err)
{
	static const char sql[] =
		"SELECT version FROM event_bus_runtime_config "
		"WHERE config_key = ?1";
	struct sqlite_store *store = sqlite_of(base);
	sqlite3_stmt *statement;
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = sqlite_prepare(store, sql, &statement, err);
	if (status == 0) {
		sqlite_bind_string(statement, 1, config_key);
		status = sqlite_step(store, statement, err);
		if (status > 0)
			*version = sqlite3_column_int64(statement, 0);
		else if (status == 0)
			status = config_sql_missing(config_key, err);
		sqlite3_reset(statement);
	}
	return sqlite_leave(store, status < 0 ? status : 0);
}

void sqlite_config_values(sqlite3_stmt *statement, struct span *values)
{
	for (int i = 0; i < sqlite3_column_count(statement); i++)
		values[i] = sqlite_text(statement, i);
}

int sqlite_config_load(struct store *base, const char *config_key,
		       struct runtime_config *config, struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	struct span values[CONFIG_SQL_MAX];
	sqlite3_stmt *statement = NULL;
	struct buffer sql;
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	buffer_init(&sql);
	config_sql_select(&sql, &sqlite_dialect, false);
	status = sqlite_prepare_buffer(store, &sql, &statement, err);
	if (status < 0)
		goto out;
	sqlite_bind_string(statement, 1, config_key);
	status = sqlite_step(store, statement, err);
	if (status == 0)
		status = config_sql_missing(config_key, err);
	if (status < 0)
		goto out;
	sqlite_config_values(statement, values);
	status = config_sql_load(config, values, err);
out:
	sqlite3_finalize(statement);
	buffer_finish(&sql);
	return sqlite_leave(store, status);
}

static int insert_section(struct sqlite_store *store, const char *config_key,
			  enum config_section section, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	struct buffer sql;
	int status;

	buffer_init(&sql);
	config_sql_insert(&sql, &sqlite_dialect, section);
	status = sqlite_prepare_buffer(store, &sql, &statement, err);
	if (status == 0) {
		sqlite_bind_string(statement, 1, config_key);
		status = sqlite_run(store, statement, err);
	}
	sqlite3_finalize(statement);
	buffer_finish(&sql);
	return status;
}

static int update_section(struct sqlite_store *store, const char *config_key,
			  enum config_section section,
			  const struct config_change *changes, size_t count,
			  struct error *err)
{
	sqlite3_stmt *statement = NULL;
	struct buffer sql;
	int parameter = 2;
	int status;

	buffer_init(&sql);
	config_sql_update(&sql, &sqlite_dialect, section, changes, count);
	status = sqlite_prepare_buffer(store, &sql, &statement, err);
	if (status == 0) {
		sqlite_bind_string(statement, 1, config_key);
		for (size_t i = 0; i < count; i++)
			if (changes[i].field->section == section)
				sqlite_bind_span(statement, parameter++,
						 config_sql_value(&changes[i]));
		status = sqlite_run(store, statement, err);
	}
	sqlite3_finalize(statement);
	buffer_finish(&sql);
	return status;
}

static int save_sections(struct sqlite_store *store, const char *config_key,
			 const struct config_change *changes, size_t count,
			 struct error *err)
{
	int status = insert_section(store, config_key, CONFIG_COMMON, err);

	for (int i = CONFIG_COMMON; status == 0 && i <= CONFIG_MQTT; i++) {
		enum config_section section = (enum config_section)i;

		if (!config_sql_touches(section, changes, count))
			continue;
		if (section != CONFIG_COMMON)
			status =
				insert_section(store, config_key, section, err);
		if (status == 0)
			status = update_section(store, config_key, section,
						changes, count, err);
	}
	return status;
}

int sqlite_config_save(struct store *base, const char *config_key,
		       const struct config_change *changes, size_t count,
		       struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	int status = sqlite_enter(store, err);

	if (status < 0)
		return status;
	status = sqlite_begin(store, true, err);
	if (status == 0) {
		status = save_sections(store, config_key, changes, count, err);
		status = sqlite_end(store, status, err);
	}
	return sqlite_leave(store, status);
}
