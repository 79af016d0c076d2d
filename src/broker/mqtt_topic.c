/* SPDX-License-Identifier: MIT */
/* Dots to slashes and back. */
#include "broker/mqtt_topic.h"

static void replace(char *text, size_t len, char from, char to)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == from)
			text[i] = to;
}

/* What stands before a topic: the prefix, and the joint unless it ends so. */
static size_t lead_of(const struct mqtt_topics *topics)
{
	struct span prefix = topics->prefix;

	if (prefix.len == 0)
		return 0;
	return prefix.len + (prefix.at[prefix.len - 1] != topics->joint);
}

struct span mqtt_topic_of(const struct mqtt_topics *topics, struct span topic,
			  struct arena *arena)
{
	size_t lead = lead_of(topics);
	char *made = arena_alloc(arena, lead + topic.len + 1);

	if (made == NULL)
		return SPAN_NONE;
	if (lead > 0) {
		memset(made, topics->joint, lead);
		memcpy(made, topics->prefix.at, topics->prefix.len);
	}
	memcpy(made + lead, topic.at == NULL ? "" : topic.at, topic.len);
	replace(made + lead, topic.len, '.', topics->joint);
	return (struct span){made, lead + topic.len};
}

static bool has_lead(const struct mqtt_topics *topics, struct span topic,
		     size_t lead)
{
	struct span start = {topic.at, topics->prefix.len};

	return topic.len >= lead && span_equal(start, topics->prefix) &&
	       topic.at[lead - 1] == topics->joint;
}

struct span mqtt_topic_to_bus(const struct mqtt_topics *topics,
			      struct span topic, struct arena *arena)
{
	size_t lead = lead_of(topics);
	char *made;

	if (lead > 0 && has_lead(topics, topic, lead)) {
		topic.at += lead;
		topic.len -= lead;
	}
	made = arena_alloc(arena, topic.len + 1);
	if (made == NULL)
		return SPAN_NONE;
	memcpy(made, topic.at, topic.len);
	replace(made, topic.len, topics->joint, '.');
	return (struct span){made, topic.len};
}
