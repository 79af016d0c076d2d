/* SPDX-License-Identifier: MIT */
/*
 * What only RabbitMQ does: topology, refusals, headers of others. The
 * other side is librabbitmq's own client. RabbitMQ is host:port in
 * POSTBUS_TEST_RABBITMQ, user guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <cmocka.h>

#include "base/random.h"
#include "lane.h"

static const char *server;

struct rig {
	struct runtime_config config;
	char exchange[UUID_TEXT_SIZE + 8];
	char queue[UUID_TEXT_SIZE + 8];
	char dead[UUID_TEXT_SIZE + 8];
	amqp_connection_state_t other;
};

/* ---- the independent client ---- */

static amqp_connection_state_t log_in(void)
{
	amqp_connection_state_t client = amqp_new_connection();
	amqp_socket_t *socket = amqp_tcp_socket_new(client);
	const char *colon = strrchr(server, ':');
	char host[64];

	snprintf(host, sizeof(host), "%.*s", (int)(colon - server), server);
	assert_int_equal(amqp_socket_open(socket, host, atoi(colon + 1)), 0);
	assert_int_equal(amqp_login(client, "/", 0, 131072, 0,
				    AMQP_SASL_METHOD_PLAIN, "guest", "guest")
				 .reply_type,
			 AMQP_RESPONSE_NORMAL);
	assert_non_null(amqp_channel_open(client, 1));
	return client;
}

static void declare_queue(struct rig *rig, const char *type)
{
	amqp_table_entry_t arguments[] = {
		{.key = amqp_cstring_bytes("x-queue-type"),
		 .value.kind = AMQP_FIELD_KIND_UTF8,
		 .value.value.bytes = amqp_cstring_bytes(type)},
		{.key = amqp_cstring_bytes("x-dead-letter-exchange"),
		 .value.kind = AMQP_FIELD_KIND_UTF8,
		 .value.value.bytes = amqp_cstring_bytes(rig->dead)},
	};

	assert_non_null(amqp_queue_declare(
		rig->other, 1, amqp_cstring_bytes(rig->queue), 0, 1, 0, 0,
		(amqp_table_t){.num_entries = 2, .entries = arguments}));
}

static void publish(struct rig *rig, amqp_basic_properties_t *properties)
{
	assert_int_equal(amqp_basic_publish(rig->other, 1,
					    amqp_cstring_bytes(rig->exchange),
					    amqp_cstring_bytes("event.a.b.c"),
					    0, 0, properties,
					    amqp_cstring_bytes("{}")),
			 0);
}

/* ---- the rig ---- */

