/* SPDX-License-Identifier: MIT */
/* Where a config says its brokers are. */
#include "unit.h"

#include "broker/hosts.h"

struct expected {
	const char *name;
	uint16_t port;
};

static void assert_hosts(const char *text, const struct expected *expected,
			 size_t count)
{
	struct arena arena = {0};
	struct hosts hosts;

	assert_int_equal(hosts_parse(&hosts, text, 1234, &arena, NULL), 0);
	assert_int_equal(hosts.count, count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(hosts.at[i].name, expected[i].name);
		assert_int_equal(hosts.at[i].port, expected[i].port);
	}
	arena_finish(&arena);
}

static void one_host_may_have_a_port(void **state)
{
	(void)state;
	assert_hosts("a", &(struct expected){"a", 1234}, 1);
	assert_hosts("a.example:1", &(struct expected){"a.example", 1}, 1);
	assert_hosts(" 10.0.0.1:65535 ", &(struct expected){"10.0.0.1", 65535},
		     1);
}

static void several_hosts_keep_their_order(void **state)
{
	const struct expected expected[] = {{"a", 5672}, {"b", 1234}, {"c", 9}};

	(void)state;
	assert_hosts("a:5672,b, c:9", expected, 3);
}

static void an_ipv6_address_needs_brackets_only_before_a_port(void **state)
{
	(void)state;
	assert_hosts("::1", &(struct expected){"::1", 1234}, 1);
	assert_hosts("[::1]", &(struct expected){"::1", 1234}, 1);
	assert_hosts("[fe80::2]:5671", &(struct expected){"fe80::2", 5671}, 1);
}

static void every_host_has_its_turn_before_there_is_a_pause(void **state)
{
	struct arena arena = {0};
	struct hosts hosts;

	(void)state;
	assert_int_equal(hosts_parse(&hosts, "a,b", 1, &arena, NULL), 0);
	assert_string_equal(hosts_next(&hosts)->name, "a");
	assert_true(hosts_left(&hosts));
	assert_string_equal(hosts_next(&hosts)->name, "b");
	assert_false(hosts_left(&hosts));
	assert_string_equal(hosts_next(&hosts)->name, "a");
	hosts_reached(&hosts);
	assert_true(hosts_left(&hosts));
	assert_string_equal(hosts_next(&hosts)->name, "b");
	arena_finish(&arena);
}

static void a_single_host_is_always_worth_a_pause(void **state)
{
	struct arena arena = {0};
	struct hosts hosts;

	(void)state;
	assert_int_equal(hosts_parse(&hosts, "a", 1, &arena, NULL), 0);
	assert_string_equal(hosts_next(&hosts)->name, "a");
	assert_false(hosts_left(&hosts));
	hosts_reached(&hosts);
	assert_false(hosts_left(&hosts));
	arena_finish(&arena);
}

static void what_is_no_host_is_named(void **state)
{
	static const char *const lists[] = {
		"",	":5672", "a:",	   "a:0",  "a:65536",  "a:12x",
		"a,,b", "a:-1",	 "[::1]5", "[]:1", "a:123456", "a,:2",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct arena arena = {0};
		struct hosts hosts;
		struct error err;

		assert_int_equal(hosts_parse(&hosts, lists[i], 1, &arena, &err),
				 STATUS_INVALID);
		assert_non_null(strstr(err.text, "host: found \""));
		arena_finish(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_host_may_have_a_port),
		cmocka_unit_test(several_hosts_keep_their_order),
		cmocka_unit_test(
			an_ipv6_address_needs_brackets_only_before_a_port),
		cmocka_unit_test(
			every_host_has_its_turn_before_there_is_a_pause),
		cmocka_unit_test(a_single_host_is_always_worth_a_pause),
		cmocka_unit_test(what_is_no_host_is_named),
	};

	return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
