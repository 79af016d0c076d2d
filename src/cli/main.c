/* SPDX-License-Identifier: MIT */
/* The postbus program: finds the command that is meant and runs it. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/cli.h"

static const struct command *const commands[] = {
	&command_migrate,
	&command_config,
	&command_worker,
	&command_status,
	&command_publish,
	&command_outbox,
	&command_inbox,
	&command_rejected,
	&command_validate,
	&command_help,
	NULL,
};

const struct command command_root = {
	.name = "postbus",
	.summary = "Transactional outbox and inbox over SQL, RabbitMQ and MQTT",
	.actions = commands,
};

#define AT(member) offsetof(struct global_options, member)

const struct option global_options[] = {
	{"database", "URL", OPTION_TEXT, AT(database), false,
	 "sqlite:///path.db, postgresql://user@host/db"},
	{"database-file", "FILE", OPTION_TEXT, AT(database_file), false,
	 "a file that holds the URL, with a password if need be"},
	{"help", NULL, OPTION_FLAG, AT(help), false, "show this help"},
	{"version", NULL, OPTION_FLAG, AT(version), false, "show the version"},
	{0},
};

static const struct option *const global_tables[] = {global_options, NULL};

const struct option json_options[] = {
	{"json", NULL, OPTION_FLAG, offsetof(struct json_options, json), false,
	 "print JSON"},
	{0},
};

enum { EXIT_USAGE = 2 };

static int check_arguments(char **argv, struct error *err)
{
	for (int i = 1; argv[i] != NULL; i++)
		if (!utf8_valid(span_of(argv[i])))
			return usage_error(err, "argument %d is not UTF-8", i);
	return 0;
}

static int collect_operands(struct cli *cli, const struct option_set *sets,
			    char **argv, struct error *err)
{
	size_t room = 0;
	int result;

	while (argv[room] != NULL)
		room++;
	cli->operands.at =
		arena_alloc(&cli->memory, (room + 1) * sizeof(char *));
	if (cli->operands.at == NULL)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	for (;;) {
		result = options_take(sets, 2, &argv, &cli->memory, err);
		if (result < 0)
			return result;
		if (*argv == NULL)
			return 0;
		do
			cli->operands.at[cli->operands.count++] = *argv++;
		while (result == 1 && *argv != NULL);
	}
}

static int check_operands(const struct cli *cli, const struct command *command,
			  struct error *err)
{
	if (cli->operands.count < command->least)
		return usage_error(err, "%s needs %s; --help says more",
				   command->name, command->operands);
	if (cli->operands.count > command->most)
		return usage_error(
			err, "%s takes no more than %s; --help says more",
			command->name,
			command->operands == NULL ? "its options"
						  : command->operands);
	return 0;
}

/* True when --version or --help was given and all is said. */
static bool answered(struct cli *cli, const char *path,
		     const struct command *command)
{
	if (cli->global.version)
		buffer_append_text(&cli->out, "postbus " POSTBUS_VERSION "\n");
	else if (cli->global.help)
		help_print(&cli->out, path, command);
	return cli->global.version || cli->global.help;
}

static int run_command(struct cli *cli, const char *path,
		       const struct command *command, char **argv,
		       struct error *err)
{
	size_t size = command->options_size + 1;
	void *values = arena_alloc(&cli->memory, size);
	struct option_set sets[] = {{command->options, values},
				    {global_tables, &cli->global}};
	int result;

	if (values == NULL)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	memset(values, 0, size);
	cli->command = command;
	options_clear(sets[0]);
	result = collect_operands(cli, sets, argv, err);
	if (result == 0 && answered(cli, path, command))
		return 0;
	if (result == 0)
		result = options_complete(sets[0], err);
	if (result == 0)
		result = check_operands(cli, command, err);
	return result < 0 ? result : command->run(cli, values, err);
}

/* Follows the words down to a command that runs. */
static int dispatch(struct cli *cli, char **argv, struct error *err)
{
	const struct option_set globals = {global_tables, &cli->global};
	const struct command *command = &command_root;
	char path[COMMAND_PATH_SIZE] = "postbus";

	while (command->actions != NULL) {
		int result =
			options_take(&globals, 1, &argv, &cli->memory, err);

		if (result < 0)
			return result;
		if (answered(cli, path, command))
			return 0;
		if (*argv == NULL)
			return command_missing(command, err);
		command = command_descend(command, *argv++, path, err);
		if (command == NULL)
			return CLI_USAGE;
	}
	return run_command(cli, path, command, argv, err);
}

static int finish(struct cli *cli, int result, struct error *err)
{
	struct error late = {0};

	if (result < 0)
		complain(err->text);
	if (output_flush(cli, &late) < 0) {
		complain(late.text);
		result = result < 0 ? result : STATUS_FAILED;
	}
	if (result == CLI_USAGE)
		return EXIT_USAGE;
	return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	struct error err = {0};
	int result;

	(void)argc;
	setlocale(LC_CTYPE, "C.UTF-8");
	terminal_init(&cli.terminal);
	options_clear((struct option_set){global_tables, &cli.global});
	result = check_arguments(argv, &err);
	if (result == 0)
		result = dispatch(&cli, argv + 1, &err);
	result = finish(&cli, result, &err);
	buffer_finish(&cli.out);
	arena_finish(&cli.memory);
	return result;
}
