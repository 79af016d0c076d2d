/* SPDX-License-Identifier: MIT */
/*
 * Databases in memory, memory:NAME, for tests and simulation: the SQLite
 * driver's own statements, with a clock that can be set and faults that can be
 * ordered. Every store that is opened under a name shares its database.
 *
 * A database is there from the first open with `create` until memory_drop.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store/store.h"

/* What all of them take for now, in microseconds since 1970; milliseconds
 * count. 0: the system's clock again. */
void memory_set_clock(usec_t wall);

enum memory_fault {
	MEMORY_CALL_FAILS,   /* STATUS_AWAY, nothing done */
	MEMORY_SESSION_DIES, /* STATUS_AWAY, nothing done, the lock is lost */
	MEMORY_REPLY_LOST,   /* committed; STATUS_UNKNOWN, the lock is lost */
};

/* The next `times` calls to stores of that database, or commits of theirs for
 * MEMORY_REPLY_LOST, meet the fault. 0: no longer. */
void memory_fail(const char *name, enum memory_fault fault, unsigned times);

/* Forgets the database. No store of it may be open. */
void memory_drop(const char *name);

#endif
