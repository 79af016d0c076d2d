/* SPDX-License-Identifier: MIT */
/* The JSON scanner; tests/data/envelope-cases.json has more of its verdicts. */
#include "unit.h"

#include <stdio.h>

#include "base/json.h"
#include "base/random.h"
#include "base/utf8.h"

static struct json_value checked(const char *text)
{
	struct json_value value;

	assert_int_equal(json_check(span_of(text), &value, NULL, NULL), 0);
	return value;
}

static struct json_measure measured(const char *text)
{
	struct json_measure measure;
	struct json_value value;

	assert_int_equal(json_check(span_of(text), &value, &measure, NULL), 0);
	return measure;
}

/* ---- check ---- */

static void a_value_is_told_by_type_and_trimmed_text(void **state)
{
	static const struct {
		const char *text;
		enum json_type type;
		const char *name;
	} values[] = {
		{"null", JSON_NULL, "null"},
		{"false", JSON_FALSE, "a boolean"},
		{"true", JSON_TRUE, "a boolean"},
		{"-0.5e+3", JSON_NUMBER, "a number"},
		{"0", JSON_NUMBER, "a number"},
		{"\"a \\\" b\"", JSON_STRING, "a string"},
		{"[ 1,[ ],{ } ]", JSON_ARRAY, "an array"},
		{"{ \"\" : { } , \"b\":[0]}", JSON_OBJECT, "an object"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char padded[64];
		struct json_value value;

		snprintf(padded, sizeof(padded), " \t\r\n%s \t\r\n",
			 values[i].text);
		value = checked(padded);
		assert_int_equal(value.type, values[i].type);
		assert_span(value.text, values[i].text);
		assert_string_equal(json_type_name(value.type), values[i].name);
	}
}

static void a_text_cut_anywhere_is_refused(void **state)
{
	struct span text = SPAN_LIT("{\"a\\n\\u00e9\\ud83d\\ude00\xc3\xa9\":["
				    "true,false,null,-1.5e+10,\"\",{}],\"b\":{"
				    "\"c\":[[\"x\"]]}}");
	struct json_value value;

	(void)state;
	assert_int_equal(json_check(text, &value, NULL, NULL), 0);
	for (size_t len = 0; len < text.len; len++) {
		struct span cut = exact_copy((struct span){text.at, len});

		assert_int_equal(json_check(cut, &value, NULL, NULL),
				 STATUS_INVALID);
		free((void *)cut.at);
	}
}

static void a_refusal_leaves_the_value_alone(void **state)
{
	struct json_value value = {JSON_TRUE, SPAN_LIT("before")};
	struct json_measure measure = {.depth = 7};

	(void)state;
	assert_int_equal(json_check(SPAN_LIT("[1"), &value, &measure, NULL),
			 STATUS_INVALID);
	assert_span(value.text, "before");
	assert_int_equal(measure.depth, 7);
}

/* Plain characters are passed eight at a time: each odd one at each place. */
static void an_odd_byte_is_seen_wherever_it_stands(void **state)
{
	static const char odd[] = "\x01\x1f\n\x80\xff\xc0\"\\";
	struct json_value value;

	(void)state;
	for (size_t len = 1; len < 40; len++)
		for (size_t at = 0; at < len; at++)
			for (const char *byte = odd; *byte != '\0'; byte++) {
				char text[48] = "\"";
				struct span copy;

				memset(text + 1, '~', len);
				text[1 + at] = *byte;
				text[1 + len] = '"';
				copy = exact_copy((struct span){text, len + 2});
				assert_int_equal(
					json_check(copy, &value, NULL, NULL),
					STATUS_INVALID);
				free((void *)copy.at);
			}
}

static void depth_counts_levels_and_ends_at_128(void **state)
{
	char text[400];
	struct json_value value;

	(void)state;
	assert_int_equal(measured("1").depth, 0);
	assert_int_equal(measured("[]").depth, 1);
	assert_int_equal(measured("[[],{\"a\":{\"b\":1}},[]]").depth, 3);
	for (size_t levels = 127; levels <= 129; levels++) {
		memset(text, '[', levels);
		memset(text + levels, ']', levels);
		text[2 * levels] = '\0';
		if (levels <= JSON_MAX_DEPTH)
			assert_int_equal(measured(text).depth, levels);
		else
			assert_int_equal(
				json_check(span_of(text), &value, NULL, NULL),
				STATUS_INVALID);
	}
}

static void exponents_add_up_whatever_their_sign(void **state)
{
	(void)state;
	assert_int_equal(measured("[1.5,0,-7]").exponents, 0);
	assert_int_equal(
		measured("[1e5,1E+10,{\"1e9\":1e-100},0e007]").exponents, 122);
}

static void exponents_saturate(void **state)
{
	(void)state;
	assert_true(measured("1e18446744073709551614").exponents ==
		    SIZE_MAX - 1);
	assert_true(measured("1e18446744073709551615").exponents == SIZE_MAX);
	assert_true(measured("1e18446744073709551616").exponents == SIZE_MAX);
	assert_true(measured("1e999999999999999999999999999").exponents ==
		    SIZE_MAX);
	assert_true(measured("[1e18446744073709551614,1e2]").exponents ==
		    SIZE_MAX);
}

/* ---- walk ---- */

static void members_come_with_raw_keys_in_order(void **state)
{
	struct json_cursor at = json_enter(checked(
		"{ \"a\" : 1 ,\"b\\\"}\":[ \"]\" , {\"c\":\"\\\\\"} ],\"\":"
		"\"}\",\"d\":{}, \"e\" :true}"));
	static const char *const expected[][2] = {
		{"a", "1"},    {"b\\\"}", "[ \"]\" , {\"c\":\"\\\\\"} ]"},
		{"", "\"}\""}, {"d", "{}"},
		{"e", "true"},
	};
	struct json_value value;
	struct span key;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		assert_true(json_next(&at, &key, &value));
		assert_span(key, expected[i][0]);
		assert_span(value.text, expected[i][1]);
	}
	assert_false(json_next(&at, &key, &value));
	assert_false(json_next(&at, &key, &value));
}

