/* SPDX-License-Identifier: MIT */
/* The intake: batches of deliveries, committed and then acknowledged. */
#include "bus/intake.h"

#include <stdlib.h>

#include "base/testing.h"
#include "bus/batch.h"

static const usec_t look_every = USEC_PER_SEC;
/* The longest that a batch is left to grow. */
static const usec_t linger_limit = 20 * USEC_PER_MSEC;

struct intake {
	const struct runtime_config *config;
	struct store *store;
	struct broker *broker;
	struct lane_report report;
	struct envelope_limits limits;

	/* One is filled while the other is on its way into the store. */
	struct batch batches[2];
	struct batch *filling;
	bool committing;  /* the other: the store has begun to accept it */
	usec_t commit_at; /* when the last commit began */
	bool rushed;	  /* a commit runs, or has just ended: what comes now
			   * came while it ran */
	usec_t linger;	  /* what that commit took */

	bool connected;
	bool linked; /* connect was called; UP or DOWN will follow */
	usec_t connect_at;
	usec_t up_at;	    /* when it was connected last */
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
	int status = 0;

	if (intake == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for an intake");
	for (int i = 0; i < 2 && status == 0; i++)
		status = batch_init(&intake->batches[i], err);
	if (status < 0) {
		intake_destroy(intake);
		return status;
	}
	intake->filling = &intake->batches[0];
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
	for (int i = 0; i < 2; i++)
		batch_finish(&intake->batches[i]);
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

/* ---- the batches ---- */

static struct batch *other(struct intake *intake)
{
	return &intake->batches[intake->filling == &intake->batches[0]];
}

static void store_failed(struct intake *intake, usec_t now,
			 const struct error *why)
{
	intake->stalled = true;
	intake->store_at = now + retry_interval(intake);
	if (testing_bug("stalled-forgets"))
		batch_forget(other(intake));
	set_state(intake, LANE_STALLED, why);
}

/* Whatever becomes of what is on its way: the broker delivers it again. */
static void forget(struct intake *intake)
{
	struct error ignored;

	if (intake->committing)
		batch_accept_end(other(intake), intake->store, intake->config,
				 &ignored);
	intake->committing = intake->stalled = false;
	for (int i = 0; i < 2; i++)
		batch_forget(&intake->batches[i]);
}

static void take(struct intake *intake, usec_t now,
		 const struct delivery *delivery)
{
	struct batch *batch = intake->filling;
	struct inbox_row *row = &batch->rows[batch->count];
	struct error err;

	testing_crash_point("delivered");
	if (intake_judge(row, delivery, &intake->limits, &batch->arena, &err) <
	    0) {
		/* Not taken and not acknowledged: a fresh connection
		 * delivers it again. */
		intake->broker->driver->cut(intake->broker);
		intake->connected = intake->linked = false;
		intake->connect_at = now + retry_interval(intake);
		forget(intake);
		set_state(intake, LANE_AWAY, &err);
		return;
	}
	if (batch->count == 0)
		batch->commit_at = now + (intake->rushed ? intake->linger : 0);
	if (!span_present(row->rejected) || !testing_bug("rejected-dropped"))
		batch->count++;
	batch->last_tag = delivery->tag;
}

/* ---- committing ---- */

static void count_results(struct intake *intake, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		switch (batch->rows[i].result) {
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

/* The one that is filled becomes the one that is committed. */
static struct batch *swap(struct intake *intake)
{
	struct batch *batch = intake->filling;

	intake->filling = other(intake);
	return batch;
}

static void acknowledge(struct intake *intake, const struct batch *batch)
{
	intake->broker->driver->acknowledge(intake->broker, batch->last_tag);
}

static void committed(struct intake *intake, usec_t now, struct batch *batch,
		      int status, const struct error *err)
{
	if (status < 0) {
		store_failed(intake, now, err);
		return;
	}
	testing_crash_point("accepted");
	if (!testing_bug("ack-before-commit"))
		acknowledge(intake, batch);
	testing_crash_point("acknowledged");
	count_results(intake, batch);
	batch_forget(batch);
	if (intake->stalled) {
		intake->stalled = false;
		set_state(intake, LANE_RUNNING, NULL);
	}
}

/* A batch that failed before goes alone: nothing is read until it is in. */
static void commit(struct intake *intake, usec_t now)
{
	struct batch *batch = other(intake);
	struct error err;
	int status = STATUS_BUSY;

	intake->commit_at = now;
	intake->rushed = true;
	if (batch->count == 0)
		batch = swap(intake);
	if (testing_bug("ack-before-commit") && !intake->stalled)
		acknowledge(intake, batch);
	testing_crash_point("accept");
	if (!intake->stalled)
		status = batch_accept_begin(batch, intake->store,
					    intake->config, &err);
	intake->committing = status == 0;
	if (intake->committing)
		return;
	if (status == STATUS_BUSY || status == STATUS_INVALID)
		status = batch_accept(batch, intake->store, intake->config,
				      &err);
	committed(intake, now, batch, status, &err);
}

/* The store has answered, or must be made to. */
static void end_commit(struct intake *intake, usec_t now)
{
	struct error err;
	int status = batch_accept_end(other(intake), intake->store,
				      intake->config, &err);

	intake->committing = false;
	committed(intake, now, other(intake), status, &err);
}

static bool commit_runs(const struct intake *intake, struct wait *wait)
{
	return intake->committing &&
	       !intake->store->driver->ready(intake->store, wait);
}

static bool commit_is_due(struct intake *intake, usec_t now)
{
	const struct batch *batch = intake->filling;

	if (intake->committing)
		return false;
	if (intake->stalled)
		return now >= intake->store_at;
	return batch->count > 0 && (now >= batch->commit_at ||
				    batch_is_full(batch) || intake->draining);
}

/*
 * What comes while a commit runs shows that more is coming: then a batch may
 * grow for as long as the last commit took. So a busy broker fills batches, and
 * a message that comes alone waits for nothing.
 */
static void look_at_commit(struct intake *intake, usec_t now)
{
	struct wait ignored;

	wait_init(&ignored);
	if (!intake->rushed || commit_runs(intake, &ignored))
		return;
	intake->linger = now - intake->commit_at;
	if (intake->linger > linger_limit)
		intake->linger = linger_limit;
	if (intake->committing)
		end_commit(intake, now);
}

/* ---- what the broker says ---- */

/* The broker may have something to say about what it held for us. */
static void link_up(struct intake *intake, usec_t now, const struct error *note)
{
	intake->connected = true;
	intake->up_at = now;
	set_state(intake, LANE_RUNNING, note);
}

/* Two clients of one identity would throw each other out for ever: each gives
 * way, for longer every time. */
static usec_t pause_before_connect(struct intake *intake, usec_t now,
				   const struct error *why)
{
	usec_t pause = retry_interval(intake);
	usec_t longest =
		(usec_t)(intake->config->retry_max_seconds * USEC_PER_SEC);

	if (why->status != STATUS_BUSY) {
		intake->rivalries = 0;
		return lane_pause(intake->connected, intake->up_at, now, pause);
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
	intake->connect_at = now;
	if (!event->another_host)
		intake->connect_at +=
			pause_before_connect(intake, now, &event->error);
	intake->connected = intake->linked = false;
	forget(intake);
}

static void handle(struct intake *intake, usec_t now,
		   const struct broker_event *event)
{
	switch (event->kind) {
	case BROKER_UP:
		link_up(intake, now, &event->error);
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
	while (!intake->stalled && !batch_is_full(intake->filling) &&
	       intake->broker->driver->next(intake->broker,
					    &intake->filling->arena, &event))
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
		forget(intake);
	}
	if (!late && intake->connected &&
	    (intake->committing || intake->filling->count > 0))
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
	else if (intake->filling->count > 0 && !intake->committing)
		wait_until(wait, intake->filling->commit_at);
	if (intake->rushed && !commit_runs(intake, wait))
		wait_until(wait, now);
	if (intake->draining)
		wait_until(wait, intake->drain_by);
	wait_until(wait, now + look_every);
}

/* The broker is heard before the store is asked: that may take long, and what
 * has come meanwhile would be judged by a clock that stood still. */
void intake_step(struct intake *intake, usec_t now, struct wait *wait)
{
	wait_init(wait);
	if (intake->report.state != LANE_STOPPED) {
		if (testing_bug("broker-heard-late"))
			look_at_commit(intake, now);
		listen_to_broker(intake, now);
		look_at_commit(intake, now);
		intake->rushed = intake->committing;
		if (commit_is_due(intake, now))
			commit(intake, now);
		connect_if_due(intake, now);
		drain(intake, now);
		intake->broker->driver->flush(intake->broker, now, wait);
		testing_crash_point("intake-flushed");
	}
	plan_wait(intake, now, wait);
}
