/* SPDX-License-Identifier: MIT */
/*
 * What a step function waits for: it fills one of these and returns, and
 * whoever runs it polls, or advances a virtual clock.
 */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include <poll.h>

#include "base/clock.h"

enum { WAIT_MAX_FDS = 4 };

struct wait {
	usec_t until; /* monotonic; USEC_NEVER: only the descriptors count */
	struct pollfd fds[WAIT_MAX_FDS];
	nfds_t count;
};

static inline void wait_init(struct wait *wait)
{
	wait->until = USEC_NEVER;
	wait->count = 0;
}

/* Ends the wait at `deadline` at the latest. */
static inline void wait_until(struct wait *wait, usec_t deadline)
{
	if (deadline < wait->until)
		wait->until = deadline;
}

/* Ends the wait when fd is ready; a negative fd is ignored. */
static inline void wait_for(struct wait *wait, int fd, short events)
{
	if (fd >= 0 && wait->count < WAIT_MAX_FDS)
		wait->fds[wait->count++] =
			(struct pollfd){.fd = fd, .events = events};
}

#endif
