/* SPDX-License-Identifier: MIT */
/* Bump allocation out of blocks that are freed together. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 64 * 1024 };

struct arena_block {
	struct arena_block *next;
	size_t size; /* of data */
	size_t used;
	alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena)
{
	*arena = (struct arena){0};
}

static void free_blocks(struct arena_block *block)
{
	while (block != NULL) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
}

void arena_finish(struct arena *arena)
{
	free_blocks(arena->blocks);
	arena_init(arena);
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
	size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
	struct arena_block *block;

	if (room > SIZE_MAX - sizeof(*block))
		return NULL;
	block = malloc(sizeof(*block) + room);
	if (block == NULL)
		return NULL;
	*block = (struct arena_block){.next = arena->blocks, .size = room};
	arena->blocks = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *block = arena->blocks;
	void *memory;

	if (size > SIZE_MAX - align)
		return NULL;
	size = (size + align - 1) / align * align;
	if (block == NULL || block->size - block->used < size)
		block = add_block(arena, size);
	if (block == NULL)
		return NULL;
	memory = block->data + block->used;
	block->used += size;
	arena->used += size;
	return memory;
}

struct span arena_copy(struct arena *arena, struct span span)
{
	char *copy;

	if (!span_present(span) || span.len == SIZE_MAX)
		return SPAN_NONE;
	copy = arena_alloc(arena, span.len + 1);
	if (copy == NULL)
		return SPAN_NONE;
	if (span.len > 0)
		memcpy(copy, span.at, span.len);
	copy[span.len] = '\0';
	return (struct span){copy, span.len};
}

void arena_reset(struct arena *arena)
{
	struct arena_block *keep = NULL;
	struct arena_block **link = &arena->blocks;

	while (*link != NULL && (*link)->size != BLOCK_SIZE)
		link = &(*link)->next;
	if (*link != NULL) {
		keep = *link;
		*link = keep->next;
		keep->next = NULL;
		keep->used = 0;
	}
	free_blocks(arena->blocks);
	arena->blocks = keep;
	arena->used = 0;
}
