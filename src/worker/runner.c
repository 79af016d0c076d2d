/* SPDX-License-Identifier: MIT */
/* The thread of a lane: step, then poll, then step. */
#include "worker/runner.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wait.h"
#include "broker/broker.h"
#include "bus/intake.h"
#include "bus/relay.h"
#include "store/store.h"

enum { STACK_BYTES = 512 * 1024 };

struct runner {
	struct runner_options options;
	pthread_t thread;
	int wake_fd;		      /* readable once asked to drain */
	_Atomic usec_t drain_by;      /* USEC_NEVER: not asked */
	pthread_mutex_t report_mutex; /* guards `report` */
	struct lane_report report;

	/* The thread's own. */
	struct store *store;
	struct broker *broker;
	struct relay *relay;
	struct intake *intake;
	bool told_to_drain;
};

const char *runner_name(enum runner_kind kind)
{
	return kind == RUNNER_RELAY ? "relay" : "intake";
}

/* ---- the report ---- */

static void log_state(enum runner_kind kind, const struct lane_report *report)
{
	bool troubled = lane_is_troubled(report);

	log_event(troubled ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		  runner_name(kind), "state", lane_state_name(report->told),
		  "error", troubled ? report->error.text : NULL, NULL);
}

static void publish_report(struct runner *runner,
			   const struct lane_report *report)
{
	bool changed = report->changes != runner->report.changes;

	pthread_mutex_lock(&runner->report_mutex);
	runner->report = *report;
	pthread_mutex_unlock(&runner->report_mutex);
	if (!changed)
		return;
	log_state(runner->options.kind, report);
	eventfd_write(runner->options.notify_fd, 1);
}

void runner_report(struct runner *runner, struct lane_report *report)
{
	pthread_mutex_lock(&runner->report_mutex);
	*report = runner->report;
	pthread_mutex_unlock(&runner->report_mutex);
}

/* ---- the thread ---- */

static void sleep_until_ready(struct runner *runner, struct wait *wait)
{
	usec_t now = clock_monotonic();
	struct timespec timeout;
	usec_t left = wait->until > now ? wait->until - now : 0;

	if (!runner->told_to_drain)
		wait_for(wait, runner->wake_fd, POLLIN);
	timeout.tv_sec = left / USEC_PER_SEC;
	timeout.tv_nsec = left % USEC_PER_SEC * 1000;
	ppoll(wait->fds, wait->count,
	      wait->until == USEC_NEVER ? NULL : &timeout, NULL);
}

/* What the lane is before it has what it needs: the reason is told. */
static void report_failure(struct runner *runner, enum lane_state state,
			   const struct error *why)
{
	struct lane_report report = runner->report;

	lane_set_state(&report, state, why);
	publish_report(runner, &report);
}

static bool asked_to_drain(const struct runner *runner)
{
	return runner->drain_by != USEC_NEVER;
}

static usec_t next_try(const struct runner *runner)
{
	double seconds = runner->options.config->retry_interval_seconds;

	return clock_monotonic() + (usec_t)(seconds * USEC_PER_SEC);
}

static int make_lane(struct runner *runner, struct error *err)
{
	const struct runtime_config *config = runner->options.config;

	if (runner->options.kind == RUNNER_RELAY)
		return relay_create(&runner->relay, config, runner->store,
				    runner->broker, random_seed(), err);
	return intake_create(&runner->intake, config, runner->store,
			     runner->broker, err);
}

static int open_all(struct runner *runner, struct error *err)
{
	const struct runner_options *options = &runner->options;
	enum broker_role role = options->kind == RUNNER_RELAY ? BROKER_PUBLISHER
							      : BROKER_CONSUMER;
	int status = 0;

	if (runner->store == NULL)
		status = store_open(&runner->store, options->database_url,
				    false, err);
	if (status == 0 && runner->broker == NULL)
		status = broker_create(&runner->broker, options->config, role,
				       err);
	return status < 0 ? status : make_lane(runner, err);
}

