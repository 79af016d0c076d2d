/* SPDX-License-Identifier: MIT */
/*
 * Bugs to be found and places to die at, for a build that is tested: `meson
 * setup -Dtesting=true`. In any other build all of this compiles to nothing.
 *
 * POSTBUS_BUG=name plants a bug. POSTBUS_CRASH=name:n ends the process with
 * SIGKILL when it passes that place for the n-th time (the first, without n);
 * POSTBUS_CRASH=count writes to stderr at the end how often it has passed
 * which. `list` names them all. A name that is not known ends the program at
 * its start.
 */
#ifndef BASE_TESTING_H
#define BASE_TESTING_H

#include <stdbool.h>

#ifdef POSTBUS_TESTING

/* True if this is the bug to be found. The name must be in the table. */
bool testing_bug(const char *name);

/* Does not return if it is here that the process is to die. Any thread. */
void testing_crash_point(const char *name);

#else
#define testing_bug(name) false
#define testing_crash_point(name) ((void)0)
#endif

#endif
