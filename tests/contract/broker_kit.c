/* SPDX-License-Identifier: MIT */
/* Configs of their own names, and what most cases do. */
#include "broker_kit.h"

#include <stdio.h>
#include <string.h>

const char *broker_type;
const char *broker_host;

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

int broker_setup(void **state)
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

int broker_teardown(void **state)
{
	struct rig *rig = *state;

	config_destroy(&rig->config);
	test_free(rig);
	return 0;
}

void open_both(struct rig *rig, struct lane *relay, struct lane *intake)
{
	lane_open(relay, &rig->config, BROKER_PUBLISHER);
	lane_open(intake, &rig->config, BROKER_CONSUMER);
}

void destroy_both(struct lane *relay, struct lane *intake)
{
	lane_destroy(relay);
	lane_destroy(intake);
}

void expect_message(struct lane *intake, const char *message_id)
{
	const struct broker_event *event =
		lane_expect(intake, BROKER_DELIVERED);

	if (!span_is(event->delivery.message_id, message_id))
		fail_msg("message %.*s instead of %s",
			 SPAN_ARG(event->delivery.message_id), message_id);
}

void assert_topic(const struct delivery *got, struct span topic)
{
	assert_true(span_equal(is_mqtt() ? got->bus_topic : got->topic, topic));
}

void acknowledge(struct lane *intake)
{
	intake->broker->driver->acknowledge(intake->broker,
					    intake->event.delivery.tag);
}
