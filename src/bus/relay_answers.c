/* SPDX-License-Identifier: MIT */
/* What the broker says about the rows in flight, and what becomes of them. */
#include "bus/relay_internal.h"

#include <stdlib.h>

#include "base/testing.h"
#include "bus/retry.h"

/* Outcomes are written when a part of a window has come, or after this long. */
static const usec_t settle_after = 4 * USEC_PER_MSEC;
/* A confirm that takes longer than this will not come. */
static const usec_t confirm_within = 60 * USEC_PER_SEC;

/* ---- outcomes ---- */

void relay_done(struct relay *relay, struct slot *slot, usec_t now,
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
	relay_done(relay, slot, now, &outcome);
}

static void attempt_failed(struct relay *relay, struct slot *slot, usec_t now,
			   struct span reason)
{
	int64_t attempts = slot->retry_count + 1;
	struct outcome outcome = {.attempts = attempts, .reason = reason};

	if (attempts >= relay->config->max_retry_count) {
		outcome.kind = OUTCOME_ERROR;
	} else {
		outcome.kind = OUTCOME_RETRY;
		outcome.delay =
			retry_delay(relay->config, attempts, &relay->random);
	}
	relay->report.failures++;
	relay_done(relay, slot, now, &outcome);
}

static void confirmed(struct relay *relay, struct slot *slot, usec_t now)
{
	testing_crash_point("confirmed");
	if (slot->returned && !testing_bug("return-ignored") &&
	    outgoing_must_route(&relay->outgoing, slot->type))
		attempt_failed(relay, slot, now, span_of(slot->reason));
	else
		published(relay, slot, now);
}

/* ---- what the broker says ---- */

/* A host that fails while others are left to try is not worth telling. */
static void tell_down(struct relay *relay, const struct broker_event *event)
{
	if (relay->connected || !event->another_host)
		relay_set_state(relay, LANE_AWAY,
				relay->closing ? NULL : &event->error);
}

static void link_down(struct relay *relay, usec_t now,
		      const struct broker_event *event)
{
	struct flight *flight = &relay->flight;
	size_t suspects = flight->sent;
	bool at_once =
		event->another_host || (event->by_publish && suspects > 0);

	tell_down(relay, event);
	relay->connect_at = now;
	if (!at_once)
		relay->connect_at +=
			lane_pause(relay->connected, relay->up_at, now,
				   relay_retry_interval(relay));
	relay->connected = relay->linked = relay->blocked = false;
	if (event->by_publish && suspects == 1)
		attempt_failed(relay, flight_oldest(flight), now,
			       span_of(event->error.text));
	else if (event->by_publish)
		relay->probation = suspects;
	while (testing_bug("retry-burnt-by-outage") && flight->sent > 0)
		attempt_failed(relay, flight_oldest(flight), now,
			       span_of(event->error.text));
	flight_forget_unanswered(flight);
	relay->after_seq = 0;
	relay->hungry = true;
}

static void link_up(struct relay *relay, usec_t now)
{
	relay->connected = true;
	relay->up_at = now;
	relay->hungry = true;
	relay->after_seq = 0;
	relay_set_state(relay, LANE_RUNNING, NULL);
}

static void answer(struct relay *relay, struct slot *slot, usec_t now,
		   const struct broker_event *event)
{
	if (event->kind == BROKER_CONFIRMED || testing_bug("nack-as-ack"))
		confirmed(relay, slot, now);
	else
		attempt_failed(relay, slot, now, span_of(event->error.text));
}

static void answers(struct relay *relay, usec_t now,
		    const struct broker_event *event)
{
	uint64_t last = event->tag;
	struct slot *slot;

	if (!event->multiple) {
		slot = flight_find(&relay->flight, event->tag);
		if (slot != NULL)
			answer(relay, slot, now, event);
		return;
	}
	if (testing_bug("multiple-off-by-one"))
		last++;
	while ((slot = flight_oldest(&relay->flight)) != NULL &&
	       slot->tag <= last)
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
		link_up(relay, now);
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
		relay_set_link_state(relay);
		break;
	case BROKER_UNBLOCKED:
		relay->blocked = false;
		relay_set_link_state(relay);
		break;
	case BROKER_DELIVERED:
		break; /* a publisher has subscribed to nothing */
	}
}

void relay_listen(struct relay *relay, usec_t now)
{
	struct broker_event event;

	relay->broker->driver->step(relay->broker, now);
	while (relay->broker->driver->next(relay->broker, &relay->events,
					   &event)) {
		handle(relay, now, &event);
		arena_reset(&relay->events);
	}
}

/* A broker that goes on answering others but never this one has lost it. */
void relay_give_up_late_confirms(struct relay *relay, usec_t now)
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
