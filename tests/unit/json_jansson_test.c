/* SPDX-License-Identifier: MIT */
/*
 * The scanner against jansson, an independent parser. They agree on every text
 * but for this: jansson refuses numbers that C's types cannot hold, and passes
 * over a NUL behind a number; the scanner refuses nesting and number literals
 * beyond its bounds.
 */
#include "unit.h"

#include <stdio.h>

#include "base/json.h"
#include "base/random.h"
#include "jansson_peer.h"

/* ---- what must be the same ---- */

/* Writes a checked value anew: blanks dropped, strings decoded and encoded. */
static void rewrite(struct json_value value, struct arena *arena,
		    struct buffer *out)
{
	bool object = value.type == JSON_OBJECT;
	struct json_cursor at;
	struct json_value inner;
	struct span key;
	size_t count = 0;

	if (value.type == JSON_STRING) {
		json_append_string(out, json_get_string(value, arena));
		return;
	}
	if (!object && value.type != JSON_ARRAY) {
		buffer_append_span(out, value.text);
		return;
	}
	buffer_append_text(out, object ? "{" : "[");
	at = json_enter(value);
	while (json_next(&at, &key, &inner)) {
		buffer_append_text(out, count++ == 0 ? "" : ",");
		if (object) {
			json_append_string(out, json_unescape(key, arena));
			buffer_append_text(out, ":");
		}
		rewrite(inner, arena, out);
	}
	buffer_append_text(out, object ? "}" : "]");
}

static void assert_reads_the_same(struct span text, struct json_value value)
{
	struct arena arena = {0};
	struct buffer out;

	buffer_init(&out);
	rewrite(value, &arena, &out);
	if (!peer_same(text, buffer_span(&out)))
		fail_msg("%.*s\nwas read as %.*s", (int)text.len, text.at,
			 (int)buffer_length(&out), out.data);
	buffer_finish(&out);
	arena_finish(&arena);
}

/* Returns whether both accept it. */
static bool assert_agree(struct span text)
{
	struct json_value value;
	struct error err = {.text = ""};
	bool accepted = json_check(text, &value, NULL, &err) == 0;
	enum peer_verdict peer = peer_check(text);

	if (memchr(text.at, '\0', text.len) != NULL)
		peer = PEER_REFUSES;
	if (peer == PEER_OVERFLOWS)
		return false;
	if (accepted != (peer == PEER_ACCEPTS))
		fail_msg("jansson %s, the scanner does not: %.*s\n%s",
			 accepted ? "refuses" : "accepts", (int)text.len,
			 text.at, err.text);
	if (accepted)
		assert_reads_the_same(text, value);
	return accepted;
}

/* ---- texts by chance ---- */

static const char *const scalars[] = {
	"null",
	"true",
	"false",
	"0",
	"-0",
	"17",
	"-9223372036854775808",
	"1.5",
	"0.10",
	"1e5",
	"-2.5E-3",
	"1E+2",
	"\"\"",
	"\"plain text\"",
	"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	"\"\\u00e9\\u20AC\\ud83d\\ude00\"",
	"\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x7f\""};

static const char *const keys[] = {"a",		 "",	     "b c",
				   "\\u0061\\n", "\xc3\xa9", "\\\"}"};

static const char *const blanks[] = {"", "", "", " ", "\n\t", "\r\n  "};

/* What a mutation puts in; more of the likely trouble than of the rest. */
static const char trouble[] = "{}[]:,\"\\/ \t\n\r\0\x01\x1f\x7f\x80\xbf\xc0\xc3"
			      "\xe0\xed\xa0\xf0\xf4\xff"
			      "0019-+.eEunltrfaDd8";

#define PICK(random, list) \
	((list)[random_below((random), sizeof(list) / sizeof(*(list)))])

static void generate(struct random *random, unsigned depth, struct buffer *out)
{
	uint64_t kind = random_below(random, depth == 0 ? 1 : 3);
	uint64_t count = random_below(random, 4);

	buffer_append_text(out, PICK(random, blanks));
	if (kind == 0) {
		buffer_append_text(out, PICK(random, scalars));
	} else {
		buffer_append_text(out, kind == 1 ? "[" : "{");
		for (uint64_t i = 0; i < count; i++) {
			buffer_append_text(out, i == 0 ? "" : ",");
			buffer_append_text(out, PICK(random, blanks));
			if (kind == 2)
				buffer_append_format(out, "\"%llu%s\"%s:",
						     (unsigned long long)i,
						     PICK(random, keys),
						     PICK(random, blanks));
			generate(random, depth - 1, out);
		}
		buffer_append_text(out, kind == 1 ? "]" : "}");
	}
	buffer_append_text(out, PICK(random, blanks));
}

static void mutate(struct random *random, struct buffer *text)
{
	size_t len = buffer_length(text);
	size_t at = random_below(random, len);
	char byte = trouble[random_below(random, sizeof(trouble) - 1)];

	switch (random_below(random, 4)) {
	case 0:
		text->data[at] = byte;
		break;
	case 1:
		memmove(text->data + at, text->data + at + 1, len - at - 1);
		text->end--;
		break;
	case 2:
		buffer_append(text, &byte, 1);
		memmove(text->data + at + 1, text->data + at, len - at);
		text->data[at] = byte;
		break;
	case 3:
		text->end = at;
		break;
	}
}

static void generated_texts_are_read_alike(void **state)
{
	struct random random = {.state = 20};
	struct buffer text;

	(void)state;
	buffer_init(&text);
	for (int round = 0; round < 5000; round++) {
		struct span copy;

		buffer_reset(&text);
		generate(&random, 5, &text);
		copy = exact_copy(buffer_span(&text));
		assert_true(assert_agree(copy));
		free((void *)copy.at);
	}
	buffer_finish(&text);
}

