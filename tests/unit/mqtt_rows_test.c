/* SPDX-License-Identifier: MIT */
/* Every sample of tests/data/edgex becomes its row, each a test of its name. */
#include "unit.h"

#include <glob.h>
#include <jansson.h>
#include <stdio.h>

#include "bus/intake.h"

/* ---- reading the tables ---- */

static struct span string_of(const json_t *sample, const char *name)
{
	return span_of(json_string_value(json_object_get(sample, name)));
}

/* The body in memory of just its size. */
static struct span body_of(const json_t *sample)
{
	const json_t *body = json_object_get(sample, "body");
	const char *digits = json_string_value(json_object_get(body, "hex"));
	struct buffer bytes;
	struct span copy;

	buffer_init(&bytes);
	if (digits == NULL)
		buffer_append_span(&bytes, string_of(sample, "body"));
	else
		for (unsigned byte; sscanf(digits, "%2x", &byte) == 1;
		     digits += 2)
			buffer_append(&bytes, &(char){(char)byte}, 1);
	copy = exact_copy(buffer_span(&bytes));
	buffer_finish(&bytes);
	return copy;
}

static struct delivery delivery_of(const json_t *sample, struct span body)
{
	return (struct delivery){
		.topic = string_of(sample, "topic"),
		.bus_topic = string_of(sample, "bus_topic"),
		.any_body = true,
		.body = body,
		.message_id = string_of(sample, "message_id"),
		.app_id = string_of(sample, "app_id"),
		.content_type = string_of(sample, "content_type"),
	};
}

/* ---- judging ---- */

static void assert_column(const char *name, struct span found,
			  struct span expected)
{
	if (span_present(found) != span_present(expected) ||
	    !span_equal(found, expected))
		fail_msg("%s: found %.*s, expected %.*s", name, (int)found.len,
			 found.at ? found.at : "", (int)expected.len,
			 expected.at ? expected.at : "");
}

static void assert_headers(struct span found, const json_t *expected)
{
	json_error_t error;
	json_t *headers;

	if (!span_present(found)) {
		assert_true(json_is_null(expected));
		return;
	}
	headers =
		json_loadb(found.at, found.len, JSON_REJECT_DUPLICATES, &error);
	if (!json_equal(headers, expected))
		fail_msg("headers: found %.*s", (int)found.len, found.at);
	json_decref(headers);
}

static void assert_row(const struct inbox_row *row, const json_t *sample)
{
	const json_t *expected = json_object_get(sample, "row");
	const struct envelope *envelope = &row->envelope;
	struct span topic = string_of(expected, "topic");

	if (span_present(row->rejected))
		fail_msg("rejected: %.*s", SPAN_ARG(row->rejected));
	if (!span_present(topic))
		topic = string_of(sample, "topic");
	assert_column("topic", envelope->topic, topic);
	assert_column("message_id", envelope->message_id,
		      string_of(expected, "message_id"));
	assert_column("message_type", envelope->message_type,
		      string_of(expected, "message_type"));
	assert_column("event_type", envelope->event_type,
		      string_of(expected, "event_type"));
	assert_column("source_service", envelope->source_service,
		      string_of(expected, "source_service"));
	assert_column("payload", envelope->payload,
		      string_of(expected, "payload"));
	assert_int_equal(envelope->chain_depth, 0);
	assert_headers(row->headers, json_object_get(expected, "headers"));
}

static void assert_judged(const struct inbox_row *row, const json_t *sample)
{
	if (json_object_get(sample, "row") != NULL)
		assert_row(row, sample);
	else
		assert_column("rejected", row->rejected,
			      string_of(sample, "rejected"));
}

/* With all the memory it needs, then with ever less: that is said, and never
 * ends in another row. */
static void becomes_its_row(void **state)
{
	const struct envelope_limits limits = ENVELOPE_LIMITS_DEFAULT;
	const json_t *sample = *state;
	struct span body = body_of(sample);
	const struct delivery delivery = delivery_of(sample, body);
	bool ended = true;

	for (unsigned nth = 1; ended; nth++) {
		struct arena arena = {0};
		struct inbox_row row;
		int status;

		memory_ends_at(nth);
		status = intake_judge(&row, &delivery, &limits, &arena, NULL);
		ended = memory_ended();
		memory_ends_at(0);
		assert_int_equal(status, ended ? STATUS_NO_MEMORY : 0);
		if (!ended)
			assert_judged(&row, sample);
		arena_finish(&arena);
	}
	free((char *)body.at);
}

/* ---- the tables ---- */

static json_t *load_tables(void)
{
	json_t *all = json_array();
	char pattern[4096];
	glob_t files;

	snprintf(pattern, sizeof(pattern), "%s/edgex/*.json",
		 getenv("TEST_DATA"));
	if (glob(pattern, 0, NULL, &files) != 0)
		return all;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		json_error_t error;
		json_t *table = json_load_file(files.gl_pathv[i],
					       JSON_REJECT_DUPLICATES, &error);

		if (table == NULL)
			fprintf(stderr, "%s:%d: %s\n", files.gl_pathv[i],
				error.line, error.text);
		json_array_extend(all, table);
		json_decref(table);
	}
	globfree(&files);
	return all;
}

int main(void)
{
	json_t *samples = load_tables();
	size_t count = json_array_size(samples);
	struct CMUnitTest *tests = calloc(count, sizeof(*tests));
	int failed = 1;
	json_t *sample;
	size_t i;

	if (count > 0 && tests != NULL) {
		json_array_foreach(samples, i, sample) tests[i] =
			(struct CMUnitTest){
				.name = json_string_value(
					json_object_get(sample, "name")),
				.test_func = becomes_its_row,
				.initial_state = sample,
			};
		failed = _cmocka_run_group_tests("mqtt rows", tests, count,
						 NULL, NULL);
	}
	free(tests);
	json_decref(samples);
	return failed;
}