static int set_up(void **state)
{
	struct rig *rig = test_calloc(1, sizeof(*rig));
	struct runtime_config *config = &rig->config;
	char uuid[UUID_TEXT_SIZE];
	struct error err;

	assert_int_equal(config_init(config, "contract", &err), 0);
	uuid_generate(uuid);
	snprintf(rig->exchange, sizeof(rig->exchange), "%s.x", uuid);
	snprintf(rig->queue, sizeof(rig->queue), "%s.q", uuid);
	snprintf(rig->dead, sizeof(rig->dead), "%s.dlx", uuid);
	config->broker_type = "rabbitmq";
	config->host = server;
	config->username = "guest";
	config->password = "guest";
	config->source_service = "tester";
	config->rabbitmq.exchange = rig->exchange;
	config->rabbitmq.queue = rig->queue;
	config->rabbitmq.queue_type = "classic";
	config->rabbitmq.dead_letter_exchange = rig->dead;
	config->rabbitmq.binding_keys = "[\"event.#\"]";
	rig->other = log_in();
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	amqp_connection_close(rig->other, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(rig->other);
	config_destroy(&rig->config);
	test_free(rig);
	return 0;
}

/* Connecting ends in DOWN with this status, the words in its sentence. */
static void assert_refused(struct rig *rig, enum status status,
			   const char *words)
{
	struct lane lane;

	lane_begin(&lane, &rig->config, BROKER_CONSUMER);
	lane_expect(&lane, BROKER_DOWN);
	if (strstr(lane.event.error.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", lane.event.error.text,
			 words);
	assert_int_equal(lane.event.error.status, status);
	assert_false(lane.event.by_publish);
	lane_expect_nothing(&lane);
	lane_destroy(&lane);
}

/* ---- who is let in ---- */

static void a_wrong_password_is_denied(void **state)
{
	struct rig *rig = *state;

	rig->config.password = "canary";
	assert_refused(rig, STATUS_DENIED, "user \"guest\" or the password");
}

static void a_missing_virtual_host_is_not_found(void **state)
{
	struct rig *rig = *state;

	rig->config.rabbitmq.virtual_host = "nowhere";
	assert_refused(rig, STATUS_NOT_FOUND,
		       "there is no virtual host \"nowhere\"");
}

static void a_secret_is_resolved_at_every_connect(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	rig->config.password = "env:POSTBUS_TEST_SECRET";
	unsetenv("POSTBUS_TEST_SECRET");
	lane_begin(&relay, &rig->config, BROKER_PUBLISHER);
	lane_expect(&relay, BROKER_DOWN);
	assert_non_null(strstr(relay.event.error.text, "POSTBUS_TEST_SECRET"));
	setenv("POSTBUS_TEST_SECRET", "guest", 1);
	lane_reconnect(&relay);
	lane_destroy(&relay);
}

static void hosts_are_tried_in_turn(void **state)
{
	struct rig *rig = *state;
	char hosts[128];
	struct lane relay;

	snprintf(hosts, sizeof(hosts), "127.0.0.1:1,[::1]:1,%s", server);
	rig->config.host = hosts;
	lane_begin(&relay, &rig->config, BROKER_PUBLISHER);
	lane_expect(&relay, BROKER_DOWN);
	assert_non_null(strstr(relay.event.error.text, "127.0.0.1:1: "));
	relay.broker->driver->connect(relay.broker, clock_monotonic());
	lane_expect(&relay, BROKER_DOWN);
	assert_non_null(strstr(relay.event.error.text, "[::1]:1: "));
	lane_reconnect(&relay);
	lane_destroy(&relay);
}

static void a_malformed_host_is_refused_at_once(void **state)
{
	struct rig *rig = *state;
	struct broker *broker = NULL;
	struct error err;

	rig->config.host = "a:b";
	assert_int_equal(
		broker_create(&broker, &rig->config, BROKER_PUBLISHER, &err),
		STATUS_INVALID);
	assert_null(broker);
}

/* ---- topology ---- */

static void a_queue_of_another_type_is_a_mismatch(void **state)
{
	struct rig *rig = *state;

	declare_queue(rig, "quorum");
	assert_refused(rig, STATUS_MISMATCH,
		       "x-queue-type: have 'quorum', want 'classic'; change "
		       "queue_type");
}

static void verifying_asks_and_declares_nothing(void **state)
{
	struct rig *rig = *state;

	rig->config.rabbitmq.topology = "verify";
	assert_refused(rig, STATUS_NOT_FOUND, rig->exchange);
	amqp_exchange_declare(rig->other, 1, amqp_cstring_bytes(rig->exchange),
			      amqp_cstring_bytes("topic"), 0, 1, 0, 0,
			      amqp_empty_table);
	assert_refused(rig, STATUS_NOT_FOUND, rig->queue);
}

static void a_lane_reconnects_to_what_it_has_declared(void **state)
{
	struct rig *rig = *state;
	struct lane intake;

	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	intake.broker->driver->cut(intake.broker);
	lane_reconnect(&intake);
	lane_destroy(&intake);
}

static void
a_source_has_its_own_exchange_that_flows_into_the_main_one(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	rig->config.rabbitmq.exchange_per_source = true;
	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	lane_expect(&intake, BROKER_DELIVERED);
	lane_expect(&intake, BROKER_DELIVERED);
	amqp_exchange_declare(rig->other, 1,
			      amqp_cstring_bytes("tester_exchange"),
			      amqp_empty_bytes, 1, 0, 0, 0, amqp_empty_table);
	assert_int_equal(amqp_get_rpc_reply(rig->other).reply_type,
			 AMQP_RESPONSE_NORMAL);
	lane_destroy(&intake);
	lane_destroy(&relay);
}

/* ---- what others do ---- */

static void a_queue_that_is_deleted_takes_the_consumer_down(void **state)
{
	struct rig *rig = *state;
	struct lane intake;

	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	assert_non_null(amqp_queue_delete(
		rig->other, 1, amqp_cstring_bytes(rig->queue), 0, 0));
	lane_expect(&intake, BROKER_DOWN);
	assert_non_null(strstr(intake.event.error.text, rig->queue));
	lane_reconnect(&intake);
	lane_destroy(&intake);
}

static void a_publish_to_a_deleted_exchange_is_to_blame(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	assert_non_null(amqp_exchange_delete(
		rig->other, 1, amqp_cstring_bytes(rig->exchange), 0));
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_expect(&relay, BROKER_DOWN);
	assert_true(relay.event.by_publish);
	assert_non_null(strstr(relay.event.error.text, rig->exchange));
	lane_reconnect(&relay);
	lane_destroy(&relay);
}

static void headers_of_every_type_arrive_as_strings(void **state)
{
	struct rig *rig = *state;
	amqp_table_entry_t entries[] = {
		{.key = amqp_cstring_bytes("number"),
		 .value.kind = AMQP_FIELD_KIND_I64,
		 .value.value.i64 = -7},
		{.key = amqp_cstring_bytes("flag"),
		 .value.kind = AMQP_FIELD_KIND_BOOLEAN,
		 .value.value.boolean = 1},
		{.key = amqp_cstring_bytes("when"),
		 .value.kind = AMQP_FIELD_KIND_TIMESTAMP,
		 .value.value.u64 = 1700000000},
	};
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_HEADERS_FLAG,
		.headers = {.num_entries = 3, .entries = entries},
	};
	const struct headers *headers;
	struct lane intake;

	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	publish(rig, &properties);
	headers = &lane_expect(&intake, BROKER_DELIVERED)->delivery.headers;
	assert_true(span_is(headers_find(headers, "number"), "-7"));
	assert_true(span_is(headers_find(headers, "flag"), "true"));
	assert_true(span_is(headers_find(headers, "when"), "1700000000"));
	lane_destroy(&intake);
}

/* The broker's own bookkeeping is a table in an array in a table. */
static void a_dead_letter_tells_where_it_died(void **state)
{
	static const char words[] = "\"reason\":\"rejected\"";
	struct rig *rig = *state;
	char grave[UUID_TEXT_SIZE + 16];
	amqp_message_t message;
	struct lane intake;
	struct span death;

	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	publish(rig, NULL);
	lane_expect(&intake, BROKER_DELIVERED);
	intake.broker->driver->cut(intake.broker);
	while (amqp_basic_get(rig->other, 1, amqp_cstring_bytes(rig->queue), 0)
		       .reply.id != AMQP_BASIC_GET_OK_METHOD)
		;
	amqp_read_message(rig->other, 1, &message, 0);
	amqp_destroy_message(&message);
	amqp_basic_reject(rig->other, 1, 1, 0);
	snprintf(grave, sizeof(grave), "%s.dlq", rig->queue);
	rig->config.rabbitmq.queue = grave;
	rig->config.rabbitmq.topology = "none";
	lane_destroy(&intake);
	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	lane_expect(&intake, BROKER_DELIVERED);
	death = headers_find(&intake.event.delivery.headers, "x-death");
	assert_true(span_present(death));
	assert_non_null(memmem(death.at, death.len, words, strlen(words)));
	lane_destroy(&intake);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_wrong_password_is_denied),
		CASE(a_missing_virtual_host_is_not_found),
		CASE(a_secret_is_resolved_at_every_connect),
		CASE(hosts_are_tried_in_turn),
		CASE(a_malformed_host_is_refused_at_once),
		CASE(a_queue_of_another_type_is_a_mismatch),
		CASE(verifying_asks_and_declares_nothing),
		CASE(a_lane_reconnects_to_what_it_has_declared),
		CASE(a_source_has_its_own_exchange_that_flows_into_the_main_one),
		CASE(a_queue_that_is_deleted_takes_the_consumer_down),
		CASE(a_publish_to_a_deleted_exchange_is_to_blame),
		CASE(headers_of_every_type_arrive_as_strings),
		CASE(a_dead_letter_tells_where_it_died),
	};

	server = getenv("POSTBUS_TEST_RABBITMQ");
	if (server == NULL) {
		puts("1..0 # SKIP no server in POSTBUS_TEST_RABBITMQ");
		return 0;
	}
	return cmocka_run_group_tests_name("rabbitmq driver", tests, NULL,
					   NULL);
}
