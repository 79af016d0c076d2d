/* SPDX-License-Identifier: MIT */
/* Gathers, checks and saves changes to a config. */
#include "cli/edit.h"

#include "base/quote.h"
#include "base/utf8.h"

enum { MAX_KEY = 255 };

static bool is_config_key(struct span key)
{
	for (size_t i = 0; i < key.len; i++)
		if ((unsigned char)key.at[i] <= ' ' || key.at[i] == 0x7f)
			return false;
	return key.len > 0 && key.len <= MAX_KEY && utf8_valid(key);
}

int edit_init(struct edit *edit, const char *config_key, struct arena *arena,
	      struct error *err)
{
	if (!is_config_key(span_of(config_key)))
		return error_set(err, STATUS_INVALID,
				 "the config key is %s but must be a word of "
				 "at most %d bytes",
				 quote(span_of(config_key)).text, MAX_KEY);
	*edit = (struct edit){.config_key = config_key};
	edit->changes =
		arena_alloc(arena, config_field_count * sizeof(*edit->changes));
	if (edit->changes == NULL)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	return 0;
}

int edit_add(struct edit *edit, const struct config_field *field,
	     struct span value, struct arena *arena, struct error *err)
{
	struct config_change *change = &edit->changes[edit->count];
	struct span canonical;
	int result;

	for (size_t i = 0; i < edit->count; i++)
		if (edit->changes[i].field == field)
			return error_set(err, STATUS_INVALID,
					 "%s is given twice", field->name);
	if (field->type == CONFIG_SECRET && span_is(value, HIDDEN_PASSWORD))
		return error_set(err, STATUS_INVALID,
				 "%s is " HIDDEN_PASSWORD ", which only stands "
				 "for a hidden one: give env:NAME, file:PATH, "
				 "cred:NAME or the password",
				 field->name);
	result = config_field_canonical(field, value, arena, &canonical, err);
	if (result < 0)
		return result;
	*change = (struct config_change){field, canonical};
	edit->count++;
	return 0;
}

int edit_check(const struct edit *edit, struct store *store, struct error *err)
{
	struct runtime_config config;
	int result = store->driver->config_load(store, edit->config_key,
						&config, err);

	if (result == STATUS_NOT_FOUND)
		result = config_init(&config, edit->config_key, err);
	if (result < 0)
		return result;
	for (size_t i = 0; i < edit->count && result == 0; i++)
		result = config_put(&config, edit->changes[i].field,
				    edit->changes[i].value, err);
	if (result == 0)
		result = config_finish(&config, err);
	config_destroy(&config);
	return result;
}

int edit_save(const struct edit *edit, struct store *store, struct error *err)
{
	return store->driver->config_save(store, edit->config_key,
					  edit->changes, edit->count, err);
}

void edit_append_names(struct buffer *out, enum config_section section)
{
	const char *between = "";

	for (size_t i = 0; i < config_field_count; i++) {
		if (config_fields[i].section != section)
			continue;
		buffer_append_format(out, "%s%s", between,
				     config_fields[i].name);
		between = ", ";
	}
}
