/* SPDX-License-Identifier: MIT */
/* The system's clocks. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static usec_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (usec_t)now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

usec_t clock_monotonic(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

usec_t clock_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

void clock_format(usec_t wall, char text[CLOCK_TEXT_SIZE])
{
	time_t seconds = (time_t)(wall / USEC_PER_SEC);
	struct tm utc;
	size_t len;

	gmtime_r(&seconds, &utc);
	len = strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &utc);
	snprintf(text + len, CLOCK_TEXT_SIZE - len, ".%06u",
		 (unsigned)(wall % USEC_PER_SEC) % 1000000u);
}
