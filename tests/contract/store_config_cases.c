/* SPDX-License-Identifier: MIT */
/* The runtime config in its tables, and the worker's signs of life. */
#include "store_kit.h"

#include <stdio.h>

#define CONFIG "event_bus_runtime_config"

static struct runtime_config load(struct kit *kit)
{
	struct runtime_config config;

	must(kit, kit->store->driver->config_load(kit->store, "default",
						  &config, &kit->err));
	return config;
}

static int64_t version(struct kit *kit)
{
	int64_t found = 0;

	must(kit, kit->store->driver->config_version(kit->store, "default",
						     &found, &kit->err));
	return found;
}

static void save(struct kit *kit, const char *name, const char *value)
{
	struct config_change change = {config_field_find(span_of(name)),
				       span_of(value)};

	assert_non_null(change.field);
	must(kit, kit->store->driver->config_save(kit->store, "default",
						  &change, 1, &kit->err));
}

static void a_config_that_is_not_there_is_not_found(void **state)
{
	struct kit *kit = *state;
	const struct store_driver *driver = kit->store->driver;
	struct runtime_config config;
	int64_t found;

	assert_int_equal(
		driver->config_load(kit->store, "none", &config, &kit->err),
		STATUS_NOT_FOUND);
	assert_non_null(strstr(kit->err.text, "postbus config set none"));
	assert_int_equal(
		driver->config_version(kit->store, "none", &found, &kit->err),
		STATUS_NOT_FOUND);
}

static void a_row_of_plain_sql_has_every_default(void **state)
{
	struct kit *kit = *state;
	struct runtime_config config, initial;
	struct arena arena = {0};

	sql_run(kit, "INSERT INTO " CONFIG " (config_key) VALUES ('default')");
	config = load(kit);
	must(kit, config_init(&initial, "default", &kit->err));
	initial.heartbeat_interval_seconds =
		kit->store->driver->heartbeat_seconds;
	assert_string_equal(config.config_key, "default");
	for (size_t i = 0; i < config_field_count; i++) {
		struct span found =
			config_get(&config, &config_fields[i], &arena);
		struct span wanted =
			config_get(&initial, &config_fields[i], &arena);

		if (!span_equal(found, wanted) ||
		    span_present(found) != span_present(wanted))
			fail_msg("%s is %.*s, not %.*s", config_fields[i].name,
				 SPAN_ARG(found), SPAN_ARG(wanted));
	}
	arena_finish(&arena);
	config_destroy(&config);
	config_destroy(&initial);
}

/* The settings' defaults are in the tables too, for who reads them there. */
static void settings_rows_of_plain_sql_have_every_default(void **state)
{
	struct kit *kit = *state;
	struct runtime_config config;

	sql_run(kit, "INSERT INTO " CONFIG " (config_key) VALUES ('default')");
	sql_run(kit, "INSERT INTO event_bus_rabbitmq_settings (config_id) "
		     "SELECT id FROM " CONFIG);
	sql_run(kit, "INSERT INTO event_bus_mqtt_settings (config_id) "
		     "SELECT id FROM " CONFIG);
	for (size_t i = 0; i < config_field_count; i++) {
		static const char *const tables[] = {
			CONFIG, "event_bus_rabbitmq_settings",
			"event_bus_mqtt_settings"};
		const struct config_field *field = &config_fields[i];
		char query[200];

		if (field->initial == NULL)
			continue;
		snprintf(query, sizeof(query),
			 "SELECT count(*) FROM %s WHERE \"%s\" = '%s'",
			 tables[field->section], field->name, field->initial);
		if (sql_integer(kit, query) != 1)
			fail_msg("%s is not %s by default", field->name,
				 field->initial);
	}
	config = load(kit);
	assert_string_equal(config.rabbitmq.exchange, "interservice");
	assert_int_equal(config.mqtt.session_expiry_seconds, 86400);
	config_destroy(&config);
}

