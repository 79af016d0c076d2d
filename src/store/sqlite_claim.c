/* SPDX-License-Identifier: MIT */
/*
 * Which outbox rows a claim brings on SQLite.
 *
 * A row waits while its next_retry_at is set; a waiting row holds back the
 * later rows of its key, unless it comes in the same claim. Who comes is
 * decided by numbers alone, off partial indexes; then each row is read by its
 * own, so that one that cannot be read spoils no other.
 */
#include <stdlib.h>

#include "store/row.h"
#include "store/sqlite_row.h"

/* The last waiting row before `o` in its key: what holds `o` back. */
#define HOLDER                                                      \
	"(SELECT max(w.seq) FROM event_bus_outbound_event w "       \
	"INDEXED BY event_bus_outbound_event_holding "              \
	"WHERE w.config_key = o.config_key "                        \
	"AND w.ordering_key = nullif(o.ordering_key, '') "          \
	"AND w.status = 'pending' AND w.next_retry_at IS NOT NULL " \
	"AND w.seq < o.seq)"

struct candidate {
	int64_t seq;
	int64_t holder; /* 0: none */
};

struct selection {
	struct sqlite_store *store;
	const struct outbox_claim *claim;
	struct arena *arena;
	char now[CLOCK_TEXT_SIZE];
	struct candidate *due; /* waiting rows whose time has come, by seq */
	size_t due_count;
	int64_t *picked; /* ascending */
	size_t picked_count;
	bool more; /* the limit cut something off */
};

