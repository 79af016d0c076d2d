/* SPDX-License-Identifier: MIT */
/*
 * Which outbox rows a claim brings on PostgreSQL.
 *
 * A row waits while its next_retry_at is set; a waiting row holds back the
 * later rows of its key, unless it comes in the same claim. One statement
 * finds the candidates off partial indexes, another reads what was picked.
 *
 * What rows leave behind in the indexes while an old snapshot is open has to
 * be stepped over by whoever looks at everything. Such looks may take a
 * twentieth of the time; between them claims begin where the last one found
 * something.
 *
 * Rows compared as (a, b, c) > (x, y, z) and sorted by all of a, b, c leave
 * the planner but one way, the index over them, whatever it believes about
 * the table.
 */
#include <stdlib.h>

#include "store/postgres_read.h"

#define WAITING "w.status = 'pending' AND w.next_retry_at IS NOT NULL "

/* Waiting rows of the key of `o`, if there are any: the first of all, and the
 * last before `o` if that first one, its head, is before it. */
#define FIRST_WAITING                                                       \
	"LEFT JOIN LATERAL (SELECT w.config_key, w.ordering_key, w.seq, "   \
	"w.next_retry_at FROM @.event_bus_outbound_event w "                \
	"WHERE o.ordering_key <> '' AND " WAITING                           \
	"AND w.ordering_key IS NOT NULL AND "                               \
	"(w.config_key, w.ordering_key) >= (o.config_key, o.ordering_key) " \
	"ORDER BY w.config_key, w.ordering_key, w.seq LIMIT 1) AS h "       \
	"ON h.config_key = o.config_key AND h.ordering_key = o.ordering_key "
#define LAST_WAITING                                                   \
	"LEFT JOIN LATERAL (SELECT w.ordering_key, w.seq "             \
	"FROM @.event_bus_outbound_event w "                           \
	"WHERE o.head < o.seq AND " WAITING                            \
	"AND w.ordering_key IS NOT NULL AND "                          \
	"(w.config_key, w.ordering_key, w.seq) < "                     \
	"($1, o.ordering_key, o.seq) AND w.config_key >= $1 "          \
	"ORDER BY w.config_key DESC, w.ordering_key DESC, w.seq DESC " \
	"LIMIT 1) AS h ON h.ordering_key = o.ordering_key "

/*
 * $1 config key, $2 after_seq, $3 limit, $4 busy, $5 due_floor. Due rows bring
 * the first waiting row of their key along, so that a key whose rows fall due
 * in another order than their own still moves on. Fresh rows whose key is held
 * back are no candidates; the last word has pick(). Beside them, under the seq
 * 0, come the time that the first due row waited for and how long the next one
 * has yet to wait.
 */
static const char candidates_sql[] =
	"WITH due AS MATERIALIZED (SELECT o.seq, o.ordering_key, "
	"pg_column_size(o.payload) AS size, o.next_retry_at, h.seq AS head "
	"FROM @.event_bus_outbound_event o " FIRST_WAITING
	"WHERE o.config_key = $1 AND o.status = 'pending' "
	"AND o.next_retry_at <= now() AND o.next_retry_at >= "
	"timestamptz 'epoch' + $5 * interval '1 microsecond' "
	"AND o.seq NOT IN (SELECT unnest($4)) "
	"AND (h.seq IS NULL OR h.next_retry_at <= now() "
	"AND h.seq NOT IN (SELECT unnest($4))) "
	"ORDER BY o.next_retry_at LIMIT $3), "
	"fresh AS MATERIALIZED (SELECT o.seq, o.ordering_key, "
	"pg_column_size(o.payload) AS size, h.seq AS head "
	"FROM @.event_bus_outbound_event o " FIRST_WAITING
	"WHERE (o.config_key, o.seq) > ($1, $2) AND o.config_key <= $1 "
	"AND o.status = 'pending' AND o.next_retry_at IS NULL "
	"AND o.seq NOT IN (SELECT unnest($4)) "
	"AND (h.seq IS NULL OR h.seq > o.seq OR "
	"h.seq IN (SELECT due.head FROM due)) "
	"ORDER BY o.config_key, o.seq LIMIT $3) "
	"SELECT o.seq, h.seq, o.size FROM ("
	"SELECT seq, ordering_key, size, head FROM due "
	"UNION SELECT head, ordering_key, 0, head FROM due "
	"WHERE head IS NOT NULL "
	"UNION ALL SELECT seq, ordering_key, size, head FROM fresh) AS "
	"o " LAST_WAITING "UNION ALL SELECT 0, "
	"floor(extract(epoch FROM coalesce((SELECT min(due.next_retry_at) "
	"FROM due), now())) * 1000000)::bigint, "
	"(SELECT ceil(extract(epoch FROM o.next_retry_at - now()) * 1000000) "
	"FROM @.event_bus_outbound_event o WHERE o.config_key = $1 "
	"AND o.status = 'pending' AND o.next_retry_at > now() "
	"ORDER BY o.next_retry_at LIMIT 1)::bigint "
	"ORDER BY 1, 3 DESC";

