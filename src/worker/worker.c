/* SPDX-License-Identifier: MIT */
/* The worker: runs the lanes, watches the config, tells how it goes. */
#include "worker/worker.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/testing.h"
#include "store/store.h"
#include "worker/runner.h"
#include "worker/signals.h"

enum { LANES = 2, HOST_SIZE = 256 };

static const usec_t look_every = USEC_PER_SEC; /* at the config's version */
static const usec_t drain_within = 4 * USEC_PER_SEC;
static const usec_t call_limit = 2 * USEC_PER_SEC; /* of a store */

struct lane {
	struct runner *runner; /* NULL: not running */
	struct lane_report report;
	char since[CLOCK_TEXT_SIZE]; /* of report.told */
};

struct worker {
	const struct worker_options *options;
	struct store *store;
	char id[UUID_TEXT_SIZE];
	char hostname[HOST_SIZE];
	int notify_fd;
	bool stop;
	bool store_away; /* the last call to the store failed */
	usec_t look_at;
	usec_t beat_at;

	bool configured; /* `config` is what the lanes run by */
	struct runtime_config config;
	int64_t seen_version; /* of the row; 0: it is to be read */
	struct error unfit;   /* why `config` is not the row, or empty */
	struct error lame;    /* why a lane is missing, or empty */
	struct error trouble; /* the worker's own, as last logged */
	struct lane lanes[LANES];
	uint64_t moved; /* messages of all lanes, at the last look */
	bool swollen;	/* memory has not been given back since */
};

/* ---- telling ---- */

/* Logs once what is wrong with the worker itself; NULL, empty: it is over. */
static void trouble(struct worker *worker, const struct error *why)
{
	if (why == NULL || why->text[0] == '\0') {
		if (worker->trouble.text[0] != '\0')
			log_event(LOG_LEVEL_INFO, "recovered", "from",
				  worker->trouble.text, NULL);
		worker->trouble = (struct error){0};
	} else if (strcmp(why->text, worker->trouble.text) != 0) {
		log_event(LOG_LEVEL_WARNING, "trouble", "error", why->text,
			  NULL);
		worker->trouble = *why;
	}
}

/* True if it has changed. */
static bool look_at_lane(struct lane *lane)
{
	uint64_t seen = lane->report.changes;

	if (lane->runner == NULL)
		return false;
	runner_report(lane->runner, &lane->report);
	if (lane->report.changes == seen)
		return false;
	clock_format(clock_wall(), lane->since);
	return true;
}

/* The database is told at once too, whatever the heartbeat's interval. */
static void look_at_lanes(struct worker *worker)
{
	for (int i = 0; i < LANES; i++)
		if (look_at_lane(&worker->lanes[i]))
			worker->beat_at = 0;
}

/* ---- heartbeat ---- */

static const char *lane_state(const struct lane *lane)
{
	return lane->runner == NULL ? NULL
				    : lane_state_name(lane->report.state);
}

/* "relay away since ...: why", of the lanes that are in trouble. */
static const char *last_error(const struct worker *worker, char *text,
			      size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	if (worker->trouble.text[0] != '\0')
		len += (size_t)snprintf(text, size, "%s", worker->trouble.text);
	for (int i = 0; i < LANES; i++) {
		const struct lane *lane = &worker->lanes[i];

		if (lane->runner == NULL || len >= size ||
		    !lane_is_troubled(&lane->report))
			continue;
		len += (size_t)snprintf(
			text + len, size - len, "%s%s %s since %.19s: %s",
			len > 0 ? "; " : "", runner_name((enum runner_kind)i),
			lane_state_name(lane->report.told), lane->since,
			lane->report.error.text);
	}
	return text[0] == '\0' ? NULL : text;
}

static void fill_heartbeat(struct worker *worker, struct heartbeat *beat,
			   char *text, size_t size)
{
	*beat = (struct heartbeat){
		.worker_id = worker->id,
		.config_key = worker->options->config_key,
		.hostname = worker->hostname,
		.pid = getpid(),
		.version = POSTBUS_VERSION,
		.broker_type =
			worker->configured ? worker->config.broker_type : NULL,
		.relay_state = lane_state(&worker->lanes[RUNNER_RELAY]),
		.intake_state = lane_state(&worker->lanes[RUNNER_INTAKE]),
		.config_version =
			worker->configured ? worker->config.version : 0,
		.last_error = last_error(worker, text, size),
		.worker_status = !worker->configured ? "waiting"
				 : worker->stop	     ? "draining"
						     : "running",
	};
}

static usec_t beat_interval(const struct worker *worker)
{
	double seconds = worker->store->driver->heartbeat_seconds;

	if (worker->configured && worker->config.heartbeat_interval_seconds > 0)
		seconds = worker->config.heartbeat_interval_seconds;
	return (usec_t)(seconds * USEC_PER_SEC);
}

