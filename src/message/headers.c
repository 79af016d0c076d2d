/* SPDX-License-Identifier: MIT */
/* Headers between their column's JSON and the pairs on the wire. */
#include "message/headers.h"

#include <stdbool.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/quote.h"
#include "message/members.h"

enum { MAX_NAME = 255 };

static int no_memory(struct error *err)
{
	return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

struct span headers_find(const struct headers *headers, const char *name)
{
	for (size_t i = 0; i < headers->count; i++)
		if (span_is(headers->at[i].name, name))
			return headers->at[i].value;
	return SPAN_NONE;
}

static int check_name(struct span name, struct error *err)
{
	if (name.len >= 1 && name.len <= MAX_NAME)
		return 0;
	return error_set(err, STATUS_INVALID,
			 "headers: found a name of %zu bytes, 1 to %d are "
			 "allowed",
			 name.len, MAX_NAME);
}

/* Strings decoded, other values as their JSON text. */
static int from_members(struct headers *headers, const struct members *members,
			struct arena *arena, struct error *err)
{
	struct headers made = {.count = members->count};

	made.at = arena_alloc(arena, made.count * sizeof(*made.at));
	if (made.at == NULL)
		return no_memory(err);
	for (size_t i = 0; i < made.count; i++) {
		struct json_value value = members->at[i].value;

		made.at[i].name = members->at[i].name;
		made.at[i].value = value.type == JSON_STRING
					   ? json_get_string(value, arena)
					   : value.text;
		if (!span_present(made.at[i].value))
			return no_memory(err);
	}
	*headers = made;
	return 0;
}

static int check_strings(const struct members *members, struct error *err)
{
	for (size_t i = 0; i < members->count; i++) {
		const struct member *member = &members->at[i];
		int rc = check_name(member->name, err);

		if (rc != 0)
			return rc;
		if (member->value.type != JSON_STRING)
			return error_set(err, STATUS_INVALID,
					 "headers: %s is %s, a string is "
					 "required",
					 quote(member->name).text,
					 json_type_name(member->value.type));
	}
	return 0;
}

static int check_object(struct span text, struct json_value *object,
			struct error *err)
{
	int rc = json_check(text, object, NULL, err);

	if (rc == 0 && object->type != JSON_OBJECT)
		rc = error_set(err, STATUS_INVALID,
			       "found %s, an object of strings is required",
			       json_type_name(object->type));
	return rc;
}

int headers_parse(struct headers *headers, struct span text,
		  struct arena *arena, struct error *err)
{
	struct json_value object;
	struct members members;
	int rc;

	if (!span_present(text)) {
		*headers = (struct headers){0};
		return 0;
	}
	rc = check_object(text, &object, err);
	if (rc == 0)
		rc = members_read(&members, object, arena, err);
	if (rc != 0) {
		error_prefix(err, "headers");
		return rc;
	}
	rc = check_strings(&members, err);
	return rc == 0 ? from_members(headers, &members, arena, err) : rc;
}

static int read_extra(struct headers *headers, struct span extra,
		      struct arena *arena, struct error *err)
{
	struct members members;
	int rc;

	if (!span_present(extra)) {
		*headers = (struct headers){0};
		return 0;
	}
	rc = members_read(&members, (struct json_value){JSON_OBJECT, extra},
			  arena, err);
	return rc == 0 ? from_members(headers, &members, arena, err) : rc;
}

static void copy_headers(struct header *to, const struct headers *headers)
{
	if (headers->count > 0)
		memcpy(to, headers->at, headers->count * sizeof(*to));
}

/* Of each name only what stands first stays. */
static int drop_repeated(struct headers *headers, struct arena *arena,
			 struct error *err)
{
	struct span **names =
		arena_alloc(arena, headers->count * sizeof(*names));
	size_t kept = 0;

	if (names == NULL)
		return no_memory(err);
	for (size_t i = 0; i < headers->count; i++)
		names[i] = &headers->at[i].name;
	names_sort(names, headers->count);
	for (size_t i = headers->count; i-- > 1;)
		if (span_equal(*names[i - 1], *names[i]))
			*names[i] = SPAN_NONE;
	for (size_t i = 0; i < headers->count; i++)
		if (span_present(headers->at[i].name))
			headers->at[kept++] = headers->at[i];
	headers->count = kept;
	return 0;
}

/* Both in one, where `first` wins over `second`. */
static int join(struct headers *joined, const struct headers *first,
		const struct headers *second, struct arena *arena,
		struct error *err)
{
	struct headers both = {.count = first->count + second->count};
	int rc;

	both.at = arena_alloc(arena, both.count * sizeof(*both.at));
	if (both.at == NULL)
		return no_memory(err);
	copy_headers(both.at, first);
	copy_headers(both.at + first->count, second);
	rc = drop_repeated(&both, arena, err);
	if (rc == 0)
		*joined = both;
	return rc;
}

/* The headers as a JSON object; absent when memory has run out. */
static struct span write_object(const struct headers *headers,
				struct arena *arena)
{
	struct span text = SPAN_NONE;
	struct buffer out;

	buffer_init(&out);
	for (size_t i = 0; i < headers->count; i++) {
		buffer_append_text(&out, i == 0 ? "{" : ",");
		json_append_string(&out, headers->at[i].name);
		buffer_append_text(&out, ":");
		json_append_string(&out, headers->at[i].value);
	}
	buffer_append_text(&out, "}");
	if (!out.failed)
		text = arena_copy(arena, buffer_span(&out));
	buffer_finish(&out);
	return text;
}

struct span headers_merge(const struct headers *headers, struct span extra,
			  struct arena *arena, bool *failed)
{
	struct headers added;
	struct headers joined;
	struct span text;

	*failed = read_extra(&added, extra, arena, NULL) != 0 ||
		  join(&joined, &added, headers, arena, NULL) != 0;
	if (*failed || joined.count == 0)
		return SPAN_NONE;
	text = write_object(&joined, arena);
	*failed = !span_present(text);
	return text;
}

int headers_add_extra(struct headers *headers, struct span extra,
		      struct arena *arena, struct error *err)
{
	struct headers added;
	int rc = read_extra(&added, extra, arena, err);

	for (size_t i = 0; rc == 0 && i < added.count; i++)
		rc = check_name(added.at[i].name, err);
	return rc == 0 ? join(headers, headers, &added, arena, err) : rc;
}

int headers_set(struct headers *headers, struct header header,
		struct arena *arena, struct error *err)
{
	const struct headers one = {&header, 1};

	return join(headers, &one, headers, arena, err);
}
