/* SPDX-License-Identifier: MIT */
/*
 * replay DIRECTORY BYTES: gives a fuzz target every file of its corpus, and so
 * many bytes of mutations of them, the same ones each time.
 *
 * For builds without libFuzzer: what it once found stays found.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "fuzz.h"

enum { MAX_SIZE = 4096, MAX_FILES = 256 };

struct seed {
	uint8_t data[MAX_SIZE];
	size_t size;
};

static struct seed seeds[MAX_FILES];
static size_t seed_count;
static struct random chance = {1};

static void read_seed(const char *directory, const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "rb");
	MUST(file != NULL && seed_count < MAX_FILES);
	seeds[seed_count].size =
		fread(seeds[seed_count].data, 1, MAX_SIZE, file);
	seed_count++;
	fclose(file);
}

static void read_corpus(const char *directory)
{
	DIR *open = opendir(directory);
	const struct dirent *entry;

	MUST(open != NULL);
	while ((entry = readdir(open)) != NULL)
		if (entry->d_name[0] != '.')
			read_seed(directory, entry->d_name);
	closedir(open);
	MUST(seed_count > 0);
}

static void run(const uint8_t *data, size_t size)
{
	/* Just as much memory, so that a step beyond is seen. */
	uint8_t *copy = malloc(size);

	MUST(copy != NULL || size == 0);
	if (size > 0)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/* Another value, another length, or another seed's end. */
static void mutate(struct seed *seed)
{
	const struct seed *other = &seeds[random_below(&chance, seed_count)];
	size_t at = random_below(&chance, seed->size + 1);
	size_t tail = random_below(&chance, other->size + 1);

	switch (random_below(&chance, 4)) {
	case 0:
		seed->size = at;
		break;
	case 1:
		if (tail > MAX_SIZE - at)
			tail = MAX_SIZE - at;
		memcpy(seed->data + at, other->data + other->size - tail, tail);
		seed->size = at + tail;
		break;
	default:
		if (at < seed->size)
			seed->data[at] = (uint8_t)random_next(&chance);
	}
}

int main(int argc, char **argv)
{
	size_t wanted, total = 0;

	MUST(argc == 3);
	read_corpus(argv[1]);
	wanted = strtoul(argv[2], NULL, 10);
	for (size_t i = 0; i < seed_count; i++)
		run(seeds[i].data, seeds[i].size);
	while (total < wanted) {
		struct seed seed = seeds[random_below(&chance, seed_count)];
		unsigned times = 1 + (unsigned)random_below(&chance, 4);

		while (times-- > 0)
			mutate(&seed);
		run(seed.data, seed.size);
		total += seed.size + 1;
	}
	return 0;
}
