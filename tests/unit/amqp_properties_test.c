/* SPDX-License-Identifier: MIT */
/* A message's properties from bytes that anybody may have written. */
#include "unit.h"

#include <stdlib.h>

#include "amqp/fields.h"
#include "amqp/properties.h"

/* ---- header tables ---- */

/* Reads a table whose one member is named "k"; the rest is kind and value. */
static int read_member(struct span member, struct arena *arena,
		       struct headers *headers, struct error *err)
{
	struct buffer table;
	struct span exact;
	int status;

	buffer_init(&table);
	buffer_append(&table, "\1k", 2);
	buffer_append_span(&table, member);
	exact = arena_copy(arena, buffer_span(&table));
	buffer_finish(&table);
	status = fields_read(headers, exact, arena, err);
	return status;
}

static void assert_value(struct span member, const char *text)
{
	struct arena arena = {0};
	struct headers headers = {0};

	assert_int_equal(read_member(member, &arena, &headers, NULL), 0);
	assert_int_equal(headers.count, 1);
	assert_span(headers.at[0].name, "k");
	assert_span(headers.at[0].value, text);
	arena_finish(&arena);
}

static void values_of_every_kind_become_strings(void **state)
{
	(void)state;
	assert_value(SPAN_LIT("S\0\0\0\5hello"), "hello");
	assert_value(SPAN_LIT("x\0\0\0\2hi"), "hi");
	assert_value(SPAN_LIT("S\0\0\0\0"), "");
	assert_value(SPAN_LIT("V"), "");
	assert_value(SPAN_LIT("t\0"), "false");
	assert_value(SPAN_LIT("t\1"), "true");
	assert_value(SPAN_LIT("b\xff"), "-1");
	assert_value(SPAN_LIT("B\xff"), "255");
	assert_value(SPAN_LIT("s\x80\0"), "-32768");
	assert_value(SPAN_LIT("u\x80\0"), "32768");
	assert_value(SPAN_LIT("I\xff\xff\xff\xfe"), "-2");
	assert_value(SPAN_LIT("i\xff\xff\xff\xfe"), "4294967294");
	assert_value(SPAN_LIT("l\x80\0\0\0\0\0\0\0"), "-9223372036854775808");
	assert_value(SPAN_LIT("L\x80\0\0\0\0\0\0\0"), "9223372036854775808");
	assert_value(SPAN_LIT("T\0\0\0\0\x65\x53\xf1\0"), "1700000000");
	assert_value(SPAN_LIT("f\x3f\xc0\0\0"), "1.5");
	assert_value(SPAN_LIT("d\x3f\xb9\x99\x99\x99\x99\x99\x9a"),
		     "0.10000000000000001");
	assert_value(SPAN_LIT("d\x7f\xf0\0\0\0\0\0\0"), "null");
	assert_value(SPAN_LIT("D\2\0\0\x04\xd2"), "1234e-2");
}

static void nested_values_become_json(void **state)
{
	(void)state;
	assert_value(SPAN_LIT("A\0\0\0\x0bt\1S\0\0\0\3a\"bV"),
		     "[true,\"a\\\"b\",null]");
	assert_value(SPAN_LIT("F\0\0\0\x12\5countl\0\0\0\0\0\0\0\1\1vV"),
		     "{\"count\":1,\"v\":null}");
	assert_value(SPAN_LIT("A\0\0\0\0"), "[]");
	assert_value(SPAN_LIT("F\0\0\0\0"), "{}");
}

static void bytes_that_are_no_text_become_replacement_characters(void **state)
{
	(void)state;
	assert_value(SPAN_LIT("S\0\0\0\3a\xff\x62"), "a\xef\xbf\xbd"
						     "b");
	assert_value(SPAN_LIT("x\0\0\0\2\0\x41"), "\xef\xbf\xbd"
						  "A");
	assert_value(SPAN_LIT("A\0\0\0\6S\0\0\0\1\xff"), "[\"\xef\xbf\xbd\"]");
}

