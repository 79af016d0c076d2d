/* SPDX-License-Identifier: MIT */
/* The relay: its life, its lock, its turn. */
#include "bus/relay_internal.h"

#include "base/testing.h"

#include <stdlib.h>

/* ---- life ---- */

int relay_create(struct relay **out, const struct runtime_config *config,
		 struct store *store, struct broker *broker, uint64_t seed,
		 struct error *err)
{
	size_t room = 2 * (size_t)config->window;
	struct relay *relay = calloc(1, sizeof(*relay));
	int status;

	if (relay == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a relay");
	relay->config = config;
	relay->store = store;
	relay->broker = broker;
	relay->random.state = seed;
	relay->report.state = relay->report.told = LANE_STANDBY;
	relay->settle_at = relay->due_at = USEC_NEVER;
	outgoing_init(&relay->outgoing, config);
	relay->outcomes = calloc(room, sizeof(*relay->outcomes));
	relay->busy = calloc(room, sizeof(*relay->busy));
	status = flight_init(&relay->flight, room, err);
	if (status == 0 && (relay->outcomes == NULL || relay->busy == NULL))
		status = error_set(err, STATUS_NO_MEMORY,
				   "no memory for a window of %zu rows", room);
	if (status < 0) {
		relay_destroy(relay);
		return status;
	}
	*out = relay;
	return 0;
}

void relay_destroy(struct relay *relay)
{
	if (relay == NULL)
		return;
	flight_finish(&relay->flight);
	outgoing_finish(&relay->outgoing);
	arena_finish(&relay->events);
	free(relay->outcomes);
	free(relay->busy);
	free(relay);
}

const struct lane_report *relay_report(const struct relay *relay)
{
	return &relay->report;
}

usec_t relay_retry_interval(const struct relay *relay)
{
	return (usec_t)(relay->config->retry_interval_seconds * USEC_PER_SEC);
}

void relay_set_state(struct relay *relay, enum lane_state state,
		     const struct error *why)
{
	if (relay->draining && state != LANE_STOPPED)
		state = LANE_DRAINING;
	lane_set_state(&relay->report, state, why);
}

/* The state that the link is in, once the store is well. */
void relay_set_link_state(struct relay *relay)
{
	if (relay->connected && relay->blocked)
		relay_set_state(relay, LANE_BLOCKED, &relay->blocked_why);
	else if (relay->connected)
		relay_set_state(relay, LANE_RUNNING, NULL);
}

/* ---- the lock and the store ---- */

/* Outcomes are worth a transaction when they fill this part of a window. */
enum { SETTLE_PART = 4 };

/* Rows in hand stay ours while the lock may still be; nothing new goes out. */
void relay_store_failed(struct relay *relay, usec_t now,
			const struct error *why)
{
	relay->holding = false;
	relay->store_at = now + relay_retry_interval(relay);
	relay_set_state(relay, LANE_STALLED, why);
}

/* Somebody else may be at work by now: nothing of ours may still go out. */
static void cut_link(struct relay *relay, usec_t now)
{
	relay->broker->driver->cut(relay->broker);
	relay->connected = relay->linked = relay->blocked = false;
	relay->connect_at = now;
	flight_forget_unanswered(&relay->flight);
}

static void stand_by(struct relay *relay, usec_t now, const struct error *why)
{
	cut_link(relay, now);
	relay->holding = false;
	flight_forget_done(&relay->flight);
	relay->settle_at = USEC_NEVER;
	relay->store_at = now + RELAY_SWEEP_EVERY;
	relay_set_state(relay, LANE_STANDBY, why);
}

/* Between two holdings others may have had the rows in hand: they are claimed
 * again. Those that are on the wire get their answers. */
static void got_lock(struct relay *relay, usec_t now)
{
	testing_crash_point("locked");
	flight_forget_unsent(&relay->flight);
	relay->holding = true;
	relay->sweep_at = now;
	relay_set_link_state(relay);
}

static void ask_for_lock(struct relay *relay, usec_t now)
{
	struct error err;
	int status = relay->store->driver->lock(
		relay->store, relay->config->config_key, "relay", &err);

	if (status == 0)
		relay->held_at = now;
	if (status == STATUS_BUSY)
		stand_by(relay, now, &err);
	else if (status < 0)
		relay_store_failed(relay, now, &err);
	else if (!relay->holding)
		got_lock(relay, now);
}

static void take_lock(struct relay *relay, usec_t now)
{
	if (!relay->holding && now >= relay->store_at)
		ask_for_lock(relay, now);
}

/* A relay that has nothing to settle and no room to claim would not hear that
 * its lock is gone, and that another is at work. */
static void renew_lock(struct relay *relay, usec_t now)
{
	if (relay->holding && relay->flight.settling == 0 &&
	    now - relay->held_at >= RELAY_SWEEP_EVERY)
		ask_for_lock(relay, now);
}

/* A standby is patient for three heartbeats, of a second or more each, and one
 * may have passed when a process stops (SIGSTOP, suspend). */
static usec_t lease(const struct relay *relay)
{
	double seconds = relay->config->heartbeat_interval_seconds;

	if (seconds <= 0)
		seconds = relay->store->driver->heartbeat_seconds;
	if (seconds < 1)
		seconds = 1;
	return (usec_t)(1.5 * seconds * USEC_PER_SEC);
}

/* Where the network fails without a word, a settle is given up after two
 * seconds; with those before it that may be longer than a standby waits. */
bool relay_lock_is_doubtful(const struct relay *relay, usec_t now)
{
	return relay->flight.settling > 0 &&
	       now - relay->held_at >= lease(relay);
}

/* ---- settling ---- */

static bool settle_is_due(const struct relay *relay, usec_t now)
{
	const struct flight *flight = &relay->flight;

	if (!relay->holding || flight->done == 0)
		return false;
	return now >= relay->settle_at || flight->sent == 0 ||
	       flight->done >= (size_t)relay->config->window / SETTLE_PART;
}

/* Rows that were held behind a failed one are forgotten with it: they may come
 * again, unless the database holds them back now. */
static void settled(struct relay *relay, usec_t now, int status,
		    const struct error *err)
{
	if (status < 0) {
		flight_unsettled(&relay->flight);
		relay->settle_at = now;
		relay_store_failed(relay, now, err);
		return;
	}
	testing_crash_point("settled");
	relay->held_at = now;
	if (flight_settled(&relay->flight)) {
		relay->after_seq = 0;
		relay->hungry = true;
	}
	relay->again = true;
}

/* With that much on the wire a broker has enough to do meanwhile. */
static bool broker_is_busy(const struct relay *relay)
{
	return relay->flight.sent >=
	       (size_t)relay->config->window / SETTLE_PART;
}

/* While the store is at work on it, more goes out, if that is of use: every
 * answer of the broker's would wake us. */
static void settle(struct relay *relay, usec_t now)
{
	const struct store_driver *driver = relay->store->driver;
	struct error err;
	int status = STATUS_BUSY;
	size_t count;

	testing_crash_point("settle");
	relay->settle_at = USEC_NEVER;
	count = flight_settle(&relay->flight, relay->outcomes);
	if (driver->settle_begin != NULL && !broker_is_busy(relay))
		status = driver->settle_begin(relay->store, relay->outcomes,
					      count, &err);
	if (status == 0)
		return;
	if (status == STATUS_BUSY)
		status = driver->settle(relay->store, relay->outcomes, count,
					&err);
	settled(relay, now, status, &err);
}

static void end_settle(struct relay *relay, usec_t now)
{
	struct error err;
	int status = relay->store->driver->settle_end(
		relay->store, relay->outcomes, relay->flight.settling, &err);

	settled(relay, now, status, &err);
}

static void look_at_settle(struct relay *relay, usec_t now)
{
	struct wait ignored;

	wait_init(&ignored);
	if (relay->store->driver->ready(relay->store, &ignored))
		end_settle(relay, now);
}

/* ---- gaps, connecting ---- */

/* After a stop for that long somebody else may have the lock: nothing of ours
 * goes out before it is known to be held still. */
static void notice_gap(struct relay *relay, usec_t now)
{
	usec_t gap = now - relay->stepped_at;
	struct error err;

	if (!relay->holding || gap < lease(relay) ||
	    testing_bug("sleeper-goes-on"))
		return;
	if (relay->flight.settling > 0)
		end_settle(relay, now);
	if (relay->holding &&
	    relay->store->driver->lock(relay->store, relay->config->config_key,
				       "relay", &err) == 0)
		return;
	error_set(&err, STATUS_AWAY,
		  "the process stood still for %.1f seconds and lost its lock",
		  (double)gap / USEC_PER_SEC);
	cut_link(relay, now);
	relay->holding = false;
	relay->store_at = now;
	relay_set_state(relay, LANE_AWAY, &err);
}

static void connect_if_due(struct relay *relay, usec_t now)
{
	if (!relay->holding || relay->linked || relay->draining ||
	    now < relay->connect_at)
		return;
	relay->linked = true;
	relay_set_state(relay, LANE_CONNECTING, NULL);
	relay->broker->driver->connect(relay->broker, now);
}

/* ---- draining ---- */

void relay_drain(struct relay *relay, usec_t deadline)
{
	relay->draining = true;
	relay->drain_by = deadline;
	flight_forget_unsent(&relay->flight);
	relay_set_state(relay, LANE_DRAINING, NULL);
}

static void drain(struct relay *relay, usec_t now)
{
	/* A store that does not answer is not waited for. */
	bool late = now >= relay->drain_by || !relay->holding;

	if (!relay->draining || relay->report.state == LANE_STOPPED)
		return;
	if (!late && relay->connected && relay->flight.sent > 0 &&
	    !testing_bug("drain-hurries"))
		return;
	if (!late && relay->flight.done + relay->flight.settling > 0)
		return;
	if (!late && relay->connected && !relay->closing) {
		testing_crash_point("relay-goodbye");
		relay->closing = true;
		relay->broker->driver->close(relay->broker, now);
		return;
	}
	if (!late && relay->connected)
		return;
	cut_link(relay, now);
	relay_set_state(relay, LANE_STOPPED, NULL);
}

/* ---- the step ---- */

static void plan_wait(struct relay *relay, usec_t now, struct wait *wait)
{
	if (relay->report.state == LANE_STOPPED)
		return;
	if (relay->again)
		wait_until(wait, now);
	if (!relay->holding)
		wait_until(wait, relay->store_at);
	else if (!relay->linked && !relay->draining)
		wait_until(wait, relay->connect_at);
	if (relay->flight.settling > 0 &&
	    relay->store->driver->ready(relay->store, wait))
		wait_until(wait, now);
	if (relay->holding && relay->flight.settling == 0)
		wait_until(wait, relay->settle_at);
	if (relay->draining)
		wait_until(wait, relay->drain_by);
	if (relay_may_claim(relay)) {
		wait_until(wait, relay->hungry ? now : relay->sweep_at);
		wait_until(wait, relay->due_at);
		wait_for(wait, relay->store->driver->wake_fd(relay->store),
			 POLLIN);
	}
	wait_until(wait, now + RELAY_SWEEP_EVERY);
}

/*
 * One call to the store at most, and last: the process may be stopped in it,
 * and what follows has to wait for the next look at the gap. Besides, what has
 * come from the broker meanwhile is answered first.
 */
void relay_step(struct relay *relay, usec_t now, struct wait *wait)
{
	wait_init(wait);
	if (relay->report.state != LANE_STOPPED) {
		notice_gap(relay, now);
		relay_listen(relay, now);
		relay_give_up_late_confirms(relay, now);
		relay_send_ready(relay, now);
		take_lock(relay, now);
		connect_if_due(relay, now);
		drain(relay, now);
		relay->broker->driver->flush(relay->broker, now, wait);
		testing_crash_point("relay-flushed");
		relay->again = false;
		if (relay->flight.settling > 0)
			look_at_settle(relay, now);
		else if (settle_is_due(relay, now))
			settle(relay, now);
		else
			relay_claim_if_due(relay, now);
		renew_lock(relay, now);
	}
	relay->stepped_at = now;
	plan_wait(relay, now, wait);
}
