/* SPDX-License-Identifier: MIT */
/* A setting's value: as people type it, and as its column holds it. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "store/config.h"

enum { VALUE_MAX = 64 * 1024 };

static int no_memory(struct error *err)
{
	return error_set(err, STATUS_NO_MEMORY, "no memory for a setting");
}

/* The one sentence for a value that cannot be; a secret is not repeated. */
static int refuse(const struct config_field *field, struct span value,
		  struct error *err, const char *allowed)
{
	if (field->type == CONFIG_SECRET)
		return error_set(err, STATUS_INVALID, "%s must be %s",
				 field->name, allowed);
	return error_set(err, STATUS_INVALID, "%s is %s; it must be %s",
			 field->name, quote(value).text, allowed);
}

static struct span trim(struct span text)
{
	while (text.len > 0 && isspace((unsigned char)text.at[0])) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && isspace((unsigned char)text.at[text.len - 1]))
		text.len--;
	return text;
}

static bool has_control(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
			return true;
	return false;
}

static int canonical_text(const struct config_field *field, struct span value,
			  struct arena *arena, struct span *out,
			  struct error *err)
{
	struct span copy;

	if (value.len > VALUE_MAX || has_control(value) || !utf8_valid(value))
		return refuse(field, value, err,
			      "one line of UTF-8 text without control "
			      "characters");
	copy = arena_copy(arena, value);
	if (!span_present(copy))
		return no_memory(err);
	*out = copy;
	return 0;
}

