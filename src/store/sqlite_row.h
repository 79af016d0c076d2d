/* SPDX-License-Identifier: MIT */
/* One outbox row, read whatever an application has put there. */
#ifndef STORE_SQLITE_ROW_H
#define STORE_SQLITE_ROW_H

#include "store/sqlite.h"

/*
 * Reads a row into *row, its memory in the arena. A row whose content is of
 * no use (a BLOB, no number, gigabytes) comes with `broken` set.
 */
int sqlite_read_row(struct sqlite_store *store, int64_t seq, const char *now,
		    struct arena *arena, struct outbox_row *row,
		    struct error *err);

/* STATUS_BUSY unless the lock is ours. */
int sqlite_check_lock(struct sqlite_store *store, struct error *err);

#endif
