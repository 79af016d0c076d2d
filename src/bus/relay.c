/* SPDX-License-Identifier: MIT */
/* The relay: what happens to a row between its claim and its settling. */
#include "bus/relay.h"

#include <stdlib.h>

#include "bus/flight.h"
#include "bus/outgoing.h"
#include "bus/retry.h"

/* Outcomes are written when half a window has come, or after this long. */
static const usec_t settle_after = 4 * USEC_PER_MSEC;
/* A full sweep, and a look whether the lock is free, come this often. */
static const usec_t sweep_every = USEC_PER_SEC;
/* A confirm that takes longer than this will not come. */
static const usec_t confirm_within = 60 * USEC_PER_SEC;
/* Stopped for longer than this, somebody else may have taken over. */
static const usec_t lease = 3 * USEC_PER_SEC;
/* What claimed rows may take in memory before they are published. */
enum { CLAIM_BYTES = 2 * 1024 * 1024 };

struct relay {
	const struct runtime_config *config;
	struct store *store;
	struct broker *broker;
	struct random random;
	struct lane_report report;
	struct flight flight;
	struct outgoing outgoing;
	struct arena events; /* what broker_next gives */
	struct outcome *outcomes;
	int64_t *busy;

	bool holding;	 /* the lock is ours and the store answered last time */
	usec_t store_at; /* when to try lock or store again, unless holding */

	bool connected;
	bool linked; /* connect was called; UP or DOWN will follow */
	bool blocked;
	struct error blocked_why;
	usec_t connect_at;
	size_t probation; /* rows to publish one by one: one of them made
			   * the broker close */

	bool hungry;	   /* the store has, or may have, more than we took */
	int64_t after_seq; /* fresh rows up to here were claimed */
	usec_t sweep_at;
	usec_t due_at;	  /* when the next scheduled row is due */
	usec_t settle_at; /* USEC_NEVER: nothing to settle */

	bool draining;
	bool closing;
	usec_t drain_by;
	usec_t awaited; /* until when the last step wanted to wait */
};

/* ---- life ---- */

int relay_create(struct relay **out, const struct runtime_config *config,
		 struct store *store, struct broker *broker, uint64_t seed,
		 struct error *err)
{
	size_t window = (size_t)config->window;
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
	relay->settle_at = relay->due_at = relay->awaited = USEC_NEVER;
	outgoing_init(&relay->outgoing, config);
	relay->outcomes = calloc(window, sizeof(*relay->outcomes));
	relay->busy = calloc(window, sizeof(*relay->busy));
	status = flight_init(&relay->flight, window, err);
	if (status == 0 && (relay->outcomes == NULL || relay->busy == NULL))
		status =
			error_set(err, STATUS_NO_MEMORY,
				  "no memory for a window of %zu rows", window);
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

static usec_t retry_interval(const struct relay *relay)
{
	return (usec_t)(relay->config->retry_interval_seconds * USEC_PER_SEC);
}

static void set_state(struct relay *relay, enum lane_state state,
		      const struct error *why)
{
	if (relay->draining && state != LANE_STOPPED)
		state = LANE_DRAINING;
	lane_set_state(&relay->report, state, why);
}

/* The state that the link is in, once the store is well. */
static void set_settled_state(struct relay *relay)
{
	if (relay->connected && relay->blocked)
		set_state(relay, LANE_BLOCKED, &relay->blocked_why);
	else if (relay->connected)
		set_state(relay, LANE_RUNNING, NULL);
}

/* ---- the lock and the store ---- */

/* Rows in hand stay ours while the lock may still be; nothing new goes out. */
static void store_failed(struct relay *relay, usec_t now,
			 const struct error *why)
{
	relay->holding = false;
	relay->store_at = now + retry_interval(relay);
	set_state(relay, LANE_STALLED, why);
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
	flight_settled(&relay->flight);
	relay->settle_at = USEC_NEVER;
	relay->store_at = now + sweep_every;
	set_state(relay, LANE_STANDBY, why);
}

static void take_lock(struct relay *relay, usec_t now)
{
	struct error err;
	int status;

	if (relay->holding || now < relay->store_at)
		return;
	status = relay->store->driver->lock(
		relay->store, relay->config->config_key, "relay", &err);
	if (status == STATUS_BUSY) {
		stand_by(relay, now, &err);
	} else if (status < 0) {
		store_failed(relay, now, &err);
	} else {
		relay->holding = true;
		relay->sweep_at = now;
		set_settled_state(relay);
	}
}

/* After a long stop (SIGSTOP, suspend) the lock has to be asked for again. */
static void notice_gap(struct relay *relay, usec_t now)
{
	struct error err;

	if (!relay->holding || relay->awaited == USEC_NEVER ||
	    now - relay->awaited < lease)
		return;
	error_set(&err, STATUS_AWAY, "the process stood still for %lld seconds",
		  (long long)((now - relay->awaited) / USEC_PER_SEC));
	cut_link(relay, now);
	relay->holding = false;
	relay->store_at = now;
	set_state(relay, LANE_AWAY, &err);
}

/* ---- outcomes ---- */

static void done(struct relay *relay, struct slot *slot, usec_t now,
		 const struct outcome *outcome)
{
	flight_done(&relay->flight, slot, outcome);
	if (relay->probation > 0)
		relay->probation--;
	if (relay->settle_at == USEC_NEVER)
		relay->settle_at = now + settle_after;
}

static void published(struct relay *relay, struct slot *slot, usec_t now)
{
	struct outcome outcome = {.kind = OUTCOME_PUBLISHED,
				  .reason = span_of(slot->reason)};

	relay->report.messages++;
	done(relay, slot, now, &outcome);
}

static void attempt_failed(struct relay *relay, struct slot *slot, usec_t now,
			   struct span reason)
{
	int64_t attempts = slot->retry_count + 1;
	struct outcome outcome = {.reason = reason};

