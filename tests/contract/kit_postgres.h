/* SPDX-License-Identifier: MIT */
/* What only tests of the PostgreSQL driver need. */
#ifndef CONTRACT_KIT_POSTGRES_H
#define CONTRACT_KIT_POSTGRES_H

#include <libpq-fe.h>

#include "store_kit.h"

/* Where the server is. */
struct kit_server {
	char user[64];
	char host[64];
	char port[8];
	char database[64];
};
struct kit_server kit_postgres_server(void);

/* Whether there is one; if not, says that the tests are skipped. */
bool kit_postgres_found(void);

/* main of a program of tests for this driver. */
#define kit_postgres_run(name, tests, count)                                 \
	(kit_driver = &kit_postgres,                                         \
	 kit_postgres_found() ? _cmocka_run_group_tests((name), (tests),     \
							(count), NULL, NULL) \
			      : 0)

/* A connection whose search_path is the kit's schema; the caller finishes it.
 */
PGconn *kit_postgres_connect(const struct kit *kit);

/* As kit->driver->sql, on a connection that stays. */
const char *kit_postgres_sql(struct kit *kit, PGconn *conn, const char *sql);

/* A second store on the kit's database; its sessions go by the name of
 * kit->place. */
struct store *kit_postgres_open_named(struct kit *kit);

#endif
