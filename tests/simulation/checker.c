/* SPDX-License-Identifier: MIT */
/* What the product promises, held against what happened. */
#include "checker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "world.h"

/* ---- the history ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ (hash >> 29);
}

static void print_note(const struct world *world, const struct lane *lane,
		       const char *what, int64_t a, int64_t b)
{
	printf("%10.6f  ", (double)world->now / USEC_PER_SEC);
	if (lane == NULL)
		printf("%-15s", "");
	else
		printf("worker %u %s ", lane->worker->number,
		       lane->role == BROKER_PUBLISHER ? "relay " : "intake");
	printf(" %s %lld %lld\n", what, (long long)a, (long long)b);
}

void note(struct world *world, const struct lane *lane, const char *what,
	  int64_t a, int64_t b)
{
	struct checker *checker = &world->checker;
	uint64_t hash = mix(checker->hash, (uint64_t)world->now);

	for (const char *at = what; *at != '\0'; at++)
		hash = (hash ^ (unsigned char)*at) * 1099511628211U;
	if (lane != NULL)
		hash = mix(hash, lane->worker->number * LANES + lane->role);
	checker->hash = mix(mix(hash, (uint64_t)a), (uint64_t)b);
	if (checker->tracing)
		print_note(world, lane, what, a, b);
}

void violated(struct world *world, char invariant, const char *format, ...)
{
	struct checker *checker = &world->checker;
	va_list args;

	note(world, NULL, "VIOLATED", invariant, 0);
	if (checker->verdict != 0)
		return;
	checker->verdict = invariant;
	va_start(args, format);
	vsnprintf(checker->why, sizeof(checker->why), format, args);
	va_end(args);
}

static struct story *story_of(struct world *world, int64_t seq)
{
	return &world->checker.stories[seq];
}

/* Eight bytes at a time; bodies are compared all the same. */
static uint64_t hash_body(struct span body)
{
	uint64_t hash = body.len;
	size_t at = 0;

	for (; at + 8 <= body.len; at += 8) {
		uint64_t word;

		memcpy(&word, body.at + at, sizeof(word));
		hash = mix(hash, word);
	}
	for (; at < body.len; at++)
		hash = mix(hash, (unsigned char)body.at[at]);
	return hash;
}

struct letter *checker_letter(struct world *world, struct span body)
{
	struct checker *checker = &world->checker;
	uint64_t hash = hash_body(body);
	struct letter *letter;

	for (size_t i = 0; i < checker->letter_count; i++) {
		letter = &checker->letters[i];
		if (letter->hash == hash && span_equal(letter->body, body))
			return letter;
	}
	if (checker->letter_count == LETTERS_MAX)
		abort();
	letter = &checker->letters[checker->letter_count++];
	*letter = (struct letter){.hash = hash, .body = body};
	return letter;
}

/* ---- G, K: what leaves a lane ---- */

void checker_committed(struct world *world, int64_t seq)
{
	story_of(world, seq)->committed = true;
	note(world, NULL, "committed", seq, 0);
}

/* A relay may have lost its lock and not know it. So it has to ask the store
 * before it goes on after it stood still, and from time to time. */
static const usec_t silence = 5 * USEC_PER_SEC / 2;

static bool overslept(const struct lane *lane)
{
	usec_t answered_at = session_answered_at(lane->session);

	return session_was_robbed(lane->session) &&
	       (answered_at < lane->worker->frozen_until ||
		lane->world->now - answered_at > silence);
}

void checker_expired(struct world *world, const struct lane *lane, int64_t seq)
{
	story_of(world, seq)->expired_for = lane;
}

/* Unless the store has failed it since: then the outcome may be lost. */
static bool knows_taken(const struct lane *lane, const struct story *story)
{
	return story->heard_by == lane &&
	       story->heard_after == session_failures(lane->session);
}

