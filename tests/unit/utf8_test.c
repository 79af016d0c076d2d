/* SPDX-License-Identifier: MIT */
/* What is UTF-8 and what is not, counted over all there can be. */
#include "unit.h"

#include "base/utf8.h"

static size_t length_of(const unsigned char *bytes, size_t count)
{
	const char *at = (const char *)bytes;

	return utf8_sequence(at, at + count);
}

static void every_byte_alone_is_ascii_or_nothing(void **state)
{
	(void)state;
	for (unsigned byte = 0; byte < 256; byte++)
		assert_int_equal(
			length_of(&(unsigned char){(unsigned char)byte}, 1),
			byte < 0x80 ? 1 : 0);
}

/* U+0080 to U+07FF. */
static void two_bytes_make_1920_characters(void **state)
{
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < 1u << 16; i++) {
		unsigned char bytes[] = {(unsigned char)(i >> 8),
					 (unsigned char)i};

		count += length_of(bytes, 2) == 2;
	}
	assert_int_equal(count, 0x800 - 0x80);
}

/* U+0800 to U+FFFF without the 2,048 surrogates. */
static void three_bytes_make_61440_characters(void **state)
{
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < 1u << 24; i++) {
		unsigned char bytes[] = {(unsigned char)(i >> 16),
					 (unsigned char)(i >> 8),
					 (unsigned char)i};

		count += length_of(bytes, 3) == 3;
	}
	assert_int_equal(count, 0x10000 - 0x800 - 2048);
}

/* U+10000 to U+10FFFF: every first half with the second halves' corners, of
 * which one in four is a pair of continuation bytes. */
static void four_bytes_end_at_u10ffff(void **state)
{
	static const unsigned char corners[] = {0x7f, 0x80, 0xbf, 0xc0};
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < 1u << 20; i++) {
		unsigned char bytes[] = {(unsigned char)(i >> 12),
					 (unsigned char)(i >> 4),
					 corners[i >> 2 & 3], corners[i & 3]};

		count += length_of(bytes, 4) == 4;
	}
	assert_int_equal(count, 0x100000 / (64 * 64) * 4);
}

static void a_character_that_is_cut_off_is_none(void **state)
{
	struct span text = SPAN_LIT("\xf0\x9f\x98\x80");

	(void)state;
	assert_true(utf8_valid(text));
	for (size_t len = 1; len < text.len; len++) {
		struct span cut = exact_copy((struct span){text.at, len});

		assert_false(utf8_valid(cut));
		free((void *)cut.at);
	}
}

static void a_text_is_valid_when_all_of_it_is(void **state)
{
	(void)state;
	assert_true(utf8_valid(SPAN_LIT("")));
	assert_true(utf8_valid(SPAN_NONE));
	assert_true(utf8_valid(SPAN_LIT("a\0\xc3\xa9\xe2\x82\xac")));
	assert_false(utf8_valid(SPAN_LIT("valid until here: \xa9")));
}

static void one_bad_byte_is_found_wherever_it_stands(void **state)
{
	char text[40];

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < sizeof(text); i++) {
		text[i] = (char)0x80;
		assert_false(utf8_valid((struct span){text, sizeof(text)}));
		assert_true(utf8_valid((struct span){text, i}));
		text[i] = 'x';
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_alone_is_ascii_or_nothing),
		cmocka_unit_test(two_bytes_make_1920_characters),
		cmocka_unit_test(three_bytes_make_61440_characters),
		cmocka_unit_test(four_bytes_end_at_u10ffff),
		cmocka_unit_test(a_character_that_is_cut_off_is_none),
		cmocka_unit_test(a_text_is_valid_when_all_of_it_is),
		cmocka_unit_test(one_bad_byte_is_found_wherever_it_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
