/* SPDX-License-Identifier: MIT */
/* The bus's topics on MQTT and back. */
#include "unit.h"

#include "broker/mqtt_topic.h"

static const struct {
	const char *prefix;
	char joint;
	const char *bus;
	const char *mqtt;
} pairs[] = {
	{NULL, '/', "event.a.b.c", "event/a/b/c"},
	{NULL, '.', "event.a.b.c", "event.a.b.c"},
	{"plant", '/', "event.a.b.c", "plant/event/a/b/c"},
	{"plant/", '/', "event.a.b.c", "plant/event/a/b/c"},
	{"plant/7", '/', "event.a.b.c", "plant/7/event/a/b/c"},
	{"plant", '.', "event.a.b.c", "plant.event.a.b.c"},
	{"v1.2", '/', "event.a.b.c", "v1.2/event/a/b/c"},
	{"", '/', "event.a.b.c", "event/a/b/c"},
};

static struct mqtt_topics topics_of(size_t i)
{
	return (struct mqtt_topics){span_of(pairs[i].prefix), pairs[i].joint};
}

static void a_topic_goes_out_behind_its_prefix(void **state)
{
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		struct mqtt_topics topics = topics_of(i);

		assert_span(
			mqtt_topic_of(&topics, span_of(pairs[i].bus), &arena),
			pairs[i].mqtt);
	}
	arena_finish(&arena);
}

static void what_went_out_comes_back_as_it_was(void **state)
{
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		struct mqtt_topics topics = topics_of(i);
		struct span topic = exact_copy(span_of(pairs[i].mqtt));

		assert_span(mqtt_topic_to_bus(&topics, topic, &arena),
			    pairs[i].bus);
		free((char *)topic.at);
	}
	arena_finish(&arena);
}

static void another_prefix_stays(void **state)
{
	static const char *const others[] = {"plan", "plants/x", "plant",
					     "field/x"};
	const struct mqtt_topics topics = {SPAN_LIT("plant"), '/'};
	static const char *const as_bus[] = {"plan", "plants.x", "plant",
					     "field.x"};
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct span topic = exact_copy(span_of(others[i]));

		assert_span(mqtt_topic_to_bus(&topics, topic, &arena),
			    as_bus[i]);
		free((char *)topic.at);
	}
	arena_finish(&arena);
}

static void no_memory_is_an_absent_topic(void **state)
{
	const struct mqtt_topics topics = {SPAN_NONE, '/'};
	struct arena arena = {0};

	(void)state;
	memory_ends_at(1);
	assert_false(span_present(
		mqtt_topic_of(&topics, SPAN_LIT("event.a.b.c"), &arena)));
	assert_false(span_present(
		mqtt_topic_to_bus(&topics, SPAN_LIT("event/a/b/c"), &arena)));
	memory_ends_at(0);
	arena_finish(&arena);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_topic_goes_out_behind_its_prefix),
		cmocka_unit_test(what_went_out_comes_back_as_it_was),
		cmocka_unit_test(another_prefix_stays),
		cmocka_unit_test(no_memory_is_an_absent_topic),
	};

	return cmocka_run_group_tests_name("mqtt topic", tests, NULL, NULL);
}