static int canonical_boolean(const struct config_field *field,
			     struct span value, struct span *out,
			     struct error *err)
{
	static const char *const words[][2] = {
		{"0", "1"},    {"false", "true"}, {"no", "yes"},
		{"off", "on"}, {"f", "t"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		for (size_t truth = 0; truth < 2; truth++)
			if (value.len == strlen(words[i][truth]) &&
			    strncasecmp(value.at, words[i][truth], value.len) ==
				    0) {
				*out = span_of(words[0][truth]);
				return 0;
			}
	return refuse(field, value, err, "true or false");
}

static bool is_choice(const char *choices, struct span value)
{
	for (const char *at = choices;; at++) {
		size_t len = strcspn(at, "|");

		if (span_equal((struct span){at, len}, value))
			return true;
		at += len;
		if (*at == '\0')
			return false;
	}
}

static int canonical_choice(const struct config_field *field, struct span value,
			    struct arena *arena, struct span *out,
			    struct error *err)
{
	char allowed[128];

	if (is_choice(field->choices, value))
		return canonical_text(field, value, arena, out, err);
	snprintf(allowed, sizeof(allowed), "one of %s", field->choices);
	return refuse(field, value, err, allowed);
}

/* Only digits, sign, point and exponent: no "inf", no "0x10". */
static bool parse_number(struct span value, bool whole, double *number)
{
	char text[64];
	char *end;

	if (value.len == 0 || value.len >= sizeof(text))
		return false;
	memcpy(text, value.at, value.len);
	text[value.len] = '\0';
	if (strspn(text, whole ? "0123456789+-" : "0123456789+-.eE") !=
	    value.len)
		return false;
	*number = strtod(text, &end);
	return *end == '\0' && end != text;
}

static int canonical_number(const struct config_field *field, struct span value,
			    struct arena *arena, struct span *out,
			    struct error *err)
{
	bool whole = field->type == CONFIG_INTEGER;
	char text[96];
	double number;

	if (!parse_number(value, whole, &number) || number < field->min ||
	    number > field->max) {
		snprintf(text, sizeof(text), "a %s from %.15g to %.15g",
			 whole ? "whole number" : "number of seconds",
			 field->min, field->max);
		return refuse(field, value, err, text);
	}
	snprintf(text, sizeof(text), whole ? "%.0f" : "%.15g", number);
	return canonical_text(field, span_of(text), arena, out, err);
}

static bool append_item(struct buffer *list, struct span item)
{
	if (item.len == 0 || has_control(item) || !utf8_valid(item))
		return false;
	if (buffer_length(list) > 1)
		buffer_append_text(list, ",");
	json_append_string(list, item);
	return true;
}

static bool list_from_json(struct buffer *list, struct span value,
			   struct arena *arena)
{
	struct json_value array, item;
	struct json_cursor at;
	struct span key;

	if (json_check(value, &array, NULL, NULL) < 0 ||
	    array.type != JSON_ARRAY)
		return false;
	at = json_enter(array);
	while (json_next(&at, &key, &item))
		if (item.type != JSON_STRING ||
		    !append_item(list, json_get_string(item, arena)))
			return false;
	return true;
}

static bool list_from_commas(struct buffer *list, struct span value)
{
	for (;;) {
		const char *comma = memchr(value.at, ',', value.len);
		size_t len =
			comma == NULL ? value.len : (size_t)(comma - value.at);

		if (!append_item(list, trim((struct span){value.at, len})))
			return false;
		if (comma == NULL)
			return true;
		value = (struct span){comma + 1, value.len - len - 1};
	}
}

static int canonical_list(const struct config_field *field, struct span value,
			  struct arena *arena, struct span *out,
			  struct error *err)
{
	struct buffer list;
	struct span copy;
	bool good;
	int status = 0;

	buffer_init(&list);
	buffer_append_text(&list, "[");
	good = value.at[0] == '[' ? list_from_json(&list, value, arena)
				  : list_from_commas(&list, value);
	buffer_append_text(&list, "]");
	if (!good) {
		status = refuse(field, value, err,
				"a,b,c or a JSON array of strings, none empty");
		goto out;
	}
	copy = list.failed ? SPAN_NONE : arena_copy(arena, buffer_span(&list));
	if (!span_present(copy))
		status = no_memory(err);
	else
		*out = copy;
out:
	buffer_finish(&list);
	return status;
}

int config_field_canonical(const struct config_field *field, struct span value,
			   struct arena *arena, struct span *canonical,
			   struct error *err)
{
	if (field->type != CONFIG_STRING && field->type != CONFIG_SECRET)
		value = trim(value);
	if (value.len == 0) {
		*canonical = SPAN_NONE;
		return 0;
	}
	switch (field->type) {
	case CONFIG_BOOLEAN:
		return canonical_boolean(field, value, canonical, err);
	case CONFIG_CHOICE:
		return canonical_choice(field, value, arena, canonical, err);
	case CONFIG_INTEGER:
	case CONFIG_SECONDS:
		return canonical_number(field, value, arena, canonical, err);
	case CONFIG_LIST:
		return canonical_list(field, value, arena, canonical, err);
	case CONFIG_STRING:
	case CONFIG_SECRET:
		break;
	}
	return canonical_text(field, value, arena, canonical, err);
}

int config_put(struct runtime_config *config, const struct config_field *field,
	       struct span canonical, struct error *err)
{
	char *member = (char *)config + field->offset;
	struct span text =
		span_present(canonical) ? canonical : span_of(field->initial);
	struct span copy = arena_copy(&config->memory, text);

	if (span_present(text) && !span_present(copy))
		return no_memory(err);
	switch (field->type) {
	case CONFIG_BOOLEAN:
		*(bool *)member = span_is(copy, "1");
		break;
	case CONFIG_INTEGER:
		*(int64_t *)member =
			span_present(copy) ? strtoll(copy.at, NULL, 10) : 0;
		break;
	case CONFIG_SECONDS:
		*(double *)member =
			span_present(copy) ? strtod(copy.at, NULL) : 0;
		break;
	case CONFIG_STRING:
	case CONFIG_CHOICE:
	case CONFIG_LIST:
	case CONFIG_SECRET:
		*(const char **)member = copy.at;
		break;
	}
	return 0;
}

struct span config_get(const struct runtime_config *config,
		       const struct config_field *field, struct arena *arena)
{
	const char *member = (const char *)config + field->offset;
	char text[64];

	switch (field->type) {
	case CONFIG_BOOLEAN:
		return span_of(*(const bool *)member ? "1" : "0");
	case CONFIG_INTEGER:
		snprintf(text, sizeof(text), "%lld",
			 (long long)*(const int64_t *)member);
		break;
	case CONFIG_SECONDS:
		snprintf(text, sizeof(text), "%.15g", *(const double *)member);
		break;
	default:
		return span_of(*(const char *const *)member);
	}
	/* Zero is no value where it is not allowed: the member is unset. */
	if (field->min > 0 && strcmp(text, "0") == 0)
		return SPAN_NONE;
	return arena_copy(arena, span_of(text));
}
