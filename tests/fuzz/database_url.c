/* SPDX-License-Identifier: MIT */
/*
 * Any text as a database URL on the command line: with a password it is
 * refused, and no sentence shows more of it than it should.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/cli.h"
#include "store/postgres.h"

enum { MAX_SIZE = 512 };

static const char *option(const PQconninfoOption *options, const char *name)
{
	while (options->keyword != NULL && strcmp(options->keyword, name) != 0)
		options++;
	return options->val == NULL ? "" : options->val;
}

/* Several hosts are all there again once each has been the first. */
static void turn_hosts(struct postgres_target *target)
{
	char *host = strdup(option(target->options, "host"));
	int hosts = postgres_target_hosts(target);
	int own = 1;

	MUST(host != NULL && hosts >= 1);
	for (const char *c = host; *c != '\0'; c++)
		own += *c == ',';
	for (int i = 0; i < own; i++)
		postgres_target_next_host(target);
	MUST(strcmp(option(target->options, "host"), host) == 0);
	free(host);
}

static bool has_password(const struct postgres_target *target)
{
	return *option(target->options, "password") != '\0' ||
	       *option(target->options, "sslpassword") != '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cli cli = {0};
	struct postgres_target target;
	char url[MAX_SIZE + 1];
	const char *taken;
	struct error err = {0};
	int status;

	if (size > MAX_SIZE)
		return 0;
	memcpy(url, data, size);
	url[size] = '\0';
	cli.global.database = url;
	status = database_url(&cli, &taken, &err);
	MUST(status == 0 || utf8_valid(span_of(err.text)));
	if (strncmp(url, "postgres", 8) == 0 &&
	    postgres_target_parse(&target, url, &err) == 0) {
		MUST(status != 0 || !has_password(&target));
		turn_hosts(&target);
		postgres_target_finish(&target);
	}
	MUST(utf8_valid(span_of(err.text)));
	arena_finish(&cli.memory);
	return 0;
}
