/* SPDX-License-Identifier: MIT */
/*
 * What every broker driver must do; the argument names the one to hold to it.
 * RabbitMQ is host:port in POSTBUS_TEST_RABBITMQ, user guest; an MQTT broker is
 * host:port in POSTBUS_TEST_MOSQUITTO.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/memory.h"
#include "broker_kit.h"

static const struct broker_cases *const all_cases[] = {
	&publish_cases,
	&consume_cases,
	&link_cases,
};

enum { TESTS_MAX = 64 };

int main(int argc, char **argv)
{
	struct CMUnitTest tests[TESTS_MAX];
	const char *variable = "";
	size_t count = 0;
	int failed;

	broker_type = argc > 1 ? argv[1] : "memory";
	broker_host = "contract";
	if (strcmp(broker_type, "rabbitmq") == 0)
		variable = "POSTBUS_TEST_RABBITMQ";
	if (strcmp(broker_type, "mqtt") == 0)
		variable = "POSTBUS_TEST_MOSQUITTO";
	if (*variable != '\0')
		broker_host = getenv(variable);
	if (broker_host == NULL) {
		printf("1..0 # SKIP no server in %s\n", variable);
		return 0;
	}
	for (size_t i = 0; i < sizeof(all_cases) / sizeof(*all_cases); i++)
		for (size_t j = 0; j < all_cases[i]->count; j++) {
			assert_true(count < TESTS_MAX);
			tests[count++] = all_cases[i]->tests[j];
		}
	failed = _cmocka_run_group_tests(broker_type, tests, count, NULL, NULL);
	if (failed == 0)
		memory_brokers_forget();
	return failed;
}
