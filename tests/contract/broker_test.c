/* SPDX-License-Identifier: MIT */
/*
 * What every broker driver must do; the argument names the one to hold to it.
 * RabbitMQ is host:port in POSTBUS_TEST_RABBITMQ, user guest; an MQTT broker is
 * host:port in POSTBUS_TEST_MOSQUITTO.
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
#include "broker/memory.h"
#include "lane.h"

static const char *broker_type;
static const char *broker_host;

/* Names of its own for every test, so that one server serves all. */
struct rig {
	struct runtime_config config;
	char exchange[UUID_TEXT_SIZE + 8];
	char queue[UUID_TEXT_SIZE + 8];
	char dead[UUID_TEXT_SIZE + 8];
	char client[UUID_TEXT_SIZE];
	char rival[UUID_TEXT_SIZE];
	char filters[3 * UUID_TEXT_SIZE];
};

static bool is_mqtt(void)
{
	return strcmp(broker_type, "mqtt") == 0;
}

/* An MQTT broker keeps messages only for intakes that have been there. */
static void introduce_intake(struct rig *rig)
{
	struct lane intake;

	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	lane_destroy(&intake);
}

static void set_up_mqtt(struct rig *rig)
{
	struct runtime_config *config = &rig->config;

	uuid_generate(rig->client);
	uuid_generate(rig->rival);
	snprintf(rig->filters, sizeof(rig->filters),
		 "[\"%s/event/#\",\"%s/+/response/one/two\"]", rig->client,
		 rig->client);
	config->mqtt.client_id = rig->client;
	config->mqtt.topic_prefix = rig->client;
	config->mqtt.subscribe_topics = rig->filters;
	if (is_mqtt())
		introduce_intake(rig);
}

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
	config->broker_type = broker_type;
	config->host = broker_host;
	config->username = "guest";
	config->password = "guest";
	config->source_service = "tester";
	config->rabbitmq.exchange = rig->exchange;
	config->rabbitmq.queue = rig->queue;
	config->rabbitmq.queue_type = "classic";
	config->rabbitmq.dead_letter_exchange = rig->dead;
	config->rabbitmq.binding_keys = "[\"event.#\",\"*.response.one.two\"]";
	set_up_mqtt(rig);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	config_destroy(&rig->config);
	test_free(rig);
	return 0;
}

static void open_both(struct rig *rig, struct lane *relay, struct lane *intake)
{
	lane_open(relay, &rig->config, BROKER_PUBLISHER);
	lane_open(intake, &rig->config, BROKER_CONSUMER);
}

static void destroy_both(struct lane *relay, struct lane *intake)
{
	lane_destroy(relay);
	lane_destroy(intake);
}

static void expect_message(struct lane *intake, const char *message_id)
{
	const struct broker_event *event =
		lane_expect(intake, BROKER_DELIVERED);

	if (!span_is(event->delivery.message_id, message_id))
		fail_msg("message %.*s instead of %s",
			 SPAN_ARG(event->delivery.message_id), message_id);
}

static void assert_topic(const struct delivery *got, struct span topic)
{
	assert_true(span_equal(is_mqtt() ? got->bus_topic : got->topic, topic));
}

static void acknowledge(struct lane *intake)
{
	intake->broker->driver->acknowledge(intake->broker,
					    intake->event.delivery.tag);
}

/* ---- publishing ---- */

static void a_published_message_is_confirmed(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	assert_int_equal(lane_publish(&relay, "m1", NULL, SPAN_LIT("{}")), 1);
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 1);
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
}

static void every_one_of_many_messages_is_confirmed_once(void **state)
{
	enum { MANY = 1000 };
	struct rig *rig = *state;
	struct lane relay;
	char id[16];

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	for (int i = 1; i <= MANY; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		assert_int_equal(lane_publish(&relay, id, NULL, SPAN_LIT("{}")),
				 i);
	}
	lane_settle(&relay, MANY);
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
}

static void only_the_unroutable_message_is_returned(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", "nobody.request.one.two", SPAN_LIT("{}"));
	lane_publish(&relay, "m3", "tester.response.one.two", SPAN_LIT("{}"));
	lane_next(&relay);
	if (relay.event.kind == BROKER_CONFIRMED) {
		assert_int_equal(relay.event.tag, 1);
		lane_next(&relay);
	}
	assert_int_equal(relay.event.kind, BROKER_RETURNED);
	assert_int_equal(relay.event.tag, 2);
	assert_string_not_equal(relay.event.error.text, "");
	do {
		lane_expect(&relay, BROKER_CONFIRMED);
	} while (relay.event.tag != 3);
	lane_destroy(&relay);
}

