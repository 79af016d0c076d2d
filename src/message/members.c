/* SPDX-License-Identifier: MIT */
/* Reading an object's members and finding a name that repeats. */
#include "message/members.h"

#include <stdlib.h>

#include "base/quote.h"

enum { FIRST_ROOM = 16 };

static int compare_names(const void *a, const void *b)
{
	const struct span *left = *(struct span *const *)a;
	const struct span *right = *(struct span *const *)b;
	int order;

	if (left->len != right->len)
		return left->len < right->len ? -1 : 1;
	order = left->len == 0 ? 0 : memcmp(left->at, right->at, left->len);
	if (order != 0)
		return order;
	return (left > right) - (left < right);
}

void names_sort(struct span **names, size_t count)
{
	qsort(names, count, sizeof(*names), compare_names);
}

/* Moves the members to where there is room for twice as many. */
static bool grow(struct members *members, size_t *room, struct arena *arena)
{
	size_t more = *room == 0 ? FIRST_ROOM : 2 * *room;
	struct member *at = arena_alloc(arena, more * sizeof(*at));

	if (at == NULL)
		return false;
	if (members->count > 0)
		memcpy(at, members->at, members->count * sizeof(*at));
	members->at = at;
	*room = more;
	return true;
}

static int refuse_repeated(const struct members *members, struct arena *arena,
			   struct error *err)
{
	struct span **names =
		arena_alloc(arena, members->count * sizeof(*names));

	if (names == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < members->count; i++)
		names[i] = &members->at[i].name;
	names_sort(names, members->count);
	for (size_t i = 1; i < members->count; i++)
		if (span_equal(*names[i - 1], *names[i]))
			return error_set(err, STATUS_INVALID,
					 "%s: found twice, once is allowed",
					 quote(*names[i]).text);
	return 0;
}

int members_read(struct members *members, struct json_value object,
		 struct arena *arena, struct error *err)
{
	struct json_cursor at = json_enter(object);
	struct members read = {0};
	struct json_value value;
	struct span key;
	size_t room = 0;
	int rc;

	while (json_next(&at, &key, &value)) {
		const char *end = value.text.at + value.text.len;
		struct member member = {.value = value};

		member.text.at = key.at - 1;
		member.text.len = (size_t)(end - member.text.at);
		member.name = json_unescape(key, arena);
		if (!span_present(member.name) ||
		    (read.count == room && !grow(&read, &room, arena)))
			return error_set(err, STATUS_NO_MEMORY,
					 "out of memory");
		read.at[read.count++] = member;
	}
	rc = refuse_repeated(&read, arena, err);
	if (rc == 0)
		*members = read;
	return rc;
}