	if (attempts >= relay->config->max_retry_count) {
		outcome.kind = OUTCOME_ERROR;
		outcome.attempted = true;
	} else {
		outcome.kind = OUTCOME_RETRY;
		outcome.delay =
			retry_delay(relay->config, attempts, &relay->random);
	}
	relay->report.failures++;
	done(relay, slot, now, &outcome);
}

static void confirmed(struct relay *relay, struct slot *slot, usec_t now)
{
	if (slot->returned && outgoing_must_route(&relay->outgoing, slot->type))
		attempt_failed(relay, slot, now, span_of(slot->reason));
	else
		published(relay, slot, now);
}

static void settle(struct relay *relay, usec_t now)
{
	struct error err;
	size_t count;

	if (!relay->holding || relay->flight.done == 0)
		return;
	if (now < relay->settle_at && relay->flight.sent > 0 &&
	    relay->flight.done < relay->flight.size / 2)
		return;
	count = flight_outcomes(&relay->flight, relay->outcomes);
	if (relay->store->driver->settle(relay->store, relay->outcomes, count,
					 &err) < 0) {
		store_failed(relay, now, &err);
		return;
	}
	if (flight_settled(&relay->flight)) {
		relay->after_seq = 0;
		relay->hungry = true;
	}
	relay->settle_at = USEC_NEVER;
}

/* ---- what the broker says ---- */

static void link_down(struct relay *relay, usec_t now,
		      const struct broker_event *event)
{
	struct flight *flight = &relay->flight;
	size_t suspects = flight->sent;

	relay->connected = relay->linked = relay->blocked = false;
	relay->connect_at = now + retry_interval(relay);
	if (event->by_publish && suspects == 1) {
		attempt_failed(relay, flight_oldest(flight), now,
			       span_of(event->error.text));
		relay->connect_at = now;
	} else if (event->by_publish && suspects > 1) {
		relay->probation = suspects;
		relay->connect_at = now;
	}
	flight_forget_unanswered(flight);
	relay->after_seq = 0;
	relay->hungry = true;
	set_state(relay, LANE_AWAY, relay->closing ? NULL : &event->error);
}

static void link_up(struct relay *relay)
{
	relay->connected = true;
	relay->hungry = true;
	relay->after_seq = 0;
	set_state(relay, LANE_RUNNING, NULL);
}

static void answer(struct relay *relay, struct slot *slot, usec_t now,
		   const struct broker_event *event)
{
	if (event->kind == BROKER_CONFIRMED)
		confirmed(relay, slot, now);
	else
		attempt_failed(relay, slot, now, span_of(event->error.text));
}

static void answers(struct relay *relay, usec_t now,
		    const struct broker_event *event)
{
	struct slot *slot;

	if (!event->multiple) {
		slot = flight_find(&relay->flight, event->tag);
		if (slot != NULL)
			answer(relay, slot, now, event);
		return;
	}
	while ((slot = flight_oldest(&relay->flight)) != NULL &&
	       slot->tag <= event->tag)
		answer(relay, slot, now, event);
}

static void returned(struct relay *relay, const struct broker_event *event)
{
	struct slot *slot = flight_find(&relay->flight, event->tag);

	if (slot == NULL)
		return;
	relay->report.unroutable++;
	slot->returned = true;
	free(slot->reason);
	slot->reason = strdup(event->error.text);
}

static void handle(struct relay *relay, usec_t now,
		   const struct broker_event *event)
{
	switch (event->kind) {
	case BROKER_UP:
		link_up(relay);
		break;
	case BROKER_DOWN:
		link_down(relay, now, event);
		break;
	case BROKER_CONFIRMED:
	case BROKER_REFUSED:
		answers(relay, now, event);
		break;
	case BROKER_RETURNED:
		returned(relay, event);
		break;
	case BROKER_BLOCKED:
		relay->blocked = true;
		relay->blocked_why = event->error;
		set_settled_state(relay);
		break;
	case BROKER_UNBLOCKED:
		relay->blocked = false;
		set_settled_state(relay);
		break;
	case BROKER_DELIVERED:
		break; /* a publisher has subscribed to nothing */
	}
}

static void listen_to_broker(struct relay *relay, usec_t now)
{
	struct broker_event event;

	relay->broker->driver->step(relay->broker, now);
	while (relay->broker->driver->next(relay->broker, &relay->events,
					   &event)) {
		handle(relay, now, &event);
		arena_reset(&relay->events);
	}
}

static void connect_if_due(struct relay *relay, usec_t now)
{
	if (!relay->holding || relay->linked || relay->draining ||
	    now < relay->connect_at)
		return;
	relay->linked = true;
	set_state(relay, LANE_CONNECTING, NULL);
	relay->broker->driver->connect(relay->broker, now);
}

/* A broker that goes on answering others but never this one has lost it. */
static void give_up_late_confirms(struct relay *relay, usec_t now)
{
	const struct slot *slot = flight_oldest(&relay->flight);
	struct broker_event event = {.kind = BROKER_DOWN};

	if (slot == NULL || relay->blocked ||
	    now - slot->sent_at < confirm_within)
		return;
	error_set(&event.error, STATUS_AWAY,
		  "the broker did not confirm a message within %d seconds",
		  (int)(confirm_within / USEC_PER_SEC));
	relay->broker->driver->cut(relay->broker);
	link_down(relay, now, &event);
}

/* ---- publishing ---- */

static bool may_publish(const struct relay *relay)
{
	return relay->holding && relay->connected && !relay->blocked &&
	       !relay->draining;
}

static size_t window_room(const struct relay *relay)
{
	size_t window = relay->probation > 0 ? 1 : relay->flight.size;
	size_t used = relay->flight.used;

	return used < window ? window - used : 0;
}

/* Enough room to be worth a query is a quarter of the window, or all of it. */
static bool may_claim(const struct relay *relay)
{
	size_t room = window_room(relay);

	if (!may_publish(relay) || room == 0 ||
	    relay->flight.claimed_bytes >= CLAIM_BYTES)
		return false;
	return relay->flight.used == 0 || relay->probation > 0 ||
	       room >= relay->flight.size / 4;
}

static void note_claim(struct relay *relay, usec_t now,
		       const struct outbox_claim *claim,
		       const struct outbox_batch *batch)
{
	bool full = batch->count >= claim->limit ||
		    batch->arena.used >= claim->max_bytes;

	relay->hungry = full;
	relay->due_at = batch->next_due_in == USEC_NEVER
				? USEC_NEVER
				: now + batch->next_due_in;
	if (claim->after_seq == 0 && !full)
		relay->sweep_at = now + sweep_every;
	for (size_t i = 0; i < batch->count; i++)
		if (batch->rows[i].seq > relay->after_seq)
			relay->after_seq = batch->rows[i].seq;
}

static void claim(struct relay *relay, usec_t now)
{
	struct flight *flight = &relay->flight;
	bool sweep = now >= relay->sweep_at;
	struct outbox_claim wanted = {
		.config_key = relay->config->config_key,
		.limit = window_room(relay),
		.max_bytes = CLAIM_BYTES - flight->claimed_bytes,
		.after_seq = sweep ? 0 : relay->after_seq,
		.busy = relay->busy,
		.busy_count = flight_seqs(flight, relay->busy),
	};
	struct claimed *claimed = flight_batch(flight);
	struct error err;

	if (claimed == NULL) {
		error_set(&err, STATUS_NO_MEMORY, "no memory for a batch");
		store_failed(relay, now, &err);
		return;
	}
	if (sweep)
		relay->sweep_at = now + sweep_every;
	if (relay->store->driver->claim(relay->store, &wanted, &claimed->batch,
					&err) < 0) {
		flight_unused(flight, claimed);
		store_failed(relay, now, &err);
		return;
	}
	note_claim(relay, now, &wanted, &claimed->batch);
	flight_add(flight, claimed);
}

static void claim_if_due(struct relay *relay, usec_t now)
{
	if (!may_claim(relay))
		return;
	if (relay->store->driver->woken(relay->store))
		relay->hungry = true;
	if (relay->hungry || now >= relay->sweep_at || now >= relay->due_at)
		claim(relay, now);
}

/* What can never be sent is an outcome at once. */
static void refuse(struct relay *relay, struct slot *slot, usec_t now,
		   const struct error *why)
{
	struct outcome outcome = {.kind = OUTCOME_INVALID,
				  .reason = span_of(why->text)};

	if (flight_row(slot)->expired)
		outcome.kind = OUTCOME_ERROR;
	relay->report.failures++;
	done(relay, slot, now, &outcome);
}

/* False when memory ran out: the row stays where it is. */
static bool send_one(struct relay *relay, struct slot *slot, usec_t now)
{
	struct publication message;
	struct error err;
	uint64_t tag;
	int status = outgoing_prepare(&relay->outgoing, flight_row(slot),
				      &message, &err);

	if (status == 0)
		status = relay->broker->driver->publish(relay->broker, &message,
							&tag, &err);
	if (status == STATUS_INVALID) {
		refuse(relay, slot, now, &err);
		return true;
	}
	if (status < 0)
		return false;
	slot->type = message.type;
	flight_sent(&relay->flight, slot, tag, now);
	return true;
}

static void send_ready(struct relay *relay, usec_t now)
{
	struct slot *slot;

	while (may_publish(relay) &&
	       (slot = flight_next(&relay->flight)) != NULL)
		if (!send_one(relay, slot, now))
			break;
}

/* ---- draining ---- */

void relay_drain(struct relay *relay, usec_t deadline)
{
	relay->draining = true;
	relay->drain_by = deadline;
	flight_forget_unsent(&relay->flight);
	set_state(relay, LANE_DRAINING, NULL);
}

static void drain(struct relay *relay, usec_t now)
{
	bool late = now >= relay->drain_by;

	if (!relay->draining || relay->report.state == LANE_STOPPED)
		return;
	if (!late && relay->connected && relay->flight.sent > 0)
		return;
	if (!late && relay->flight.done > 0)
		return;
	if (!late && relay->connected && !relay->closing) {
		relay->closing = true;
		relay->broker->driver->close(relay->broker, now);
		return;
	}
	if (!late && relay->connected)
		return;
	cut_link(relay, now);
	set_state(relay, LANE_STOPPED, NULL);
}

/* ---- the step ---- */

static void plan_wait(struct relay *relay, usec_t now, struct wait *wait)
{
	if (relay->report.state == LANE_STOPPED) {
		relay->awaited = USEC_NEVER;
		return;
	}
	if (!relay->holding)
		wait_until(wait, relay->store_at);
	else if (!relay->linked && !relay->draining)
		wait_until(wait, relay->connect_at);
	if (relay->holding)
		wait_until(wait, relay->settle_at);
	if (relay->draining)
		wait_until(wait, relay->drain_by);
	if (may_claim(relay)) {
		wait_until(wait, relay->hungry ? now : relay->sweep_at);
		wait_until(wait, relay->due_at);
		wait_for(wait, relay->store->driver->wake_fd(relay->store),
			 POLLIN);
	}
	wait_until(wait, now + sweep_every);
	relay->awaited = wait->until;
}

void relay_step(struct relay *relay, usec_t now, struct wait *wait)
{
	wait_init(wait);
	if (relay->report.state != LANE_STOPPED) {
		notice_gap(relay, now);
		listen_to_broker(relay, now);
		give_up_late_confirms(relay, now);
		take_lock(relay, now);
		send_ready(relay, now);
		settle(relay, now);
		connect_if_due(relay, now);
		claim_if_due(relay, now);
		send_ready(relay, now);
		drain(relay, now);
		relay->broker->driver->flush(relay->broker, now, wait);
	}
	plan_wait(relay, now, wait);
}
