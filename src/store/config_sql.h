/* SPDX-License-Identifier: MIT */
/* The config's SQL, generated from config_fields. Shared by the SQL drivers. */
#ifndef STORE_CONFIG_SQL_H
#define STORE_CONFIG_SQL_H

#include "store/query.h"

/* What config_sql_select gives, in this order; then every field of
 * config_fields, in theirs. A NUL follows each value. */
enum {
	CONFIG_SQL_KEY,
	CONFIG_SQL_VERSION,
	CONFIG_SQL_WORKER_STATUS,
	CONFIG_SQL_WORKER_HEARTBEAT_AT,
	CONFIG_SQL_WORKER_LAST_ERROR,
	CONFIG_SQL_UPDATED_AT,
	CONFIG_SQL_FIELDS,
	CONFIG_SQL_MAX = 80, /* columns at most */
};

/* Selects the config of parameter 1, or with `all` every one by its key. */
void config_sql_select(struct buffer *sql, const struct dialect *dialect,
		       bool all);

/* STATUS_NOT_FOUND, and what to do about it. */
int config_sql_missing(const char *config_key, struct error *err);

/* Inits *config from one row of that statement. STATUS_INVALID names the
 * column whose value cannot be. */
int config_sql_load(struct runtime_config *config, const struct span *values,
		    struct error *err);

/*
 * What a listing shows of that row: the fields of its broker, defaults where
 * null, a literal password hidden. Gives how many of `columns`, which has room
 * for CONFIG_SQL_MAX.
 */
size_t config_sql_columns(const struct span *values, struct column *columns);

/* Whether any of the changes is in that section. */
bool config_sql_touches(enum config_section section,
			const struct config_change *changes, size_t count);

/* Inserts the section's row for the config key, parameter 1, unless it is
 * there. CONFIG_COMMON goes first. */
void config_sql_insert(struct buffer *sql, const struct dialect *dialect,
		       enum config_section section);

/*
 * Writes a section's changes for the config key, parameter 1; the values, in
 * the order of the changes that are in the section, follow as 2 and up.
 */
void config_sql_update(struct buffer *sql, const struct dialect *dialect,
		       enum config_section section,
		       const struct config_change *changes, size_t count);

/* What a change writes: null means back to the default. */
struct span config_sql_value(const struct config_change *change);

#endif
