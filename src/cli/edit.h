/* SPDX-License-Identifier: MIT */
/* Changes to one config, gathered and checked before anything is saved. */
#ifndef CLI_EDIT_H
#define CLI_EDIT_H

#include "cli/cli.h"
#include "store/config.h"

struct edit {
	const char *config_key;
	struct config_change *changes;
	size_t count;
};

/* What `config show` prints in place of a password. */
#define HIDDEN_PASSWORD "***"

/* Memory for every change there can be comes from the arena. */
int edit_init(struct edit *edit, const char *config_key, struct arena *arena,
	      struct error *err);

/* Adds a value as people write it; refuses one field twice. */
int edit_add(struct edit *edit, const struct config_field *field,
	     struct span value, struct arena *arena, struct error *err);

/* Holds what the config would become against every rule; saves nothing. */
int edit_check(const struct edit *edit, struct store *store, struct error *err);

int edit_save(const struct edit *edit, struct store *store, struct error *err);

/* Appends the names of a section's settings, by commas. */
void edit_append_names(struct buffer *out, enum config_section section);

#endif