/* Both candidates and plain numbers begin with what they are sorted by. */
static int compare(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left;
	int64_t b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

static bool among(int64_t seq, const int64_t *sorted, size_t count)
{
	return count > 0 &&
	       bsearch(&seq, sorted, count, sizeof(seq), compare) != NULL;
}

static bool is_busy(const struct selection *selection, int64_t seq)
{
	return among(seq, selection->claim->busy, selection->claim->busy_count);
}

static void *allocate(struct selection *selection, size_t size,
		      struct error *err)
{
	void *memory = arena_alloc(selection->arena, size);

	if (memory == NULL)
		error_set(err, STATUS_NO_MEMORY, "no memory for a claim");
	return memory;
}

/* ---- due rows ---- */

static void sort_due(struct selection *selection)
{
	struct candidate *due = selection->due;
	size_t kept = 0;

	if (selection->due_count == 0)
		return;
	qsort(due, selection->due_count, sizeof(*due), compare);
	for (size_t i = 1; i < selection->due_count; i++)
		if (due[i].seq != due[kept].seq)
			due[++kept] = due[i];
	selection->due_count = kept + 1;
}

/*
 * Adds the row that `statement` stands on, and the first waiting row of its
 * key, which goes before it: so a key whose rows fall due in another order
 * than their own still moves on.
 */
static int add_due(struct selection *selection, sqlite3_stmt *statement,
		   struct error *err)
{
	int64_t seq = sqlite3_column_int64(statement, 0);
	int64_t holder = sqlite3_column_int64(statement, 1);
	int64_t head = sqlite3_column_int64(statement, 2);
	size_t room = selection->claim->limit + 1;

	if (is_busy(selection, seq) || is_busy(selection, head))
		return 0;
	if (selection->due == NULL)
		selection->due = allocate(selection,
					  room * sizeof(*selection->due), err);
	if (selection->due == NULL)
		return STATUS_NO_MEMORY;
	selection->due[selection->due_count++] =
		(struct candidate){seq, holder};
	if (holder != 0)
		selection->due[selection->due_count++] =
			(struct candidate){head, 0};
	return 0;
}

/* Those that have waited longest, up to the limit. */
static int select_due(struct selection *selection, struct error *err)
{
	static const char sql[] =
		"SELECT o.seq, " HOLDER ", h.seq "
		"FROM event_bus_outbound_event o "
		"INDEXED BY event_bus_outbound_event_waiting "
		"LEFT JOIN event_bus_outbound_event h ON h.seq = ("
		"SELECT min(w.seq) FROM event_bus_outbound_event w "
		"INDEXED BY event_bus_outbound_event_holding "
		"WHERE w.config_key = o.config_key "
		"AND w.ordering_key = nullif(o.ordering_key, '') "
		"AND w.status = 'pending' AND w.next_retry_at IS NOT NULL) "
		"WHERE o.config_key = ?1 AND o.status = 'pending' "
		"AND o.next_retry_at <= ?2 "
		"AND (h.seq IS NULL OR h.next_retry_at <= ?2) "
		"ORDER BY o.next_retry_at, o.seq";
	struct sqlite_store *store = selection->store;
	sqlite3_stmt *statement;
	size_t limit = selection->claim->limit;
	int status = sqlite_prepare(store, sql, &statement, err);

	if (status < 0)
		return status;
	sqlite_bind_string(statement, 1, selection->claim->config_key);
	sqlite_bind_string(statement, 2, selection->now);
	while ((status = sqlite_step(store, statement, err)) > 0) {
		selection->more = selection->due_count >= limit;
		if (selection->more)
			break;
		status = add_due(selection, statement, err);
		if (status < 0)
			break;
	}
	sqlite3_reset(statement);
	sort_due(selection);
	return status < 0 ? status : 0;
}

/* ---- fresh rows, and both together ---- */

static int begin_fresh(struct selection *selection, sqlite3_stmt **statement,
		       struct error *err)
{
	static const char sql[] =
		"SELECT o.seq, " HOLDER " FROM event_bus_outbound_event o "
		"INDEXED BY event_bus_outbound_event_fresh "
		"WHERE o.config_key = ?1 AND o.status = 'pending' "
		"AND o.next_retry_at IS NULL AND o.seq > ?2 ORDER BY o.seq";
	int status = sqlite_prepare(selection->store, sql, statement, err);

	if (status < 0)
		return status;
	sqlite_bind_string(*statement, 1, selection->claim->config_key);
	sqlite3_bind_int64(*statement, 2, selection->claim->after_seq);
	return 0;
}

/* 1: *fresh is the next one that is not busy, 0: there is none. */
static int next_fresh(struct selection *selection, sqlite3_stmt *statement,
		      struct candidate *fresh, struct error *err)
{
	int status;

	do {
		status = sqlite_step(selection->store, statement, err);
		if (status <= 0)
			return status;
		fresh->seq = sqlite3_column_int64(statement, 0);
	} while (is_busy(selection, fresh->seq));
	fresh->holder = sqlite3_column_int64(statement, 1);
	return 1;
}

/* Between a holder below after_seq and the row there may be fresh rows of the
 * key, which this claim does not see. */
static bool is_held(const struct selection *selection,
		    struct candidate candidate)
{
	if (candidate.holder == 0)
		return false;
	return candidate.holder <= selection->claim->after_seq ||
	       !among(candidate.holder, selection->picked,
		      selection->picked_count);
}

static void pick(struct selection *selection, struct candidate candidate)
{
	if (!is_held(selection, candidate))
		selection->picked[selection->picked_count++] = candidate.seq;
}

/* Merges due and fresh rows by seq. */
static int select_rows(struct selection *selection, struct error *err)
{
	size_t limit = selection->claim->limit;
	sqlite3_stmt *statement;
	struct candidate fresh;
	size_t due = 0;
	int more;
	int status = begin_fresh(selection, &statement, err);

	if (status < 0)
		return status;
	selection->picked =
		allocate(selection, limit * sizeof(*selection->picked), err);
	if (selection->picked == NULL)
		return STATUS_NO_MEMORY;
	more = next_fresh(selection, statement, &fresh, err);
	while (more > 0 || (more == 0 && due < selection->due_count)) {
		if (selection->picked_count == limit) {
			selection->more = true;
			break;
		}
		if (due < selection->due_count &&
		    (more == 0 || selection->due[due].seq < fresh.seq)) {
			pick(selection, selection->due[due++]);
		} else {
			pick(selection, fresh);
			more = next_fresh(selection, statement, &fresh, err);
		}
	}
	sqlite3_reset(statement);
	return more < 0 ? more : 0;
}

/* ---- the batch ---- */

static int read_rows(struct selection *selection, struct outbox_batch *batch,
		     struct error *err)
{
	size_t bytes = 0;
	size_t count = 0;

	if (selection->picked_count == 0)
		return 0;
	batch->rows = allocate(
		selection, selection->picked_count * sizeof(*batch->rows), err);
	if (batch->rows == NULL)
		return STATUS_NO_MEMORY;
	while (count < selection->picked_count) {
		int status = sqlite_read_row(selection->store,
					     selection->picked[count],
					     selection->now, selection->arena,
					     &batch->rows[count], err);

		if (status < 0)
			return status;
		bytes += row_bytes(&batch->rows[count++]);
		if (bytes >= selection->claim->max_bytes)
			break;
	}
	selection->more = selection->more || count < selection->picked_count;
	batch->count = count;
	return 0;
}

/* Rounded up, so that whoever waits that long finds the row due. */
static int read_next_due(struct selection *selection, usec_t *next_due_in,
			 struct error *err)
{
	static const char sql[] =
		"SELECT (julianday(next_retry_at) - julianday(?2)) * 86400000 "
		"FROM event_bus_outbound_event "
		"INDEXED BY event_bus_outbound_event_waiting "
		"WHERE config_key = ?1 AND status = 'pending' "
		"AND next_retry_at > ?2 ORDER BY next_retry_at LIMIT 1";
	sqlite3_stmt *statement;
	int status = sqlite_prepare(selection->store, sql, &statement, err);

	if (status < 0)
		return status;
	sqlite_bind_string(statement, 1, selection->claim->config_key);
	sqlite_bind_string(statement, 2, selection->now);
	status = sqlite_step(selection->store, statement, err);
	if (status > 0)
		*next_due_in = (sqlite3_column_int64(statement, 0) + 1) *
			       USEC_PER_MSEC;
	sqlite3_reset(statement);
	return status < 0 ? status : 0;
}

static int claim_rows(struct selection *selection, struct outbox_batch *batch,
		      struct error *err)
{
	int status = sqlite_now(selection->store, 0, selection->now, err);

	if (status == 0)
		status = select_due(selection, err);
	if (status == 0)
		status = select_rows(selection, err);
	if (status == 0)
		status = read_rows(selection, batch, err);
	if (status == 0 && selection->more)
		batch->next_due_in = 0;
	else if (status == 0)
		status = read_next_due(selection, &batch->next_due_in, err);
	return status;
}

int sqlite_claim(struct store *base, const struct outbox_claim *claim,
		 struct outbox_batch *batch, struct error *err)
{
	struct sqlite_store *store = sqlite_of(base);
	struct selection selection = {
		.store = store, .claim = claim, .arena = &batch->arena};
	int status = sqlite_enter(store, err);

	arena_reset(&batch->arena);
	batch->rows = NULL;
	batch->count = 0;
	batch->next_due_in = USEC_NEVER;
	if (status < 0)
		return status;
	status = sqlite_check_lock(store, err);
	if (status == 0)
		status = sqlite_exec(store, "BEGIN", err);
	if (status == 0) {
		status = claim_rows(&selection, batch, err);
		sqlite_roll_back(store);
	}
	/* With the session goes the lock. */
	if (status == 0 && store->lost)
		status = error_set(err, STATUS_AWAY,
				   "database %s: a transaction cannot be ended",
				   store->name);
	if (status < 0)
		batch->count = 0;
	return sqlite_leave(store, status);
}
