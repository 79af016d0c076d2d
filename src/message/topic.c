/* SPDX-License-Identifier: MIT */
/* The form of topics. */
#include "message/topic.h"

#include <stdbool.h>

#include "base/quote.h"

static const struct {
	const char *name;
	size_t word; /* which segment says the type's name */
	const char *form;
} types[] = {
	[MESSAGE_REQUEST] = {"request", 1,
			     "<target_service>.request.<entity>.<action>"},
	[MESSAGE_RESPONSE] =
		{"response", 1,
		 "<requesting_service>.response.<entity>.<action>"},
	[MESSAGE_EVENT] = {"event", 0, "event.<domain>.<entity>.<action>"},
};

enum { MIN_SEGMENTS = 4 };

const char *message_type_name(enum message_type type)
{
	return types[type].name;
}

bool message_type_parse(struct span name, enum message_type *type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (span_is(name, types[i].name)) {
			*type = (enum message_type)i;
			return true;
		}
	return false;
}

static bool in_segment(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Takes the segment that the topic begins with off it. */
static struct span take_segment(struct span *topic)
{
	struct span segment = {topic->at, 0};

	while (segment.len < topic->len && in_segment(topic->at[segment.len]))
		segment.len++;
	topic->at += segment.len;
	topic->len -= segment.len;
	return segment;
}

/* How many segments the topic has, the word-th one given; 0 when it is not
 * made of segments. */
static size_t count_segments(struct span topic, size_t word,
			     struct span *segment)
{
	size_t count = 0;

	for (;;) {
		struct span next = take_segment(&topic);

		if (next.len == 0)
			return 0;
		if (count++ == word)
			*segment = next;
		if (topic.len == 0)
			return count;
		if (*topic.at != '.')
			return 0;
		topic.at++;
		topic.len--;
	}
}

int topic_check(struct span topic, enum message_type type, const char *field,
		struct error *err)
{
	struct span word = SPAN_NONE;
	size_t count;

	if (!span_present(topic))
		return error_set(err, STATUS_INVALID,
				 "%s: absent, required is %s[...]", field,
				 types[type].form);
	count = count_segments(topic, types[type].word, &word);
	if (count == 0)
		return error_set(err, STATUS_INVALID,
				 "%s: found %s, allowed are segments of "
				 "letters, digits, _ and - joined by dots",
				 field, quote(topic).text);
	if (count < MIN_SEGMENTS || !span_is(word, types[type].name))
		return error_set(err, STATUS_INVALID,
				 "%s: found %s, the form of %s %s topic is "
				 "%s[...]",
				 field, quote(topic).text,
				 type == MESSAGE_EVENT ? "an" : "a",
				 types[type].name, types[type].form);
	return 0;
}
