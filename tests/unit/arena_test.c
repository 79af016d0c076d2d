/* SPDX-License-Identifier: MIT */
/* Memory that is given back all at once. */
#include "unit.h"

#include <stdalign.h>

#include "base/arena.h"

static void memory_is_aligned_for_any_object(void **state)
{
	struct arena arena = {0};

	(void)state;
	for (size_t size = 0; size < 100; size++)
		assert_int_equal((uintptr_t)arena_alloc(&arena, size) %
					 alignof(max_align_t),
				 0);
	arena_finish(&arena);
}

static void pieces_do_not_overlap(void **state)
{
	enum { PIECES = 3000 };
	static unsigned char *pieces[PIECES];
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		pieces[i] = arena_alloc(&arena, 1 + i % 300);
		assert_non_null(pieces[i]);
		memset(pieces[i], (int)(i % 251), 1 + i % 300);
	}
	for (size_t i = 0; i < PIECES; i++)
		for (size_t at = 0; at < 1 + i % 300; at++)
			assert_int_equal(pieces[i][at], i % 251);
	arena_finish(&arena);
}

static void a_piece_may_be_larger_than_a_block(void **state)
{
	const size_t size = 10 * 1024 * 1024;
	struct arena arena = {0};
	char *large;

	(void)state;
	large = arena_alloc(&arena, size);
	assert_non_null(large);
	memset(large, 'x', size);
	assert_true(arena.used >= size);
	arena_finish(&arena);
}

static void a_copy_is_followed_by_nul(void **state)
{
	struct arena arena = {0};
	struct span text = exact_copy(SPAN_LIT("outbox"));
	struct span copy = arena_copy(&arena, text);

	(void)state;
	free((void *)text.at);
	assert_string_equal(copy.at, "outbox");
	assert_int_equal(copy.len, 6);
	arena_finish(&arena);
}

static void absent_stays_absent_and_empty_stays_present(void **state)
{
	struct arena arena = {0};

	(void)state;
	assert_false(span_present(arena_copy(&arena, SPAN_NONE)));
	assert_span(arena_copy(&arena, SPAN_LIT("")), "");
	arena_finish(&arena);
}

static void a_reset_arena_needs_no_new_memory(void **state)
{
	struct arena arena = {0};
	void *first = arena_alloc(&arena, 1000);

	(void)state;
	assert_non_null(first);
	assert_non_null(arena_alloc(&arena, 1000 * 1000));
	arena_reset(&arena);
	assert_int_equal(arena.used, 0);
	memory_ends_at(1);
	assert_ptr_equal(arena_alloc(&arena, 1000), first);
	assert_false(memory_ended());
	assert_null(arena_alloc(&arena, 1000 * 1000));
	memory_ends_at(0);
	arena_finish(&arena);
}

static void exhaustion_gives_null_and_keeps_what_is_there(void **state)
{
	struct arena arena = {0};
	char *first = arena_alloc(&arena, 60000);

	(void)state;
	assert_non_null(first);
	memset(first, 'x', 60000);
	memory_ends_at(1);
	assert_null(arena_alloc(&arena, 60000));
	assert_false(
		span_present(arena_copy(&arena, (struct span){first, 60000})));
	memory_ends_at(0);
	assert_non_null(arena_alloc(&arena, 60000));
	assert_int_equal(first[59999], 'x');
	arena_finish(&arena);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	struct arena arena = {0};

	(void)state;
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_null(arena_alloc(&arena, SIZE_MAX - 32));
	assert_false(
		span_present(arena_copy(&arena, (struct span){"", SIZE_MAX})));
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_aligned_for_any_object),
		cmocka_unit_test(pieces_do_not_overlap),
		cmocka_unit_test(a_piece_may_be_larger_than_a_block),
		cmocka_unit_test(a_copy_is_followed_by_nul),
		cmocka_unit_test(absent_stays_absent_and_empty_stays_present),
		cmocka_unit_test(a_reset_arena_needs_no_new_memory),
		cmocka_unit_test(exhaustion_gives_null_and_keeps_what_is_there),
		cmocka_unit_test(sizes_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
