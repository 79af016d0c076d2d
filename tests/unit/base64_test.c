/* SPDX-License-Identifier: MIT */
/* Base64, held to the vectors of RFC 4648. */
#include "unit.h"

#include "base/base64.h"

static const struct {
	const char *bytes;
	const char *text;
} vectors[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
	{"\xfb\xff\xbe", "+/++"},
};

static void bytes_become_the_text_of_the_standard(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		struct buffer out;

		buffer_init(&out);
		base64_append(&out, span_of(vectors[i].bytes));
		assert_true(span_equal(buffer_span(&out),
				       span_of(vectors[i].text)));
		buffer_finish(&out);
	}
}

static void the_text_becomes_the_bytes_again(void **state)
{
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		struct span text = exact_copy(span_of(vectors[i].text));
		struct span bytes = SPAN_NONE;

		assert_int_equal(base64_decode(text, &arena, &bytes, NULL), 0);
		assert_span(bytes, vectors[i].bytes);
		free((char *)text.at);
	}
	arena_finish(&arena);
}

static void what_is_no_base64_is_refused(void **state)
{
	static const char *const texts[] = {
		"A",	  "AA",	  "AAA",  "A===", "====",  "A=AA",    "AA=A",
		"Zm9v\n", "-_-_", "Zh==", "Zm9=", "Zm 9v", "Zg==Zg=="};
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct span bytes;

		assert_int_equal(
			base64_decode(span_of(texts[i]), &arena, &bytes, NULL),
			STATUS_INVALID);
	}
	arena_finish(&arena);
}

static void no_memory_is_said(void **state)
{
	struct arena arena = {0};
	struct span bytes;
	int status;

	(void)state;
	memory_ends_at(1);
	status = base64_decode(SPAN_LIT("Zg=="), &arena, &bytes, NULL);
	memory_ends_at(0);
	assert_int_equal(status, STATUS_NO_MEMORY);
	arena_finish(&arena);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_become_the_text_of_the_standard),
		cmocka_unit_test(the_text_becomes_the_bytes_again),
		cmocka_unit_test(what_is_no_base64_is_refused),
		cmocka_unit_test(no_memory_is_said),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
