/* SPDX-License-Identifier: MIT */
/* `postbus status`: how things stand, once or again every second. */
#include "cli/status.h"

#include <inttypes.h>
#include <signal.h>
#include <time.h>

struct status_options {
	const char *config_key;
	bool json;
	bool watch;
};

#define AT(member) offsetof(struct status_options, member)

static const struct option options[] = {
	{"config-key", "KEY", OPTION_TEXT, AT(config_key), false,
	 "only what belongs to this config"},
	{"json", NULL, OPTION_FLAG, AT(json), false,
	 "print JSON; with --watch one object a line"},
	{"watch", NULL, OPTION_FLAG, AT(watch), false,
	 "again every second, until interrupted"},
	{0},
};

static void append_row_list(struct buffer *out, const char *name,
			    const struct overview_rows *rows)
{
	buffer_append_format(out, "\"%s\": [", name);
	for (const struct overview_row *at = rows->first; at != NULL;
	     at = at->next) {
		buffer_append_text(out, at == rows->first ? "{" : ", {");
		if (at->table != NULL)
			buffer_append_format(out, "\"table\": \"%s\", ",
					     at->table);
		row_append_members(out, at->row);
		if (at->age >= 0)
			buffer_append_format(
				out,
				", \"heartbeat_age_seconds\": %.3f, "
				"\"stale\": %s",
				at->age, at->stale ? "true" : "false");
		buffer_append_text(out, "}");
	}
	buffer_append_text(out, "], ");
}

void overview_append_json(const struct overview *overview, struct buffer *out)
{
	const struct store_counts *counts = &overview->counts;

	buffer_append_text(out, "{");
	append_row_list(out, "configs", &overview->configs);
	append_row_list(out, "workers", &overview->workers);
	buffer_append_format(
		out,
		"\"outbox\": {\"pending\": %" PRId64 ", \"published\": %" PRId64
		", \"invalid\": %" PRId64 ", \"error\": %" PRId64 "}, ",
		counts->outbox_pending, counts->outbox_published,
		counts->outbox_invalid, counts->outbox_error);
	buffer_append_format(out,
			     "\"inbox\": {\"pending\": %" PRId64
			     ", \"processed\": %" PRId64 ", \"error\": %" PRId64
			     "}, ",
			     counts->inbox_pending, counts->inbox_processed,
			     counts->inbox_error);
	append_row_list(out, "last_errors", &overview->failures);
	buffer_append_format(out,
			     "\"rejected\": %" PRId64
			     ", \"scheduled\": %" PRId64
			     ", \"oldest_pending_seconds\": %.3f}\n",
			     counts->rejected, counts->outbox_scheduled,
			     counts->oldest_pending);
}

static int show(struct cli *cli, struct store *store,
		const struct status_options *wanted, struct error *err)
{
	struct overview overview;
	int result = overview_gather(&overview, store, wanted->config_key, err);

	if (result < 0)
		return result;
	if (wanted->json)
		overview_append_json(&overview, &cli->out);
	else
		overview_append_text(&overview, &cli->terminal, &cli->out);
	overview_finish(&overview);
	return 0;
}

/* A database that is away for a while is said, and tried again. */
static int show_again(struct cli *cli, struct store *store,
		      const struct status_options *wanted, struct error *err)
{
	int result;

	if (cli->terminal.interactive && !wanted->json)
		buffer_append_text(&cli->out, "\033[H\033[2J");
	result = show(cli, store, wanted, err);
	if (status_is_transient(result)) {
		complain(err->text);
		result = 0;
	}
	if (!wanted->json)
		buffer_append_text(&cli->out, "\n");
	return result < 0 ? result : output_flush(cli, err);
}

static int watch(struct cli *cli, struct store *store,
		 const struct status_options *wanted, struct error *err)
{
	const struct timespec second = {.tv_sec = 1};
	sigset_t ends;
	int result;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	do
		result = show_again(cli, store, wanted, err);
	while (result == 0 && sigtimedwait(&ends, NULL, &second) < 0);
	return result;
}

static int run(struct cli *cli, const void *given, struct error *err)
{
	const struct status_options *wanted = given;
	struct store *store = NULL;
	int result = database_open(cli, &store, err);

	if (result == 0 && wanted->watch)
		result = watch(cli, store, wanted, err);
	else if (result == 0)
		result = show(cli, store, wanted, err);
	database_close(store);
	return result;
}

const struct command command_status = {
	.name = "status",
	.summary = "Show configs, workers, backlog and the last errors",
	.options = {options},
	.options_size = sizeof(struct status_options),
	.run = run,
};