static void beat(struct worker *worker, usec_t now)
{
	struct heartbeat heartbeat;
	struct error err;
	char text[2 * sizeof(err.text)];

	worker->beat_at = now + beat_interval(worker);
	if (worker->store_away)
		return;
	fill_heartbeat(worker, &heartbeat, text, sizeof(text));
	testing_crash_point("heartbeat");
	if (worker->store->driver->heartbeat(worker->store, &heartbeat, &err) ==
	    0)
		return;
	worker->store_away = true;
	trouble(worker, &err);
}

/* ---- lanes ---- */

static bool lane_wanted(const struct worker *worker, enum runner_kind kind)
{
	return kind == RUNNER_RELAY ? worker->config.relay_enabled
				    : worker->config.intake_enabled;
}

static void start_lane(struct worker *worker, enum runner_kind kind)
{
	struct lane *lane = &worker->lanes[kind];
	struct runner_options options = {
		.kind = kind,
		.database_url = worker->options->database_url,
		.config = &worker->config,
		.notify_fd = worker->notify_fd,
	};

	if (lane->runner != NULL || !lane_wanted(worker, kind))
		return;
	*lane = (struct lane){0};
	(void)runner_start(&lane->runner, &options, &worker->lame);
}

/* Those that are wanted and not there yet; the next look tries again. */
static void start_lanes(struct worker *worker)
{
	worker->lame = (struct error){0};
	for (int i = 0; worker->configured && i < LANES; i++)
		start_lane(worker, (enum runner_kind)i);
}

/* Waits for a change of some lane's. The heart beats on, lest a standby takes
 * us for dead, as long as a database that is silent costs no deadline. */
static void attend(struct worker *worker, usec_t deadline)
{
	struct pollfd fd = {worker->notify_fd, POLLIN, 0};
	usec_t now;
	eventfd_t count;

	poll(&fd, 1, 100);
	eventfd_read(worker->notify_fd, &count);
	look_at_lanes(worker);
	now = clock_monotonic();
	if (now >= worker->beat_at && now + call_limit < deadline)
		beat(worker, now);
}

/* Drains all lanes at once; what they reach last is told. */
static void stop_lanes(struct worker *worker)
{
	usec_t deadline = clock_monotonic() + drain_within;

	testing_crash_point("drain");
	for (int i = 0; i < LANES; i++)
		if (worker->lanes[i].runner != NULL)
			runner_drain(worker->lanes[i].runner, deadline);
	for (int i = 0; i < LANES; i++) {
		struct lane *lane = &worker->lanes[i];

		if (lane->runner == NULL)
			continue;
		while (lane->report.state != LANE_STOPPED)
			attend(worker, deadline);
		runner_join(lane->runner);
		lane->runner = NULL;
	}
}

/* ---- config ---- */

static void drop_config(struct worker *worker)
{
	if (!worker->configured)
		return;
	stop_lanes(worker);
	config_destroy(&worker->config);
	worker->configured = false;
}

/* Takes the new config over; the lanes restart by it. */
static void adopt(struct worker *worker, struct runtime_config *config)
{
	drop_config(worker);
	worker->config = *config;
	worker->configured = true;
	log_event(LOG_LEVEL_INFO, "config", "key", worker->options->config_key,
		  "broker", config->broker_type, "host", config->host, NULL);
	testing_crash_point("configured");
	start_lanes(worker);
}

static int load_config(struct worker *worker, struct runtime_config *config,
		       struct error *err)
{
	const char *broker_type = worker->options->broker_type;
	int status = worker->store->driver->config_load(
		worker->store, worker->options->config_key, config, err);

	if (status < 0)
		return status;
	worker->seen_version = config->version;
	if (broker_type != NULL)
		config->broker_type = broker_type;
	status = config_finish(config, err);
	if (status < 0)
		config_destroy(config);
	return status;
}

/* A config that is not good keeps the last good one at work. */
static void reload(struct worker *worker)
{
	struct runtime_config config;
	int status = load_config(worker, &config, &worker->unfit);

	if (status == 0 && !config.is_active) {
		config_destroy(&config);
		status = error_set(&worker->unfit, STATUS_NOT_FOUND,
				   "config '%s' is not active; `postbus config "
				   "activate %s` starts it",
				   worker->options->config_key,
				   worker->options->config_key);
	}
	if (status == STATUS_NOT_FOUND)
		drop_config(worker);
	if (status == 0)
		worker->unfit = (struct error){0};
	trouble(worker, &worker->unfit);
	if (status == 0)
		adopt(worker, &config);
	worker->beat_at = 0;
}

static void keep_running(struct worker *worker)
{
	start_lanes(worker);
	trouble(worker,
		worker->lame.text[0] != '\0' ? &worker->lame : &worker->unfit);
}

