/* SPDX-License-Identifier: MIT */
/* Topic names and filters. */
#include "mqtt/topic.h"

#include "base/quote.h"
#include "mqtt/wire.h"

static bool has(struct span text, char character)
{
	return text.len > 0 && memchr(text.at, character, text.len) != NULL;
}

static int refuse(const char *what, struct span text, const char *why,
		  struct error *err)
{
	return error_set(err, STATUS_INVALID, "MQTT cannot use %s as a %s: %s",
			 quote(text).text, what, why);
}

bool mqtt_filter_is_wild(struct span filter)
{
	return has(filter, '+') || has(filter, '#');
}

/* What names and filters have in common. */
static const char *fault_of_text(struct span text)
{
	if (text.len == 0)
		return "it is empty";
	if (text.len > WIRE_STRING_MAX)
		return "it is longer than 65,535 bytes";
	if (!wire_is_text(text))
		return "it is not UTF-8 without NUL";
	return NULL;
}

int mqtt_topic_check(struct span topic, struct error *err)
{
	const char *fault = fault_of_text(topic);

	if (fault == NULL && mqtt_filter_is_wild(topic))
		fault = "it has a wildcard";
	if (fault == NULL && topic.at[0] == '$')
		fault = "a leading $ is the server's own";
	return fault == NULL ? 0 : refuse("topic", topic, fault, err);
}

/* The level that begins the text; steps over it and the slash behind it. */
static struct span next_level(struct span *text, bool *last)
{
	const char *slash =
		text->len == 0 ? NULL : memchr(text->at, '/', text->len);
	struct span level = *text;

	*last = slash == NULL;
	if (slash == NULL)
		return level;
	level.len = (size_t)(slash - text->at);
	text->at = slash + 1;
	text->len -= level.len + 1;
	return level;
}

static const char *fault_of_levels(struct span filter)
{
	bool last = false;

	while (!last) {
		struct span level = next_level(&filter, &last);

		if (has(level, '#') && (level.len > 1 || !last))
			return "# stands only at the end, as a level of its "
			       "own";
		if (has(level, '+') && level.len > 1)
			return "+ stands only as a level of its own";
	}
	return NULL;
}

bool mqtt_filter_is_shared(struct span filter)
{
	return filter.len >= 7 && memcmp(filter.at, "$share/", 7) == 0;
}

static const char *fault_of_share(struct span *filter)
{
	bool last;
	struct span group;

	next_level(filter, &last);
	group = next_level(filter, &last);
	if (last || group.len == 0 || filter->len == 0 ||
	    mqtt_filter_is_wild(group))
		return "a shared one is $share/group/filter, the group "
		       "without wildcards";
	return NULL;
}

int mqtt_filter_check(struct span filter, bool no_local, struct error *err)
{
	const char *fault = fault_of_text(filter);
	struct span levels = filter;

	if (fault == NULL && mqtt_filter_is_shared(filter)) {
		fault = no_local ? "a shared one cannot leave out what is "
				   "published here"
				 : fault_of_share(&levels);
	}
	if (fault == NULL)
		fault = fault_of_levels(levels);
	return fault == NULL ? 0 : refuse("topic filter", filter, fault, err);
}
