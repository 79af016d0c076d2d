/* SPDX-License-Identifier: MIT */
/* `postbus config`: what workers run by; here the switch that turns one off. */
#include "cli/config.h"

#include "cli/edit.h"

static int save_active(struct cli *cli, struct store *store,
		       const char *config_key, const char *active,
		       struct error *err)
{
	struct edit edit;
	int64_t version;
	int result =
		store->driver->config_version(store, config_key, &version, err);

	if (result == 0)
		result = edit_init(&edit, config_key, &cli->memory, err);
	if (result == 0)
		result = edit_add(&edit,
				  config_field_find(SPAN_LIT("is_active")),
				  span_of(active), &cli->memory, err);
	return result < 0 ? result : edit_save(&edit, store, err);
}

static int run_switch(struct cli *cli, const void *options, struct error *err)
{
	const char *active = cli->command->subject;
	const char *config_key = cli->operands.at[0];
	struct store *store = NULL;
	int result = database_open(cli, &store, err);

	(void)options;
	if (result == 0)
		result = save_active(cli, store, config_key, active, err);
	if (result == 0)
		buffer_append_format(&cli->out, "%s is %s.\n", config_key,
				     *active == '1' ? "active" : "inactive");
	database_close(store);
	return result;
}

static const struct command activate = {
	.name = "activate",
	.operands = "KEY",
	.least = 1,
	.most = 1,
	.summary = "Let the workers of a config run",
	.subject = "1",
	.run = run_switch,
};

static const struct command deactivate = {
	.name = "deactivate",
	.operands = "KEY",
	.least = 1,
	.most = 1,
	.summary = "Let the workers of a config pause until it is active again",
	.subject = "0",
	.run = run_switch,
};

static const struct command *const actions[] = {
	&command_config_set,
	&command_config_show,
	&command_config_list,
	&command_config_import,
	&activate,
	&deactivate,
	&command_config_test,
	NULL,
};

const struct command command_config = {
	.name = "config",
	.summary = "Set, show and test what workers run by",
	.actions = actions,
};
