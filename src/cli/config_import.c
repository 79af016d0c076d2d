/* SPDX-License-Identifier: MIT */
/*
 * `postbus config import`: the JSON form of EVENT_BUS_CONFIG. Everything in it
 * is checked before anything is saved.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/quote.h"
#include "cli/config.h"
#include "cli/edit.h"

static const char *const section_names[] = {
	[CONFIG_RABBITMQ] = "rabbitmq",
	[CONFIG_MQTT] = "mqtt",
};

static int unknown_key(const char *key, enum config_section section,
		       struct error *err)
{
	struct buffer known;

	buffer_init(&known);
	edit_append_names(&known, section);
	if (section == CONFIG_COMMON)
		buffer_append_text(&known, ", rabbitmq, mqtt");
	error_set(err, STATUS_INVALID, "unknown key %s; known are %.*s",
		  quote(span_of(key)).text, (int)buffer_length(&known),
		  buffer_span(&known).at);
	buffer_finish(&known);
	return STATUS_INVALID;
}

static int wrong_type(const struct config_field *field, struct error *err)
{
	static const char *const wanted[] = {
		[CONFIG_STRING] = "a string",
		[CONFIG_CHOICE] = "a string",
		[CONFIG_LIST] = "an array of strings",
		[CONFIG_INTEGER] = "a whole number",
		[CONFIG_SECONDS] = "a number of seconds",
		[CONFIG_BOOLEAN] = "true or false",
		[CONFIG_SECRET] = "a string",
	};

	return error_set(err, STATUS_INVALID, "%s must be %s", field->name,
			 wanted[field->type]);
}

static bool type_fits(const struct config_field *field, const json_t *value)
{
	switch (field->type) {
	case CONFIG_LIST:
		return json_is_array(value);
	case CONFIG_INTEGER:
		return json_is_integer(value);
	case CONFIG_SECONDS:
		return json_is_number(value);
	case CONFIG_BOOLEAN:
		return json_is_boolean(value);
	case CONFIG_STRING:
	case CONFIG_CHOICE:
	case CONFIG_SECRET:
		break;
	}
	return false;
}

/* A string stands for whatever it would mean to `config set`. */
static int add_value(struct edit *edit, const struct config_field *field,
		     const json_t *value, struct arena *arena,
		     struct error *err)
{
	char *text;
	int result;

	if (json_is_null(value))
		return edit_add(edit, field, SPAN_NONE, arena, err);
	if (json_is_string(value))
		return edit_add(edit, field,
				(struct span){json_string_value(value),
					      json_string_length(value)},
				arena, err);
	if (!type_fits(field, value))
		return wrong_type(field, err);
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT |
					 JSON_REAL_PRECISION(15));
	if (text == NULL)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	result = edit_add(edit, field, span_of(text), arena, err);
	free(text);
	return result;
}

static int add_section(struct edit *edit, enum config_section section,
		       json_t *object, struct arena *arena, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return error_set(
			err, STATUS_INVALID, "%s must be an object of settings",
			section == CONFIG_COMMON ? "a config"
						 : section_names[section]);
	json_object_foreach(object, key, value)
	{
		const struct config_field *field =
			config_field_find(span_of(key));
		enum config_section nested = CONFIG_COMMON;
		int result;

		if (strcmp(key, "rabbitmq") == 0)
			nested = CONFIG_RABBITMQ;
		else if (strcmp(key, "mqtt") == 0)
			nested = CONFIG_MQTT;
		if (section == CONFIG_COMMON && nested != CONFIG_COMMON)
			result = add_section(edit, nested, value, arena, err);
		else if (field == NULL || field->section != section ||
			 strcmp(field->name, key) != 0)
			result = unknown_key(key, section, err);
		else
			result = add_value(edit, field, value, arena, err);
		if (result < 0)
			return result;
	}
	return 0;
}

/* All configs of the file. */
struct import {
	struct edit *edits;
	size_t count;
};

static int read_configs(struct import *import, json_t *root,
			struct arena *arena, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(root) || json_object_size(root) == 0)
		return error_set(err, STATUS_INVALID,
				 "the file must be an object of configs, as in "
				 "{\"default\": {\"broker_type\": "
				 "\"rabbitmq\"}}");
	import->edits = arena_alloc(arena, json_object_size(root) *
						   sizeof(*import->edits));
	if (import->edits == NULL)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	json_object_foreach(root, key, value)
	{
		struct edit *edit = &import->edits[import->count];
		int result = edit_init(edit, key, arena, err);

		if (result == 0)
			result = add_section(edit, CONFIG_COMMON, value, arena,
					     err);
		if (result < 0) {
			error_prefix(err, "%.100s", key);
			return result;
		}
		import->count++;
	}
	return 0;
}

/* jansson's own message may repeat text of the file, a password even. */
static int parse(const char *path, json_t **root, struct error *err)
{
	struct buffer in;
	json_error_t where;
	int result;

	buffer_init(&in);
	result = input_read(path, &in, err);
	if (result < 0)
		goto out;
	*root = json_loadb(buffer_span(&in).at, buffer_length(&in),
			   JSON_REJECT_DUPLICATES, &where);
	if (*root == NULL)
		result = error_set(err, STATUS_INVALID,
				   "%s is no valid JSON, or has a key twice: "
				   "look at line %d, column %d",
				   strcmp(path, "-") == 0 ? "standard input"
							  : path,
				   where.line, where.column);
out:
	buffer_finish(&in);
	return result;
}

static int check_and_save(struct cli *cli, const struct import *import,
			  struct error *err)
{
	struct store *store = NULL;
	int result = database_open(cli, &store, err);

	for (size_t i = 0; i < import->count && result == 0; i++) {
		result = edit_check(&import->edits[i], store, err);
		if (result < 0)
			error_prefix(err, "%.100s",
				     import->edits[i].config_key);
	}
	for (size_t i = 0; i < import->count && result == 0; i++) {
		result = edit_save(&import->edits[i], store, err);
		if (result == 0)
			buffer_append_format(&cli->out, "%s is saved.\n",
					     import->edits[i].config_key);
	}
	database_close(store);
	return result;
}

static int run(struct cli *cli, const void *options, struct error *err)
{
	struct import import = {0};
	json_t *root = NULL;
	int result = parse(cli->operands.at[0], &root, err);

	(void)options;
	if (result == 0)
		result = read_configs(&import, root, &cli->memory, err);
	if (result == 0)
		result = check_and_save(cli, &import, err);
	json_decref(root);
	return result;
}

const struct command command_config_import = {
	.name = "import",
	.operands = "FILE",
	.least = 1,
	.most = 1,
	.summary = "Take configs from a JSON file, or - for standard input",
	.run = run,
};
