/* SPDX-License-Identifier: MIT */
/* The byte queue. */
#include "unit.h"

#include "base/buffer.h"
#include "base/random.h"

static void what_is_appended_comes_out_in_order(void **state)
{
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer);
	buffer_append(&buffer, "ab", 2);
	buffer_append_text(&buffer, "cd");
	buffer_append_span(&buffer, SPAN_LIT("ef"));
	buffer_append_format(&buffer, "%d%s", 12, "gh");
	assert_span(buffer_span(&buffer), "abcdef12gh");
	buffer_consume(&buffer, 3);
	assert_span(buffer_span(&buffer), "def12gh");
	assert_int_equal(buffer_length(&buffer), 7);
	buffer_finish(&buffer);
}

static void an_empty_buffer_is_a_present_span(void **state)
{
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer);
	buffer_append_span(&buffer, SPAN_NONE);
	assert_span(buffer_span(&buffer), "");
	buffer_finish(&buffer);
}

/* Bytes are numbered, so that the queue's content follows from two counts. */
static void numbered_bytes_survive_any_mix_of_appends_and_consumes(void **state)
{
	struct random random = {.state = 1};
	size_t appended = 0, consumed = 0;
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer);
	for (int round = 0; round < 20000; round++) {
		size_t size = random_below(&random, 700);
		unsigned char *room =
			(unsigned char *)buffer_reserve(&buffer, size + 1);

		assert_non_null(room);
		for (size_t i = 0; i < size; i++)
			room[i] = (unsigned char)(appended++ % 251);
		buffer_grew(&buffer, size);
		size = random_below(&random, buffer_length(&buffer) + 1);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(
				(unsigned char)buffer_span(&buffer).at[i],
				(consumed + i) % 251);
		buffer_consume(&buffer, size);
		consumed += size;
		assert_int_equal(buffer_length(&buffer), appended - consumed);
	}
	buffer_finish(&buffer);
}

static void a_queue_that_is_kept_short_stays_small(void **state)
{
	char block[1000] = {0};
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer);
	for (int round = 0; round < 10000; round++) {
		buffer_append(&buffer, block, sizeof(block));
		buffer_append(&buffer, block, 1);
		buffer_consume(&buffer, sizeof(block));
		if (buffer_length(&buffer) > 100)
			buffer_consume(&buffer, 100);
	}
	assert_true(buffer.cap <= 8 * sizeof(block));
	buffer_finish(&buffer);
}

static void exhaustion_marks_the_buffer_and_keeps_its_content(void **state)
{
	char block[1000] = {0};
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer);
	buffer_append_text(&buffer, "kept");
	memory_ends_at(1);
	buffer_append(&buffer, block, sizeof(block));
	buffer_append_format(&buffer, "%1000d", 1);
	memory_ends_at(0);
	assert_true(buffer.failed);
	assert_span(buffer_span(&buffer), "kept");
	buffer_append_text(&buffer, "!");
	assert_true(buffer.failed);
	buffer_finish(&buffer);
}

static void sizes_that_cannot_be_mark_the_buffer(void **state)
{
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer);
	buffer_append_text(&buffer, "kept");
	assert_null(buffer_reserve(&buffer, SIZE_MAX));
	assert_null(buffer_reserve(&buffer, SIZE_MAX / 2 + 2));
	assert_true(buffer.failed);
	assert_span(buffer_span(&buffer), "kept");
	buffer_finish(&buffer);
}

static void reset_empties_and_clears_the_mark(void **state)
{
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer);
	buffer_append_text(&buffer, "x");
	buffer.failed = true;
	buffer_reset(&buffer);
	assert_false(buffer.failed);
	assert_int_equal(buffer_length(&buffer), 0);
	memory_ends_at(1);
	buffer_append_text(&buffer, "y");
	memory_ends_at(0);
	assert_span(buffer_span(&buffer), "y");
	buffer_finish(&buffer);
}

static void reset_gives_much_memory_back(void **state)
{
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer);
	assert_non_null(buffer_reserve(&buffer, 100 * 1024));
	buffer_reset(&buffer);
	assert_int_equal(buffer.cap, 0);
	buffer_append_text(&buffer, "usable");
	assert_span(buffer_span(&buffer), "usable");
	buffer_finish(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_appended_comes_out_in_order),
		cmocka_unit_test(an_empty_buffer_is_a_present_span),
		cmocka_unit_test(
			numbered_bytes_survive_any_mix_of_appends_and_consumes),
		cmocka_unit_test(a_queue_that_is_kept_short_stays_small),
		cmocka_unit_test(
			exhaustion_marks_the_buffer_and_keeps_its_content),
		cmocka_unit_test(sizes_that_cannot_be_mark_the_buffer),
		cmocka_unit_test(reset_empties_and_clears_the_mark),
		cmocka_unit_test(reset_gives_much_memory_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
