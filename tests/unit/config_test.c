/* SPDX-License-Identifier: MIT */
/* A whole config: what follows from what, and what makes no sense. */
#include "store/config.h"

#include "unit.h"

struct setting {
	const char *name;
	const char *value;
};

/* A config with these settings, ends in {0}. */
static void begin(struct runtime_config *config, const struct setting *settings)
{
	assert_int_equal(config_init(config, "edge", NULL), 0);
	for (; settings->name != NULL; settings++) {
		const struct config_field *field =
			config_field_find(span_of(settings->name));

		assert_non_null(field);
		assert_int_equal(config_put(config, field,
					    span_of(settings->value), NULL),
				 0);
	}
}

#define BEGIN(config, ...) \
	begin((config), (const struct setting[]){__VA_ARGS__, {0}})

#define assert_nonsense(sentence, ...) \
	assert_nonsense_is((sentence), \
			   (const struct setting[]){__VA_ARGS__, {0}})
static void assert_nonsense_is(const char *sentence,
			       const struct setting *settings)
{
	struct runtime_config config;
	struct error err = {.text = ""};

	begin(&config, settings);
	assert_int_equal(config_finish(&config, &err), STATUS_INVALID);
	if (strstr(err.text, sentence) == NULL)
		fail_msg("%s", err.text);
	config_destroy(&config);
}

static void finish(struct runtime_config *config)
{
	struct error err = {.text = ""};

	if (config_finish(config, &err) < 0)
		fail_msg("%s", err.text);
}

static void a_config_begins_with_its_defaults(void **state)
{
	struct runtime_config config;

	(void)state;
	assert_int_equal(config_init(&config, "default", NULL), 0);
	assert_string_equal(config.config_key, "default");
	assert_true(config.is_active);
	assert_string_equal(config.broker_type, "rabbitmq");
	assert_string_equal(config.host, "127.0.0.1");
	assert_int_equal(config.port, 0);
	assert_null(config.source_service);
	assert_true(config.retry_max_seconds == 300);
	assert_string_equal(config.rabbitmq.virtual_host, "/");
	assert_null(config.rabbitmq.queue);
	assert_int_equal(config.mqtt.protocol_version, 5);
	assert_true(config.heartbeat_interval_seconds == 0);
	config_destroy(&config);
}

static void the_service_names_queue_bindings_and_dead_letters(void **state)
{
	struct runtime_config config;

	(void)state;
	BEGIN(&config, {"source_service", "shop"});
	finish(&config);
	assert_int_equal(config.port, 5672);
	assert_string_equal(config.rabbitmq.queue, "shop");
	assert_string_equal(config.rabbitmq.binding_keys,
			    "[\"shop.request.#\",\"shop.response.#\"]");
	assert_string_equal(config.rabbitmq.dead_letter_exchange, "shop.dlx");
	config_destroy(&config);
}

static void what_is_set_stays(void **state)
{
	struct runtime_config config;

	(void)state;
	BEGIN(&config, {"queue", "q"}, {"binding_keys", "[]"},
	      {"dead_letter_exchange", "dead"}, {"port", "99"});
	finish(&config);
	assert_string_equal(config.rabbitmq.queue, "q");
	assert_string_equal(config.rabbitmq.binding_keys, "[]");
	assert_string_equal(config.rabbitmq.dead_letter_exchange, "dead");
	assert_int_equal(config.port, 99);
	config_destroy(&config);
}

static void dead_letters_follow_the_queue(void **state)
{
	struct runtime_config config;

	(void)state;
	BEGIN(&config, {"source_service", "shop"}, {"queue", "q"},
	      {"tls", "1"});
	finish(&config);
	assert_string_equal(config.rabbitmq.dead_letter_exchange, "q.dlx");
	assert_int_equal(config.port, 5671);
	config_destroy(&config);
}

static void mqtt_needs_no_service(void **state)
{
	struct runtime_config config;

	(void)state;
	BEGIN(&config, {"broker_type", "mqtt"},
	      {"subscribe_topics", "[\"a/#\"]"});
	finish(&config);
	assert_string_equal(config.mqtt.client_id, "postbus-edge");
	assert_int_equal(config.port, 1883);
	config_destroy(&config);
	BEGIN(&config, {"broker_type", "mqtt"}, {"intake_enabled", "0"},
	      {"client_id", "me"}, {"tls", "1"});
	finish(&config);
	assert_string_equal(config.mqtt.client_id, "me");
	assert_int_equal(config.port, 8883);
	config_destroy(&config);
}

static void what_is_missing_is_named(void **state)
{
	(void)state;
	assert_nonsense("source_service is not set", {"queue", "q"});
	assert_nonsense("source_service is not set", {"binding_keys", "[]"});
	assert_nonsense("subscribe_topics is not set", {"broker_type", "mqtt"});
	assert_nonsense("subscribe_topics is not set", {"broker_type", "mqtt"},
			{"subscribe_topics", "[]"});
	assert_nonsense("will_payload is set without will_topic",
			{"broker_type", "mqtt"}, {"intake_enabled", "0"},
			{"will_payload", "gone"});
	assert_nonsense("tls_cert_file and tls_key_file",
			{"source_service", "shop"}, {"tls_cert_file", "c"});
}

static void what_does_not_agree_is_named(void **state)
{
	(void)state;
	assert_nonsense("relay_enabled and intake_enabled are both false",
			{"source_service", "shop"}, {"relay_enabled", "0"},
			{"intake_enabled", "0"});
	assert_nonsense("retry_base_seconds is 10; it must be at most "
			"retry_max_seconds, which is 5",
			{"source_service", "shop"},
			{"retry_base_seconds", "10"},
			{"retry_max_seconds", "5"});
	assert_nonsense("source_service is \"a#\"", {"source_service", "a#"});
	assert_nonsense("share_group is \"a/b\"", {"broker_type", "mqtt"},
			{"subscribe_topics", "[\"a\"]"},
			{"share_group", "a/b"});
}

static void hosts_may_be_many_with_ports(void **state)
{
	static const char *const good[] = {
		"a",	    "a:5672",
		"a:5672,b", "127.0.0.1:1,broker.example:65535",
		"[::1]",    "[::1]:5672,a"};
	static const char *const bad[] = {
		"a,",	",a",	  "a:",	      "a:0",  "a:65536",
		"a:x",	":5672",  "a b",      "a, b", "::1",
		"[::1", "[::1]x", "amqp://a", "u@a",  "a:123456"};
	struct runtime_config config;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		BEGIN(&config, {"source_service", "shop"}, {"host", good[i]});
		finish(&config);
		config_destroy(&config);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_nonsense("it must be a name or name:port",
				{"source_service", "shop"}, {"host", bad[i]});
}

static void without_memory_finishing_is_an_error(void **state)
{
	(void)state;
	for (unsigned nth = 1; nth < 6; nth++) {
		struct runtime_config config;
		int status;

		memory_ends_at(nth);
		status = config_init(&config, "default", NULL);
		assert_int_equal(status < 0, memory_ended());
		memory_ends_at(0);
		if (status == 0)
			config_destroy(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_config_begins_with_its_defaults),
		cmocka_unit_test(
			the_service_names_queue_bindings_and_dead_letters),
		cmocka_unit_test(what_is_set_stays),
		cmocka_unit_test(dead_letters_follow_the_queue),
		cmocka_unit_test(mqtt_needs_no_service),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(what_does_not_agree_is_named),
		cmocka_unit_test(hosts_may_be_many_with_ports),
		cmocka_unit_test(without_memory_finishing_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