static void headers_without_a_name_are_left_out(void **state)
{
	struct arena arena = {0};
	struct headers headers;

	(void)state;
	assert_int_equal(
		fields_read(&headers, SPAN_LIT("\0t\1\1nt\0"), &arena, NULL),
		0);
	assert_int_equal(headers.count, 1);
	assert_span(headers_find(&headers, "n"), "false");
	arena_finish(&arena);
}

static void put_size(struct buffer *out, size_t size)
{
	buffer_append(out,
		      (char[4]){(char)(size >> 24), (char)(size >> 16),
				(char)(size >> 8), (char)size},
		      4);
}

static void tables_nested_too_deep_end_in_null(void **state)
{
	enum { LEVELS = 20000, LEVEL = 5 };
	struct arena arena = {0};
	struct headers headers;
	struct buffer member;
	struct span value;

	(void)state;
	buffer_init(&member);
	for (size_t left = LEVELS; left > 0; left--) {
		buffer_append(&member, "A", 1);
		put_size(&member, (left - 1) * LEVEL);
	}
	assert_int_equal(
		read_member(buffer_span(&member), &arena, &headers, NULL), 0);
	value = headers.at[0].value;
	assert_int_equal(value.len, 32 + 4 + 32);
	assert_memory_equal(value.at + 31, "[null]", 6);
	buffer_finish(&member);
	arena_finish(&arena);
}

static void malformed_tables_are_refused(void **state)
{
	const struct span members[] = {
		SPAN_LIT(""),
		SPAN_LIT("?"),
		SPAN_LIT("l\0\0\0\0\0\0\0"),
		SPAN_LIT("S\0\0\0\5hell"),
		SPAN_LIT("S\xff\xff\xff\xff"),
		SPAN_LIT("A\0\0\0\2S\0"),
		SPAN_LIT("F\0\0\0\3\1nB"),
		SPAN_LIT("t\1\5trail"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		struct arena arena = {0};
		struct headers headers = {.count = 7};
		struct error err;

		assert_int_equal(
			read_member(members[i], &arena, &headers, &err),
			STATUS_PROTOCOL);
		assert_int_equal(headers.count, 7);
		arena_finish(&arena);
	}
}

/* ---- properties ---- */

static const char everything[] =
	"\xff\xfc"
	"\4json\4gzip\0\0\0\4\1ht\1\2\5\2c1\2r1\2x1\2m1"
	"\0\0\0\0\0\0\0\7\2t1\2u1\2a1\2z1";

static void every_property_is_found_behind_all_others(void **state)
{
	struct arena arena = {0};
	struct properties found;

	(void)state;
	assert_int_equal(
		properties_read(&found, SPAN_LIT(everything), &arena, NULL), 0);
	assert_span(found.content_type, "json");
	assert_span(found.correlation_id, "c1");
	assert_span(found.reply_to, "r1");
	assert_span(found.message_id, "m1");
	assert_int_equal(found.timestamp, 7);
	assert_span(found.type, "t1");
	assert_span(found.app_id, "a1");
	assert_span(headers_find(&found.headers, "h"), "true");
	arena_finish(&arena);
}

static void properties_cut_anywhere_are_refused(void **state)
{
	enum { CLUSTER_ID = 3 }; /* the last one is not looked at */

	(void)state;
	for (size_t len = 0; len < sizeof(everything) - 1 - CLUSTER_ID; len++) {
		struct span cut = exact_copy((struct span){everything, len});
		struct arena arena = {0};
		struct properties found;

		assert_int_equal(properties_read(&found, cut, &arena, NULL),
				 STATUS_PROTOCOL);
		arena_finish(&arena);
		free((char *)cut.at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_every_kind_become_strings),
		cmocka_unit_test(nested_values_become_json),
		cmocka_unit_test(
			bytes_that_are_no_text_become_replacement_characters),
		cmocka_unit_test(headers_without_a_name_are_left_out),
		cmocka_unit_test(tables_nested_too_deep_end_in_null),
		cmocka_unit_test(malformed_tables_are_refused),
		cmocka_unit_test(every_property_is_found_behind_all_others),
		cmocka_unit_test(properties_cut_anywhere_are_refused),
	};

	return cmocka_run_group_tests_name("amqp properties", tests, NULL,
					   NULL);
}