void checker_sent(struct world *world, struct lane *lane, int64_t seq)
{
	note(world, lane, "sends", seq, 0);
	if (!story_of(world, seq)->committed)
		violated(world, 'G', "row %lld went out uncommitted",
			 (long long)seq);
	if (story_of(world, seq)->expired_for == lane)
		violated(world, 'P', "row %lld went out expired",
			 (long long)seq);
	if (session_holds_lock(lane->session) &&
	    story_of(world, seq)->status != ROW_PENDING)
		violated(world, 'D', "row %lld went out settled",
			 (long long)seq);
	if (knows_taken(lane, story_of(world, seq)))
		violated(world, 'D', "row %lld went out again, confirmed",
			 (long long)seq);
	if (!session_trusts_lock(lane->session))
		violated(world, 'K', "worker %u sent row %lld without the lock",
			 lane->worker->number, (long long)seq);
	else if (overslept(lane))
		violated(world, 'K',
			 "worker %u sent row %lld, not knowing for too long "
			 "that another has the lock",
			 lane->worker->number, (long long)seq);
}

void checker_broken(struct world *world, const struct lane *lane)
{
	if (lane->role == BROKER_PUBLISHER)
		world->checker.breaks++;
}

/* ---- O, D: what the broker takes ---- */

static bool is_parked(const struct story *story)
{
	return story->status == ROW_INVALID || story->status == ROW_ERROR;
}

static void check_order(struct world *world, int64_t seq)
{
	const struct story *story = story_of(world, seq);

	for (int64_t i = 1; story->key != 0 && i < seq; i++) {
		const struct story *earlier = story_of(world, i);

		if (earlier->key == story->key && earlier->committed &&
		    earlier->taken == 0 && !is_parked(earlier))
			violated(world, 'O',
				 "row %lld overtook row %lld of its key",
				 (long long)seq, (long long)i);
	}
}

void checker_taken(struct world *world, int64_t seq)
{
	struct checker *checker = &world->checker;
	struct story *story = story_of(world, seq);

	if (story->taken++ == 0) {
		check_order(world, seq);
		return;
	}
	checker->repeats++;
	if (checker->repeats > checker->breaks * (uint64_t)world->plan->window)
		violated(world, 'D',
			 "row %lld again: %llu repeats after %llu breaks",
			 (long long)seq, (unsigned long long)checker->repeats,
			 (unsigned long long)checker->breaks);
}

/* ---- C, R, P: what becomes of a row ---- */

void checker_refused(struct world *world, int64_t seq)
{
	note(world, NULL, "refused", seq, 0);
	story_of(world, seq)->failures++;
}

void checker_confirmed(struct world *world, const struct lane *lane,
		       int64_t seq, bool returned)
{
	struct story *story = story_of(world, seq);

	note(world, NULL, "confirmed", seq, returned);
	if (returned) {
		story->failures++;
		return;
	}
	story->confirmed = true;
	story->heard_by = lane;
	if (lane != NULL)
		story->heard_after = session_failures(lane->session);
}

void checker_suspected(struct world *world, int64_t seq)
{
	story_of(world, seq)->suspected++;
}

static void check_attempts(struct world *world, int64_t seq)
{
	const struct story *story = story_of(world, seq);

	if (story->retries > story->failures + story->suspected)
		violated(world, 'R',
			 "row %lld has %lld attempts, the broker failed %u",
			 (long long)seq, (long long)story->retries,
			 story->failures + story->suspected);
}

/* Failed for good: too often, or too late. */
static void check_error(struct world *world, int64_t seq,
			const struct outcome *outcome)
{
	const struct story *story = story_of(world, seq);

	if (!span_present(outcome->reason) || outcome->reason.len == 0)
		violated(world, 'P', "row %lld was parked without a reason",
			 (long long)seq);
	if (outcome->attempts > 0) {
		check_attempts(world, seq);
		if (story->retries < world->plan->max_retry_count)
			violated(world, 'P',
				 "row %lld was given up after %lld attempts",
				 (long long)seq, (long long)story->retries);
	} else if (story->content != CONTENT_EXPIRES) {
		violated(world, 'P', "row %lld ended as error, unattempted",
			 (long long)seq);
	}
}

