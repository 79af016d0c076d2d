/* SPDX-License-Identifier: MIT */
/* Sentences for people, statuses for the program. */
#include "unit.h"

#include "base/error.h"
#include "base/utf8.h"

static void an_error_carries_status_and_sentence(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(error_set(&err, STATUS_AWAY, "no answer from %s:%d",
				   "rabbit", 5672),
			 STATUS_AWAY);
	assert_int_equal(err.status, STATUS_AWAY);
	assert_string_equal(err.text, "no answer from rabbit:5672");
}

static void nobody_needs_to_ask_for_the_sentence(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, STATUS_INVALID, "%d", 1),
			 STATUS_INVALID);
	error_prefix(NULL, "context");
}

static void control_characters_and_broken_utf8_are_masked(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, STATUS_FAILED, "a\nb\x1b[31m\x7f\xff %s\xc3",
		  "\xc3\xa9");
	assert_string_equal(err.text, "a?b?[31m?? \xc3\xa9?");
}

static void a_prefix_says_where(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, STATUS_INVALID, "found a number");
	error_prefix(&err, "row %d", 7);
	error_prefix(&err, "a\tb");
	assert_string_equal(err.text, "a?b: row 7: found a number");
	assert_int_equal(err.status, STATUS_INVALID);
}

/* é's two bytes lie across every end that a text can be cut at. */
static void a_cut_sentence_is_still_utf8(void **state)
{
	char text[2 * sizeof(((struct error *)NULL)->text)];
	struct error err;

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 3);
	for (int pad = 0; pad < 4; pad++) {
		error_set(&err, STATUS_FAILED, "%*s%s", pad, "", text);
		assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
		assert_true(utf8_valid(span_of(err.text)));
		error_prefix(&err, "%*s%s", pad, "", "context");
		assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
		assert_true(utf8_valid(span_of(err.text)));
		error_prefix(&err, "%s", text);
		assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
		assert_true(utf8_valid(span_of(err.text)));
	}
}

static void only_what_time_can_heal_is_transient(void **state)
{
	(void)state;
	assert_false(status_is_transient(STATUS_OK));
	assert_false(status_is_transient(STATUS_INVALID));
	assert_false(status_is_transient(STATUS_NOT_FOUND));
	assert_true(status_is_transient(STATUS_DENIED));
	assert_true(status_is_transient(STATUS_AWAY));
	assert_true(status_is_transient(STATUS_UNKNOWN));
	assert_true(status_is_transient(STATUS_BUSY));
	assert_true(status_is_transient(STATUS_NO_MEMORY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_carries_status_and_sentence),
		cmocka_unit_test(nobody_needs_to_ask_for_the_sentence),
		cmocka_unit_test(control_characters_and_broken_utf8_are_masked),
		cmocka_unit_test(a_prefix_says_where),
		cmocka_unit_test(a_cut_sentence_is_still_utf8),
		cmocka_unit_test(only_what_time_can_heal_is_transient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
