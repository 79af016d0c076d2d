/* SPDX-License-Identifier: MIT */
/* What only tests of the PostgreSQL driver need. */
#ifndef CONTRACT_KIT_POSTGRES_H
#define CONTRACT_KIT_POSTGRES_H

#include <libpq-fe.h>

#include "store_kit.h"

/* A connection whose search_path is the kit's schema; the caller finishes it.
 */
PGconn *kit_postgres_connect(const struct kit *kit);

/* As kit->driver->sql, on a connection that stays. */
const char *kit_postgres_sql(struct kit *kit, PGconn *conn, const char *sql);

#endif
