/* SPDX-License-Identifier: MIT */
/* Retrying and purging rows that ids or a filter name. */
#include "cli/browse.h"

#include <inttypes.h>

#include "base/quote.h"

#define FILTER(member) offsetof(struct browse_options, filter.member)
#define AT(member) offsetof(struct browse_options, member)

const struct option browse_filters[] = {
	{"topic", "TOPIC", OPTION_TEXT, FILTER(topic), false,
	 "rows with this topic; * stands for anything"},
	{"config-key", "KEY", OPTION_TEXT, FILTER(config_key), false,
	 "rows of this config"},
	{"message-id", "ID", OPTION_TEXT, FILTER(message_id), false,
	 "rows with this message_id"},
	{"older-than", "SECONDS", OPTION_SECONDS, FILTER(older_than), false,
	 "rows at least that old; 90, 15m, 2h, 7d"},
	{"limit", "N", OPTION_NUMBER, FILTER(limit), false,
	 "no more than the N newest"},
	{0},
};

const struct option browse_list_options[] = {
	{"all", NULL, OPTION_FLAG, AT(all), false,
	 "as many as there are; without it the 50 newest"},
	{"json", NULL, OPTION_FLAG, AT(json), false,
	 "print a JSON array of whole rows"},
	{0},
};

const struct option browse_change_options[] = {
	{"all", NULL, OPTION_FLAG, AT(all), false,
	 "all rows; needed when neither id nor filter is given"},
	{"dry-run", NULL, OPTION_FLAG, AT(dry_run), false,
	 "change nothing, only count"},
	{"json", NULL, OPTION_FLAG, AT(json), false, "print JSON"},
	{0},
};

struct store_filter browse_filter(const struct browse_options *wanted)
{
	struct store_filter filter = wanted->filter;

	if (filter.older_than < 0)
		filter.older_than = 0;
	if (filter.limit < 0)
		filter.limit = 0;
	return filter;
}

int browse_need_selection(const struct cli *cli,
			  const struct browse_options *wanted,
			  struct error *err)
{
	const struct store_filter *filter = &wanted->filter;

	if (cli->operands.count > 0 || wanted->all || filter->status != NULL ||
	    filter->topic != NULL || filter->config_key != NULL ||
	    filter->message_id != NULL || filter->older_than >= 0 ||
	    filter->limit >= 0)
		return 0;
	return usage_error(err, "say which rows: give an id, a filter such as "
				"--older-than 7d, or --all");
}

int browse_not_found(const struct browse_table *table, const char *id,
		     struct error *err)
{
	return error_set(err, STATUS_NOT_FOUND,
			 "%s has no row %s: `postbus %s list` shows the rows",
			 table->name, quote(span_of(id)).text, table->name);
}

/* store_driver.retry or .purge */
typedef int change_fn(struct store *store, enum store_table table,
		      const struct store_filter *filter, bool dry_run,
		      int64_t *affected, struct error *err);

static int change_one(struct store *store, const struct browse_table *table,
		      change_fn *change, const struct store_filter *filter,
		      bool dry_run, int64_t *affected, struct error *err)
{
	int64_t count = 0;
	int result = change(store, table->table, filter, dry_run, &count, err);

	if (result < 0)
		return result;
	if (count == 0)
		return error_set(err, STATUS_NOT_FOUND,
				 "%s has no row %s that this applies to: look "
				 "with `postbus %s show`",
				 table->name, quote(span_of(filter->id)).text,
				 table->name);
	*affected += count;
	return 0;
}

/* The rows with the ids that are operands, or all that the filter finds. */
static int change_rows(struct cli *cli, struct store *store, change_fn *change,
		       const struct browse_options *wanted, int64_t *affected,
		       struct error *err)
{
	const struct browse_table *table = cli->command->subject;
	struct store_filter filter = browse_filter(wanted);
	int result = 0;

	if (wanted->filter.limit == 0)
		return 0;
	if (cli->operands.count == 0)
		return change(store, table->table, &filter, wanted->dry_run,
			      affected, err);
	for (size_t i = 0; i < cli->operands.count && result == 0; i++) {
		filter.id = cli->operands.at[i];
		result = change_one(store, table, change, &filter,
				    wanted->dry_run, affected, err);
	}
	return result;
}

void browse_report(struct cli *cli, const struct browse_options *wanted,
		   const char *done, int64_t affected)
{
	if (wanted->json)
		buffer_append_format(
			&cli->out,
			"{\"affected\": %" PRId64 ", \"dry_run\": %s}\n",
			affected, wanted->dry_run ? "true" : "false");
	else
		buffer_append_format(&cli->out, "%" PRId64 " row%s %s%s.\n",
				     affected, affected == 1 ? "" : "s",
				     wanted->dry_run ? "would be " : "", done);
}

static int change(struct cli *cli, const struct browse_options *wanted,
		  bool purge, struct error *err)
{
	struct store *store = NULL;
	int64_t affected = 0;
	int result = browse_need_selection(cli, wanted, err);

	if (result == 0)
		result = database_open(cli, &store, err);
	if (result == 0)
		result = change_rows(cli, store,
				     purge ? store->driver->purge
					   : store->driver->retry,
				     wanted, &affected, err);
	if (result == 0)
		browse_report(cli, wanted,
			      purge ? "deleted" : "put back to pending",
			      affected);
	database_close(store);
	return result;
}

int browse_retry(struct cli *cli, const void *options, struct error *err)
{
	return change(cli, options, false, err);
}

int browse_purge(struct cli *cli, const void *options, struct error *err)
{
	return change(cli, options, true, err);
}