/* A canonical value for each field that is not its default. */
static const char *another_value(const struct config_field *field)
{
	switch (field->type) {
	case CONFIG_BOOLEAN:
		return strcmp(field->initial, "1") == 0 ? "0" : "1";
	case CONFIG_CHOICE:
		return strrchr(field->choices, '|') + 1;
	case CONFIG_INTEGER:
		return strcmp(field->name, "qos") == 0		      ? "2"
		       : strcmp(field->name, "protocol_version") == 0 ? "4"
								      : "777";
	case CONFIG_SECONDS:
		return strcmp(field->name, "heartbeat_seconds") == 0 ? "60"
								     : "0.25";
	case CONFIG_LIST:
		return "[\"a.#\",\"\xc3\xa9 \\\"b\\\"\"]";
	case CONFIG_STRING:
	case CONFIG_SECRET:
		break;
	}
	return "it's \xc3\xa9";
}

static void every_setting_comes_back_as_it_was_saved(void **state)
{
	struct kit *kit = *state;
	struct runtime_config config;
	struct arena arena = {0};

	for (size_t i = 0; i < config_field_count; i++)
		save(kit, config_fields[i].name,
		     another_value(&config_fields[i]));
	config = load(kit);
	for (size_t i = 0; i < config_field_count; i++) {
		struct span found =
			config_get(&config, &config_fields[i], &arena);

		if (!span_is(found, another_value(&config_fields[i])))
			fail_msg("%s is %.*s", config_fields[i].name,
				 SPAN_ARG(found));
	}
	arena_finish(&arena);
	config_destroy(&config);
}

static void saving_creates_what_is_missing_at_once(void **state)
{
	struct kit *kit = *state;
	const struct config_change changes[] = {
		{config_field_find(SPAN_LIT("host")), SPAN_LIT("broker")},
		{config_field_find(SPAN_LIT("rabbitmq.queue")), SPAN_LIT("q")},
		{config_field_find(SPAN_LIT("mqtt.qos")), SPAN_LIT("2")},
	};
	struct runtime_config config;

	must(kit, kit->store->driver->config_save(kit->store, "default",
						  changes, 3, &kit->err));
	config = load(kit);
	assert_true(config.is_active);
	assert_string_equal(config.host, "broker");
	assert_string_equal(config.rabbitmq.queue, "q");
	assert_int_equal(config.mqtt.qos, 2);
	assert_int_equal(config.version, version(kit));
	config_destroy(&config);
}

static void saving_nothing_creates_the_row(void **state)
{
	struct kit *kit = *state;

	must(kit, kit->store->driver->config_save(kit->store, "default", NULL,
						  0, &kit->err));
	assert_true(version(kit) > 0);
}

static void an_absent_value_is_the_default_again(void **state)
{
	struct kit *kit = *state;
	struct runtime_config config;

	save(kit, "host", "broker");
	save(kit, "port", "1234");
	save(kit, "prefetch_count", "7");
	save(kit, "host", NULL);
	save(kit, "port", NULL);
	save(kit, "prefetch_count", NULL);
	config = load(kit);
	assert_string_equal(config.host, "127.0.0.1");
	assert_int_equal(config.port, 0);
	assert_int_equal(config.rabbitmq.prefetch_count, 1000);
	config_destroy(&config);
}

static void the_version_rises_with_every_change(void **state)
{
	static const char *const changes[] = {
		"UPDATE " CONFIG " SET host = 'other'",
		"UPDATE " CONFIG " SET is_active = false",
		"INSERT INTO event_bus_mqtt_settings (config_id) "
		"SELECT id FROM " CONFIG,
		"UPDATE event_bus_mqtt_settings SET qos = 2",
		"DELETE FROM event_bus_mqtt_settings",
		"UPDATE event_bus_rabbitmq_settings SET queue = 'other'",
	};
	struct kit *kit = *state;
	int64_t before;

	save(kit, "queue", "q");
	before = version(kit);
	save(kit, "queue", "other");
	assert_true(version(kit) > before);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		before = version(kit);
		sql_run(kit, "%s", changes[i]);
		if (version(kit) <= before)
			fail_msg("not by: %s", changes[i]);
	}
}

