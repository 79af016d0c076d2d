/* SPDX-License-Identifier: MIT */
/* Any bytes as a topic of the bus, and as a topic or a filter of MQTT. */
#include "fuzz.h"

#include "base/utf8.h"
#include "broker/mqtt_topic.h"
#include "message/topic.h"
#include "mqtt/topic.h"

/* What the bus takes MQTT takes too, whatever stands before it; and it comes
 * back as it was. */
static void must_cross(struct span topic, char joint, struct span prefix)
{
	const struct mqtt_topics topics = {prefix, joint};
	struct arena arena = {0};
	struct span there = mqtt_topic_of(&topics, topic, &arena);
	struct span back = mqtt_topic_to_bus(&topics, there, &arena);

	MUST(mqtt_topic_check(there, NULL) == 0);
	MUST(span_equal(back, topic));
	arena_finish(&arena);
}

static void judge_bus(struct span topic)
{
	int forms = 0;

	for (int type = MESSAGE_REQUEST; type <= MESSAGE_EVENT; type++) {
		struct error err = {0};

		if (topic_check(topic, (enum message_type)type, "topic",
				&err) == 0)
			forms++;
		else
			MUST(utf8_valid(span_of(err.text)));
	}
	if (forms == 0)
		return;
	must_cross(topic, '/', SPAN_NONE);
	must_cross(topic, '.', SPAN_NONE);
	must_cross(topic, '/', SPAN_LIT("site/a"));
	must_cross(topic, '.', SPAN_LIT("site"));
}

static void judge_mqtt(struct span topic)
{
	const struct mqtt_topics topics = {SPAN_LIT("site"), '/'};
	struct arena arena = {0};

	if (mqtt_topic_check(topic, NULL) == 0) {
		MUST(!mqtt_filter_is_wild(topic));
		MUST(utf8_valid(topic) &&
		     memchr(topic.at, '\0', topic.len) == NULL);
		MUST(span_present(mqtt_topic_to_bus(&topics, topic, &arena)));
	}
	if (mqtt_filter_check(topic, true, NULL) == 0)
		MUST(!mqtt_filter_is_shared(topic) && topic.len > 0);
	(void)mqtt_filter_check(topic, false, NULL);
	arena_finish(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span topic = {size == 0 ? "" : (const char *)data, size};

	judge_bus(topic);
	judge_mqtt(topic);
	return 0;
}
