/* SPDX-License-Identifier: MIT */
/* Reading an object's members and finding a name that repeats. */
#include "message/members.h"

#include <stdlib.h>

#include "base/quote.h"

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

static size_t count_members(struct json_value object)
{
	struct json_cursor at = json_enter(object);
	struct json_value value;
	struct span key;
	size_t count = 0;

	while (json_next(&at, &key, &value))
		count++;
	return count;
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
	struct members read = {.count = count_members(object)};
	struct member *member;
	struct span key;
	int rc;

	read.at = arena_alloc(arena, read.count * sizeof(*read.at));
	if (read.at == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	member = read.at;
	for (; json_next(&at, &key, &member->value); member++) {
		const char *end =
			member->value.text.at + member->value.text.len;

		member->text =
			(struct span){key.at - 1, (size_t)(end - (key.at - 1))};
		member->name = json_unescape(key, arena);
		if (!span_present(member->name))
			return error_set(err, STATUS_NO_MEMORY,
					 "out of memory");
	}
	rc = refuse_repeated(&read, arena, err);
	if (rc == 0)
		*members = read;
	return rc;
}
