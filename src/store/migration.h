/* SPDX-License-Identifier: MIT */
/* The numbered SQL files under schema/, as the build embeds them. */
#ifndef STORE_MIGRATION_H
#define STORE_MIGRATION_H

#include <stddef.h>

/* The i-th brings the schema to version i + 1, and says so itself in
 * event_bus_schema_version. */
struct migration {
	const char *name; /* NULL after the last */
	const char *sql;
};

static inline int migration_count(const struct migration *migrations)
{
	int count = 0;

	while (migrations[count].name != NULL)
		count++;
	return count;
}

extern const struct migration migrations_sqlite[];
extern const struct migration migrations_postgres[];

#endif