static void a_message_is_returned_before_it_is_confirmed(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", "nobody.request.one.two", SPAN_LIT("{}"));
	assert_int_equal(lane_expect(&relay, BROKER_RETURNED)->tag, 1);
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 1);
	lane_destroy(&relay);
}

static void two_messages_of_one_id_are_returned_by_their_own_tags(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "same", "nobody.request.one.two", SPAN_LIT("1"));
	lane_publish(&relay, "same", "nobody.request.one.two", SPAN_LIT("2"));
	assert_int_equal(lane_expect(&relay, BROKER_RETURNED)->tag, 1);
	lane_next(&relay);
	if (relay.event.kind == BROKER_CONFIRMED)
		lane_next(&relay);
	assert_int_equal(relay.event.kind, BROKER_RETURNED);
	assert_int_equal(relay.event.tag, 2);
	lane_destroy(&relay);
}

static void what_no_broker_carries_is_refused_at_once(void **state)
{
	struct rig *rig = *state;
	char topic[ENVELOPE_MAX_STRING + 2];
	const struct envelope envelope = {
		.topic = {topic, sizeof(topic) - 1},
		.message_id = SPAN_LIT("m1"),
	};
	const struct publication message = {.envelope = &envelope,
					    .body = SPAN_LIT("{}")};
	struct lane relay;
	struct error err;
	uint64_t tag;

	memset(topic, '#', sizeof(topic));
	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	assert_int_equal(relay.broker->driver->publish(relay.broker, &message,
						       &tag, &err),
			 STATUS_INVALID);
	assert_non_null(strstr(err.text, "topic"));
	assert_int_equal(lane_publish(&relay, "m2", NULL, SPAN_LIT("{}")), 1);
	lane_settle(&relay, 1);
	lane_destroy(&relay);
}

static void tags_begin_anew_on_every_connection(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 1);
	relay.broker->driver->cut(relay.broker);
	lane_expect_nothing(&relay);
	lane_reconnect(&relay);
	assert_int_equal(lane_publish(&relay, "m2", NULL, SPAN_LIT("{}")), 1);
	lane_settle(&relay, 1);
	lane_destroy(&relay);
}

/* ---- consuming ---- */

static void what_was_published_arrives(void **state)
{
	struct rig *rig = *state;
	struct header header = {SPAN_LIT("traceparent"), SPAN_LIT("00-ab")};
	const struct envelope envelope = {
		.topic = SPAN_LIT("tester.response.one.two"),
		.message_id = SPAN_LIT("m1"),
		.request_id = SPAN_LIT("r1"),
		.reply_to = SPAN_LIT("a.response.b.c"),
		.source_service = SPAN_LIT("tester"),
	};
	const struct publication message = {
		.envelope = &envelope,
		.type = MESSAGE_RESPONSE,
		.body = SPAN_LIT("{\"a\": 1}"),
		.headers = {&header, 1},
	};
	struct lane relay, intake;
	const struct delivery *got = &intake.event.delivery;
	uint64_t tag;

	open_both(rig, &relay, &intake);
	assert_int_equal(relay.broker->driver->publish(relay.broker, &message,
						       &tag, NULL),
			 0);
	lane_settle(&relay, tag);
	lane_expect(&intake, BROKER_DELIVERED);
	assert_topic(got, envelope.topic);
	assert_true(span_equal(got->body, message.body));
	assert_true(span_is(got->message_id, "m1"));
	assert_true(span_is(got->correlation_id, "r1"));
	assert_true(span_is(got->reply_to, "a.response.b.c"));
	assert_true(span_is(got->type, "response"));
	assert_true(span_is(got->app_id, "tester"));
	assert_true(span_is(got->content_type, "application/json"));
	assert_true(
		span_is(headers_find(&got->headers, "traceparent"), "00-ab"));
	assert_false(got->redelivered);
	destroy_both(&relay, &intake);
}

static void what_a_message_lacks_is_absent(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;
	const struct delivery *got = &intake.event.delivery;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 1);
	lane_expect(&intake, BROKER_DELIVERED);
	assert_false(span_present(got->correlation_id));
	assert_false(span_present(got->reply_to));
	assert_int_equal(got->headers.count, 0);
	destroy_both(&relay, &intake);
}