/* When looks at everything take long there is none for as many times as long.
 * Once alone it was a hiccup: then a row that commits late would have to wait
 * for nothing. */
static const usec_t long_look = 100 * USEC_PER_MSEC;
enum { PAUSE = 20 };

struct selection {
	const struct outbox_claim *claim;
	int64_t after_seq;
	int64_t due_from;
	struct postgres_pick *picks; /* by seq; first candidates, then those
					that may come */
	size_t found;
	size_t picked;
	int64_t first_due; /* microseconds since 1970; now if none is due */
	usec_t next_due_in;
};

static int compare(const void *left, const void *right)
{
	int64_t a = ((const struct postgres_pick *)left)->seq;
	int64_t b = ((const struct postgres_pick *)right)->seq;

	return (a > b) - (a < b);
}

static int add_candidate(void *context, const PGresult *row, struct error *err)
{
	struct selection *selection = context;
	int64_t seq = postgres_integer(row, 0);

	(void)err;
	if (seq == 0) {
		selection->first_due = postgres_integer(row, 1);
		if (!PQgetisnull(row, 0, 2))
			selection->next_due_in = postgres_integer(row, 2);
	} else if (selection->found == 0 ||
		   selection->picks[selection->found - 1].seq != seq) {
		selection->picks[selection->found++] = (struct postgres_pick){
			.seq = seq,
			.holder = postgres_integer(row, 1),
			.size = (size_t)postgres_integer(row, 2),
		};
	}
	return 0;
}

static int find_candidates(struct postgres_store *store,
			   struct selection *selection, struct error *err)
{
	const struct outbox_claim *claim = selection->claim;
	struct postgres_query query;
	struct postgres_array busy;
	int status;

	postgres_array_init(&busy, POSTGRES_BIGINT, "a claim");
	for (size_t i = 0; i < claim->busy_count; i++)
		postgres_array_add_integer(&busy, claim->busy[i]);
	postgres_query_init(&query, candidates_sql);
	postgres_add_string(&query, claim->config_key);
	postgres_add_integer(&query, selection->after_seq);
	postgres_add_integer(&query, (int64_t)claim->limit + 1);
	postgres_add_array(&query, &busy);
	postgres_add_integer(&query, selection->due_from);
	status = postgres_run(store, &query, add_candidate, selection, err);
	postgres_array_finish(&busy);
	return status;
}

/* Where the first row that anybody may still want is. */
static int64_t fresh_floor(const struct postgres_store *store,
			   const struct selection *selection)
{
	const struct outbox_claim *claim = selection->claim;
	int64_t floor = store->seen;

	if (selection->found > 0 && selection->picks[0].seq <= floor)
		floor = selection->picks[0].seq - 1;
	if (claim->busy_count > 0 && claim->busy[0] <= floor)
		floor = claim->busy[0] - 1;
	return floor;
}

