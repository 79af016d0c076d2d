/* SPDX-License-Identifier: MIT */
/* Which tag a returned message had. */
#include "unit.h"

#include <stdio.h>

#include "amqp/unconfirmed.h"

static struct span id_of(uint64_t number)
{
	static char text[24];

	return (struct span){text, (size_t)snprintf(text, sizeof(text), "m%lu",
						    (unsigned long)number)};
}

static void add_many(struct unconfirmed *set, uint64_t from, uint64_t to)
{
	for (uint64_t tag = from; tag <= to; tag++) {
		assert_true(unconfirmed_reserve(set));
		assert_int_equal(
			unconfirmed_add(set, id_of(tag), SPAN_LIT("a")), tag);
	}
}

static uint64_t find(struct unconfirmed *set, uint64_t number)
{
	return unconfirmed_find(set, id_of(number), SPAN_LIT("a"));
}

static void every_tag_is_found_while_the_ring_grows(void **state)
{
	struct unconfirmed set = {0};

	(void)state;
	assert_int_equal(find(&set, 1), 0);
	add_many(&set, 1, 200);
	assert_true(unconfirmed_settle(&set, 150, true));
	add_many(&set, 201, 3000);
	assert_int_equal(find(&set, 150), 0);
	for (uint64_t tag = 151; tag <= 3000; tag++)
		assert_int_equal(find(&set, tag), tag);
	assert_int_equal(find(&set, 151), 151);
	unconfirmed_finish(&set);
}

static void an_answered_tag_is_forgotten(void **state)
{
	struct unconfirmed set = {0};

	(void)state;
	add_many(&set, 1, 3);
	assert_true(unconfirmed_settle(&set, 2, false));
	assert_int_equal(find(&set, 2), 0);
	assert_int_equal(find(&set, 3), 3);
	assert_true(unconfirmed_settle(&set, 3, true));
	assert_int_equal(find(&set, 1), 0);
	unconfirmed_finish(&set);
}

static void a_window_that_is_answered_needs_no_more_room(void **state)
{
	struct unconfirmed set = {0};
	size_t cap;

	(void)state;
	add_many(&set, 1, 100);
	cap = set.cap;
	for (uint64_t tag = 1; tag < 100000; tag++) {
		assert_true(unconfirmed_settle(&set, tag, tag % 2 == 0));
		add_many(&set, tag + 100, tag + 100);
	}
	assert_int_equal(set.cap, cap);
	unconfirmed_finish(&set);
}

static void memory_that_runs_out_leaves_the_set_as_it_was(void **state)
{
	struct unconfirmed set = {0};

	(void)state;
	add_many(&set, 1, 256);
	memory_ends_at(1);
	assert_false(unconfirmed_reserve(&set));
	memory_ends_at(0);
	assert_int_equal(find(&set, 256), 256);
	unconfirmed_finish(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tag_is_found_while_the_ring_grows),
		cmocka_unit_test(an_answered_tag_is_forgotten),
		cmocka_unit_test(a_window_that_is_answered_needs_no_more_room),
		cmocka_unit_test(memory_that_runs_out_leaves_the_set_as_it_was),
	};

	return cmocka_run_group_tests_name("amqp unconfirmed", tests, NULL,
					   NULL);
}
