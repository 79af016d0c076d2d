/* SPDX-License-Identifier: MIT */
/* CBOR as JSON: the examples of RFC 8949, appendix A, and what is refused. */
#include "unit.h"

#include <stdio.h>

#include "base/json.h"
#include "message/from_cbor.h"

enum { LIMIT = 4096 };

struct example {
	const char *cbor; /* hexadecimal */
	const char *json; /* or, where it is refused, the reason */
};

static const struct example examples[] = {
	{"00", "0"},
	{"1864", "100"},
	{"1b000000e8d4a51000", "1000000000000"},
	{"1bffffffffffffffff", "18446744073709551615"},
	{"20", "-1"},
	{"3903e7", "-1000"},
	{"3bffffffffffffffff", "-18446744073709551616"},
	{"f90000", "0"},
	{"f98000", "-0"},
	{"f93e00", "1.5"},
	{"f97bff", "65504"},
	{"fa47c35000", "100000"},
	{"fa7f7fffff", "3.4028234663852886e+38"},
	{"fb3ff199999999999a", "1.1"},
	{"fb7e37e43c8800759c", "1e+300"},
	{"fbc010666666666666", "-4.1"},
	{"f90001", "5.9604644775390625e-08"},
	{"f4", "false"},
	{"f5", "true"},
	{"f6", "null"},
	{"f7", "null"},
	{"c11a514b67b0", "1363896240"},
	{"c074323031332d30332d32315432303a30343a30305a",
	 "\"2013-03-21T20:04:00Z\""},
	{"40", "\"\""},
	{"4401020304", "\"AQIDBA==\""},
	{"60", "\"\""},
	{"62225c", "\"\\\"\\\\\""},
	{"62c3bc", "\"\xc3\xbc\""},
	{"80", "[]"},
	{"8301820203820405", "[1,[2,3],[4,5]]"},
	{"a0", "{}"},
	{"a26161016162820203", "{\"a\":1,\"b\":[2,3]}"},
	{"826161a161626163", "[\"a\",{\"b\":\"c\"}]"},
	{"5f42010243030405ff", "\"AQIDBAU=\""},
	{"7f657374726561646d696e67ff", "\"streaming\""},
	{"7fff", "\"\""},
	{"9fff", "[]"},
	{"9f018202039f0405ffff", "[1,[2,3],[4,5]]"},
	{"83018202039f0405ff", "[1,[2,3],[4,5]]"},
	{"bf61610161629f0203ffff", "{\"a\":1,\"b\":[2,3]}"},
	{"826161bf61626163ff", "[\"a\",{\"b\":\"c\"}]"},
	{"bf7f61616162ff01ff", "{\"ab\":1}"},
};

static const struct example refusals[] = {
	{"", "less than it announces"},
	{"18", "less than it announces"},
	{"8301", "less than it announces"},
	{"9bffffffffffffffff", "less than it announces"},
	{"bbffffffffffffffff", "less than it announces"},
	{"62c3", "less than it announces"},
	{"a161", "less than it announces"},
	{"9f", "less than it announces"},
	{"c1", "less than it announces"},
	{"1c", "bytes that mean nothing"},
	{"0000", "more than one item"},
	{"ff", "a break where nothing may end"},
	{"82ff", "a break where nothing may end"},
	{"bf6161ff", "a break where nothing may end"},
	{"a10102", "a key that is no text"},
	{"a1410102", "a key that is no text"},
	{"a1a0a0", "a key that is no text"},
	{"a15fff00", "a key that is no text"},
	{"f97e00", "a number that is not finite"},
	{"fa7f800000", "a number that is not finite"},
	{"fbfff0000000000000", "a number that is not finite"},
	{"c249010000000000000000", "a number beyond 64 bits"},
	{"c349010000000000000000", "a number beyond 64 bits"},
	{"6100", "a text that is not UTF-8 without NUL"},
	{"61ff", "a text that is not UTF-8 without NUL"},
	{"7f61c361bcff", NULL}, /* fits together: libcbor's pieces, our text */
	{"7f01ff", "a string in pieces of another kind"},
	{"7f4101ff", "a string in pieces of another kind"},
	{"5f6161ff", "a string in pieces of another kind"},
	{"7fc16161ff", "a tag within a string"},
};

