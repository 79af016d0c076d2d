/* SPDX-License-Identifier: MIT */
/*
 * The rows that a relay has in hand: claimed, and not yet settled.
 *
 * Rows of one ordering key form a strand: only its first row is on the wire,
 * the others are held behind it. Keys share a strand when their hashes meet;
 * that costs them speed, never order.
 */
#ifndef BUS_FLIGHT_H
#define BUS_FLIGHT_H

#include "base/clock.h"
#include "store/store.h"

enum slot_state {
	SLOT_FREE,
	SLOT_READY,    /* to be published next */
	SLOT_HELD,     /* waits for an earlier row of its strand */
	SLOT_SENT,     /* published, unanswered; has a tag */
	SLOT_DONE,     /* outcome known, not yet written to the store */
	SLOT_SETTLING, /* it is being written */
};

/* A claimed batch stays as long as one of its rows may still be read. */
struct claimed {
	struct claimed *next;
	struct outbox_batch batch;
	size_t unread; /* rows READY or HELD */
};

struct slot {
	enum slot_state state;
	enum message_type type;
	bool returned; /* the broker found no queue; the confirm will follow */
	uint32_t strand;	 /* 0: none */
	struct slot *behind;	 /* next of the strand */
	struct slot *next;	 /* next of the ready or the free list */
	struct claimed *claimed; /* while READY or HELD */
	size_t row;
	int64_t seq;
	int64_t retry_count;
	uint64_t tag;
	usec_t sent_at;
	struct outcome outcome; /* when DONE or SETTLING */
	char *reason;		/* why it was returned or failed */
};

struct strand {
	struct slot *first; /* NULL: free */
	struct slot *last;
};

struct flight {
	struct slot *slots;
	size_t size;
	size_t used; /* not FREE */
	size_t sent;
	size_t done;
	size_t settling; /* while any is, the store can take no other call */
	struct slot *free;
	struct slot *ready; /* in the order to send */
	struct slot **ready_end;

	struct slot **by_tag; /* ring; entry NULL once answered */
	uint64_t tag_mask;
	uint64_t oldest_tag; /* no tag below it is unanswered */
	uint64_t next_tag;

	struct strand *strands;
	struct claimed *spare;
	size_t claimed_bytes; /* held by batches that are still read */
};

/* Room for `size` rows. STATUS_NO_MEMORY. */
int flight_init(struct flight *flight, size_t size, struct error *err);
void flight_finish(struct flight *flight);

/* A batch to claim into, to be given to flight_add or, unused, to
 * flight_unused. NULL when memory has run out. */
struct claimed *flight_batch(struct flight *flight);
void flight_unused(struct flight *flight, struct claimed *claimed);

/* Takes in every row of a claimed batch: READY, or HELD behind its key. There
 * must be room. Gives an empty batch back. */
void flight_add(struct flight *flight, struct claimed *claimed);

/* The row to be published next; NULL when none is READY or when the broker
 * owes too many answers. */
struct slot *flight_next(const struct flight *flight);
const struct outbox_row *flight_row(const struct slot *slot);
/* The next READY one to SENT. Tags count from 1 per connection, without a gap.
 */
void flight_sent(struct flight *flight, struct slot *slot, uint64_t tag,
		 usec_t now);
/* The SENT slot of a tag, NULL if it was answered or is unknown. */
struct slot *flight_find(const struct flight *flight, uint64_t tag);
/* The SENT slot that has waited longest, NULL if none. */
struct slot *flight_oldest(const struct flight *flight);

/*
 * SENT, or the next READY one, to DONE; the reason (may be absent) is copied,
 * and lost rather than failing. PUBLISHED lets the next of the strand become
 * READY; any other outcome keeps the strand until it is settled.
 */
void flight_done(struct flight *flight, struct slot *slot,
		 const struct outcome *outcome);

/* DONE to SETTLING, and a copy of every outcome, whose reason stays the slot's;
 * returns how many, at most `size`. */
size_t flight_settle(struct flight *flight, struct outcome *outcomes);
/* Those are written: forgets them. True if rows held behind one that was not
 * published were forgotten too: they must be claimed again. */
bool flight_settled(struct flight *flight);
/* Whether those were written is not known: back to DONE. */
void flight_unsettled(struct flight *flight);
/* Forgets what is DONE. */
void flight_forget_done(struct flight *flight);

/* Forgets what is READY, HELD, SENT: the link is lost, or nothing more shall
 * go out. The rows are pending and will be claimed again. */
void flight_forget_unanswered(struct flight *flight);
/* Forgets what is READY or HELD. */
void flight_forget_unsent(struct flight *flight);

/* The seq of every row in hand, ascending; room for `size` of them. */
size_t flight_seqs(const struct flight *flight, int64_t *seqs);

#endif
