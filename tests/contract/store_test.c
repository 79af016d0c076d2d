/* SPDX-License-Identifier: MIT */
/* Runs the cases of every store over the driver named on the command line. */
#include <stdio.h>

#include "kit_postgres.h"

static const struct kit_driver *const drivers[] = {&kit_sqlite, &kit_memory,
						   &kit_postgres};

static const struct kit_cases *const all_cases[] = {
	&session_cases, &claim_cases,  &order_cases,  &settle_cases,
	&accept_cases,	&config_cases, &people_cases,
};

enum { TESTS_MAX = 256 };

int main(int argc, char **argv)
{
	struct CMUnitTest tests[TESTS_MAX];
	size_t count = 0;

	for (size_t i = 0; argc == 2 && i < sizeof(drivers) / sizeof(*drivers);
	     i++)
		if (strcmp(drivers[i]->name, argv[1]) == 0)
			kit_driver = drivers[i];
	if (kit_driver == NULL) {
		fprintf(stderr, "usage: store_test DRIVER\n");
		return 2;
	}
	if (kit_driver == &kit_postgres && !kit_postgres_found())
		return 0;
	for (size_t i = 0; i < sizeof(all_cases) / sizeof(*all_cases); i++)
		for (size_t j = 0; j < all_cases[i]->count; j++) {
			assert_true(count < TESTS_MAX);
			tests[count++] = all_cases[i]->tests[j];
		}
	return _cmocka_run_group_tests("store", tests, count, NULL, NULL);
}
