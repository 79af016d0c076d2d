/* SPDX-License-Identifier: MIT */
/* The intake: batches of deliveries, committed and then acknowledged. */
#include "bus/intake.h"

#include <stdlib.h>

#include "base/testing.h"

/* A batch is committed when nothing more has arrived, or at this size. */
enum { BATCH_ROWS = 500, BATCH_BYTES = 1024 * 1024 };

static const usec_t look_every = USEC_PER_SEC;

struct intake {
	const struct runtime_config *config;
	struct store *store;
	struct broker *broker;
	struct lane_report report;
	struct envelope_limits limits;

	struct inbox_row *rows; /* taken from the broker, not committed */
	size_t count;
	uint64_t last_tag;  /* the newest delivery among them */
	struct arena arena; /* owns what the rows point at */

	bool connected;
	bool linked; /* connect was called; UP or DOWN will follow */
	usec_t connect_at;
	unsigned rivalries; /* in a row that another client took our place */
	bool stalled;	    /* the store failed; the batch waits */
	usec_t store_at;

	bool draining;
	bool closing;
	usec_t drain_by;
};

/* ---- life ---- */

int intake_create(struct intake **out, const struct runtime_config *config,
		  struct store *store, struct broker *broker, struct error *err)
{
	struct intake *intake = calloc(1, sizeof(*intake));

	if (intake != NULL)
		intake->rows = calloc(BATCH_ROWS, sizeof(*intake->rows));
	if (intake == NULL || intake->rows == NULL) {
		intake_destroy(intake);
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for an intake");
	}
	intake->config = config;
	intake->store = store;
	intake->broker = broker;
	intake->report.state = intake->report.told = LANE_AWAY;
	intake->limits = (struct envelope_limits){
		.max_message_bytes = (size_t)config->max_message_bytes,
		.max_chain_depth = (int)config->max_chain_depth,
	};
	*out = intake;
	return 0;
}

void intake_destroy(struct intake *intake)
{
	if (intake == NULL)
		return;
	arena_finish(&intake->arena);
	free(intake->rows);
	free(intake);
}

const struct lane_report *intake_report(const struct intake *intake)
{
	return &intake->report;
}

static void set_state(struct intake *intake, enum lane_state state,
		      const struct error *why)
{
	if (intake->draining && state != LANE_STOPPED)
		state = LANE_DRAINING;
	lane_set_state(&intake->report, state, why);
}

static usec_t retry_interval(const struct intake *intake)
{
	return (usec_t)(intake->config->retry_interval_seconds * USEC_PER_SEC);
}

/* ---- the batch ---- */

static void forget_batch(struct intake *intake)
{
	intake->count = 0;
	arena_reset(&intake->arena);
}

static bool batch_is_full(const struct intake *intake)
{
	return intake->count == BATCH_ROWS || intake->arena.used >= BATCH_BYTES;
}

static void store_failed(struct intake *intake, usec_t now,
			 const struct error *why)
{
	intake->stalled = true;
	intake->store_at = now + retry_interval(intake);
	if (testing_bug("stalled-forgets"))
		forget_batch(intake);
	set_state(intake, LANE_STALLED, why);
}

static void take(struct intake *intake, usec_t now,
		 const struct delivery *delivery)
{
	struct inbox_row *row = &intake->rows[intake->count];
	struct error err;

	testing_crash_point("delivered");
	if (intake_judge(row, delivery, &intake->limits, &intake->arena, &err) <
	    0) {
		/* Not taken and not acknowledged: a fresh connection
		 * delivers it again. */
		intake->broker->driver->cut(intake->broker);
		intake->connected = intake->linked = false;
		intake->connect_at = now + retry_interval(intake);
		set_state(intake, LANE_AWAY, &err);
		return;
	}
	if (!span_present(row->rejected) || !testing_bug("rejected-dropped"))
		intake->count++;
	intake->last_tag = delivery->tag;
}

/* ---- committing ---- */