/* False when asked to drain before everything could be opened. */
static bool open_for_ever(struct runner *runner)
{
	struct error err;
	struct wait wait;

	while (open_all(runner, &err) < 0) {
		report_failure(runner, LANE_STALLED, &err);
		if (asked_to_drain(runner))
			return false;
		wait_init(&wait);
		wait_until(&wait, next_try(runner));
		sleep_until_ready(runner, &wait);
	}
	return true;
}

static const struct lane_report *step(struct runner *runner, struct wait *wait)
{
	usec_t now = clock_monotonic();

	if (runner->relay != NULL) {
		relay_step(runner->relay, now, wait);
		return relay_report(runner->relay);
	}
	intake_step(runner->intake, now, wait);
	return intake_report(runner->intake);
}

static void drain(struct runner *runner)
{
	runner->told_to_drain = true;
	if (runner->relay != NULL)
		relay_drain(runner->relay, runner->drain_by);
	else
		intake_drain(runner->intake, runner->drain_by);
}

/* What the lane has done in its life. */
static void log_counts(enum runner_kind kind, const struct lane_report *report)
{
	bool relay = kind == RUNNER_RELAY;
	char messages[24], failures[24], others[24];

	snprintf(messages, sizeof(messages), "%" PRIu64, report->messages);
	snprintf(failures, sizeof(failures), "%" PRIu64, report->failures);
	snprintf(others, sizeof(others), "%" PRIu64,
		 relay ? report->unroutable : report->duplicates);
	log_event(LOG_LEVEL_INFO, runner_name(kind), "messages", messages,
		  "failures", failures, relay ? "unroutable" : "duplicates",
		  others, NULL);
}

static void run(struct runner *runner)
{
	const struct lane_report *report;
	struct wait wait;

	for (;;) {
		if (asked_to_drain(runner) && !runner->told_to_drain)
			drain(runner);
		report = step(runner, &wait);
		publish_report(runner, report);
		if (report->state == LANE_STOPPED)
			break;
		sleep_until_ready(runner, &wait);
	}
	log_counts(runner->options.kind, report);
}

static void *thread_main(void *argument)
{
	struct runner *runner = argument;

	if (open_for_ever(runner))
		run(runner);
	else
		report_failure(runner, LANE_STOPPED, NULL);
	relay_destroy(runner->relay);
	intake_destroy(runner->intake);
	if (runner->broker != NULL)
		runner->broker->driver->destroy(runner->broker);
	if (runner->store != NULL)
		runner->store->driver->close(runner->store);
	return NULL;
}

/* ---- the owner's side ---- */

static int start_thread(struct runner *runner)
{
	pthread_attr_t attributes;
	int code;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	code = pthread_create(&runner->thread, &attributes, thread_main,
			      runner);
	pthread_attr_destroy(&attributes);
	return code;
}

static void free_runner(struct runner *runner)
{
	if (runner->wake_fd >= 0)
		close(runner->wake_fd);
	pthread_mutex_destroy(&runner->report_mutex);
	free(runner);
}

int runner_start(struct runner **out, const struct runner_options *options,
		 struct error *err)
{
	struct runner *runner = calloc(1, sizeof(*runner));
	int code;

	if (runner == NULL)
		return error_set(err, STATUS_NO_MEMORY, "no memory for a lane");
	runner->options = *options;
	runner->drain_by = USEC_NEVER;
	pthread_mutex_init(&runner->report_mutex, NULL);
	runner->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	code = runner->wake_fd < 0 ? errno : start_thread(runner);
	if (code != 0) {
		free_runner(runner);
		return error_set(err, STATUS_FAILED, "cannot start the %s: %s",
				 runner_name(options->kind), strerror(code));
	}
	*out = runner;
	return 0;
}

void runner_drain(struct runner *runner, usec_t deadline)
{
	runner->drain_by = deadline;
	eventfd_write(runner->wake_fd, 1);
}

void runner_join(struct runner *runner)
{
	if (runner == NULL)
		return;
	pthread_join(runner->thread, NULL);
	free_runner(runner);
}
