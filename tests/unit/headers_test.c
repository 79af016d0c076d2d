/* SPDX-License-Identifier: MIT */
/* Headers as a column's JSON and as pairs. */
#include "unit.h"

#include "base/json.h"
#include "message/headers.h"

/* ---- from the column ---- */

static void a_column_of_strings_becomes_pairs(void **state)
{
	struct arena arena = {0};
	struct headers headers;

	(void)state;
	assert_int_equal(
		headers_parse(&headers,
			      SPAN_LIT(" {\"traceparent\": \"00-1\\u002d2\", "
				       "\"\\u00e9\":\"\"} "),
			      &arena, NULL),
		0);
	assert_int_equal(headers.count, 2);
	assert_span(headers_find(&headers, "traceparent"), "00-1-2");
	assert_span(headers_find(&headers, "\xc3\xa9"), "");
	assert_false(span_present(headers_find(&headers, "Traceparent")));
	arena_finish(&arena);
}

static void an_absent_column_has_no_pairs(void **state)
{
	struct headers headers = {.count = 1};

	(void)state;
	assert_int_equal(headers_parse(&headers, SPAN_NONE, NULL, NULL), 0);
	assert_int_equal(headers.count, 0);
}

static void assert_refuses(struct span text, const char *sentence)
{
	struct headers headers = {.count = 7};
	struct arena arena = {0};
	struct error err;

	assert_int_equal(headers_parse(&headers, text, &arena, &err),
			 STATUS_INVALID);
	assert_string_equal(err.text, sentence);
	assert_int_equal(headers.count, 7);
	arena_finish(&arena);
}

static void what_is_no_object_of_strings_is_refused_by_name(void **state)
{
	(void)state;
	assert_refuses(SPAN_LIT("[]"), "headers: found an array, an object of "
				       "strings is required");
	assert_refuses(SPAN_LIT("{\"a\":\"1\",\"retries\":3}"),
		       "headers: \"retries\" is a number, a string is "
		       "required");
	assert_refuses(SPAN_LIT("{\"a\":null}"),
		       "headers: \"a\" is null, a string is required");
	assert_refuses(SPAN_LIT("{\"a\":\"1\",\"a\":\"1\"}"),
		       "headers: \"a\": found twice, once is allowed");
	assert_refuses(SPAN_LIT("{\"a\":\"1\""),
		       "headers: not valid JSON at byte 8: expected ',' or "
		       "'}', found the end");
}

static void a_name_has_1_to_255_bytes(void **state)
{
	char text[300] = "{\"";
	struct headers headers;
	struct arena arena = {0};

	(void)state;
	assert_refuses(SPAN_LIT("{\"\":\"x\"}"),
		       "headers: found a name of 0 bytes, 1 to 255 are "
		       "allowed");
	memset(text + 2, 'n', 256);
	memcpy(text + 2 + 255, "\":\"v\"}", 7);
	assert_int_equal(headers_parse(&headers, span_of(text), &arena, NULL),
			 0);
	assert_int_equal(headers.at[0].name.len, 255);
	memcpy(text + 2 + 255, "n\":\"v\"}", 8);
	assert_refuses(span_of(text), "headers: found a name of 256 bytes, 1 "
				      "to 255 are allowed");
	arena_finish(&arena);
}

/* ---- to the column ---- */

static struct header pairs[] = {
	{{"a", 1}, {"first", 5}},
	{{"b", 1}, {"\"q\"", 3}},
	{{"a", 1}, {"second", 6}},
};
static const struct headers arrived = {pairs, 3};
static const struct headers nothing = {NULL, 0};

static void assert_merges(const struct headers *headers, struct span extra,
			  const char *text)
{
	struct arena arena = {0};
	bool failed = true;
	struct span merged = headers_merge(headers, extra, &arena, &failed);

	assert_false(failed);
	if (text == NULL)
		assert_false(span_present(merged));
	else
		assert_span(merged, text);
	arena_finish(&arena);
}

static void of_repeated_pairs_the_first_stays(void **state)
{
	(void)state;
	assert_merges(&arrived, SPAN_NONE,
		      "{\"a\":\"first\",\"b\":\"\\\"q\\\"\"}");
}

