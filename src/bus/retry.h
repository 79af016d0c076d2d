/* SPDX-License-Identifier: MIT */
/* How long a failed row waits. */
#ifndef BUS_RETRY_H
#define BUS_RETRY_H

#include "base/clock.h"
#include "base/random.h"
#include "store/config.h"

/*
 * Exponential back-off with full jitter: uniform between nothing and
 * retry_base_seconds * 2^(attempt - 1), the latter capped by
 * retry_max_seconds. `attempt` counts the failed ones, from 1.
 */
usec_t retry_delay(const struct runtime_config *config, int64_t attempt,
		   struct random *random);

#endif
