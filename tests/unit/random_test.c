/* SPDX-License-Identifier: MIT */
/* Numbers that repeat with their seed, and names that never repeat. */
#include "unit.h"

#include <ctype.h>

#include "base/random.h"

/* The generator's published test vector. */
static void a_seed_gives_splitmix64s_numbers(void **state)
{
	static const uint64_t expected[] = {
		UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
		UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
		UINT64_C(16408922859458223821)};
	struct random random = {.state = 1234567};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		assert_true(random_next(&random) == expected[i]);
}

static void numbers_stay_below_their_bound_and_reach_all_of_it(void **state)
{
	struct random random = {.state = 1};
	unsigned seen[7] = {0};

	(void)state;
	for (int i = 0; i < 7000; i++) {
		uint64_t value = random_below(&random, 7);

		assert_true(value < 7);
		seen[value]++;
	}
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 800, 1200);
}

static void bounds_at_the_ends_of_the_range_hold(void **state)
{
	struct random random = {.state = 1};

	(void)state;
	assert_int_equal(random_below(&random, 0), 0);
	assert_int_equal(random_below(&random, 1), 0);
	for (int i = 0; i < 100; i++)
		assert_true(random_below(&random, UINT64_MAX) < UINT64_MAX);
}

static void seeds_differ(void **state)
{
	(void)state;
	assert_true(random_seed() != random_seed());
}

static void a_uuid_has_version_4_and_its_36_characters(void **state)
{
	char text[UUID_TEXT_SIZE];

	(void)state;
	for (int round = 0; round < 100; round++) {
		uuid_generate(text);
		assert_int_equal(strlen(text), 36);
		for (int i = 0; i < 36; i++)
			if (i == 8 || i == 13 || i == 18 || i == 23)
				assert_int_equal(text[i], '-');
			else
				assert_true(isdigit(text[i]) ||
					    (text[i] >= 'a' && text[i] <= 'f'));
		assert_int_equal(text[14], '4');
		assert_non_null(strchr("89ab", text[19]));
	}
}

static void uuids_differ(void **state)
{
	char one[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

	(void)state;
	uuid_generate(one);
	uuid_generate(other);
	assert_string_not_equal(one, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_gives_splitmix64s_numbers),
		cmocka_unit_test(
			numbers_stay_below_their_bound_and_reach_all_of_it),
		cmocka_unit_test(bounds_at_the_ends_of_the_range_hold),
		cmocka_unit_test(seeds_differ),
		cmocka_unit_test(a_uuid_has_version_4_and_its_36_characters),
		cmocka_unit_test(uuids_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
