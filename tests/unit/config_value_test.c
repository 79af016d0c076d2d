/* SPDX-License-Identifier: MIT */
/* A setting as people type it, and as its column holds it. */
#include "store/config.h"

#include <stdio.h>

#include "unit.h"

static struct arena arena;

static int tear_down(void **state)
{
	(void)state;
	arena_finish(&arena);
	return 0;
}

static const struct config_field *field_named(const char *name)
{
	const struct config_field *field = config_field_find(span_of(name));

	assert_non_null(field);
	return field;
}

static void assert_canonical(const char *name, const char *typed,
			     const char *expected)
{
	struct span canonical = SPAN_LIT("untouched");
	struct error err = {.text = ""};

	if (config_field_canonical(field_named(name), span_of(typed), &arena,
				   &canonical, &err) < 0)
		fail_msg("%s=%s: %s", name, typed, err.text);
	if (expected == NULL)
		assert_false(span_present(canonical));
	else
		assert_span(canonical, expected);
}

static void assert_refused(const char *name, struct span typed,
			   const char *sentence)
{
	struct span canonical = SPAN_LIT("untouched");
	struct error err = {.text = ""};

	assert_int_equal(config_field_canonical(field_named(name), typed,
						&arena, &canonical, &err),
			 STATUS_INVALID);
	assert_string_equal(err.text, sentence);
	assert_span(canonical, "untouched");
}

static void every_field_has_its_name_once_and_a_help_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *field = &config_fields[i];

		assert_ptr_equal(field_named(field->name), field);
		assert_true(field->help != NULL && field->help[0] != '\0');
		assert_null(strchr(field->help, '\n'));
		if (i > 0)
			assert_true(config_fields[i - 1].section <=
				    field->section);
	}
}

static void every_default_is_a_value_that_is_allowed(void **state)
{
	(void)state;
	for (size_t i = 0; i < config_field_count; i++)
		if (config_fields[i].initial != NULL)
			assert_canonical(config_fields[i].name,
					 config_fields[i].initial,
					 config_fields[i].initial);
}

static void a_field_is_found_with_or_without_its_section(void **state)
{
	(void)state;
	assert_ptr_equal(field_named("rabbitmq.queue"), field_named("queue"));
	assert_ptr_equal(field_named("mqtt.qos"), field_named("qos"));
	assert_null(config_field_find(SPAN_LIT("mqtt.queue")));
	assert_null(config_field_find(SPAN_LIT("rabbitmq.")));
	assert_null(config_field_find(SPAN_LIT("config_key")));
	assert_null(config_field_find(SPAN_LIT("version")));
	assert_null(config_field_find(SPAN_LIT("")));
}

static void nothing_typed_is_null(void **state)
{
	(void)state;
	assert_canonical("host", "", NULL);
	assert_canonical("port", "  ", NULL);
	assert_canonical("binding_keys", "", NULL);
	assert_canonical("password", NULL, NULL);
}

static void truth_has_many_words(void **state)
{
	static const char *const yes[] = {"1",	 "true", "TRUE",
					  "Yes", "on",	 "t"};
	static const char *const no[] = {"0", "false", "no", "OFF", "f"};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		assert_canonical("tls", yes[i], "1");
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		assert_canonical("tls", no[i], "0");
	assert_refused("tls", SPAN_LIT("maybe"),
		       "tls is \"maybe\"; it must be true or false");
	assert_refused("tls", SPAN_LIT("tru"),
		       "tls is \"tru\"; it must be true or false");
}

static void a_choice_is_one_of_those_listed(void **state)
{
	(void)state;
	assert_canonical("broker_type", " mqtt ", "mqtt");
	assert_refused("broker_type", SPAN_LIT("rabbit"),
		       "broker_type is \"rabbit\"; it must be one of "
		       "rabbitmq|mqtt");
	assert_refused("broker_type", SPAN_LIT("rabbitmq|mqtt"),
		       "broker_type is \"rabbitmq|mqtt\"; it must be one of "
		       "rabbitmq|mqtt");
	assert_refused("queue_type", SPAN_LIT("Quorum"),
		       "queue_type is \"Quorum\"; it must be one of "
		       "quorum|classic");
}

static void a_whole_number_is_whole_and_in_range(void **state)
{
	static const char *const bad[] = {
		"0",	"65536", "5672.5", "1e3", "0x10",
		"five", "-1",	 "1 2",	   "+",	  "99999999999999999999"};
	char sentence[128];

	(void)state;
	assert_canonical("port", " 5672 ", "5672");
	assert_canonical("port", "+05672", "5672");
	assert_canonical("session_expiry_seconds", "4294967295", "4294967295");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(sentence, sizeof(sentence),
			 "port is \"%s\"; it must be a whole number from 1 to "
			 "65535",
			 bad[i]);
		assert_refused("port", span_of(bad[i]), sentence);
	}
}

