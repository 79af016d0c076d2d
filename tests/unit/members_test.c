/* SPDX-License-Identifier: MIT */
/* Members of objects, and names that repeat. */
#include "unit.h"

#include <stdio.h>

#include "message/members.h"

static int read_text(struct members *members, struct span text,
		     struct arena *arena, struct error *err)
{
	struct json_value object;

	assert_int_equal(json_check(text, &object, NULL, NULL), 0);
	return members_read(members, object, arena, err);
}

static void members_come_decoded_and_as_written(void **state)
{
	struct arena arena = {0};
	struct members members;

	(void)state;
	assert_int_equal(read_text(&members,
				   SPAN_LIT("{ \"a\\u0062\" : [1] , \"c\":2}"),
				   &arena, NULL),
			 0);
	assert_int_equal(members.count, 2);
	assert_span(members.at[0].name, "ab");
	assert_span(members.at[0].value.text, "[1]");
	assert_span(members.at[0].text, "\"a\\u0062\" : [1]");
	assert_span(members.at[1].text, "\"c\":2");
	arena_finish(&arena);
}

static void an_empty_object_has_none(void **state)
{
	struct arena arena = {0};
	struct members members = {.count = 1};

	(void)state;
	assert_int_equal(read_text(&members, SPAN_LIT("{}"), &arena, NULL), 0);
	assert_int_equal(members.count, 0);
	arena_finish(&arena);
}

static void a_repeated_name_is_found_however_it_is_written(void **state)
{
	struct arena arena = {0};
	struct members members;
	struct error err;

	(void)state;
	assert_int_equal(
		read_text(&members,
			  SPAN_LIT("{\"x\":1,\"ab\":2,\"\":3,\"\\u0061b\":4}"),
			  &arena, &err),
		STATUS_INVALID);
	assert_string_equal(err.text, "\"ab\": found twice, once is allowed");
	assert_int_equal(
		read_text(&members, SPAN_LIT("{\"\":1,\"\":2}"), &arena, &err),
		STATUS_INVALID);
	assert_string_equal(err.text, "\"\": found twice, once is allowed");
	arena_finish(&arena);
}

/* Quadratic work on this would show: it is what a hostile sender tries. */
static void a_hundred_thousand_members_are_told_apart(void **state)
{
	enum { COUNT = 100000 };
	struct arena arena = {0};
	struct members members;
	struct buffer text;

	(void)state;
	buffer_init(&text);
	for (int i = 0; i < COUNT; i++)
		buffer_append_format(&text, "%c\"%d\":0", i == 0 ? '{' : ',',
				     i);
	buffer_append_text(&text, "}");
	assert_int_equal(read_text(&members, buffer_span(&text), &arena, NULL),
			 0);
	assert_int_equal(members.count, COUNT);
	text.end--;
	buffer_append_text(&text, ",\"77777\":0}");
	assert_int_equal(read_text(&members, buffer_span(&text), &arena, NULL),
			 STATUS_INVALID);
	buffer_finish(&text);
	arena_finish(&arena);
}

static void equal_names_are_sorted_by_where_they_stand(void **state)
{
	struct span at[] = {SPAN_LIT("b"), SPAN_LIT("aa"), SPAN_LIT("b"),
			    SPAN_LIT("a"), SPAN_LIT("b")};
	struct span *names[] = {&at[4], &at[3], &at[2], &at[1], &at[0]};
	struct span *const sorted[] = {&at[3], &at[0], &at[2], &at[4], &at[1]};

	(void)state;
	names_sort(names, 5);
	for (size_t i = 0; i < 5; i++)
		assert_ptr_equal(names[i], sorted[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_come_decoded_and_as_written),
		cmocka_unit_test(an_empty_object_has_none),
		cmocka_unit_test(
			a_repeated_name_is_found_however_it_is_written),
		cmocka_unit_test(a_hundred_thousand_members_are_told_apart),
		cmocka_unit_test(equal_names_are_sorted_by_where_they_stand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
