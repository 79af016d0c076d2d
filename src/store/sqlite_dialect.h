/* SPDX-License-Identifier: MIT */
/* SQLite's side of the generated statements. */
#ifndef STORE_SQLITE_DIALECT_H
#define STORE_SQLITE_DIALECT_H

#include "store/query.h"
#include "store/sqlite.h"

extern const struct dialect sqlite_dialect;

/* Prepares what was built, for once: the caller finalizes. */
int sqlite_prepare_buffer(struct sqlite_store *store, const struct buffer *sql,
			  sqlite3_stmt **statement, struct error *err);

/* One row of config_sql_select. */
void sqlite_config_values(sqlite3_stmt *statement, struct span *values);

#endif