static void look_at_config(struct worker *worker, usec_t now)
{
	int64_t version = 0;
	struct error err;
	int status = worker->store->driver->config_version(
		worker->store, worker->options->config_key, &version, &err);

	worker->look_at = now + look_every;
	if (worker->store_away)
		worker->beat_at = now;
	worker->store_away = status < 0 && status != STATUS_NOT_FOUND;
	if (status == STATUS_NOT_FOUND) {
		worker->seen_version = 0;
		drop_config(worker);
		error_set(&err, STATUS_NOT_FOUND,
			  "there is no config '%s' yet; `postbus config set %s "
			  "...` makes one",
			  worker->options->config_key,
			  worker->options->config_key);
	}
	if (status < 0)
		trouble(worker, &err);
	else if (version != worker->seen_version)
		reload(worker);
	else
		keep_running(worker);
}

/* ---- signals ---- */

/* SIGHUP: whatever the config's version, its files may have changed too. */
static void read_signals(struct worker *worker)
{
	bool hangup;

	signals_read(&worker->stop, &hangup);
	if (hangup)
		worker->look_at = worker->seen_version = 0;
}

/* ---- the process ---- */

/* A database server that is away at the start will come. */
static int open_store(struct worker *worker, struct error *err)
{
	int status;

	for (;;) {
		status = store_open(&worker->store,
				    worker->options->database_url, false, err);
		if (status == 0)
			status = store_check_schema(worker->store, err);
		if (status == 0)
			trouble(worker, NULL);
		if (status != STATUS_AWAY || worker->stop)
			return status;
		if (worker->store != NULL)
			worker->store->driver->close(worker->store);
		worker->store = NULL;
		trouble(worker, err);
		poll(&(struct pollfd){signals_fd(), POLLIN, 0}, 1, 1000);
		read_signals(worker);
	}
}

/* What a burst has taken goes back to the system once nothing moves. */
static void give_memory_back(struct worker *worker)
{
	uint64_t moved = 0;

	for (int i = 0; i < LANES; i++)
		moved += worker->lanes[i].report.messages +
			 worker->lanes[i].report.failures;
	if (moved == worker->moved && worker->swollen)
		malloc_trim(0);
	worker->swollen = moved != worker->moved;
	worker->moved = moved;
}

static void turn(struct worker *worker)
{
	usec_t now = clock_monotonic();
	struct pollfd fds[] = {{signals_fd(), POLLIN, 0},
			       {worker->notify_fd, POLLIN, 0}};
	eventfd_t count;
	usec_t until;

	if (now >= worker->look_at) {
		look_at_config(worker, now);
		give_memory_back(worker);
	}
	if (now >= worker->beat_at)
		beat(worker, now);
	until = worker->look_at < worker->beat_at ? worker->look_at
						  : worker->beat_at;
	poll(fds, 2, until <= now ? 0 : (int)((until - now) / 1000) + 1);
	eventfd_read(worker->notify_fd, &count);
	read_signals(worker);
	look_at_lanes(worker);
}

static void say_farewell(struct worker *worker)
{
	struct heartbeat heartbeat;
	struct error err;
	char text[2 * sizeof(err.text)];

	if (worker->store_away)
		return;
	fill_heartbeat(worker, &heartbeat, text, sizeof(text));
	testing_crash_point("farewell");
	if (worker->store->driver->farewell(worker->store, &heartbeat, &err) <
	    0)
		trouble(worker, &err);
}

static void run(struct worker *worker)
{
	log_event(LOG_LEVEL_INFO, "started", "version", POSTBUS_VERSION, "key",
		  worker->options->config_key, "database",
		  worker->store->driver->name, NULL);
	while (!worker->stop)
		turn(worker);
	if (worker->configured)
		beat(worker, clock_monotonic());
	drop_config(worker);
	say_farewell(worker);
	log_event(LOG_LEVEL_INFO, "stopped", NULL);
}

/* One heap for all threads, which keeps what batches use again and again; only
 * what is larger than those is mapped, and goes at once. */
static void share_one_heap(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 2 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 8 * 1024 * 1024);
}

static int make_notify_fd(struct worker *worker, struct error *err)
{
	worker->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->notify_fd >= 0)
		return 0;
	return error_set(err, STATUS_FAILED, "cannot make a descriptor: %s",
			 strerror(errno));
}

int worker_run(const struct worker_options *options, struct error *err)
{
	struct worker worker = {.options = options, .notify_fd = -1};
	int status;

	share_one_heap();
	uuid_generate(worker.id);
	gethostname(worker.hostname, sizeof(worker.hostname) - 1);
	status = signals_watch(err);
	if (status == 0)
		status = make_notify_fd(&worker, err);
	if (status == 0)
		status = open_store(&worker, err);
	if (status == 0)
		run(&worker);
	if (worker.store != NULL)
		worker.store->driver->close(worker.store);
	if (worker.notify_fd >= 0)
		close(worker.notify_fd);
	return worker.stop ? 0 : status;
}
