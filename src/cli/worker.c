/* SPDX-License-Identifier: MIT */
/* `postbus worker`: runs the lanes of one config key. */
#include "worker/worker.h"

#include "cli/cli.h"

static const struct option options[] = {
	{"config-key", "KEY", OPTION_TEXT,
	 offsetof(struct worker_options, config_key), true,
	 "the config whose messages it carries"},
	{"broker-type", "rabbitmq|mqtt", OPTION_CHOICE,
	 offsetof(struct worker_options, broker_type), false,
	 "use this broker, whichever is configured"},
	{0},
};

static int run(struct cli *cli, const void *given, struct error *err)
{
	struct worker_options wanted = *(const struct worker_options *)given;
	int result = database_url(cli, &wanted.database_url, err);

	return result < 0 ? result : worker_run(&wanted, err);
}

const struct command command_worker = {
	.name = "worker",
	.summary = "Carry messages between database and broker until SIGTERM",
	.options = {options},
	.options_size = sizeof(struct worker_options),
	.run = run,
};
