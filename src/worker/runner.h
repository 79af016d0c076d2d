/* SPDX-License-Identifier: MIT */
/* A lane in its own thread, with its own store and broker connection. */
#ifndef WORKER_RUNNER_H
#define WORKER_RUNNER_H

#include "bus/lane.h"
#include "store/config.h"

enum runner_kind { RUNNER_RELAY, RUNNER_INTAKE };

struct runner;

struct runner_options {
	enum runner_kind kind;
	const char *database_url;
	const struct runtime_config *config;
	int notify_fd; /* an eventfd that each change of state adds 1 to */
};

/* Starts the thread; what the options point at must outlive it. */
int runner_start(struct runner **out, const struct runner_options *options,
		 struct error *err);

/* Asks the lane to finish by `deadline` (monotonic). Does not wait. */
void runner_drain(struct runner *runner, usec_t deadline);

/* Waits for the thread, which ends only after runner_drain. Accepts NULL. */
void runner_join(struct runner *runner);

/* A copy of the lane's report as of its last step. */
void runner_report(struct runner *runner, struct lane_report *report);

const char *runner_name(enum runner_kind kind); /* "relay", "intake" */

#endif
