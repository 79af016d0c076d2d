/* SPDX-License-Identifier: MIT */
/* What a caller can see of both stores has to be the same. */
#include <stdio.h>
#include <stdlib.h>

#include "store/row.h"
#include "twins.h"

/* ---- a claim ---- */

static bool same_text(struct span a, struct span b)
{
	return span_present(a) == span_present(b) && span_equal(a, b);
}

/* Not the id, nor created_at, which tells the simulation whose row it is. */
static void compare_rows(struct twins *twins, struct outbox_row *simulated,
			 struct outbox_row *real)
{
	struct span *a;

	if (simulated->seq != real->seq) {
		twins_differ(twins, "row %lld came, and really %lld",
			     (long long)simulated->seq, (long long)real->seq);
		return;
	}
	for (int i = 0; (a = row_text(simulated, i)) != NULL; i++) {
		struct span b = *row_text(real, i);

		if (!same_text(*a, b))
			twins_differ(twins,
				     "row %lld: text %d is '%.*s', and really "
				     "'%.*s'",
				     (long long)real->seq, i, SPAN_ARG(*a),
				     SPAN_ARG(b));
	}
	if (simulated->envelope.chain_depth != real->envelope.chain_depth ||
	    simulated->retry_count != real->retry_count ||
	    span_present(simulated->broken) != span_present(real->broken))
		twins_differ(twins, "row %lld: depth, retries or break",
			     (long long)real->seq);
	if (simulated->expired != real->expired ||
	    (!real->expired && simulated->expires_in != real->expires_in))
		twins_differ(
			twins, "row %lld expires in %lld s, and really %lld s",
			(long long)real->seq, (long long)simulated->expires_in,
			(long long)real->expires_in);
}

/* The real one rounds up to a millisecond or two. */
static bool same_time(usec_t simulated, usec_t real)
{
	if (simulated == 0 || simulated == USEC_NEVER || real == USEC_NEVER)
		return simulated == real;
	return real >= simulated && real <= simulated + 2 * USEC_PER_MSEC;
}

void compare_batches(struct twins *twins)
{
	const struct outbox_batch *simulated = &twins->simulated_batch;
	const struct outbox_batch *real = &twins->real_batch;

	for (size_t i = 0; i < simulated->count && i < real->count; i++)
		compare_rows(twins, &simulated->rows[i], &real->rows[i]);
	if (simulated->count != real->count)
		twins_differ(twins, "%zu rows came, and really %zu",
			     simulated->count, real->count);
	if (!same_time(simulated->next_due_in, real->next_due_in))
		twins_differ(twins, "the next is due in %lld, and really %lld",
			     (long long)simulated->next_due_in,
			     (long long)real->next_due_in);
}

/* ---- counts ---- */

static struct store_counts count_simulated(const struct world *world)
{
	const struct database *database = &world->database;
	struct store_counts counts = {0};
	int64_t *const by_status[] = {
		[ROW_PENDING] = &counts.outbox_pending,
		[ROW_PUBLISHED] = &counts.outbox_published,
		[ROW_INVALID] = &counts.outbox_invalid,
		[ROW_ERROR] = &counts.outbox_error,
	};

	for (int64_t seq = 1; seq <= database->last_seq; seq++) {
		const struct row *row = row_at(database, seq);

		if (row->committed)
			++*by_status[row->status];
		counts.outbox_scheduled +=
			row_is_pending(row) && row->next_retry_at > world->now;
	}
	for (size_t i = 0; i < database->inbox_count; i++)
		++*(database->inbox[i].rejected ? &counts.rejected
						: &counts.inbox_pending);
	return counts;
}

static void compare_count(struct twins *twins, const char *what,
			  int64_t simulated, int64_t real)
{
	if (simulated != real)
		twins_differ(twins, "%lld rows are %s, and really %lld",
			     (long long)simulated, what, (long long)real);
}

