/* SPDX-License-Identifier: MIT */
/* Exponential back-off with full jitter. */
#include "bus/retry.h"

#include <math.h>

usec_t retry_delay(const struct runtime_config *config, int64_t attempt,
		   struct random *random)
{
	double doublings = attempt < 64 ? (double)(attempt - 1) : 63;
	double seconds = fmin(config->retry_base_seconds * exp2(doublings),
			      config->retry_max_seconds);

	return (usec_t)random_below(random,
				    (uint64_t)(seconds * USEC_PER_SEC) + 1);
}
