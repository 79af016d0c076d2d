/* SPDX-License-Identifier: MIT */
/* `postbus migrate`: creates or upgrades the tables. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

struct migrate_options {
	bool check;
	bool print;
	bool no_notify;
};

static const struct option options[] = {
	{"check", NULL, OPTION_FLAG, offsetof(struct migrate_options, check),
	 false, "change nothing; exit 1 if an upgrade is due"},
	{"print", NULL, OPTION_FLAG, offsetof(struct migrate_options, print),
	 false, "print the SQL instead of running it"},
	{"no-notify", NULL, OPTION_FLAG,
	 offsetof(struct migrate_options, no_notify), false,
	 "PostgreSQL: new rows wake nobody, relays look once a second"},
	{0},
};

/* The store's own parameter, which goes into the URL. */
static int without_notify(struct cli *cli, const struct store_driver *driver,
			  const char **url, struct error *err)
{
	static const char parameter[] = "notify=off";
	size_t size = strlen(*url) + sizeof(parameter) + 1;
	char *longer;

	if (strcmp(driver->name, "postgresql") != 0)
		return usage_error(err, "--no-notify is for PostgreSQL");
	longer = arena_alloc(&cli->memory, size);
	if (longer == NULL)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	snprintf(longer, size, "%s%c%s", *url,
		 strchr(*url, '?') == NULL ? '?' : '&', parameter);
	*url = longer;
	return 0;
}

static int print_sql(struct cli *cli, const struct store_driver *driver)
{
	const char *name, *sql;

	for (int i = 0; (sql = driver->migration(i, &name)) != NULL; i++)
		buffer_append_format(&cli->out, "-- %s\n%s\n", name, sql);
	return 0;
}

static int upgrade(struct cli *cli, struct store *store, bool check,
		   struct error *err)
{
	int have, want;
	int result = store->driver->schema(store, &have, &want, err);

	if (result < 0)
		return result;
	if (have > want || (have < want && check))
		return store_check_schema(store, err);
	if (have < want)
		result = store->driver->migrate(store, err);
	if (result < 0)
		return result;
	if (have < want)
		buffer_append_format(
			&cli->out,
			"The database went from version %d to version %d.\n",
			have, want);
	else
		buffer_append_format(
			&cli->out,
			"The database is at version %d, nothing to do.\n",
			have);
	return 0;
}

static int run(struct cli *cli, const void *given, struct error *err)
{
	const struct migrate_options *wanted = given;
	const struct store_driver *driver;
	struct store *store = NULL;
	const char *url;
	int result = database_url(cli, &url, err);

	if (result == 0)
		result = store_driver_find(&driver, url, err);
	if (result == 0 && wanted->no_notify)
		result = without_notify(cli, driver, &url, err);
	if (result == 0 && wanted->print && wanted->no_notify)
		return usage_error(
			err, "--print prints everything; to leave NOTIFY out, "
			     "run after it: ALTER TABLE "
			     "event_bus_outbound_event DISABLE TRIGGER "
			     "event_bus_outbound_event_added");
	if (result == 0 && wanted->print)
		return print_sql(cli, driver);
	if (result == 0)
		result = driver->open(&store, url, !wanted->check, err);
	if (result < 0)
		return result;
	result = upgrade(cli, store, wanted->check, err);
	database_close(store);
	return result;
}

const struct command command_migrate = {
	.name = "migrate",
	.summary = "Create or upgrade the tables",
	.options = {options},
	.options_size = sizeof(struct migrate_options),
	.run = run,
};
