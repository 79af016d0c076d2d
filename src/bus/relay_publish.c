/* SPDX-License-Identifier: MIT */
/* Claiming due rows and publishing them. */
#include "bus/relay_internal.h"

#include "base/testing.h"

/* What claimed rows may take in memory before they are published. */
enum { CLAIM_BYTES = 2 * 1024 * 1024 };

static bool may_publish(const struct relay *relay)
{
	return relay->holding && relay->connected && !relay->blocked &&
	       !relay->draining;
}

static size_t unsettled(const struct flight *flight)
{
	return flight->done + flight->settling;
}

/* What a crash would send twice: a window at most is published and not yet
 * settled. */
static bool window_is_open(const struct relay *relay)
{
	size_t window =
		relay->probation > 0 ? 1 : (size_t)relay->config->window;

	return relay->flight.sent + unsettled(&relay->flight) < window;
}

static size_t unsent(const struct flight *flight)
{
	return flight->used - flight->sent - unsettled(flight);
}

/* As many rows as fit into a window wait beside it, so that it is kept full
 * while the store is asked for more. */
static size_t room_to_claim(const struct relay *relay)
{
	size_t room = (size_t)relay->config->window;
	size_t waiting = unsent(&relay->flight);

	return waiting < room ? room - waiting : 0;
}

/* Room for half a window is worth a query. */
bool relay_may_claim(const struct relay *relay)
{
	size_t waiting = unsent(&relay->flight);

	return may_publish(relay) && relay->flight.settling == 0 &&
	       waiting <= (size_t)relay->config->window / 2 &&
	       relay->flight.claimed_bytes < CLAIM_BYTES;
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
		relay->sweep_at = now + RELAY_SWEEP_EVERY;
	if (batch->count > 0 && (full || testing_bug("cursor-polling")))
		relay->after_seq = batch->rows[batch->count - 1].seq;
	else if (!testing_bug("cursor-polling"))
		relay->after_seq = 0;
}

static bool has_keys(const struct outbox_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (span_present(batch->rows[i].ordering_key))
			return true;
	return false;
}

/*
 * Below after_seq an earlier row of a key may lie that committed late or was
 * held back until now. So rows with a key count only if the claim began at the
 * start; when they come and it did not, it is made again.
 */
static int claim_in_order(struct relay *relay, struct outbox_claim *wanted,
			  struct outbox_batch *batch, struct error *err)
{
	const struct store_driver *driver = relay->store->driver;
	int status;

	if (relay->keyed)
		wanted->after_seq = 0;
	status = driver->claim(relay->store, wanted, batch, err);
	if (status == 0 && wanted->after_seq != 0 && has_keys(batch) &&
	    !testing_bug("late-key-overtaken")) {
		wanted->after_seq = 0;
		status = driver->claim(relay->store, wanted, batch, err);
	}
	if (status == 0)
		relay->keyed = has_keys(batch);
	return status;
}

static void claim(struct relay *relay, usec_t now)
{
	struct flight *flight = &relay->flight;
	bool sweep = now >= relay->sweep_at;
	struct outbox_claim wanted = {
		.config_key = relay->config->config_key,
		.limit = room_to_claim(relay),
		.max_bytes = CLAIM_BYTES - flight->claimed_bytes,
		.after_seq = sweep ? 0 : relay->after_seq,
		.busy = relay->busy,
		.busy_count = flight_seqs(flight, relay->busy),
	};
	struct claimed *claimed = flight_batch(flight);
	struct error err;

	if (claimed == NULL) {
		error_set(&err, STATUS_NO_MEMORY, "no memory for a batch");
		relay_store_failed(relay, now, &err);
		return;
	}
	if (testing_bug("cursor-polling"))
		wanted.after_seq = relay->after_seq;
	if (sweep)
		relay->sweep_at = now + RELAY_SWEEP_EVERY;
	testing_crash_point("claim");
	if (claim_in_order(relay, &wanted, &claimed->batch, &err) < 0) {
		flight_unused(flight, claimed);
		relay_store_failed(relay, now, &err);
		return;
	}
	testing_crash_point("claimed");
	relay->held_at = now;
	note_claim(relay, now, &wanted, &claimed->batch);
	relay->again = claimed->batch.count > 0;
	flight_add(flight, claimed);
}

void relay_claim_if_due(struct relay *relay, usec_t now)
{
	if (!relay_may_claim(relay))
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
	relay_done(relay, slot, now, &outcome);
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
	testing_crash_point("publish");
	if (testing_bug("mark-before-confirm"))
		relay_done(relay, slot, now,
			   &(struct outcome){.kind = OUTCOME_PUBLISHED});
	return true;
}

void relay_send_ready(struct relay *relay, usec_t now)
{
	struct slot *slot;

	if (relay_lock_is_doubtful(relay, now))
		return;
	while (may_publish(relay) && window_is_open(relay) &&
	       (slot = flight_next(&relay->flight)) != NULL)
		if (!send_one(relay, slot, now))
			break;
}
