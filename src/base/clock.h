/* SPDX-License-Identifier: MIT */
/*
 * Time, in microseconds. Only the worker and the CLI read clocks; everything
 * below is told what time it is.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

typedef int64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC ((usec_t)1000000)
#define USEC_NEVER INT64_MAX

/* Never goes backwards; its zero means nothing. Goes on in suspend. */
usec_t clock_monotonic(void);

/* Since 1970-01-01 UTC. */
usec_t clock_wall(void);

/* "YYYY-MM-DD HH:MM:SS.ffffff" in UTC. */
enum { CLOCK_TEXT_SIZE = 27 };
void clock_format(usec_t wall, char text[CLOCK_TEXT_SIZE]);

#endif