static void unknown_members_win_and_become_strings(void **state)
{
	(void)state;
	assert_merges(&arrived,
		      SPAN_LIT("{\"\\u0061\":\"x\",\"c\":{\"d\": 1e400},\"n\":"
			       "null}"),
		      "{\"a\":\"x\",\"c\":\"{\\\"d\\\": 1e400}\",\"n\":"
		      "\"null\",\"b\":\"\\\"q\\\"\"}");
}

static void nothing_merged_is_absent(void **state)
{
	(void)state;
	assert_merges(&nothing, SPAN_NONE, NULL);
	assert_merges(&nothing, SPAN_LIT("{}"), NULL);
}

static void hostile_pairs_still_make_valid_json(void **state)
{
	struct header hostile[] = {
		{SPAN_LIT("\0"), SPAN_LIT("\xff")},
		{SPAN_LIT(""), SPAN_LIT("\0\n")},
	};
	const struct headers headers = {hostile, 2};

	(void)state;
	assert_merges(&headers, SPAN_NONE,
		      "{\"\xef\xbf\xbd\":\"\xef\xbf\xbd\",\"\":\"\xef\xbf\xbd"
		      "\\n\"}");
}

static void what_is_merged_can_be_sent_on(void **state)
{
	struct arena arena = {0};
	struct headers headers;
	bool failed;
	struct span text = headers_merge(&arrived, SPAN_LIT("{\"n\":[1,2]}"),
					 &arena, &failed);

	(void)state;
	assert_int_equal(headers_parse(&headers, text, &arena, NULL), 0);
	assert_span(headers_find(&headers, "n"), "[1,2]");
	assert_span(headers_find(&headers, "b"), "\"q\"");
	arena_finish(&arena);
}

/* ---- extra on the way out ---- */

static void headers_that_are_there_win_over_unknown_members(void **state)
{
	struct arena arena = {0};
	struct headers headers = arrived;

	(void)state;
	assert_int_equal(headers_add_extra(&headers,
					   SPAN_LIT("{\"a\":\"x\",\"t\":\"\\u"
						    "00e9\",\"n\":1.50}"),
					   &arena, NULL),
			 0);
	assert_int_equal(headers.count, 4);
	assert_span(headers_find(&headers, "a"), "first");
	assert_span(headers_find(&headers, "t"), "\xc3\xa9");
	assert_span(headers_find(&headers, "n"), "1.50");
	arena_finish(&arena);
}

static void a_member_that_cannot_be_a_header_is_refused(void **state)
{
	struct arena arena = {0};
	struct headers headers = arrived;
	struct error err;

	(void)state;
	assert_int_equal(
		headers_add_extra(&headers, SPAN_LIT("{\"\":1}"), &arena, &err),
		STATUS_INVALID);
	assert_ptr_equal(headers.at, arrived.at);
	arena_finish(&arena);
}

/* ---- memory ---- */

static void exhaustion_is_said_and_changes_nothing(void **state)
{
	struct span extra = SPAN_LIT("{\"a\\n\":\"\\n\"}");
	bool ended = true;

	(void)state;
	for (unsigned nth = 1; ended; nth++) {
		struct arena arena = {0};
		struct headers headers = arrived;
		struct span merged;
		bool failed;
		int rc;

		memory_ends_at(nth);
		merged = headers_merge(&arrived, extra, &arena, &failed);
		assert_int_equal(failed, memory_ended());
		assert_int_equal(span_present(merged), !failed);
		rc = headers_add_extra(&headers, extra, &arena, NULL);
		ended = memory_ended();
		if (!ended)
			assert_int_equal(rc, 0);
		else if (rc != 0)
			assert_ptr_equal(headers.at, arrived.at);
		memory_ends_at(0);
		arena_finish(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_column_of_strings_becomes_pairs),
		cmocka_unit_test(an_absent_column_has_no_pairs),
		cmocka_unit_test(
			what_is_no_object_of_strings_is_refused_by_name),
		cmocka_unit_test(a_name_has_1_to_255_bytes),
		cmocka_unit_test(of_repeated_pairs_the_first_stays),
		cmocka_unit_test(unknown_members_win_and_become_strings),
		cmocka_unit_test(nothing_merged_is_absent),
		cmocka_unit_test(hostile_pairs_still_make_valid_json),
		cmocka_unit_test(what_is_merged_can_be_sent_on),
		cmocka_unit_test(
			headers_that_are_there_win_over_unknown_members),
		cmocka_unit_test(a_member_that_cannot_be_a_header_is_refused),
		cmocka_unit_test(exhaustion_is_said_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
