/* SPDX-License-Identifier: MIT */
/* What tests of the SQLite driver alone use besides. */
#ifndef CONTRACT_KIT_SQLITE_H
#define CONTRACT_KIT_SQLITE_H

#include <sqlite3.h>

#include "store_kit.h"

/* A connection of an application's, the caller's to close. */
sqlite3 *kit_sqlite_open(struct kit *kit);
const char *kit_sqlite_path(const struct kit *kit);

#endif
