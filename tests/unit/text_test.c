/* SPDX-License-Identifier: MIT */
/* Foreign text, as any database takes it. */
#include "store/text.h"

#include "unit.h"

static struct arena arena;

static int tear_down(void **state)
{
	(void)state;
	arena_finish(&arena);
	return 0;
}

static struct span cleaned(struct span text)
{
	struct span exact = exact_copy(text);
	struct span clean = SPAN_NONE;

	assert_int_equal(text_clean(exact, &arena, &clean, NULL), 0);
	if (clean.at == exact.at)
		clean = arena_copy(&arena, clean);
	free((void *)exact.at);
	return clean;
}

static void clean_text_is_given_back_as_it_is(void **state)
{
	struct span text = SPAN_LIT("a\n\xf0\x9f\x90\xab");
	struct span clean;

	(void)state;
	assert_int_equal(text_clean(text, &arena, &clean, NULL), 0);
	assert_ptr_equal(clean.at, text.at);
	assert_int_equal(text_clean(SPAN_NONE, &arena, &clean, NULL), 0);
	assert_false(span_present(clean));
}

static void what_no_database_takes_becomes_a_question_mark(void **state)
{
	(void)state;
	assert_span(cleaned(SPAN_LIT("\xff")), "?");
	assert_span(cleaned(SPAN_LIT("a\0b")), "a?b");
	assert_span(cleaned(SPAN_LIT("\xc3\xa9\xc3")), "\xc3\xa9?");
	assert_span(cleaned(SPAN_LIT("\xed\xa0\x80")), "???");
	assert_span(cleaned(SPAN_LIT("x\xf0\x9f\x90y")), "x???y");
}

static void without_memory_text_is_not_cleaned(void **state)
{
	struct span clean = SPAN_LIT("untouched");

	(void)state;
	memory_ends_at(1);
	assert_int_equal(text_clean(SPAN_LIT("\xff"), &arena, &clean, NULL),
			 STATUS_NO_MEMORY);
	memory_ends_at(0);
	assert_span(clean, "untouched");
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(clean_text_is_given_back_as_it_is),
		TEST(what_no_database_takes_becomes_a_question_mark),
		TEST(without_memory_text_is_not_cleaned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
