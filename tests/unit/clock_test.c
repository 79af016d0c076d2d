/* SPDX-License-Identifier: MIT */
/* Times as text, and the order of readings. */
#include "unit.h"

#include <time.h>

#include "base/clock.h"

static void assert_formats(usec_t wall, const char *expected)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(wall, text);
	assert_string_equal(text, expected);
}

static void times_are_written_in_utc_with_six_digits(void **state)
{
	(void)state;
	assert_formats(0, "1970-01-01 00:00:00.000000");
	assert_formats(1, "1970-01-01 00:00:00.000001");
	assert_formats(951827696 * USEC_PER_SEC + 999999,
		       "2000-02-29 12:34:56.999999");
	assert_formats(INT64_C(4102444799) * USEC_PER_SEC + 500000,
		       "2099-12-31 23:59:59.500000");
}

static void text_sorts_as_time_does(void **state)
{
	char earlier[CLOCK_TEXT_SIZE], later[CLOCK_TEXT_SIZE];

	(void)state;
	clock_format(9 * USEC_PER_SEC + 99999, earlier);
	clock_format(10 * USEC_PER_SEC, later);
	assert_true(strcmp(earlier, later) < 0);
}

static void the_wall_clock_is_the_systems(void **state)
{
	usec_t before = (usec_t)time(NULL) - 1;
	usec_t wall = clock_wall() / USEC_PER_SEC;
	usec_t after = (usec_t)time(NULL) + 1;

	(void)state;
	assert_true(before <= wall && wall <= after);
}

static void the_monotonic_clock_never_goes_back(void **state)
{
	usec_t last = clock_monotonic();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		usec_t now = clock_monotonic();

		assert_true(now >= last);
		last = now;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_written_in_utc_with_six_digits),
		cmocka_unit_test(text_sorts_as_time_does),
		cmocka_unit_test(the_wall_clock_is_the_systems),
		cmocka_unit_test(the_monotonic_clock_never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
