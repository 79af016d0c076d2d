/* SPDX-License-Identifier: MIT */
/* `postbus config show` and `list`. */
#include <string.h>

#include "base/json.h"
#include "cli/browse.h"
#include "cli/config.h"
#include "cli/edit.h"
#include "cli/table.h"

/* A field's value as people may see it. */
static struct span visible(const struct runtime_config *config,
			   const struct config_field *field,
			   struct arena *arena)
{
	struct span value = config_get(config, field, arena);

	if (field->type == CONFIG_SECRET && span_present(value) &&
	    !secret_is_reference(value.at))
		return SPAN_LIT(HIDDEN_PASSWORD);
	return value;
}

/* The sections that matter to a config, one after the other. */
static bool applies(const struct runtime_config *config,
		    enum config_section section)
{
	bool mqtt = strcmp(config->broker_type, "mqtt") == 0;

	return section == CONFIG_COMMON || (section == CONFIG_MQTT) == mqtt;
}

static void append_json_value(struct buffer *out,
			      const struct config_field *field,
			      struct span value)
{
	if (!span_present(value)) {
		buffer_append_text(out, "null");
		return;
	}
	switch (field->type) {
	case CONFIG_BOOLEAN:
		buffer_append_text(out, span_is(value, "1") ? "true" : "false");
		return;
	case CONFIG_INTEGER:
	case CONFIG_SECONDS:
	case CONFIG_LIST:
		buffer_append_span(out, value);
		return;
	case CONFIG_STRING:
	case CONFIG_CHOICE:
	case CONFIG_SECRET:
		json_append_string(out, value);
		return;
	}
}

/* In the form that `config import` takes. */
static void append_json(struct cli *cli, const struct runtime_config *config)
{
	struct buffer *out = &cli->out;
	enum config_section section = CONFIG_COMMON;
	const char *before = "\n    ";

	buffer_append_text(out, "{");
	json_append_string(out, span_of(config->config_key));
	buffer_append_text(out, ": {");
	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *field = &config_fields[i];

		if (!applies(config, field->section))
			continue;
		if (field->section != section) {
			section = field->section;
			buffer_append_format(
				out, ",\n    \"%s\": {",
				section == CONFIG_MQTT ? "mqtt" : "rabbitmq");
			before = "\n        ";
		}
		buffer_append_format(out, "%s\"%s\": ", before, field->name);
		append_json_value(out, field,
				  visible(config, field, &cli->memory));
		before = section == CONFIG_COMMON ? ",\n    " : ",\n        ";
	}
	buffer_append_text(out, "\n    }\n}}\n");
}

/* With what a worker makes of what is not set; why it may not do so at all is
 * not the question here. */
static void append_text(struct cli *cli, struct runtime_config *config)
{
	struct table table;

	(void)config_finish(config, NULL);
	table_init(&table, (const char *const[]){"setting", "value", NULL});
	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *field = &config_fields[i];
		struct span value = visible(config, field, &cli->memory);

		if (!applies(config, field->section))
			continue;
		if (span_present(value) && field->type == CONFIG_BOOLEAN)
			value = span_of(span_is(value, "1") ? "true" : "false");
		table_add_row(&table);
		table_set(&table, 0, span_of(field->name), TONE_PLAIN);
		table_set(&table, 1,
			  span_present(value) ? value : SPAN_LIT("-"),
			  span_present(value) ? TONE_PLAIN : TONE_DIM);
	}
	table_print(&table, &cli->terminal, &cli->out);
	table_finish(&table);
}

static int run_show(struct cli *cli, const void *options, struct error *err)
{
	const struct json_options *wanted = options;
	struct runtime_config config;
	struct store *store = NULL;
	int result = database_open(cli, &store, err);

	if (result == 0)
		result = store->driver->config_load(store, cli->operands.at[0],
						    &config, err);
	database_close(store);
	if (result < 0)
		return result;
	if (wanted->json)
		append_json(cli, &config);
	else
		append_text(cli, &config);
	config_destroy(&config);
	return 0;
}

const struct command command_config_show = {
	.name = "show",
	.operands = "KEY",
	.least = 1,
	.most = 1,
	.summary = "Show the settings of a config; a password is hidden",
	.options = {json_options},
	.options_size = sizeof(struct json_options),
	.run = run_show,
};

static const char *const columns[] = {
	"config_key",	  "is_active",	   "broker_type", "host", "port",
	"source_service", "worker_status", "updated_at",  NULL,
};

static const struct browse_table table = {
	.table = TABLE_CONFIGS,
	.name = "config",
	.columns = columns,
	.empty = "There is no config yet. `postbus config set default "
		 "broker_type=rabbitmq source_service=NAME` makes one.",
};

/* Listed like messages, all of them. */
static int run_list(struct cli *cli, const void *options, struct error *err)
{
	const struct json_options *wanted = options;
	struct browse_options all = {.json = wanted->json, .all = true};

	return browse_list(cli, &all, err);
}

const struct command command_config_list = {
	.name = "list",
	.summary = "List all configs",
	.options = {json_options},
	.options_size = sizeof(struct json_options),
	.subject = &table,
	.run = run_list,
};
