/* SPDX-License-Identifier: MIT */
/* From the table of settings to statements and back. */
#include "store/config_sql.h"

#include <assert.h>
#include <stdlib.h>

static const char *const tables[] = {
	[CONFIG_COMMON] = "event_bus_runtime_config",
	[CONFIG_RABBITMQ] = "event_bus_rabbitmq_settings",
	[CONFIG_MQTT] = "event_bus_mqtt_settings",
};

void config_sql_select(struct buffer *sql, const struct dialect *dialect,
		       bool all)
{
	const char *prefix = dialect->prefix;

	assert(CONFIG_SQL_FIELDS + config_field_count <= CONFIG_SQL_MAX);
	buffer_append_text(sql, "SELECT c.config_key, c.version, "
				"c.worker_status, ");
	dialect->time(sql, "c.worker_heartbeat_at");
	buffer_append_text(sql, ", c.worker_last_error, ");
	dialect->time(sql, "c.updated_at");
	for (size_t i = 0; i < config_field_count; i++)
		buffer_append_format(sql, ", %c.%s",
				     "crm"[config_fields[i].section],
				     config_fields[i].name);
	buffer_append_format(
		sql,
		" FROM %s%s c LEFT JOIN %s%s r ON r.config_id = c.id "
		"LEFT JOIN %s%s m ON m.config_id = c.id",
		prefix, tables[CONFIG_COMMON], prefix, tables[CONFIG_RABBITMQ],
		prefix, tables[CONFIG_MQTT]);
	if (all)
		buffer_append_text(sql, " ORDER BY c.config_key");
	else
		buffer_append_format(sql, " WHERE c.config_key = %c1",
				     dialect->parameter);
}

/* ---- reading ---- */

int config_sql_missing(const char *config_key, struct error *err)
{
	return error_set(err, STATUS_NOT_FOUND,
			 "there is no config %s; `postbus config set %s "
			 "name=value...` creates it",
			 config_key, config_key);
}

static int load_field(struct runtime_config *config,
		      const struct config_field *field, struct span value,
		      struct error *err)
{
	struct span canonical = SPAN_NONE;
	int status = 0;

	if (span_present(value))
		status = config_field_canonical(field, value, &config->memory,
						&canonical, err);
	if (status == 0)
		status = config_put(config, field, canonical, err);
	return status;
}

int config_sql_load(struct runtime_config *config, const struct span *values,
		    struct error *err)
{
	struct runtime_config loaded;
	struct arena scratch = {0};
	struct span key = arena_copy(&scratch, values[CONFIG_SQL_KEY]);
	struct span version = arena_copy(&scratch, values[CONFIG_SQL_VERSION]);
	int status;

	if (!span_present(key) || !span_present(version))
		status = error_set(err, STATUS_NO_MEMORY,
				   "no memory for a config");
	else
		status = config_init(&loaded, key.at, err);
	if (status < 0)
		goto out;
	loaded.version = strtoll(version.at, NULL, 10);
	for (size_t i = 0; status == 0 && i < config_field_count; i++)
		status = load_field(&loaded, &config_fields[i],
				    values[CONFIG_SQL_FIELDS + i], err);
	if (status == 0) {
		*config = loaded;
		goto out;
	}
	if (err != NULL)
		error_prefix(err, "config %s", key.at);
	config_destroy(&loaded);
out:
	arena_finish(&scratch);
	return status;
}

/* ---- listing ---- */

static const enum column_type shown_types[] = {
	[CONFIG_STRING] = COLUMN_TEXT,	   [CONFIG_CHOICE] = COLUMN_TEXT,
	[CONFIG_LIST] = COLUMN_JSON,	   [CONFIG_INTEGER] = COLUMN_INTEGER,
	[CONFIG_SECONDS] = COLUMN_INTEGER, [CONFIG_BOOLEAN] = COLUMN_BOOLEAN,
	[CONFIG_SECRET] = COLUMN_TEXT,
};

