/* SPDX-License-Identifier: MIT */
/* What RabbitMQ's refusals of a declaration mean to a person. */
#include "unit.h"

#include "broker/topology.h"

#define CLOSED "the broker closed the connection: "

static void assert_explained(enum status status, const char *text,
			     const char *sentence)
{
	struct error error;

	error_set(&error, status, "%s", text);
	topology_explain(&error);
	assert_string_equal(error.text, sentence);
	assert_int_equal(error.status, status);
}

static void a_queue_of_another_type_is_told_with_the_difference(void **state)
{
	(void)state;
	assert_explained(
		STATUS_MISMATCH,
		CLOSED "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' "
		       "for queue 'orders' in vhost '/': received 'quorum' but "
		       "current is 'classic' (406)",
		"queue 'orders' is there already, set up otherwise: "
		"x-queue-type: have 'classic', want 'quorum'; change "
		"queue_type, or delete it, or set topology to verify");
}

static void an_argument_that_is_not_there_is_told(void **state)
{
	(void)state;
	assert_explained(STATUS_MISMATCH,
			 CLOSED
			 "PRECONDITION_FAILED - inequivalent arg "
			 "'x-dead-letter-exchange' for queue 'q' in vhost 'v': "
			 "received the value 'q.dlx' of type 'longstr' but "
			 "current is none (406)",
			 "queue 'q' is there already, set up otherwise: "
			 "x-dead-letter-exchange: have none, want 'q.dlx'; "
			 "change dead_letter_exchange, or delete it, or "
			 "set topology to verify");
}

static void an_exchange_of_another_type_is_told(void **state)
{
	(void)state;
	assert_explained(
		STATUS_MISMATCH,
		CLOSED
		"PRECONDITION_FAILED - inequivalent arg 'type' for "
		"exchange 'x' in vhost '/': received 'topic' but current "
		"is 'fanout' (406)",
		"exchange 'x' is there already, set up otherwise: type: have "
		"'fanout', want 'topic'; change exchange_type, or delete it, "
		"or set topology to verify");
}

static void what_is_not_understood_is_left_as_it_is(void **state)
{
	static const char *const texts[] = {
		CLOSED "PRECONDITION_FAILED - something new (406)",
		CLOSED "inequivalent arg 'a' for queue",
		CLOSED "inequivalent arg 'a' for b in vhost 'c': received d",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_explained(STATUS_MISMATCH, texts[i], texts[i]);
	assert_explained(STATUS_AWAY, "gone", "gone");
}

static void what_is_missing_or_forbidden_comes_with_advice(void **state)
{
	(void)state;
	assert_explained(STATUS_NOT_FOUND, CLOSED "no queue 'q' (404)",
			 CLOSED
			 "no queue 'q' (404); create it, or set topology "
			 "to declare");
	assert_explained(STATUS_DENIED, CLOSED "refused (403)",
			 CLOSED "refused (403); give the user configure, write "
				"and read permissions for it");
}

static void
messages_go_to_their_sources_exchange_where_that_is_asked_for(void **state)
{
	struct runtime_config config = {.rabbitmq.exchange = "main"};
	char name[SOURCE_EXCHANGE_SIZE];

	(void)state;
	assert_span(topology_exchange(&config, SPAN_LIT("shop"), name), "main");
	config.rabbitmq.exchange_per_source = true;
	assert_span(topology_exchange(&config, SPAN_LIT("shop"), name),
		    "shop_exchange");
	assert_span(topology_exchange(&config, SPAN_NONE, name), "main");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_queue_of_another_type_is_told_with_the_difference),
		cmocka_unit_test(an_argument_that_is_not_there_is_told),
		cmocka_unit_test(an_exchange_of_another_type_is_told),
		cmocka_unit_test(what_is_not_understood_is_left_as_it_is),
		cmocka_unit_test(
			what_is_missing_or_forbidden_comes_with_advice),
		cmocka_unit_test(
			messages_go_to_their_sources_exchange_where_that_is_asked_for),
	};

	return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