static void note_look(struct postgres_look *look, usec_t began)
{
	usec_t now = clock_monotonic();
	usec_t took = now - began;
	usec_t usual = took < look->took ? took : look->took;

	look->took = took;
	look->full_at = usual < long_look ? 0 : now + PAUSE * usual;
}

static int look(struct postgres_store *store, struct selection *selection,
		struct error *err)
{
	usec_t began = clock_monotonic();
	bool all_fresh = selection->claim->after_seq == 0 &&
			 began >= store->fresh_look.full_at;
	bool all_due = began >= store->due_look.full_at;
	int status;

	selection->after_seq = selection->claim->after_seq;
	if (selection->after_seq == 0 && !all_fresh)
		selection->after_seq = store->fresh_look.floor;
	selection->due_from = all_due ? 0 : store->due_look.floor;
	status = find_candidates(store, selection, err);
	if (all_fresh)
		note_look(&store->fresh_look, began);
	if (all_due)
		note_look(&store->due_look, began);
	if (status < 0)
		return status;
	if (selection->found > 0 &&
	    selection->picks[selection->found - 1].seq > store->seen)
		store->seen = selection->picks[selection->found - 1].seq;
	if (all_fresh)
		store->fresh_look.floor = fresh_floor(store, selection);
	if (all_due)
		store->due_look.floor = selection->first_due;
	return 0;
}

static bool is_picked(const struct selection *selection, int64_t seq)
{
	const struct postgres_pick key = {.seq = seq};

	return bsearch(&key, selection->picks, selection->picked, sizeof(key),
		       compare) != NULL;
}

/* Between a holder below after_seq and the row there may be fresh rows of the
 * key, which this claim does not see. */
static bool is_held(const struct selection *selection,
		    const struct postgres_pick *candidate)
{
	if (candidate->holder == 0)
		return false;
	return candidate->holder <= selection->after_seq ||
	       !is_picked(selection, candidate->holder);
}

/* Keeps, in place, the candidates that nothing holds back. */
static void pick(struct selection *selection)
{
	for (size_t i = 0; i < selection->found; i++) {
		struct postgres_pick candidate = selection->picks[i];

		if (selection->picked == selection->claim->limit)
			break;
		if (!is_held(selection, &candidate))
			selection->picks[selection->picked++] = candidate;
	}
}

/* ---- the claim ---- */

struct claiming {
	const struct outbox_claim *claim;
	struct outbox_batch *batch;
};

static int claim_rows(struct postgres_store *store, void *context,
		      struct error *err)
{
	const struct claiming *claiming = context;
	const struct outbox_claim *claim = claiming->claim;
	struct outbox_batch *batch = claiming->batch;
	struct selection selection = {.claim = claim,
				      .next_due_in = USEC_NEVER};
	size_t room = 3 * (claim->limit + 1); /* due ones, heads, fresh ones */
	int status = postgres_check_lock(store, err);

	if (status < 0)
		return status;
	selection.picks =
		arena_alloc(&batch->arena, room * sizeof(*selection.picks));
	if (selection.picks == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a claim");
	status = look(store, &selection, err);
	if (status < 0)
		return status;
	pick(&selection);
	status = postgres_read_rows(store, claim, selection.picks,
				    selection.picked, batch, err);
	if (selection.found > claim->limit || batch->count < selection.picked)
		batch->next_due_in = 0;
	else
		batch->next_due_in = selection.next_due_in;
	return status;
}

int postgres_claim(struct store *store, const struct outbox_claim *claim,
		   struct outbox_batch *batch, struct error *err)
{
	struct claiming claiming = {claim, batch};
	int status;

	arena_reset(&batch->arena);
	batch->rows = NULL;
	batch->count = 0;
	batch->next_due_in = USEC_NEVER;
	status = postgres_call(store, claim_rows, &claiming, err);
	if (status < 0)
		batch->count = 0;
	return status;
}
