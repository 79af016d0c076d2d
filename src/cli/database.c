/* SPDX-License-Identifier: MIT */
/* Which database is meant, and the way into it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX in place: libpq accepts it in the names of parameters too. */
static void percent_decode(char *text)
{
	char *to = text;

	for (const char *at = text; *at != '\0'; at++) {
		if (at[0] == '%' && hex_value(at[1]) >= 0 &&
		    hex_value(at[2]) >= 0) {
			*to++ = (char)(hex_value(at[1]) * 16 +
				       hex_value(at[2]));
			at += 2;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* "password = ..." as a URL's parameter or in libpq's own form. */
static bool has_password_parameter(const char *text)
{
	while ((text = strcasestr(text, "password")) != NULL) {
		text += strlen("password");
		if (text[strspn(text, " \t\r\n")] == '=')
			return true;
	}
	return false;
}

/* "//user:password@": generous, for a password may hold any character. */
static bool has_password_in_userinfo(const char *url)
{
	const char *user = strstr(url, "://");
	const char *at = strrchr(url, '@');
	const char *colon = user == NULL ? NULL : strchr(user + 3, ':');

	return strncmp(url, "sqlite:", 7) != 0 && colon != NULL && at != NULL &&
	       colon < at;
}

static int refuse_password(struct cli *cli, const char *url, struct error *err)
{
	size_t size = strlen(url) + 1;
	char *decoded = arena_alloc(&cli->memory, size);

	if (decoded == NULL)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	memcpy(decoded, url, size);
	percent_decode(decoded);
	if (!has_password_in_userinfo(url) && !has_password_parameter(decoded))
		return 0;
	return usage_error(
		err, "a database URL with a password is never an argument, "
		     "where every user of this machine could read it: put it "
		     "into POSTBUS_DATABASE_URL or a file for "
		     "--database-file");
}

/* The first line of the file, blanks around it dropped. */
static int url_from_file(struct cli *cli, const char *path, const char **url,
			 struct error *err)
{
	struct buffer in;
	struct span text;
	int result;

	buffer_init(&in);
	result = input_read(path, &in, err);
	if (result < 0)
		goto out;
	text = buffer_span(&in);
	while (text.len > 0 && isspace((unsigned char)*text.at))
		text = (struct span){text.at + 1, text.len - 1};
	for (size_t i = 0; i < text.len; i++)
		if (isspace((unsigned char)text.at[i]) || text.at[i] == '\0')
			text.len = i;
	if (text.len == 0)
		result = error_set(err, STATUS_INVALID,
				   "%s holds no database URL: write it into "
				   "the first line",
				   path);
	else if ((*url = arena_copy(&cli->memory, text).at) == NULL)
		result = error_set(err, STATUS_NO_MEMORY, "memory has run out");
out:
	buffer_finish(&in);
	return result;
}

static const char *from_environment(const char *name)
{
	const char *value = getenv(name);

	return value == NULL || *value == '\0' ? NULL : value;
}

int database_url(struct cli *cli, const char **url, struct error *err)
{
	const struct global_options *global = &cli->global;

	if (global->database != NULL && global->database_file != NULL)
		return usage_error(err, "--database and --database-file "
					"exclude each other: give one");
	if (global->database_file != NULL)
		return url_from_file(cli, global->database_file, url, err);
	*url = global->database;
	if (*url != NULL)
		return refuse_password(cli, *url, err);
	*url = from_environment("POSTBUS_DATABASE_URL");
	if (*url == NULL)
		*url = from_environment("DATABASE_URL");
	if (*url == NULL)
		return usage_error(
			err, "no database is named: set POSTBUS_DATABASE_URL, "
			     "or give --database sqlite:///path.db or "
			     "--database postgresql://user@host/db");
	return 0;
}

int database_open(struct cli *cli, struct store **store, struct error *err)
{
	struct store *opened = NULL;
	const char *url;
	int result = database_url(cli, &url, err);

	if (result == 0)
		result = store_open(&opened, url, false, err);
	if (result < 0)
		return result;
	result = store_check_schema(opened, err);
	if (result < 0)
		database_close(opened);
	else
		*store = opened;
	return result;
}

void database_close(struct store *store)
{
	if (store != NULL)
		store->driver->close(store);
}

int database_rules(struct store *store, const char *config_key,
		   struct envelope_limits *limits, struct span *source,
		   struct arena *memory, struct error *err)
{
	struct runtime_config config;
	int result =
		store->driver->config_load(store, config_key, &config, err);

	*limits = ENVELOPE_LIMITS_DEFAULT;
	if (result == STATUS_NOT_FOUND)
		return 0;
	if (result < 0)
		return result;
	limits->max_message_bytes = (size_t)config.max_message_bytes;
	limits->max_chain_depth = (int)config.max_chain_depth;
	*source = arena_copy(memory, span_of(config.source_service));
	config_destroy(&config);
	return 0;
}
