/* SPDX-License-Identifier: MIT */
/*
 * The judge. It is told what happens where it can be seen from outside: in the
 * database's commits, on the wire, in the broker's queue; and holds it against
 * what the product promises:
 *
 *   L  a committed row reaches the broker, or is parked with a reason
 *   C  published means that the broker confirmed it before
 *   G  nothing crosses that no committed row or stranger has sent
 *   X  what crossed is in the inbox once per message_id, or in rejected
 *   A  the broker is acknowledged only after the commit
 *   O  rows of one ordering key first reach the broker in their order
 *   K  only who holds the lock publishes, as far as it can know
 *   D  repeats on the wire are bounded by breaks times the window
 *   R  an outage costs no attempt: retries are counted for answers alone
 *   P  a bad row is parked with its reason, and only a bad row
 *   V  after healing everything comes to rest in time, without spinning
 *   I  the interfaces of store and broker are used as their headers say
 */
#ifndef SIMULATION_CHECKER_H
#define SIMULATION_CHECKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "broker/broker.h"
#include "plan.h"
#include "store/store.h"

struct world;
struct lane;
struct accepted;

/* An outbox row, as told. */
struct story {
	enum content content;
	unsigned key;
	const struct lane *expired_for; /* who knows that it has expired */
	bool aborted;			/* will be rolled back */
	bool committed;
	unsigned taken;	    /* times the broker took it */
	unsigned failures;  /* answers that count as a failed attempt */
	unsigned suspected; /* times the broker closed over it, perhaps */
	const struct lane *heard_by; /* who was told last that it is taken */
	unsigned heard_after;	     /* ... and how many calls had failed */
	bool confirmed; /* and had not been returned if it must be routed */
	enum row_status {
		ROW_PENDING,
		ROW_PUBLISHED,
		ROW_INVALID,
		ROW_ERROR
	} status;
	int64_t retries;
	struct letter *letter; /* what it became on the wire */
};

/* Something that lay in the broker's queue; the same bytes are the same
 * letter. */
struct letter {
	uint64_t hash;
	struct span body;
	struct span message_id; /* absent: the letter is hopeless */
	struct span payload;
	unsigned keys; /* it is sent with: a bit for each, the first: none */
	bool hopeless; /* has to end in rejected */
	bool kept;     /* in the queue for good: L and X apply */
	bool stored;   /* in inbox or rejected, committed */
};

enum { STORIES_MAX = 128, LETTERS_MAX = 160 };

struct checker {
	bool tracing;
	uint64_t hash; /* of everything that was noted, in order */
	char verdict;  /* the first invariant that broke, 0: none */
	char why[256];
	struct story stories[STORIES_MAX]; /* by seq, from 1 */
	struct letter letters[LETTERS_MAX];
	size_t letter_count;
	uint64_t breaks; /* of relays: kills, lost links, failed calls */
	uint64_t repeats;
};

/* The history: one line each when tracing, part of the hash always. */
void note(struct world *world, const struct lane *lane, const char *what,
	  int64_t a, int64_t b);

void violated(struct world *world, char invariant, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct letter *checker_letter(struct world *world, struct span body);

void checker_committed(struct world *world, int64_t seq);
/* A lane was told that the row has expired. */
void checker_expired(struct world *world, const struct lane *lane, int64_t seq);
/* A publish leaves a lane. */
void checker_sent(struct world *world, struct lane *lane, int64_t seq);
void checker_taken(struct world *world, int64_t seq);
void checker_refused(struct world *world, int64_t seq);
/* `lane`, unless it is NULL, has been told all there is to say about it. */
void checker_confirmed(struct world *world, const struct lane *lane,
		       int64_t seq, bool returned);
/* The broker closed a connection over a message, perhaps this one. */
void checker_suspected(struct world *world, int64_t seq);
/* An outcome was committed to a pending row. */
void checker_settled(struct world *world, int64_t seq,
		     const struct outcome *outcome);
/* A row of a batch was committed. */
void checker_stored(struct world *world, const struct accepted *accepted);
void checker_acknowledged(struct world *world, const struct letter *letter);
/* A relay may have to send again, and it is not its own fault. */
void checker_broken(struct world *world, const struct lane *lane);

/* At the end of the run. */
void checker_conclude(struct world *world);

#endif