static void strings_of_255_bytes_arrive_whole(void **state)
{
	struct rig *rig = *state;
	char text[ENVELOPE_MAX_STRING];
	struct span longest = {text, sizeof(text)};
	struct header header = {longest, longest};
	struct envelope envelope = {
		.topic = longest,
		.message_id = longest,
		.request_id = longest,
		.reply_to = longest,
		.source_service = longest,
	};
	const struct publication message = {
		.envelope = &envelope,
		.body = SPAN_LIT("{}"),
		.headers = {&header, 1},
	};
	struct lane relay, intake;
	const struct delivery *got = &intake.event.delivery;
	uint64_t tag;

	memset(text, 's', sizeof(text));
	memcpy(text, "event.", 6);
	open_both(rig, &relay, &intake);
	assert_int_equal(relay.broker->driver->publish(relay.broker, &message,
						       &tag, NULL),
			 0);
	lane_settle(&relay, tag);
	lane_expect(&intake, BROKER_DELIVERED);
	assert_topic(got, longest);
	assert_true(span_equal(got->message_id, longest));
	assert_true(span_equal(got->correlation_id, longest));
	assert_true(span_equal(got->reply_to, longest));
	assert_true(span_equal(got->app_id, longest));
	assert_true(span_equal(got->headers.at[0].name, longest));
	assert_true(span_equal(got->headers.at[0].value, longest));
	destroy_both(&relay, &intake);
}

static void bodies_of_every_size_arrive_whole(void **state)
{
	static const size_t sizes[] = {0, 1, 131063, 131064, 131065, 1 << 20};
	struct rig *rig = *state;
	char *body = test_malloc(1 << 20);
	struct lane relay, intake;

	for (size_t i = 0; i < 1 << 20; i++)
		body[i] = (char)(i * 31 >> 3);
	open_both(rig, &relay, &intake);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		lane_publish(&relay, "m", NULL, (struct span){body, sizes[i]});
		lane_settle(&relay, i + 1);
		lane_expect(&intake, BROKER_DELIVERED);
		assert_true(span_present(intake.event.delivery.body));
		assert_int_equal(intake.event.delivery.body.len, sizes[i]);
		assert_memory_equal(intake.event.delivery.body.at, body,
				    sizes[i]);
	}
	destroy_both(&relay, &intake);
	test_free(body);
}

static void messages_arrive_in_the_order_of_their_publishing(void **state)
{
	enum { MANY = 500 };
	struct rig *rig = *state;
	struct lane relay, intake;
	char id[16];

	open_both(rig, &relay, &intake);
	for (int i = 1; i <= MANY; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		lane_publish(&relay, id, NULL, SPAN_LIT("{}"));
	}
	lane_settle(&relay, MANY);
	for (int i = 1; i <= MANY; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		expect_message(&intake, id);
		assert_int_equal(intake.event.delivery.tag, i);
	}
	destroy_both(&relay, &intake);
}

static void an_unacknowledged_message_is_delivered_again(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	expect_message(&intake, "m1");
	acknowledge(&intake);
	expect_message(&intake, "m2");
	lane_expect_nothing(&intake);
	intake.broker->driver->cut(intake.broker);
	lane_reconnect(&intake);
	expect_message(&intake, "m2");
	assert_true(intake.event.delivery.redelivered);
	lane_expect_nothing(&intake);
	destroy_both(&relay, &intake);
}

static void an_acknowledgement_covers_what_came_before(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m3", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 3);
	expect_message(&intake, "m1");
	expect_message(&intake, "m2");
	acknowledge(&intake);
	expect_message(&intake, "m3");
	lane_expect_nothing(&intake);
	intake.broker->driver->cut(intake.broker);
	lane_reconnect(&intake);
	expect_message(&intake, "m3");
	destroy_both(&relay, &intake);
}

static void no_more_than_the_prefetch_is_unacknowledged(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	rig->config.rabbitmq.prefetch_count = 2;
	rig->config.mqtt.receive_maximum = 2;
	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m3", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 3);
	expect_message(&intake, "m1");
	expect_message(&intake, "m2");
	lane_expect_nothing(&intake);
	acknowledge(&intake);
	expect_message(&intake, "m3");
	destroy_both(&relay, &intake);
}

static void who_leaves_messages_lying_is_to_come_again_at_once(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	expect_message(&intake, "m1");
	assert_true(intake.wait.until <= clock_monotonic());
	expect_message(&intake, "m2");
	destroy_both(&relay, &intake);
}