static void elements_come_without_keys(void **state)
{
	struct json_cursor at = json_enter(checked("[ 1e5 , [2,[3]] ,null]"));
	static const char *const expected[] = {"1e5", "[2,[3]]", "null"};
	struct json_value value;
	struct span key;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		assert_true(json_next(&at, &key, &value));
		assert_false(span_present(key));
		assert_span(value.text, expected[i]);
	}
	assert_false(json_next(&at, &key, &value));
}

static void what_is_empty_has_nothing_to_walk(void **state)
{
	static const char *const texts[] = {"{}", "[]", "{ }", "[\n]"};
	struct json_value value;
	struct span key;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct json_cursor at = json_enter(checked(texts[i]));

		assert_false(json_next(&at, &key, &value));
	}
}

/* ---- strings and integers ---- */

static void every_escape_is_decoded(void **state)
{
	struct arena arena = {0};

	(void)state;
	assert_span(json_get_string(checked("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
				    &arena),
		    "\"\\/\b\f\n\r\t");
	assert_span(
		json_get_string(checked("\"\\u0001\\u007f\\u0080\\u07ff\\u0800"
					"\\uD7FF\\ue000\\uFFff\\ud800\\udc00"
					"\\udbff\\udfff\""),
				&arena),
		"\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf"
		"\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80"
		"\xf4\x8f\xbf\xbf");
	assert_span(json_get_string(checked("\"a\\u00e9b\xc3\xa9\""), &arena),
		    "a\xc3\xa9"
		    "b\xc3\xa9");
	arena_finish(&arena);
}

static void a_string_without_escapes_is_not_copied(void **state)
{
	struct json_value value = checked("\"plain \xc3\xa9\"");

	(void)state;
	assert_ptr_equal(json_get_string(value, NULL).at, value.text.at + 1);
	assert_span(json_get_string(checked("\"\""), NULL), "");
}

static void decoding_without_memory_gives_an_absent_string(void **state)
{
	struct arena arena = {0};

	(void)state;
	memory_ends_at(1);
	assert_false(span_present(json_get_string(checked("\"\\n\""), &arena)));
	memory_ends_at(0);
	arena_finish(&arena);
}

static void integers_fill_64_bits_and_no_more(void **state)
{
	static const struct {
		const char *text;
		int64_t integer;
	} integers[] = {
		{"0", 0},
		{"-0", 0},
		{"-1", -1},
		{"9223372036854775807", INT64_MAX},
		{"-9223372036854775808", INT64_MIN},
	};
	static const char *const others[] = {"9223372036854775808",
					     "-9223372036854775809",
					     "123456789012345678901234567890",
					     "1.0",
					     "1e3",
					     "\"1\"",
					     "true"};
	int64_t integer = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(json_get_integer(checked(others[i]), &integer));
	assert_int_equal(integer, 42);
	for (size_t i = 0; i < sizeof(integers) / sizeof(*integers); i++) {
		assert_true(
			json_get_integer(checked(integers[i].text), &integer));
		assert_true(integer == integers[i].integer);
	}
}

/* ---- writing ---- */

static void assert_writes(struct span text, const char *expected)
{
	struct buffer out;

	buffer_init(&out);
	json_append_string(&out, text);
	assert_span(buffer_span(&out), expected);
	buffer_finish(&out);
}

static void strings_are_escaped_only_where_they_must(void **state)
{
	(void)state;
	assert_writes(SPAN_LIT("a/b caf\xc3\xa9 \x7f"),
		      "\"a/b caf\xc3\xa9 \x7f\"");
	assert_writes(SPAN_LIT("\"\\\b\f\n\r\t\x01\x1f"),
		      "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\"");
	assert_writes(SPAN_LIT(""), "\"\"");
}

static void nul_and_broken_utf8_become_replacement_characters(void **state)
{
	(void)state;
	assert_writes(SPAN_LIT("a\0b\xff\xc3"), "\"a\xef\xbf\xbd"
						"b\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void any_bytes_become_a_string_that_reads_back(void **state)
{
	struct random random = {.state = 3};

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char bytes[64];
		size_t len = random_below(&random, sizeof(bytes) + 1);
		struct arena arena = {0};
		struct json_value value;
		struct buffer out;
		struct span text, back;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)(round % 2 == 0
						  ? random_next(&random)
						  : 1 + random_below(&random,
								     127));
		text = exact_copy((struct span){bytes, len});
		buffer_init(&out);
		json_append_string(&out, text);
		assert_int_equal(
			json_check(buffer_span(&out), &value, NULL, NULL), 0);
		back = json_get_string(value, &arena);
		if (utf8_valid(text) && memchr(bytes, '\0', len) == NULL)
			assert_true(span_equal(back, text));
		buffer_finish(&out);
		arena_finish(&arena);
		free((void *)text.at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_told_by_type_and_trimmed_text),
		cmocka_unit_test(a_text_cut_anywhere_is_refused),
		cmocka_unit_test(a_refusal_leaves_the_value_alone),
		cmocka_unit_test(an_odd_byte_is_seen_wherever_it_stands),
		cmocka_unit_test(depth_counts_levels_and_ends_at_128),
		cmocka_unit_test(exponents_add_up_whatever_their_sign),
		cmocka_unit_test(exponents_saturate),
		cmocka_unit_test(members_come_with_raw_keys_in_order),
		cmocka_unit_test(elements_come_without_keys),
		cmocka_unit_test(what_is_empty_has_nothing_to_walk),
		cmocka_unit_test(every_escape_is_decoded),
		cmocka_unit_test(a_string_without_escapes_is_not_copied),
		cmocka_unit_test(
			decoding_without_memory_gives_an_absent_string),
		cmocka_unit_test(integers_fill_64_bits_and_no_more),
		cmocka_unit_test(strings_are_escaped_only_where_they_must),
		cmocka_unit_test(
			nul_and_broken_utf8_become_replacement_characters),
		cmocka_unit_test(any_bytes_become_a_string_that_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
