/* SPDX-License-Identifier: MIT */
/* The process that runs the lanes of one config key. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "base/error.h"

struct worker_options {
	const char *database_url;
	const char *config_key;
	const char *broker_type; /* NULL: as configured */
};

/*
 * Runs until SIGTERM or SIGINT, then drains within five seconds and returns 0.
 * Fails at once only for what no waiting mends: a database that does not exist
 * or is not migrated, a URL that cannot be used. Everything else is logged
 * once and tried again. Takes over the process's signals; call it from main.
 */
int worker_run(const struct worker_options *options, struct error *err);

#endif