static void consumers_compete_for_the_messages_of_a_queue(void **state)
{
	struct rig *rig = *state;
	struct runtime_config rival;
	struct lane relay, first, second;

	rig->config.rabbitmq.prefetch_count = 1;
	rig->config.mqtt.share_group = "group";
	rival = rig->config;
	rival.mqtt.client_id = rig->rival;
	open_both(rig, &relay, &first);
	lane_open(&second, &rival, BROKER_CONSUMER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	lane_expect(&first, BROKER_DELIVERED);
	lane_expect(&second, BROKER_DELIVERED);
	assert_false(span_equal(first.event.delivery.message_id,
				second.event.delivery.message_id));
	lane_destroy(&second);
	destroy_both(&relay, &first);
}

static void a_message_published_before_any_intake_ran_waits(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	assert_int_equal(lane_expect(&relay, BROKER_CONFIRMED)->tag, 1);
	lane_destroy(&relay);
	lane_open(&intake, &rig->config, BROKER_CONSUMER);
	expect_message(&intake, "m1");
	lane_destroy(&intake);
}

static void a_consumer_that_stops_still_acknowledges(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 1);
	expect_message(&intake, "m1");
	intake.broker->driver->stop_consuming(intake.broker);
	lane_expect_nothing(&intake);
	lane_publish(&relay, "m2", NULL, SPAN_LIT("{}"));
	lane_settle(&relay, 2);
	lane_expect_nothing(&intake);
	acknowledge(&intake);
	intake.broker->driver->close(intake.broker, clock_monotonic());
	assert_int_equal(lane_expect(&intake, BROKER_DOWN)->error.status,
			 STATUS_OK);
	lane_reconnect(&intake);
	expect_message(&intake, "m2");
	lane_expect_nothing(&intake);
	destroy_both(&relay, &intake);
}

/* ---- the connection ---- */

static void closing_sends_what_is_pending(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	relay.broker->driver->close(relay.broker, clock_monotonic());
	do {
		lane_next(&relay);
	} while (relay.event.kind == BROKER_CONFIRMED);
	assert_int_equal(relay.event.kind, BROKER_DOWN);
	assert_int_equal(relay.event.error.status, STATUS_OK);
	lane_expect_nothing(&relay);
	expect_message(&intake, "m1");
	destroy_both(&relay, &intake);
}

static void cutting_is_no_event(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	relay.broker->driver->cut(relay.broker);
	relay.broker->driver->cut(relay.broker);
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
}

static void a_lane_that_is_down_takes_every_call(void **state)
{
	struct rig *rig = *state;
	const struct broker_driver *driver;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	driver = relay.broker->driver;
	driver->cut(relay.broker);
	driver->acknowledge(relay.broker, 1);
	driver->stop_consuming(relay.broker);
	driver->close(relay.broker, clock_monotonic());
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
	driver->destroy(NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest cases[] = {
	CASE(a_published_message_is_confirmed),
	CASE(every_one_of_many_messages_is_confirmed_once),
	CASE(only_the_unroutable_message_is_returned),
	CASE(a_message_is_returned_before_it_is_confirmed),
	CASE(two_messages_of_one_id_are_returned_by_their_own_tags),
	CASE(what_no_broker_carries_is_refused_at_once),
	CASE(tags_begin_anew_on_every_connection),
	CASE(what_was_published_arrives),
	CASE(what_a_message_lacks_is_absent),
	CASE(strings_of_255_bytes_arrive_whole),
	CASE(bodies_of_every_size_arrive_whole),
	CASE(messages_arrive_in_the_order_of_their_publishing),
	CASE(an_unacknowledged_message_is_delivered_again),
	CASE(an_acknowledgement_covers_what_came_before),
	CASE(no_more_than_the_prefetch_is_unacknowledged),
	CASE(who_leaves_messages_lying_is_to_come_again_at_once),
	CASE(consumers_compete_for_the_messages_of_a_queue),
	CASE(a_message_published_before_any_intake_ran_waits),
	CASE(a_consumer_that_stops_still_acknowledges),
	CASE(closing_sends_what_is_pending),
	CASE(cutting_is_no_event),
	CASE(a_lane_that_is_down_takes_every_call),
};

int main(int argc, char **argv)
{
	const char *variable = "";
	int failed;

	broker_type = argc > 1 ? argv[1] : "memory";
	broker_host = "contract";
	if (strcmp(broker_type, "rabbitmq") == 0)
		variable = "POSTBUS_TEST_RABBITMQ";
	if (is_mqtt())
		variable = "POSTBUS_TEST_MOSQUITTO";
	if (*variable != '\0')
		broker_host = getenv(variable);
	if (broker_host == NULL) {
		printf("1..0 # SKIP no server in %s\n", variable);
		return 0;
	}
	failed = cmocka_run_group_tests_name(broker_type, cases, NULL, NULL);
	if (failed == 0)
		memory_brokers_forget();
	return failed;
}
