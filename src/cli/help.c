/* SPDX-License-Identifier: MIT */
/* Help, all of it made from the tables that the program runs by. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

enum { TEXT_COLUMN = 30 };

static const char *operands_of(const struct command *command)
{
	return command->actions != NULL ? "COMMAND" : command->operands;
}

static void print_usage(struct buffer *out, const char *path,
			const struct command *command)
{
	buffer_append_format(out, "usage: %s", path);
	for (size_t i = 0; command->options[i] != NULL; i++)
		for (const struct option *option = command->options[i];
		     option->name != NULL; option++)
			if (option->required)
				buffer_append_format(out, " --%s %s",
						     option->name,
						     option->value);
	buffer_append_text(out, " [options]");
	if (operands_of(command) != NULL)
		buffer_append_format(out, " %s", operands_of(command));
	buffer_append_format(out, "\n\n%s.\n", command->summary);
}

static void print_actions(struct buffer *out, const struct command *group)
{
	buffer_append_text(out, "\nCommands:\n");
	for (size_t i = 0; group->actions[i] != NULL; i++)
		buffer_append_format(out, "  %-12s %s\n",
				     group->actions[i]->name,
				     group->actions[i]->summary);
}

static void print_options(struct buffer *out, const struct option *option)
{
	for (; option->name != NULL; option++) {
		bool flag = option->kind == OPTION_FLAG;
		size_t used = 4 + strlen(option->name) +
			      (flag ? 0 : 1 + strlen(option->value));

		buffer_append_format(out, "  --%s%s%s", option->name,
				     flag ? "" : " ",
				     flag ? "" : option->value);
		if (used >= TEXT_COLUMN) {
			buffer_append_text(out, "\n");
			used = 0;
		}
		buffer_append_format(out, "%*s%s%s\n", TEXT_COLUMN - (int)used,
				     "", option->help,
				     option->kind == OPTION_TEXTS
					     ? "; may be repeated"
					     : "");
	}
}

void help_print(struct buffer *out, const char *path,
		const struct command *command)
{
	print_usage(out, path, command);
	if (command->actions != NULL)
		print_actions(out, command);
	if (command->options[0] != NULL)
		buffer_append_text(out, "\nOptions:\n");
	for (size_t i = 0; command->options[i] != NULL; i++)
		print_options(out, command->options[i]);
	if (command->details != NULL) {
		buffer_append_text(out, "\n");
		command->details(out);
	}
	buffer_append_text(out, "\nEverywhere:\n");
	print_options(out, global_options);
	if (command == &command_root)
		buffer_append_text(
			out,
			"\nThe database's URL also comes from "
			"POSTBUS_DATABASE_URL, then DATABASE_URL.\n"
			"`postbus COMMAND --help` says more about each.\n");
}

int command_missing(const struct command *group, struct error *err)
{
	struct buffer names;

	buffer_init(&names);
	for (size_t i = 0; group->actions[i] != NULL; i++)
		buffer_append_format(&names, "%s%s", i == 0 ? "" : ", ",
				     group->actions[i]->name);
	usage_error(err, "%s is to be followed by one of: %.*s", group->name,
		    (int)buffer_length(&names), buffer_span(&names).at);
	buffer_finish(&names);
	return CLI_USAGE;
}

const struct command *command_descend(const struct command *from,
				      const char *name,
				      char path[COMMAND_PATH_SIZE],
				      struct error *err)
{
	size_t used = strlen(path);

	for (size_t i = 0; from->actions != NULL && from->actions[i] != NULL;
	     i++) {
		const struct command *next = from->actions[i];

		if (strcmp(next->name, name) != 0)
			continue;
		snprintf(path + used, COMMAND_PATH_SIZE - used, " %s",
			 next->name);
		return next;
	}
	if (from->actions == NULL)
		usage_error(err, "%s has no commands of its own", from->name);
	else
		command_missing(from, err);
	return NULL;
}

static int run_help(struct cli *cli, const void *options, struct error *err)
{
	const struct command *command = &command_root;
	char path[COMMAND_PATH_SIZE] = "postbus";

	(void)options;
	for (size_t i = 0; i < cli->operands.count; i++) {
		command = command_descend(command, cli->operands.at[i], path,
					  err);
		if (command == NULL)
			return CLI_USAGE;
	}
	help_print(&cli->out, path, command);
	return 0;
}

const struct command command_help = {
	.name = "help",
	.operands = "[COMMAND]...",
	.most = SIZE_MAX,
	.summary = "Explain a command",
	.run = run_help,
};
