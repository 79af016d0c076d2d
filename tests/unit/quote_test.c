/* SPDX-License-Identifier: MIT */
/* Foreign text in our sentences. */
#include "unit.h"

#include "base/quote.h"
#include "base/random.h"
#include "base/utf8.h"

static void assert_quotes(struct span text, const char *expected)
{
	assert_string_equal(quote(text).text, expected);
}

static void plain_text_stands_in_quotes(void **state)
{
	(void)state;
	assert_quotes(SPAN_LIT("event.a.b.c"), "\"event.a.b.c\"");
	assert_quotes(SPAN_LIT("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
	assert_quotes(SPAN_LIT(""), "\"\"");
	assert_quotes(SPAN_NONE, "\"\"");
}

static void what_could_harm_a_terminal_is_escaped(void **state)
{
	(void)state;
	assert_quotes(SPAN_LIT("\x1b[2J\n\0\x7f"),
		      "\"\\x1b[2J\\x0a\\x00\\x7f\"");
	assert_quotes(SPAN_LIT("\"\\"), "\"\\\"\\\\\"");
	assert_quotes(SPAN_LIT("\xff\xc3"), "\"\\xff\\xc3\"");
}

static void any_bytes_become_short_utf8(void **state)
{
	struct random random = {.state = 7};

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char bytes[200];
		size_t len = random_below(&random, sizeof(bytes) + 1);
		struct quote quoted;
		struct span copy;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)random_next(&random);
		copy = exact_copy((struct span){bytes, len});
		quoted = quote(copy);
		free((void *)copy.at);
		assert_in_range(strlen(quoted.text), 2, QUOTE_SIZE - 1);
		assert_true(utf8_valid(span_of(quoted.text)));
		assert_int_equal(quoted.text[strlen(quoted.text) - 1], '"');
	}
}

/* Texts of every length around the cut, of characters of every width. */
static void a_long_text_is_cut_between_characters(void **state)
{
	static const char *const letters[] = {"x", "\xc3\xa9", "\xe2\x82\xac",
					      "\xf0\x9f\x98\x80"};

	(void)state;
	for (size_t width = 1; width <= 4; width++) {
		char text[4 * QUOTE_SIZE];
		size_t cut = 0;

		for (size_t count = 1; count < QUOTE_SIZE; count++) {
			struct span whole = {text, count * width};
			struct quote quoted;
			char *dots;

			memcpy(text + (count - 1) * width, letters[width - 1],
			       width);
			quoted = quote(whole);
			dots = strstr(quoted.text, "...\"");
			if (dots == NULL) {
				assert_int_equal(strlen(quoted.text),
						 whole.len + 2);
				continue;
			}
			cut++;
			assert_int_equal(
				(size_t)(dots - quoted.text - 1) % width, 0);
			assert_memory_equal(quoted.text + 1, text,
					    (size_t)(dots - quoted.text - 1));
		}
		assert_true(cut > 0 && cut < QUOTE_SIZE - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_stands_in_quotes),
		cmocka_unit_test(what_could_harm_a_terminal_is_escaped),
		cmocka_unit_test(any_bytes_become_short_utf8),
		cmocka_unit_test(a_long_text_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
