/* SPDX-License-Identifier: MIT */
/* Slots, tags and strands: the bookkeeping of a relay's window. */
#include "bus/flight.h"

#include <assert.h>
#include <stdlib.h>

#include "base/testing.h"

enum { STRANDS = 4096 };

static void init_lists(struct flight *flight)
{
	flight->ready = NULL;
	flight->ready_end = &flight->ready;
}

int flight_init(struct flight *flight, size_t size, struct error *err)
{
	size_t tags = 2;

	assert(size > 0);
	while (tags < 2 * size)
		tags *= 2;
	*flight = (struct flight){.size = size, .tag_mask = tags - 1};
	init_lists(flight);
	flight->oldest_tag = flight->next_tag = 1;
	flight->slots = calloc(size, sizeof(*flight->slots));
	flight->by_tag = calloc(tags, sizeof(struct slot *));
	flight->strands = calloc(STRANDS, sizeof(*flight->strands));
	if (flight->slots == NULL || flight->by_tag == NULL ||
	    flight->strands == NULL) {
		flight_finish(flight);
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for %zu rows", size);
	}
	for (size_t i = size; i-- > 0;) {
		flight->slots[i].next = flight->free;
		flight->free = &flight->slots[i];
	}
	return 0;
}

static void free_claimed(struct claimed *claimed)
{
	arena_finish(&claimed->batch.arena);
	free(claimed);
}

/* ---- batches ---- */

struct claimed *flight_batch(struct flight *flight)
{
	struct claimed *claimed = flight->spare;

	if (claimed == NULL)
		return calloc(1, sizeof(*claimed));
	flight->spare = claimed->next;
	return claimed;
}

/* One is kept for the next claim; more would only pin memory. */
void flight_unused(struct flight *flight, struct claimed *claimed)
{
	if (flight->spare != NULL) {
		free_claimed(claimed);
		return;
	}
	arena_reset(&claimed->batch.arena);
	claimed->next = NULL;
	flight->spare = claimed;
}

/* The slot's row will not be read again. */
static void let_go(struct flight *flight, struct slot *slot)
{
	struct claimed *claimed = slot->claimed;

	slot->claimed = NULL;
	if (claimed == NULL || --claimed->unread > 0)
		return;
	flight->claimed_bytes -= claimed->batch.arena.used;
	flight_unused(flight, claimed);
}

const struct outbox_row *flight_row(const struct slot *slot)
{
	return &slot->claimed->batch.rows[slot->row];
}

/* ---- slots ---- */

static void make_ready(struct flight *flight, struct slot *slot)
{
	slot->state = SLOT_READY;
	slot->next = NULL;
	*flight->ready_end = slot;
	flight->ready_end = &slot->next;
}

static void take_ready(struct flight *flight, struct slot *slot)
{
	assert(flight->ready == slot);
	flight->ready = slot->next;
	if (flight->ready == NULL)
		flight->ready_end = &flight->ready;
}

static void release(struct flight *flight, struct slot *slot)
{
	let_go(flight, slot);
	free(slot->reason);
	*slot = (struct slot){.state = SLOT_FREE, .next = flight->free};
	flight->free = slot;
	flight->used--;
}

void flight_finish(struct flight *flight)
{
	for (size_t i = 0; flight->slots != NULL && i < flight->size; i++)
		if (flight->slots[i].state != SLOT_FREE)
			release(flight, &flight->slots[i]);
	while (flight->spare != NULL) {
		struct claimed *claimed = flight->spare;

		flight->spare = claimed->next;
		free_claimed(claimed);
	}
	free(flight->slots);
	free(flight->by_tag);
	free(flight->strands);
	*flight = (struct flight){0};
}

/* FNV-1a; strand 0 means that there is no key. */
static uint32_t strand_of(struct span key)
{
	uint32_t hash = 2166136261u;

	if (!span_present(key) || testing_bug("key-overtaken"))
		return 0;
	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.at[i]) * 16777619u;
	return 1 + hash % (STRANDS - 1);
}

static void join_strand(struct flight *flight, struct slot *slot)
{
	struct strand *strand = &flight->strands[slot->strand];

	if (slot->strand == 0) {
		make_ready(flight, slot);
	} else if (strand->first == NULL) {
		*strand = (struct strand){slot, slot};
		make_ready(flight, slot);
	} else {
		slot->state = SLOT_HELD;
		strand->last->behind = slot;
		strand->last = slot;
	}
}

static void add_row(struct flight *flight, struct claimed *claimed, size_t i)
{
	const struct outbox_row *row = &claimed->batch.rows[i];
	struct slot *slot = flight->free;

	assert(slot != NULL);
	flight->free = slot->next;
	*slot = (struct slot){
		.claimed = claimed,
		.row = i,
		.seq = row->seq,
		.retry_count = row->retry_count,
		.strand = strand_of(row->ordering_key),
	};
	flight->used++;
	join_strand(flight, slot);
}

void flight_add(struct flight *flight, struct claimed *claimed)
{
	claimed->unread = claimed->batch.count;
	if (claimed->unread == 0) {
		flight_unused(flight, claimed);
		return;
	}
	flight->claimed_bytes += claimed->batch.arena.used;
	for (size_t i = 0; i < claimed->batch.count; i++)
		add_row(flight, claimed, i);
}

struct slot *flight_next(const struct flight *flight)
{
	if (flight->next_tag - flight->oldest_tag > flight->tag_mask)
		return NULL;
	return flight->ready;
}

