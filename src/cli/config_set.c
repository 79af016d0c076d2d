/* SPDX-License-Identifier: MIT */
/* `postbus config set`: changes settings of one config. */
#include <string.h>

#include "base/quote.h"
#include "cli/config.h"
#include "cli/edit.h"

/* Some setting given as `name=value`. */
struct setting {
	const struct config_field *field;
	struct span value;
};

static int find_field(struct setting *setting, struct span name,
		      struct error *err)
{
	setting->field = config_field_find(name);
	if (setting->field == NULL)
		return usage_error(err,
				   "there is no setting %s: `postbus config "
				   "set --help` lists them all",
				   quote(name).text);
	return 0;
}

/* A secret that is typed is in the shell's history and in ps; `-` reads it. */
static int read_secret(struct setting *setting, struct buffer *in,
		       struct error *err)
{
	struct span value = setting->value;
	int result;

	if (value.len == 0 || secret_is_reference(value.at))
		return 0;
	if (!span_is(value, "-"))
		return usage_error(err,
				   "A secret is never an argument: only a "
				   "file, the environment or stdin; give "
				   "%s=env:NAME, file:PATH, cred:NAME, or - "
				   "to read it from standard input",
				   setting->field->name);
	result = input_read("-", in, err);
	if (result < 0)
		return result;
	value = buffer_span(in);
	if (value.len > 0 && value.at[value.len - 1] == '\n')
		value.len--;
	setting->value = value;
	return 0;
}

static int add_setting(struct cli *cli, struct edit *edit, size_t operand,
		       struct error *err)
{
	const char *text = cli->operands.at[operand];
	size_t len = strcspn(text, "=");
	struct setting setting;
	struct buffer in;
	int result;

	if (text[len] == '\0')
		return usage_error(err,
				   "operand %zu must be name=value, as in "
				   "host=127.0.0.1",
				   operand + 1);
	buffer_init(&in);
	setting.value = span_of(text + len + 1);
	result = find_field(&setting, (struct span){text, len}, err);
	if (result == 0 && setting.field->type == CONFIG_SECRET)
		result = read_secret(&setting, &in, err);
	if (result == 0)
		result = edit_add(edit, setting.field, setting.value,
				  &cli->memory, err);
	buffer_finish(&in);
	return result;
}

static int run(struct cli *cli, const void *options, struct error *err)
{
	const char *config_key = cli->operands.at[0];
	struct store *store = NULL;
	struct edit edit;
	int result = edit_init(&edit, config_key, &cli->memory, err);

	(void)options;
	for (size_t i = 1; i < cli->operands.count && result == 0; i++)
		result = add_setting(cli, &edit, i, err);
	if (result == 0)
		result = database_open(cli, &store, err);
	if (result == 0)
		result = edit_check(&edit, store, err);
	if (result == 0)
		result = edit_save(&edit, store, err);
	if (result == 0)
		buffer_append_format(&cli->out, "%s is saved.\n", config_key);
	database_close(store);
	return result;
}

static const char *initial_of(const struct config_field *field)
{
	if (field->type != CONFIG_BOOLEAN)
		return field->initial;
	return *field->initial == '1' ? "true" : "false";
}

static void describe_section(struct buffer *out, const char *title,
			     enum config_section section)
{
	buffer_append_format(out, "\n%s:\n", title);
	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *field = &config_fields[i];

		if (field->section != section)
			continue;
		buffer_append_format(out, "  %-26s %s", field->name,
				     field->help);
		if (field->choices != NULL)
			buffer_append_format(out, "; %s", field->choices);
		if (field->initial != NULL)
			buffer_append_format(out, " (%s)", initial_of(field));
		buffer_append_text(out, "\n");
	}
}

static void details(struct buffer *out)
{
	buffer_append_text(
		out,
		"The config is created if need be, active. name= goes back to "
		"the default,\nwhich is in parentheses. A list is a,b,c or a "
		"JSON array. A password is\nenv:NAME, file:PATH or cred:NAME; "
		"password=- reads it from standard input.\n");
	describe_section(out, "Settings", CONFIG_COMMON);
	describe_section(out, "Settings for RabbitMQ", CONFIG_RABBITMQ);
	describe_section(out, "Settings for MQTT", CONFIG_MQTT);
}

const struct command command_config_set = {
	.name = "set",
	.operands = "KEY name=value...",
	.least = 2,
	.most = SIZE_MAX,
	.summary = "Change settings of a config",
	.details = details,
	.run = run,
};