static struct span bytes_of(const char *digits)
{
	struct buffer bytes;
	struct span copy;

	buffer_init(&bytes);
	for (unsigned byte; sscanf(digits, "%2x", &byte) == 1; digits += 2)
		buffer_append(&bytes, &(char){(char)byte}, 1);
	copy = exact_copy(buffer_span(&bytes));
	buffer_finish(&bytes);
	return copy;
}

static void items_become_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
		struct span cbor = bytes_of(examples[i].cbor);
		struct json_value value;
		struct buffer json;

		buffer_init(&json);
		assert_int_equal(json_from_cbor(cbor, LIMIT, &json, NULL), 0);
		assert_span(buffer_span(&json), examples[i].json);
		assert_int_equal(
			json_check(buffer_span(&json), &value, NULL, NULL), 0);
		buffer_finish(&json);
		free((char *)cbor.at);
	}
}

static void what_json_cannot_say_is_refused_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		const char *reason = refusals[i].json;
		struct span cbor = bytes_of(refusals[i].cbor);
		struct error err = {0};
		struct buffer json;

		buffer_init(&json);
		assert_int_equal(json_from_cbor(cbor, LIMIT, &json, &err),
				 reason == NULL ? 0 : STATUS_INVALID);
		if (reason != NULL && strstr(err.text, reason) == NULL)
			fail_msg("%s: %s", refusals[i].cbor, err.text);
		buffer_finish(&json);
		free((char *)cbor.at);
	}
}

/* So many arrays in one another, the last one empty. */
static int nest(size_t levels, struct error *err)
{
	char *cbor = test_malloc(levels);
	struct buffer json;
	int status;

	memset(cbor, 0x81, levels);
	cbor[levels - 1] = (char)0x80;
	buffer_init(&json);
	status = json_from_cbor((struct span){cbor, levels}, LIMIT, &json, err);
	buffer_finish(&json);
	test_free(cbor);
	return status;
}

static void nesting_is_bounded(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(nest(JSON_MAX_DEPTH, &err), 0);
	assert_int_equal(nest(JSON_MAX_DEPTH + 1, &err), STATUS_INVALID);
	assert_int_equal(nest(100000, &err), STATUS_INVALID);
	assert_non_null(strstr(err.text, "too many levels"));
}

static void the_json_is_bounded(void **state)
{
	static const char zeroes[LIMIT];
	struct buffer json;
	struct error err;
	char cbor[LIMIT + 3] = {(char)0x59, LIMIT >> 8, (char)(LIMIT & 0xff)};

	(void)state;
	memcpy(cbor + 3, zeroes, sizeof(zeroes));
	buffer_init(&json);
	assert_int_equal(json_from_cbor((struct span){cbor, sizeof(cbor)},
					LIMIT, &json, &err),
			 STATUS_INVALID);
	assert_non_null(strstr(err.text, "max_message_bytes"));
	buffer_finish(&json);
}

static void no_memory_is_said(void **state)
{
	struct span cbor = bytes_of("7f61616162ff");
	bool ended = true;

	(void)state;
	for (unsigned nth = 1; ended; nth++) {
		struct buffer json;
		int status;

		buffer_init(&json);
		memory_ends_at(nth);
		status = json_from_cbor(cbor, LIMIT, &json, NULL);
		ended = memory_ended();
		memory_ends_at(0);
		assert_int_equal(status, ended ? STATUS_NO_MEMORY : 0);
		buffer_finish(&json);
	}
	free((char *)cbor.at);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_become_json),
		cmocka_unit_test(what_json_cannot_say_is_refused_by_name),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(the_json_is_bounded),
		cmocka_unit_test(no_memory_is_said),
	};

	return cmocka_run_group_tests_name("from cbor", tests, NULL, NULL);
}