void twins_count(struct twins *twins)
{
	struct store_counts a = count_simulated(&twins->world);
	struct store_counts b;
	struct error err;

	if (store_memory.counts(twins->real[0], "default", &b, &err) < 0) {
		twins_differ(twins, "%s", err.text);
		return;
	}
	compare_count(twins, "pending", a.outbox_pending, b.outbox_pending);
	compare_count(twins, "scheduled", a.outbox_scheduled,
		      b.outbox_scheduled);
	compare_count(twins, "published", a.outbox_published,
		      b.outbox_published);
	compare_count(twins, "invalid", a.outbox_invalid, b.outbox_invalid);
	compare_count(twins, "in error", a.outbox_error, b.outbox_error);
	compare_count(twins, "in the inbox", a.inbox_pending, b.inbox_pending);
	compare_count(twins, "rejected", a.rejected, b.rejected);
}

/* ---- every row ---- */

struct listing {
	struct twins *twins;
	size_t left; /* of the simulated ones: both are listed from the end */
	bool rejected;
};

static struct span value_of(const struct column *columns, size_t count,
			    const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(columns[i].name, name) == 0)
			return columns[i].type == COLUMN_NULL
				       ? SPAN_NONE
				       : columns[i].value;
	abort();
}

static int compare_outbox(void *context, const struct column *columns,
			  size_t count)
{
	static const char *const names[] = {
		[ROW_PENDING] = "pending",
		[ROW_PUBLISHED] = "published",
		[ROW_INVALID] = "invalid",
		[ROW_ERROR] = "error",
	};
	struct listing *listing = context;
	int64_t seq = (int64_t)listing->left--;
	const struct row *row;
	char number[24];

	if (seq == 0) {
		twins_differ(listing->twins, "there are more rows really");
		return 1;
	}
	row = row_at(&listing->twins->world.database, seq);
	snprintf(number, sizeof(number), "%lld", (long long)row->retry_count);
	if (!span_is(value_of(columns, count, "status"), names[row->status]) ||
	    !span_is(value_of(columns, count, "retry_count"), number) ||
	    span_present(value_of(columns, count, "next_retry_at")) !=
		    (row->next_retry_at != 0))
		twins_differ(listing->twins,
			     "row %lld is %s after %s attempts, and really "
			     "%.*s after %.*s, or one is due",
			     (long long)seq, names[row->status], number,
			     SPAN_ARG(value_of(columns, count, "status")),
			     SPAN_ARG(value_of(columns, count, "retry_count")));
	return 0;
}

/* Of a rejected one only the message_id is kept by both. */
static bool same_message(const struct inbox_entry *entry,
			 const struct column *columns, size_t count)
{
	if (!same_text(entry->message_id,
		       value_of(columns, count, "message_id")))
		return false;
	return entry->rejected ||
	       (same_text(entry->payload,
			  value_of(columns, count, "payload")) &&
		same_text(entry->ordering_key,
			  value_of(columns, count, "ordering_key")));
}

static int compare_inbox(void *context, const struct column *columns,
			 size_t count)
{
	struct listing *listing = context;
	const struct inbox_entry *inbox = listing->twins->world.database.inbox;
	const struct inbox_entry *entry;

	while (listing->left > 0 &&
	       inbox[listing->left - 1].rejected != listing->rejected)
		listing->left--;
	if (listing->left == 0) {
		twins_differ(listing->twins, "there are more messages really");
		return 1;
	}
	entry = &inbox[--listing->left];
	if (!same_message(entry, columns, count))
		twins_differ(listing->twins,
			     "message %.*s is stored, and really %.*s, with "
			     "another payload or key",
			     SPAN_ARG(entry->message_id),
			     SPAN_ARG(value_of(columns, count, "message_id")));
	return 0;
}

static void compare_table(struct twins *twins, enum store_table table,
			  size_t left, row_fn *each)
{
	struct store_filter all = {0};
	struct listing listing = {twins, left, table == TABLE_REJECTED};
	struct error err;

	if (store_memory.browse(twins->real[0], table, &all, each, &listing,
				&err) < 0)
		twins_differ(twins, "%s", err.text);
}

/* That nothing is missing is seen by the counts. */
void twins_conclude(struct twins *twins)
{
	const struct database *database = &twins->world.database;

	twins_tell(twins, "compare all rows");
	twins_count(twins);
	compare_table(twins, TABLE_OUTBOX, (size_t)database->last_seq,
		      compare_outbox);
	compare_table(twins, TABLE_INBOX, database->inbox_count, compare_inbox);
	compare_table(twins, TABLE_REJECTED, database->inbox_count,
		      compare_inbox);
}
