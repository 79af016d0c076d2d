/* SPDX-License-Identifier: MIT */
/*
 * What every broker driver must do, once over each: memory always, RabbitMQ if
 * POSTBUS_TEST_RABBITMQ names one as host:port (user guest).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "lane.h"

static const char *broker_type;

/* A config of its own for every test: own exchange, own queue. */
static int set_up(void **state)
{
	static const char keys[] = "[\"event.#\",\"tester.response.#\"]";
	struct runtime_config *config = test_calloc(1, sizeof(*config));
	const char *server = getenv("POSTBUS_TEST_RABBITMQ");
	static char names[3][UUID_TEXT_SIZE + 8];
	char uuid[UUID_TEXT_SIZE];
	struct error err;

	assert_int_equal(config_init(config, "contract", &err), 0);
	uuid_generate(uuid);
	snprintf(names[0], sizeof(names[0]), "%s.x", uuid);
	snprintf(names[1], sizeof(names[1]), "%s.q", uuid);
	snprintf(names[2], sizeof(names[2]), "%s.dlx", uuid);
	config->broker_type = broker_type;
	config->host = server == NULL ? "memory" : server;
	config->username = "guest";
	config->password = "guest";
	config->source_service = "tester";
	config->rabbitmq.exchange = names[0];
	config->rabbitmq.queue = names[1];
	config->rabbitmq.queue_type = "classic";
	config->rabbitmq.dead_letter_exchange = names[2];
	config->rabbitmq.binding_keys = keys;
	*state = config;
	return 0;
}

static int tear_down(void **state)
{
	config_destroy(*state);
	test_free(*state);
	return 0;
}

static void a_message_is_confirmed_after_it_was_published(void **state)
{
	struct lane relay;

	lane_open(&relay, *state, BROKER_PUBLISHER);
	assert_int_equal(lane_publish(&relay, "m1", NULL, SPAN_LIT("{}")), 1);
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 1);
	lane_destroy(&relay);
}

static void a_published_message_is_delivered(void **state)
{
	struct lane relay;
	struct lane intake;

	lane_open(&relay, *state, BROKER_PUBLISHER);
	lane_open(&intake, *state, BROKER_CONSUMER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 1);
	lane_expect(&intake, BROKER_DELIVERED);
	assert_memory_equal(intake.event.delivery.message_id.at, "m1", 2);
	lane_destroy(&intake);
	lane_destroy(&relay);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(
		a_message_is_confirmed_after_it_was_published, set_up,
		tear_down),
	cmocka_unit_test_setup_teardown(a_published_message_is_delivered,
					set_up, tear_down),
};

int main(void)
{
	int failed = 0;

	if (getenv("POSTBUS_TEST_RABBITMQ") != NULL) {
		broker_type = "rabbitmq";
		failed += cmocka_run_group_tests_name("rabbitmq", tests, NULL,
						      NULL);
	}
	return failed;
}
