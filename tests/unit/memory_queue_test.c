/* SPDX-License-Identifier: MIT */
/* Which topics a binding of the in-memory broker takes. */
#include "unit.h"

#include "broker/memory_queue.h"

static bool takes(const char *pattern, const char *topic)
{
	struct memory_queue *queue = memory_queue_create("q");
	bool taken;

	assert_int_equal(memory_queue_bind(queue, "x", span_of(pattern), NULL),
			 0);
	taken = memory_queue_takes(queue, "x", span_of(topic));
	assert_false(memory_queue_takes(queue, "y", span_of(topic)));
	memory_queue_destroy(queue);
	return taken;
}

static void a_pattern_without_wildcards_takes_itself(void **state)
{
	(void)state;
	assert_true(takes("a.b", "a.b"));
	assert_false(takes("a.b", "a.bc"));
	assert_false(takes("a.b", "a"));
	assert_false(takes("a", "a.b"));
	assert_true(takes("", ""));
	assert_false(takes("", "a"));
}

static void a_star_is_one_segment(void **state)
{
	(void)state;
	assert_true(takes("*.b", "a.b"));
	assert_true(takes("a.*.c", "a.b.c"));
	assert_true(takes("*", ""));
	assert_false(takes("*", "a.b"));
	assert_false(takes("a.*", "a"));
}

static void a_hash_is_any_number_of_segments(void **state)
{
	(void)state;
	assert_true(takes("#", "a.b.c"));
	assert_true(takes("#", ""));
	assert_true(takes("a.#", "a"));
	assert_true(takes("a.#", "a.b.c"));
	assert_true(takes("#.c", "a.b.c"));
	assert_true(takes("#.c", "c"));
	assert_true(takes("a.#.c", "a.b.b.c"));
	assert_true(takes("a.#.c", "a.c"));
	assert_true(takes("#.b.#", "a.b.c"));
	assert_false(takes("a.#", "b.a"));
	assert_false(takes("#.c", "a.b"));
	assert_false(takes("#.b.*", "a.b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_without_wildcards_takes_itself),
		cmocka_unit_test(a_star_is_one_segment),
		cmocka_unit_test(a_hash_is_any_number_of_segments),
	};

	return cmocka_run_group_tests_name("memory queue", tests, NULL, NULL);
}
