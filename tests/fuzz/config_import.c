/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a file for `postbus config import`: all of it is saved, as a
 * config that a worker can run by, or nothing is, with a sentence.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/config.h"
#include "store/config.h"

#define NAME "fuzz"

static void write_file(int fd, const uint8_t *data, size_t size)
{
	MUST(ftruncate(fd, 0) == 0);
	MUST(pwrite(fd, data, size, 0) == (ssize_t)size);
}

static void must_be_good(struct store *store)
{
	struct runtime_config config;
	struct error err = {0};
	int status =
		store->driver->config_load(store, "default", &config, &err);

	MUST(status == 0 || status == STATUS_NOT_FOUND);
	if (status < 0)
		return;
	/* No more than a sender's name may still be missing. */
	if (config_finish(&config, &err) < 0)
		MUST(strstr(err.text, "source_service") != NULL);
	config_destroy(&config);
}

static int import(const char *path, struct error *err)
{
	struct cli cli = {.global.database = "memory:" NAME,
			  .operands = {.at = &path, .count = 1}};
	int status = command_config_import.run(&cli, NULL, err);

	buffer_finish(&cli.out);
	arena_finish(&cli.memory);
	return status;
}

/* Migrated once, for that takes long; it outlives whoever has it open. */
static struct store *open_database(void)
{
	static bool migrated;
	struct store *store = NULL;

	MUST(store_open(&store, "memory:" NAME, true, NULL) == 0);
	MUST(migrated || store->driver->migrate(store, NULL) == 0);
	migrated = true;
	return store;
}

/* Every setting of `default` as if nobody had set it. */
static void reset(struct store *store)
{
	struct config_change changes[64];

	MUST(config_field_count <= 64);
	for (size_t i = 0; i < config_field_count; i++)
		changes[i] = (struct config_change){.field = &config_fields[i]};
	MUST(store->driver->config_save(store, "default", changes,
					config_field_count, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct store *store = open_database();
	struct error err = {0};
	char path[32];

	if (fd < 0)
		fd = memfd_create(NAME, MFD_CLOEXEC);
	MUST(fd >= 0);
	write_file(fd, data, size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reset(store);
	store->driver->close(store);
	if (import(path, &err) < 0)
		MUST(err.text[0] != '\0' && utf8_valid(span_of(err.text)));
	store = open_database();
	must_be_good(store);
	store->driver->close(store);
	return 0;
}