void flight_sent(struct flight *flight, struct slot *slot, uint64_t tag,
		 usec_t now)
{
	assert(slot->state == SLOT_READY && tag == flight->next_tag);
	take_ready(flight, slot);
	let_go(flight, slot);
	slot->state = SLOT_SENT;
	slot->tag = tag;
	slot->sent_at = now;
	flight->by_tag[tag & flight->tag_mask] = slot;
	flight->next_tag++;
	flight->sent++;
}

struct slot *flight_find(const struct flight *flight, uint64_t tag)
{
	if (tag < flight->oldest_tag || tag >= flight->next_tag)
		return NULL;
	return flight->by_tag[tag & flight->tag_mask];
}

struct slot *flight_oldest(const struct flight *flight)
{
	return flight_find(flight, flight->oldest_tag);
}

static void answered(struct flight *flight, struct slot *slot)
{
	flight->sent--;
	flight->by_tag[slot->tag & flight->tag_mask] = NULL;
	while (flight->oldest_tag < flight->next_tag &&
	       flight->by_tag[flight->oldest_tag & flight->tag_mask] == NULL)
		flight->oldest_tag++;
}

static void leave_strand(struct flight *flight, struct slot *slot)
{
	struct strand *strand = &flight->strands[slot->strand];

	if (slot->strand == 0)
		return;
	strand->first = slot->behind;
	if (strand->first == NULL)
		strand->last = NULL;
	else
		make_ready(flight, strand->first);
	slot->strand = 0;
	slot->behind = NULL;
}

static void keep_reason(struct slot *slot, struct span reason)
{
	char *copy =
		span_present(reason) ? strndup(reason.at, reason.len) : NULL;

	free(slot->reason);
	slot->reason = copy;
	slot->outcome.reason = span_of(copy);
}

void flight_done(struct flight *flight, struct slot *slot,
		 const struct outcome *outcome)
{
	assert(slot->state == SLOT_SENT || slot->state == SLOT_READY);
	if (slot->state == SLOT_SENT) {
		answered(flight, slot);
	} else {
		take_ready(flight, slot);
		let_go(flight, slot);
	}
	slot->state = SLOT_DONE;
	slot->outcome = *outcome;
	slot->outcome.seq = slot->seq;
	keep_reason(slot, outcome->reason);
	flight->done++;
	if (outcome->kind == OUTCOME_PUBLISHED)
		leave_strand(flight, slot);
}

size_t flight_settle(struct flight *flight, struct outcome *outcomes)
{
	size_t count = 0;

	for (size_t i = 0; i < flight->size; i++) {
		struct slot *slot = &flight->slots[i];

		if (slot->state != SLOT_DONE)
			continue;
		slot->state = SLOT_SETTLING;
		outcomes[count++] = slot->outcome;
	}
	flight->settling += count;
	flight->done = 0;
	return count;
}

void flight_unsettled(struct flight *flight)
{
	for (size_t i = 0; i < flight->size; i++)
		if (flight->slots[i].state == SLOT_SETTLING)
			flight->slots[i].state = SLOT_DONE;
	flight->done += flight->settling;
	flight->settling = 0;
}

/* The rows held behind a failed one. */
static bool forget_held(struct flight *flight, struct slot *slot)
{
	bool any = slot != NULL;

	while (slot != NULL) {
		struct slot *behind = slot->behind;

		release(flight, slot);
		slot = behind;
	}
	return any;
}

static bool forget_outcomes(struct flight *flight, enum slot_state state)
{
	bool forgot = false;

	for (size_t i = 0; i < flight->size; i++) {
		struct slot *slot = &flight->slots[i];

		if (slot->state != state)
			continue;
		if (slot->strand != 0) {
			forgot |= forget_held(flight, slot->behind);
			flight->strands[slot->strand] = (struct strand){0};
		}
		release(flight, slot);
	}
	return forgot;
}

bool flight_settled(struct flight *flight)
{
	flight->settling = 0;
	return forget_outcomes(flight, SLOT_SETTLING);
}

void flight_forget_done(struct flight *flight)
{
	flight->done = 0;
	forget_outcomes(flight, SLOT_DONE);
}

/* After rows were forgotten, strands hold what is left of them: one row. */
static void rebuild_strands(struct flight *flight)
{
	memset(flight->strands, 0, STRANDS * sizeof(*flight->strands));
	for (size_t i = 0; i < flight->size; i++) {
		struct slot *slot = &flight->slots[i];

		if (slot->state == SLOT_FREE || slot->strand == 0)
			continue;
		slot->behind = NULL;
		flight->strands[slot->strand] = (struct strand){slot, slot};
	}
}

static void forget(struct flight *flight, bool sent_too)
{
	for (size_t i = 0; i < flight->size; i++) {
		struct slot *slot = &flight->slots[i];

		if (slot->state == SLOT_READY || slot->state == SLOT_HELD ||
		    (sent_too && slot->state == SLOT_SENT))
			release(flight, slot);
	}
	init_lists(flight);
	rebuild_strands(flight);
}

void flight_forget_unanswered(struct flight *flight)
{
	forget(flight, true);
	memset(flight->by_tag, 0,
	       (flight->tag_mask + 1) * sizeof(struct slot *));
	flight->sent = 0;
	flight->oldest_tag = flight->next_tag = 1;
}

void flight_forget_unsent(struct flight *flight)
{
	forget(flight, false);
}

static int compare_seqs(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

size_t flight_seqs(const struct flight *flight, int64_t *seqs)
{
	size_t count = 0;

	for (size_t i = 0; i < flight->size; i++)
		if (flight->slots[i].state != SLOT_FREE)
			seqs[count++] = flight->slots[i].seq;
	qsort(seqs, count, sizeof(*seqs), compare_seqs);
	return count;
}