static int accept_rows(struct intake *intake, size_t from, size_t count,
		       struct error *err)
{
	struct inbox_batch batch = {
		.config_key = intake->config->config_key,
		.broker_type = intake->config->broker_type,
		.rows = intake->rows + from,
		.count = count,
	};

	return intake->store->driver->accept(intake->store, &batch, err);
}

/* The database will never take this row as it is: keep it as rejected. */
static int reject_row(struct intake *intake, size_t at, struct error *err)
{
	struct inbox_row *row = &intake->rows[at];

	if (span_present(row->rejected))
		return err->status;
	row->rejected = arena_copy(&intake->arena, span_of(err->text));
	if (!span_present(row->rejected))
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a reason");
	return accept_rows(intake, at, 1, err);
}

/* Halves what the database refuses until each bad row stands alone. */
static int accept_range(struct intake *intake, size_t from, size_t count,
			struct error *err)
{
	int status = accept_rows(intake, from, count, err);

	if (status == STATUS_UNKNOWN && testing_bug("unknown-acknowledged"))
		return 0;
	if (status != STATUS_INVALID || testing_bug("batch-poisoned"))
		return status;
	if (count == 1)
		return reject_row(intake, from, err);
	status = accept_range(intake, from, count / 2, err);
	if (status < 0)
		return status;
	return accept_range(intake, from + count / 2, count - count / 2, err);
}

static void count_results(struct intake *intake)
{
	for (size_t i = 0; i < intake->count; i++) {
		switch (intake->rows[i].result) {
		case INBOX_ACCEPTED:
			intake->report.messages++;
			break;
		case INBOX_DUPLICATE:
			intake->report.duplicates++;
			break;
		case INBOX_CONFLICT:
		case INBOX_REJECTED:
			intake->report.failures++;
			break;
		}
	}
}

static void commit(struct intake *intake, usec_t now)
{
	struct error err;

	if (intake->count == 0 || (intake->stalled && now < intake->store_at))
		return;
	if (testing_bug("ack-before-commit") && !intake->stalled)
		intake->broker->driver->acknowledge(intake->broker,
						    intake->last_tag);
	testing_crash_point("accept");
	if (accept_range(intake, 0, intake->count, &err) < 0) {
		store_failed(intake, now, &err);
		return;
	}
	testing_crash_point("accepted");
	if (!testing_bug("ack-before-commit"))
		intake->broker->driver->acknowledge(intake->broker,
						    intake->last_tag);
	testing_crash_point("acknowledged");
	count_results(intake);
	forget_batch(intake);
	if (intake->stalled) {
		intake->stalled = false;
		set_state(intake, LANE_RUNNING, NULL);
	}
}

/* ---- what the broker says ---- */

/* The broker may have something to say about what it held for us. */
static void link_up(struct intake *intake, const struct error *note)
{
	intake->connected = true;
	set_state(intake, LANE_RUNNING, note);
}

/* Two clients of one identity would throw each other out for ever: each gives
 * way, for longer every time. */
static usec_t pause_before_connect(struct intake *intake,
				   const struct error *why)
{
	usec_t pause = retry_interval(intake);
	usec_t longest =
		(usec_t)(intake->config->retry_max_seconds * USEC_PER_SEC);

	if (why->status != STATUS_BUSY) {
		intake->rivalries = 0;
		return pause;
	}
	for (unsigned i = 0; i < intake->rivalries && pause < longest; i++)
		pause *= 2;
	intake->rivalries++;
	return pause;
}

/* What was not acknowledged will be delivered again. */
static void link_down(struct intake *intake, usec_t now,
		      const struct broker_event *event)
{
	/* A host that fails while others are left is not worth telling. */
	if (intake->connected || !event->another_host)
		set_state(intake, LANE_AWAY,
			  intake->closing ? NULL : &event->error);
	intake->connected = intake->linked = intake->stalled = false;
	intake->connect_at = now;
	if (!event->another_host)
		intake->connect_at +=
			pause_before_connect(intake, &event->error);
	forget_batch(intake);
}

