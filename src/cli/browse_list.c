/* SPDX-License-Identifier: MIT */
/* Listing rows, and showing one whole. */
#include <inttypes.h>

#include "cli/browse.h"
#include "cli/rows.h"
#include "cli/table.h"

enum { USUAL_LIMIT = 50, FLUSH_BYTES = 64 * 1024 };

struct listing {
	struct cli *cli;
	const struct browse_table *what;
	struct table table; /* where people read, else JSON goes out at once */
	bool json;
	int64_t count;
	int64_t limit; /* INT64_MAX: none */
	bool more;     /* there was a row beyond the limit */
	struct error *err;
};

static int flush_when_full(struct cli *cli, struct error *err)
{
	return buffer_length(&cli->out) < FLUSH_BYTES ? 0
						      : output_flush(cli, err);
}

static int each_row(void *context, const struct column *columns, size_t count)
{
	struct listing *listing = context;
	struct buffer *out = &listing->cli->out;
	struct row row = {columns, count};

	if (listing->count == listing->limit) {
		listing->more = true;
		return 0;
	}
	listing->count++;
	if (!listing->json) {
		row_add_to_table(&listing->table, row, listing->what->columns);
		return 0;
	}
	buffer_append_text(out, listing->count == 1 ? "[\n{" : ",\n{");
	row_append_members(out, row);
	buffer_append_text(out, "}");
	return flush_when_full(listing->cli, listing->err);
}

static void end_listing(struct listing *listing)
{
	struct cli *cli = listing->cli;

	if (listing->json) {
		buffer_append_text(&cli->out,
				   listing->count == 0 ? "[]\n" : "\n]\n");
		return;
	}
	if (listing->count == 0 && !listing->more) {
		buffer_append_format(&cli->out, "%s\n", listing->what->empty);
		return;
	}
	table_print(&listing->table, &cli->terminal, &cli->out);
	if (listing->more)
		buffer_append_format(&cli->out,
				     "The %" PRId64 " newest are shown; --all "
				     "or --limit N shows more.\n",
				     listing->count);
}

int browse_list(struct cli *cli, const void *options, struct error *err)
{
	const struct browse_options *wanted = options;
	const struct browse_table *table = cli->command->subject;
	struct listing listing = {
		.cli = cli, .what = table, .json = wanted->json, .err = err};
	struct store_filter filter = browse_filter(wanted);
	struct store *store = NULL;
	int result = database_open(cli, &store, err);

	if (result < 0)
		return result;
	listing.limit = wanted->all		    ? INT64_MAX
			: wanted->filter.limit >= 0 ? wanted->filter.limit
						    : USUAL_LIMIT;
	filter.limit = listing.limit == INT64_MAX ? 0 : listing.limit + 1;
	table_init(&listing.table, table->columns);
	result = store->driver->browse(store, table->table, &filter, each_row,
				       &listing, err);
	if (result == 0)
		end_listing(&listing);
	table_finish(&listing.table);
	database_close(store);
	return result;
}

static int show_row(void *context, const struct column *columns, size_t count)
{
	struct listing *listing = context;
	struct buffer *out = &listing->cli->out;
	struct row row = {columns, count};

	listing->count++;
	if (!listing->json) {
		row_append_details(out, &listing->cli->terminal, row);
		return 0;
	}
	buffer_append_text(out, "{");
	row_append_members(out, row);
	buffer_append_text(out, "}\n");
	return 0;
}

int browse_show(struct cli *cli, const void *options, struct error *err)
{
	const struct json_options *wanted = options;
	const struct browse_table *table = cli->command->subject;
	struct listing listing = {
		.cli = cli, .json = wanted->json, .limit = INT64_MAX};
	struct store_filter filter = {.id = cli->operands.at[0], .limit = 1};
	struct store *store = NULL;
	int result = database_open(cli, &store, err);

	if (result == 0)
		result = store->driver->browse(store, table->table, &filter,
					       show_row, &listing, err);
	if (result == 0 && listing.count == 0)
		result = browse_not_found(table, filter.id, err);
	database_close(store);
	return result;
}