void checker_settled(struct world *world, int64_t seq,
		     const struct outcome *outcome)
{
	struct story *story = story_of(world, seq);

	note(world, NULL, "settled", seq, outcome->kind);
	switch (outcome->kind) {
	case OUTCOME_PUBLISHED:
		story->status = ROW_PUBLISHED;
		if (!story->confirmed)
			violated(world, 'C',
				 "row %lld is published, unconfirmed",
				 (long long)seq);
		break;
	case OUTCOME_RETRY:
		story->retries = outcome->attempts;
		check_attempts(world, seq);
		break;
	case OUTCOME_ERROR:
		story->status = ROW_ERROR;
		if (outcome->attempts > 0)
			story->retries = outcome->attempts;
		check_error(world, seq, outcome);
		break;
	case OUTCOME_INVALID:
		story->status = ROW_INVALID;
		if (story->content != CONTENT_INVALID ||
		    outcome->reason.len == 0)
			violated(world, 'P', "row %lld is called invalid",
				 (long long)seq);
		break;
	}
}

/* ---- A, X: what becomes of a letter ---- */

/* MQTT 3.1.1 has no place for it. */
static bool key_is_lost(const struct plan *plan)
{
	return plan->wire == WIRE_MQTT && (plan->version < 5 || plan->outdated);
}

static unsigned bit_of_key(struct span key)
{
	if (!span_present(key))
		return 1;
	return key.len == 1 ? 2u << (key.at[0] - 'a') : 0;
}

void checker_stored(struct world *world, const struct accepted *accepted)
{
	struct letter *letter = accepted->letter;
	unsigned keys = key_is_lost(world->plan) ? 1 : letter->keys;

	note(world, NULL, "stored", letter - world->checker.letters,
	     accepted->result);
	letter->stored = true;
	if (letter->hopeless != (accepted->result == INBOX_REJECTED))
		violated(world, 'P', "a letter was %s",
			 letter->hopeless ? "accepted and is hopeless"
					  : "rejected and is good");
	if (letter->hopeless)
		return;
	if (!span_equal(letter->message_id, accepted->message_id) ||
	    !span_equal(letter->payload, accepted->payload))
		violated(world, 'X', "letter %.*s was changed on its way",
			 SPAN_ARG(letter->message_id));
	if ((keys & bit_of_key(accepted->ordering_key)) == 0)
		violated(world, 'X', "letter %.*s came with the key '%.*s'",
			 SPAN_ARG(letter->message_id),
			 SPAN_ARG(accepted->ordering_key));
}

void checker_acknowledged(struct world *world, const struct letter *letter)
{
	note(world, NULL, "acknowledged", letter - world->checker.letters, 0);
	if (!letter->stored)
		violated(world, 'A', "letter %.*s was acknowledged unstored",
			 SPAN_ARG(letter->message_id));
}

/* ---- the end ---- */

static void conclude_row(struct world *world, int64_t seq)
{
	const struct story *story = story_of(world, seq);
	bool bad = story->content == CONTENT_INVALID;

	if (!story->committed)
		return;
	if (story->status == ROW_PENDING)
		violated(world, 'V', "row %lld is stuck", (long long)seq);
	if (bad != (story->status == ROW_INVALID))
		violated(world, 'P', "row %lld should have been parked",
			 (long long)seq);
	if (story->status == ROW_PUBLISHED && story->taken == 0)
		violated(world, 'L', "row %lld never reached the broker",
			 (long long)seq);
}

static unsigned count_entries(const struct world *world,
			      const struct letter *letter)
{
	unsigned count = 0;

	for (size_t i = 0; i < world->database.inbox_count; i++) {
		const struct inbox_entry *entry = &world->database.inbox[i];

		count += !entry->rejected &&
			 span_equal(entry->message_id, letter->message_id);
	}
	return count;
}

static void conclude_letter(struct world *world, const struct letter *letter)
{
	if (letter->kept && !letter->stored)
		violated(world, 'L', "letter %.*s never reached the inbox",
			 SPAN_ARG(letter->message_id));
	if (letter->stored && !letter->hopeless &&
	    count_entries(world, letter) != 1)
		violated(world, 'X',
			 "%u rows of the inbox have message_id "
			 "%.*s",
			 count_entries(world, letter),
			 SPAN_ARG(letter->message_id));
}

void checker_conclude(struct world *world)
{
	for (int64_t seq = 1; seq <= world->database.last_seq; seq++)
		conclude_row(world, seq);
	for (size_t i = 0; i < world->checker.letter_count; i++)
		conclude_letter(world, &world->checker.letters[i]);
}