static void a_version_that_somebody_wrote_back_still_rises(void **state)
{
	struct kit *kit = *state;
	int64_t before;

	save(kit, "host", "a");
	save(kit, "host", "b");
	before = version(kit);
	sql_run(kit, "UPDATE " CONFIG " SET host = 'c', version = 1");
	assert_true(version(kit) > before);
}

static void a_stored_value_that_cannot_be_is_named(void **state)
{
	struct kit *kit = *state;
	struct runtime_config config;

	sql_run(kit, "INSERT INTO " CONFIG " (config_key, broker_type) "
		     "VALUES ('default', 'pigeon')");
	assert_int_equal(kit->store->driver->config_load(kit->store, "default",
							 &config, &kit->err),
			 STATUS_INVALID);
	assert_non_null(strstr(kit->err.text, "default"));
	assert_non_null(strstr(kit->err.text, "broker_type"));
	assert_non_null(strstr(kit->err.text, "pigeon"));
	assert_non_null(strstr(kit->err.text, "rabbitmq|mqtt"));
}

/* ---- worker ---- */

static struct heartbeat beat(const char *worker_id)
{
	return (struct heartbeat){
		.worker_id = worker_id,
		.config_key = "default",
		.hostname = "host",
		.pid = 123,
		.version = "0.1.0",
		.broker_type = "rabbitmq",
		.relay_state = "running",
		.config_version = 7,
		.last_error = "no route",
		.worker_status = "running",
	};
}

#define WORKER_A "00000000-0000-4000-8000-00000000000a"
#define WORKER_B "00000000-0000-4000-8000-00000000000b"

static void a_heartbeat_writes_the_worker_and_its_config(void **state)
{
	struct kit *kit = *state;
	struct heartbeat sign = beat(WORKER_A);

	save(kit, "host", "broker");
	must(kit, kit->store->driver->heartbeat(kit->store, &sign, &kit->err));
	assert_sql(kit,
		   "SELECT count(*) FROM event_bus_worker WHERE "
		   "id = '" WORKER_A "' AND config_key = 'default' "
		   "AND hostname = 'host' AND pid = 123 AND version = '0.1.0' "
		   "AND broker_type = 'rabbitmq' AND relay_state = 'running' "
		   "AND intake_state IS NULL AND config_version = 7 "
		   "AND last_error = 'no route' AND heartbeat_at = started_at",
		   "1");
	assert_sql(kit, "SELECT worker_status FROM " CONFIG, "running");
	assert_sql(kit, "SELECT worker_last_error FROM " CONFIG, "no route");
	assert_sql(kit,
		   "SELECT count(*) FROM " CONFIG
		   " WHERE worker_heartbeat_at IS NOT NULL",
		   "1");
}

static void the_next_heartbeat_replaces_the_last(void **state)
{
	struct kit *kit = *state;
	struct heartbeat sign = beat(WORKER_A);

	must(kit, kit->store->driver->heartbeat(kit->store, &sign, &kit->err));
	sign.relay_state = NULL;
	sign.intake_state = "away";
	sign.last_error = NULL;
	must(kit, kit->store->driver->heartbeat(kit->store, &sign, &kit->err));
	assert_sql(kit,
		   "SELECT count(*) FROM event_bus_worker WHERE "
		   "relay_state IS NULL AND intake_state = 'away' "
		   "AND last_error IS NULL",
		   "1");
}