static void show(struct column *column, const char *name, enum column_type type,
		 struct span value)
{
	*column = (struct column){
		name, span_present(value) ? type : COLUMN_NULL, value};
}

static struct span shown_value(const struct config_field *field,
			       struct span value)
{
	if (!span_present(value))
		return span_of(field->initial);
	if (field->type == CONFIG_SECRET && !secret_is_reference(value.at))
		return SPAN_LIT("***");
	return value;
}

size_t config_sql_columns(const struct span *values, struct column *columns)
{
	static const struct {
		const char *name;
		int at;
		enum column_type type;
	} last[] = {
		{"version", CONFIG_SQL_VERSION, COLUMN_INTEGER},
		{"worker_status", CONFIG_SQL_WORKER_STATUS, COLUMN_TEXT},
		{"worker_heartbeat_at", CONFIG_SQL_WORKER_HEARTBEAT_AT,
		 COLUMN_TEXT},
		{"worker_last_error", CONFIG_SQL_WORKER_LAST_ERROR,
		 COLUMN_TEXT},
		{"updated_at", CONFIG_SQL_UPDATED_AT, COLUMN_TEXT},
	};
	const struct config_field *kind =
		config_field_find(SPAN_LIT("broker_type"));
	struct span broker = values[CONFIG_SQL_FIELDS + (kind - config_fields)];
	enum config_section other =
		span_is(broker, "mqtt") ? CONFIG_RABBITMQ : CONFIG_MQTT;
	size_t count = 0;

	show(&columns[count++], "config_key", COLUMN_TEXT,
	     values[CONFIG_SQL_KEY]);
	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *field = &config_fields[i];

		if (field->section != other)
			show(&columns[count++], field->name,
			     shown_types[field->type],
			     shown_value(field, values[CONFIG_SQL_FIELDS + i]));
	}
	for (size_t i = 0; i < sizeof(last) / sizeof(*last); i++)
		show(&columns[count++], last[i].name, last[i].type,
		     values[last[i].at]);
	return count;
}

/* ---- writing ---- */

bool config_sql_touches(enum config_section section,
			const struct config_change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (changes[i].field->section == section)
			return true;
	return false;
}

void config_sql_insert(struct buffer *sql, const struct dialect *dialect,
		       enum config_section section)
{
	if (section == CONFIG_COMMON)
		buffer_append_format(
			sql,
			"INSERT INTO %s%s (config_key) VALUES (%c1) "
			"ON CONFLICT (config_key) DO NOTHING",
			dialect->prefix, tables[section], dialect->parameter);
	else
		buffer_append_format(
			sql,
			"INSERT INTO %s%s (config_id) SELECT id FROM %s%s "
			"WHERE config_key = %c1 "
			"ON CONFLICT (config_id) DO NOTHING",
			dialect->prefix, tables[section], dialect->prefix,
			tables[CONFIG_COMMON], dialect->parameter);
}

void config_sql_update(struct buffer *sql, const struct dialect *dialect,
		       enum config_section section,
		       const struct config_change *changes, size_t count)
{
	int parameter = 2;

	buffer_append_format(sql, "UPDATE %s%s SET ", dialect->prefix,
			     tables[section]);
	for (size_t i = 0; i < count; i++)
		if (changes[i].field->section == section) {
			/* One of them, window, is a word of SQL's. */
			buffer_append_format(sql, "%s\"%s\" = %c%d",
					     parameter == 2 ? "" : ", ",
					     changes[i].field->name,
					     dialect->parameter, parameter);
			parameter++;
		}
	buffer_append_format(
		sql, " WHERE %s = (SELECT id FROM %s%s WHERE config_key = %c1)",
		section == CONFIG_COMMON ? "id" : "config_id", dialect->prefix,
		tables[CONFIG_COMMON], dialect->parameter);
}

struct span config_sql_value(const struct config_change *change)
{
	return span_present(change->value) ? change->value
					   : span_of(change->field->initial);
}
