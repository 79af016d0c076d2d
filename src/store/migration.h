/* SPDX-License-Identifier: MIT */
/* The numbered SQL files under schema/, as the build embeds them. */
#ifndef STORE_MIGRATION_H
#define STORE_MIGRATION_H

/* The i-th brings the schema to version i + 1, and says so itself in
 * event_bus_schema_version. */
struct migration {
	const char *name; /* NULL after the last */
	const char *sql;
};

extern const struct migration migrations_sqlite[];
extern const struct migration migrations_postgres[];

#endif
