/* SPDX-License-Identifier: MIT */
/* Which driver a URL names. */
#include "store/store.h"
#include "unit.h"

static void a_scheme_names_its_driver(void **state)
{
	const struct store_driver *driver = NULL;

	(void)state;
	assert_int_equal(store_driver_find(&driver, "sqlite:bus.db", NULL), 0);
	assert_ptr_equal(driver, &store_sqlite);
	assert_int_equal(store_driver_find(&driver, "sqlite:///bus.db", NULL),
			 0);
	assert_ptr_equal(driver, &store_sqlite);
	assert_int_equal(store_driver_find(&driver, "memory:a", NULL), 0);
	assert_ptr_equal(driver, &store_memory);
}

static void an_unknown_url_is_refused_with_the_forms(void **state)
{
	static const char *const bad[] = {
		"",   "bus.db",	    "mysql://h/db", "sqlite", "SQLITE:bus.db",
		":x", "/abs/bus.db"};
	const struct store_driver *driver = NULL;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(store_driver_find(&driver, bad[i], &err),
				 STATUS_INVALID);
		assert_non_null(strstr(err.text, "sqlite:relative.db"));
		assert_non_null(strstr(err.text, "postgresql://"));
		assert_null(driver);
	}
}

static void an_unknown_url_does_not_give_its_password_away(void **state)
{
	const struct store_driver *driver = NULL;
	struct error err;

	(void)state;
	assert_int_equal(
		store_driver_find(&driver, "mysql://u:canary@h/db", &err),
		STATUS_INVALID);
	assert_null(strstr(err.text, "canary"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scheme_names_its_driver),
		cmocka_unit_test(an_unknown_url_is_refused_with_the_forms),
		cmocka_unit_test(
			an_unknown_url_does_not_give_its_password_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