static void mutated_texts_are_judged_alike(void **state)
{
	struct random random = {.state = 21};
	unsigned accepted = 0, refused = 0;
	struct buffer text;

	(void)state;
	buffer_init(&text);
	for (int round = 0; round < 100000; round++) {
		struct span copy;

		buffer_reset(&text);
		generate(&random, 3, &text);
		for (uint64_t i = random_below(&random, 3); i-- > 0;)
			if (buffer_length(&text) > 0)
				mutate(&random, &text);
		copy = exact_copy(buffer_span(&text));
		if (assert_agree(copy))
			accepted++;
		else
			refused++;
		free((void *)copy.at);
	}
	buffer_finish(&text);
	assert_true(accepted > 10000 && refused > 10000);
}

static void
every_short_text_of_the_grammars_letters_is_judged_alike(void **state)
{
	static const char letters[] = "{}[]:,\"\\ 0-.e";
	const size_t count = sizeof(letters) - 1;

	(void)state;
	for (size_t len = 0; len <= 4; len++) {
		size_t texts = 1;

		for (size_t i = 0; i < len; i++)
			texts *= count;
		for (size_t n = 0; n < texts; n++) {
			char text[4];
			size_t rest = n;

			for (size_t i = 0; i < len; i++) {
				text[i] = letters[rest % count];
				rest /= count;
			}
			assert_agree((struct span){text, len});
		}
	}
}

/* ---- cases by hand ---- */

static void hard_cases_are_judged_alike(void **state)
{
	const struct span cases[] = {
		SPAN_LIT("\xef\xbb\xbf{}"),
		SPAN_LIT("{}\0"),
		SPAN_LIT("\"\0\""),
		SPAN_LIT("\"\\u0000\""),
		SPAN_LIT("{\"\\u0000\":1}"),
		SPAN_LIT("\"\\ud800\""),
		SPAN_LIT("\"\\udc00\""),
		SPAN_LIT("\"\\ud800\\ud800\""),
		SPAN_LIT("\"\\ud800x\""),
		SPAN_LIT("\"\\ud800\\u\""),
		SPAN_LIT("\"\\udbff\\udfff\""),
		SPAN_LIT("\"\\uFFFF\\ufdd0\""),
		SPAN_LIT("\"\xed\xa0\x80\""),
		SPAN_LIT("\"\xf4\x90\x80\x80\""),
		SPAN_LIT("\"\xef\xbf\xbf\""),
		SPAN_LIT("\"\x7f\""),
		SPAN_LIT("[1,]"),
		SPAN_LIT("[,1]"),
		SPAN_LIT("{\"a\":1,}"),
		SPAN_LIT("{\"a\" 1}"),
		SPAN_LIT("{\"a\":1 \"b\":2}"),
		SPAN_LIT("{\"a\":1,\"a\":2}"),
		SPAN_LIT("[1}"),
		SPAN_LIT("01"),
		SPAN_LIT("-"),
		SPAN_LIT("-01"),
		SPAN_LIT("1."),
		SPAN_LIT(".5"),
		SPAN_LIT("1e"),
		SPAN_LIT("1e+"),
		SPAN_LIT("1e-400"),
		SPAN_LIT("0e999"),
		SPAN_LIT("+1"),
		SPAN_LIT("0x10"),
		SPAN_LIT("NaN"),
		SPAN_LIT("Infinity"),
		SPAN_LIT("nul"),
		SPAN_LIT("nulll"),
		SPAN_LIT("True"),
		SPAN_LIT("'a'"),
		SPAN_LIT("1 2"),
		SPAN_LIT("// x\n1"),
		SPAN_LIT("\v1"),
		SPAN_LIT("\xc2\xa0"
			 "1"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_agree(cases[i]);
}

static void numbers_beyond_c_are_ours_alone(void **state)
{
	const struct span cases[] = {
		SPAN_LIT("1e400"), SPAN_LIT("[-1e131071]"),
		SPAN_LIT("123456789012345678901234567890")};
	struct json_value value;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(peer_check(cases[i]), PEER_OVERFLOWS);
		assert_int_equal(json_check(cases[i], &value, NULL, NULL), 0);
		assert_true(span_equal(value.text, cases[i]));
	}
}

static void deep_nesting_and_endless_numbers_are_not_ours(void **state)
{
	char text[2048];
	struct json_value value;
	struct span nested = {text, 258};
	struct span number = {text, 1001};

	(void)state;
	memset(text, '[', 129);
	memset(text + 129, ']', 129);
	assert_int_equal(peer_check(nested), PEER_ACCEPTS);
	assert_int_equal(json_check(nested, &value, NULL, NULL),
			 STATUS_INVALID);
	memset(text, '0', sizeof(text));
	text[1] = '.';
	assert_int_equal(peer_check(number), PEER_ACCEPTS);
	assert_int_equal(json_check(number, &value, NULL, NULL),
			 STATUS_INVALID);
	number.len--;
	assert_int_equal(json_check(number, &value, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generated_texts_are_read_alike),
		cmocka_unit_test(mutated_texts_are_judged_alike),
		cmocka_unit_test(
			every_short_text_of_the_grammars_letters_is_judged_alike),
		cmocka_unit_test(hard_cases_are_judged_alike),
		cmocka_unit_test(numbers_beyond_c_are_ours_alone),
		cmocka_unit_test(deep_nesting_and_endless_numbers_are_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