static void seconds_may_have_a_fraction(void **state)
{
	static const char *const bad[] = {"inf", "nan", "0x1p3", "1,5",
					  "301", "0",	"ten"};
	char sentence[128];

	(void)state;
	assert_canonical("connect_timeout", "0.2", "0.2");
	assert_canonical("connect_timeout", "10.0", "10");
	assert_canonical("connect_timeout", "2e1", "20");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(sentence, sizeof(sentence),
			 "connect_timeout is \"%s\"; it must be a number of "
			 "seconds from 0.1 to 300",
			 bad[i]);
		assert_refused("connect_timeout", span_of(bad[i]), sentence);
	}
}

static void a_list_is_commas_or_json(void **state)
{
	(void)state;
	assert_canonical("binding_keys", "a.#, event.*.b",
			 "[\"a.#\",\"event.*.b\"]");
	assert_canonical("binding_keys", "a", "[\"a\"]");
	assert_canonical("binding_keys", " [ \"a\" , \"b,c\\u00e9\" ] ",
			 "[\"a\",\"b,c\xc3\xa9\"]");
	assert_canonical("binding_keys", "[]", "[]");
	assert_canonical("binding_keys", "say \"x\"", "[\"say \\\"x\\\"\"]");
}

static void a_list_of_something_else_is_refused(void **state)
{
	static const char *const bad[] = {"a,,b",   "a,b,",   "[1]",
					  "[\"\"]", "[\"a\"", "[[\"a\"]]"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct span canonical;
		struct error err;

		assert_int_equal(
			config_field_canonical(field_named("binding_keys"),
					       span_of(bad[i]), &arena,
					       &canonical, &err),
			STATUS_INVALID);
		assert_non_null(strstr(err.text, "binding_keys is"));
		assert_non_null(strstr(err.text, "a,b,c or a JSON array"));
	}
}

static void a_text_is_one_line_of_utf8(void **state)
{
	(void)state;
	assert_canonical("queue", " it's \xc3\xa9 ", " it's \xc3\xa9 ");
	assert_refused("queue", SPAN_LIT("a\nb"),
		       "queue is \"a\\x0ab\"; it must be one line of UTF-8 "
		       "text without control characters");
	assert_refused("queue", SPAN_LIT("\xff"),
		       "queue is \"\\xff\"; it must be one line of UTF-8 text "
		       "without control characters");
}

static void a_secret_is_not_repeated_in_an_error(void **state)
{
	(void)state;
	assert_canonical("password", " p w ", " p w ");
	assert_refused("password", SPAN_LIT("canary\n"),
		       "password must be one line of UTF-8 text without "
		       "control characters");
}

static void what_is_put_is_what_is_got(void **state)
{
	static const char *const values[][2] = {
		{"host", "broker"},
		{"port", "1234"},
		{"connect_timeout", "0.2"},
		{"tls", "1"},
		{"binding_keys", "[\"a\"]"},
		{"password", "env:P"},
		{"qos", "0"},
	};
	struct runtime_config config;

	(void)state;
	assert_int_equal(config_init(&config, "default", NULL), 0);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		const struct config_field *field = field_named(values[i][0]);

		assert_int_equal(
			config_put(&config, field, span_of(values[i][1]), NULL),
			0);
		assert_span(config_get(&config, field, &arena), values[i][1]);
		assert_int_equal(config_put(&config, field, SPAN_NONE, NULL),
				 0);
		if (field->initial == NULL)
			assert_false(span_present(
				config_get(&config, field, &arena)));
		else
			assert_span(config_get(&config, field, &arena),
				    field->initial);
	}
	config_destroy(&config);
}

static void without_memory_a_value_is_an_error(void **state)
{
	static const char *const values[][2] = {
		{"host", "broker"}, {"binding_keys", "[\"a\\u0041\"]"}};

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (unsigned nth = 1; nth < 10; nth++) {
			struct span canonical;
			int status;

			arena_finish(&arena);
			memory_ends_at(nth);
			status = config_field_canonical(
				field_named(values[i][0]),
				span_of(values[i][1]), &arena, &canonical,
				NULL);
			assert_int_equal(status < 0, memory_ended());
			memory_ends_at(0);
		}
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_field_has_its_name_once_and_a_help_line),
		TEST(every_default_is_a_value_that_is_allowed),
		TEST(a_field_is_found_with_or_without_its_section),
		TEST(nothing_typed_is_null),
		TEST(truth_has_many_words),
		TEST(a_choice_is_one_of_those_listed),
		TEST(a_whole_number_is_whole_and_in_range),
		TEST(seconds_may_have_a_fraction),
		TEST(a_list_is_commas_or_json),
		TEST(a_list_of_something_else_is_refused),
		TEST(a_text_is_one_line_of_utf8),
		TEST(a_secret_is_not_repeated_in_an_error),
		TEST(what_is_put_is_what_is_got),
		TEST(without_memory_a_value_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
