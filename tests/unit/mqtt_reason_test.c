/* SPDX-License-Identifier: MIT */
/* MQTT's reason codes in words. */
#include "unit.h"

#include "mqtt/reason.h"

static void every_code_has_a_sentence_of_its_own(void **state)
{
	/* Version 5, 2.4. */
	static const uint8_t successes[] = {0x00, 0x01, 0x02, 0x04,
					    0x10, 0x11, 0x18, 0x19};
	const char *unknown = mqtt_reason_text(0xff);

	(void)state;
	for (size_t i = 0; i < sizeof(successes); i++)
		assert_string_not_equal(mqtt_reason_text(successes[i]),
					unknown);
	for (unsigned code = 0x80; code <= 0xa2; code++)
		assert_string_not_equal(mqtt_reason_text((uint8_t)code),
					unknown);
	assert_string_equal(mqtt_reason_text(0x03), unknown);
	assert_string_equal(mqtt_reason_text(0x7f), unknown);
	assert_string_equal(mqtt_reason_text(0xa3), unknown);
}

static void sentence_has_the_code_and_the_words_of_the_server(void **state)
{
	struct error err;

	(void)state;
	mqtt_reason_error(&err, "refused", 0x87, SPAN_LIT("ask\nBob"));
	assert_string_equal(err.text,
			    "refused: not authorised (0x87), \"ask\\x0aBob\"");
	mqtt_reason_error(&err, "refused", 0xff, SPAN_NONE);
	assert_string_equal(err.text, "refused: an unknown reason (0xff)");
}

static void only_what_can_never_succeed_is_not_tried_again(void **state)
{
	static const uint8_t never[] = {0x8f, 0x90, 0x95, 0x99, 0x9a,
					0x9b, 0x9e, 0xa1, 0xa2};
	unsigned found = 0;

	(void)state;
	for (unsigned code = 0x80; code <= 0xff; code++) {
		int status =
			mqtt_reason_error(NULL, "", (uint8_t)code, SPAN_NONE);

		assert_int_not_equal(status, STATUS_OK);
		if (status_is_transient(status))
			continue;
		assert_true(found < sizeof(never));
		assert_int_equal(code, never[found++]);
	}
	assert_int_equal(found, sizeof(never));
}

static void return_codes_of_version_3_are_reasons_too(void **state)
{
	static const uint8_t reasons[] = {0x00, 0x84, 0x85, 0x88, 0x86, 0x87};

	(void)state;
	for (size_t code = 0; code < sizeof(reasons); code++)
		assert_int_equal(mqtt_reason_of_return_code((uint8_t)code),
				 reasons[code]);
	assert_int_equal(mqtt_reason_of_return_code(6), REASON_UNSPECIFIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_a_sentence_of_its_own),
		cmocka_unit_test(
			sentence_has_the_code_and_the_words_of_the_server),
		cmocka_unit_test(
			only_what_can_never_succeed_is_not_tried_again),
		cmocka_unit_test(return_codes_of_version_3_are_reasons_too),
	};

	return cmocka_run_group_tests_name("mqtt reason", tests, NULL, NULL);
}