static void handle(struct intake *intake, usec_t now,
		   const struct broker_event *event)
{
	switch (event->kind) {
	case BROKER_UP:
		link_up(intake, &event->error);
		break;
	case BROKER_DOWN:
		link_down(intake, now, event);
		break;
	case BROKER_DELIVERED:
		/* Once the goodbye is said nothing can be acknowledged. */
		if (!intake->closing)
			take(intake, now, &event->delivery);
		break;
	case BROKER_CONFIRMED:
	case BROKER_REFUSED:
	case BROKER_RETURNED:
	case BROKER_BLOCKED:
	case BROKER_UNBLOCKED:
		break; /* these are for who publishes */
	}
}

/* Asks for no more than the batch holds, and for nothing while it waits. */
static void listen_to_broker(struct intake *intake, usec_t now)
{
	struct broker_event event;

	intake->broker->driver->step(intake->broker, now);
	while (!intake->stalled && !batch_is_full(intake) &&
	       intake->broker->driver->next(intake->broker, &intake->arena,
					    &event))
		handle(intake, now, &event);
}

/* Of the intakes that would disturb each other only one connects. */
static bool holds_lock(struct intake *intake, usec_t now)
{
	const char *lane = intake->broker->lock;
	struct error err;
	int status;

	if (lane == NULL)
		return true;
	status = intake->store->driver->lock(
		intake->store, intake->config->config_key, lane, &err);
	if (status == 0)
		return true;
	if (status == STATUS_BUSY) {
		intake->connect_at = now + look_every;
		set_state(intake, LANE_STANDBY, &err);
	} else {
		intake->connect_at = now + retry_interval(intake);
		set_state(intake, LANE_STALLED, &err);
	}
	return false;
}

static void connect_if_due(struct intake *intake, usec_t now)
{
	if (intake->linked || intake->draining || now < intake->connect_at ||
	    !holds_lock(intake, now))
		return;
	intake->linked = true;
	set_state(intake, LANE_CONNECTING, NULL);
	intake->broker->driver->connect(intake->broker, now);
}

/* ---- draining ---- */

void intake_drain(struct intake *intake, usec_t deadline)
{
	intake->draining = true;
	intake->drain_by = deadline;
	if (intake->connected)
		intake->broker->driver->stop_consuming(intake->broker);
	set_state(intake, LANE_DRAINING, NULL);
}

static void drain(struct intake *intake, usec_t now)
{
	bool late = now >= intake->drain_by;

	if (!intake->draining)
		return;
	if (intake->stalled) {
		/* The store is not waited for: the broker has it all. */
		intake->stalled = false;
		forget_batch(intake);
	}
	if (!late && intake->connected && intake->count > 0)
		return;
	if (!late && intake->connected && !intake->closing) {
		testing_crash_point("intake-goodbye");
		intake->closing = true;
		intake->broker->driver->close(intake->broker, now);
		return;
	}
	if (!late && intake->connected)
		return;
	intake->broker->driver->cut(intake->broker);
	set_state(intake, LANE_STOPPED, NULL);
}

/* ---- the step ---- */

static void plan_wait(struct intake *intake, usec_t now, struct wait *wait)
{
	if (intake->report.state == LANE_STOPPED)
		return;
	if (!intake->linked && !intake->draining)
		wait_until(wait, intake->connect_at);
	if (intake->stalled)
		wait_until(wait, intake->store_at);
	if (intake->draining)
		wait_until(wait, intake->drain_by);
	wait_until(wait, now + look_every);
}

void intake_step(struct intake *intake, usec_t now, struct wait *wait)
{
	wait_init(wait);
	if (intake->report.state != LANE_STOPPED) {
		listen_to_broker(intake, now);
		commit(intake, now);
		connect_if_due(intake, now);
		drain(intake, now);
		intake->broker->driver->flush(intake->broker, now, wait);
		testing_crash_point("intake-flushed");
	}
	plan_wait(intake, now, wait);
}
