/* SPDX-License-Identifier: MIT */
/*
 * Looking at the three message tables, and changing many rows at once: what
 * `outbox`, `inbox` and `rejected` have in common.
 */
#ifndef CLI_BROWSE_H
#define CLI_BROWSE_H

#include "cli/cli.h"

struct browse_table {
	enum store_table table;
	const char *name;
	const char *const *columns; /* of the list, NULL after the last */
	const char *empty;	    /* what an empty list says */
};

struct browse_options {
	struct store_filter filter;
	bool all;
	bool dry_run;
	bool json;
};

extern const struct option browse_filters[];	    /* all but --status */
extern const struct option browse_list_options[];   /* --all, --json */
extern const struct option browse_change_options[]; /* and --dry-run */

/* The filter as a store takes it: nothing in it where nothing was given. */
struct store_filter browse_filter(const struct browse_options *wanted);

/* CLI_USAGE unless ids or a filter say which rows, or --all says all. */
int browse_need_selection(const struct cli *cli,
			  const struct browse_options *wanted,
			  struct error *err);

int browse_not_found(const struct browse_table *table, const char *id,
		     struct error *err);

/* "12 rows deleted.", or would be, or as JSON. */
void browse_report(struct cli *cli, const struct browse_options *wanted,
		   const char *done, int64_t affected);

/* Run functions of commands whose subject is a struct browse_table. The
 * options are struct browse_options, for show struct json_options. */
int browse_list(struct cli *cli, const void *options, struct error *err);
int browse_show(struct cli *cli, const void *options, struct error *err);
int browse_retry(struct cli *cli, const void *options, struct error *err);
int browse_purge(struct cli *cli, const void *options, struct error *err);

#endif