static void a_worker_that_waits_for_its_config_has_a_heartbeat_too(void **state)
{
	struct kit *kit = *state;
	struct heartbeat sign = beat(WORKER_A);

	save(kit, "host", "broker");
	sign.broker_type = sign.relay_state = NULL;
	sign.worker_status = "waiting";
	must(kit, kit->store->driver->heartbeat(kit->store, &sign, &kit->err));
	assert_sql(kit,
		   "SELECT count(*) FROM event_bus_worker "
		   "WHERE broker_type IS NULL",
		   "1");
	assert_sql(kit, "SELECT worker_status FROM " CONFIG, "waiting");
}

static void heartbeats_do_not_raise_the_version(void **state)
{
	struct kit *kit = *state;
	struct heartbeat sign = beat(WORKER_A);
	int64_t before;

	save(kit, "host", "broker");
	before = version(kit);
	must(kit, kit->store->driver->heartbeat(kit->store, &sign, &kit->err));
	must(kit, kit->store->driver->farewell(kit->store, &sign, &kit->err));
	assert_int_equal(version(kit), before);
}

static void a_worker_without_a_config_row_still_shows(void **state)
{
	struct kit *kit = *state;
	struct heartbeat sign = beat(WORKER_A);

	must(kit, kit->store->driver->heartbeat(kit->store, &sign, &kit->err));
	assert_sql(kit, "SELECT count(*) FROM event_bus_worker", "1");
}

static void a_farewell_removes_the_worker_alone(void **state)
{
	struct kit *kit = *state;
	struct heartbeat first = beat(WORKER_A);
	struct heartbeat second = beat(WORKER_B);

	save(kit, "host", "broker");
	must(kit, kit->store->driver->heartbeat(kit->store, &first, &kit->err));
	must(kit,
	     kit->store->driver->heartbeat(kit->store, &second, &kit->err));
	must(kit, kit->store->driver->farewell(kit->store, &first, &kit->err));
	assert_sql(kit, "SELECT id FROM event_bus_worker", WORKER_B);
	assert_sql(kit, "SELECT worker_status FROM " CONFIG, "stopped");
}

static void a_worker_silent_for_days_is_forgotten(void **state)
{
	struct kit *kit = *state;
	struct heartbeat dead = beat(WORKER_A);
	struct heartbeat alive = beat(WORKER_B);

	must(kit, kit->store->driver->heartbeat(kit->store, &dead, &kit->err));
	sql_run(kit, "UPDATE event_bus_worker SET "
		     "heartbeat_at = '2020-01-01 00:00:00.000000'");
	must(kit, kit->store->driver->heartbeat(kit->store, &alive, &kit->err));
	assert_sql(kit, "SELECT count(*) FROM event_bus_worker", "1");
	assert_sql(kit, "SELECT id FROM event_bus_worker", WORKER_B);
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(a_config_that_is_not_there_is_not_found),
	STORE_TEST(a_row_of_plain_sql_has_every_default),
	STORE_TEST(settings_rows_of_plain_sql_have_every_default),
	STORE_TEST(every_setting_comes_back_as_it_was_saved),
	STORE_TEST(saving_creates_what_is_missing_at_once),
	STORE_TEST(saving_nothing_creates_the_row),
	STORE_TEST(an_absent_value_is_the_default_again),
	STORE_TEST(the_version_rises_with_every_change),
	STORE_TEST(a_version_that_somebody_wrote_back_still_rises),
	STORE_TEST(a_stored_value_that_cannot_be_is_named),
	STORE_TEST(a_heartbeat_writes_the_worker_and_its_config),
	STORE_TEST(the_next_heartbeat_replaces_the_last),
	STORE_TEST(a_worker_that_waits_for_its_config_has_a_heartbeat_too),
	STORE_TEST(heartbeats_do_not_raise_the_version),
	STORE_TEST(a_worker_without_a_config_row_still_shows),
	STORE_TEST(a_farewell_removes_the_worker_alone),
	STORE_TEST(a_worker_silent_for_days_is_forgotten),
};

const struct kit_cases config_cases = {tests, sizeof(tests) / sizeof(*tests)};
