/* SPDX-License-Identifier: MIT */
/* Envelopes: what the table of cases cannot say. */
#include "unit.h"

#include "message/envelope.h"

static const struct envelope_limits limits = {.max_message_bytes = 1024 * 1024,
					      .max_chain_depth = 32};

static struct envelope event(void)
{
	struct envelope envelope, nothing;

	envelope_init(&envelope);
	envelope_init(&nothing);
	envelope.message_id = SPAN_LIT("m");
	envelope.message_type = SPAN_LIT("event");
	envelope.topic = SPAN_LIT("event.a.b.c");
	envelope.event_type = SPAN_LIT("x");
	envelope_normalise(&envelope, &nothing);
	return envelope;
}

static void strings_without_escapes_stay_in_the_body(void **state)
{
	struct span body = SPAN_LIT("{\"topic\":\"t\",\"payload\":{\"a\":1}}");
	struct arena arena = {0};
	struct envelope envelope;

	(void)state;
	assert_int_equal(envelope_parse(&envelope, body, &limits, &arena, NULL),
			 0);
	assert_ptr_equal(envelope.topic.at, body.at + 10);
	assert_ptr_equal(envelope.payload.at, body.at + 23);
	arena_finish(&arena);
}

static void what_cannot_be_parsed_leaves_the_envelope_alone(void **state)
{
	const struct span bodies[] = {
		SPAN_LIT("{\"topic\":\"t\",\"status\":1}"),
		SPAN_LIT("{\"topic\":\"t\",\"x\":1,\"x\":1}"),
		SPAN_LIT("{\"topic\":\"t\",\"payload\":1e1048577}"),
	};
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		struct envelope before = event();
		struct envelope envelope = before;

		assert_int_equal(envelope_parse(&envelope, bodies[i], &limits,
						&arena, NULL),
				 STATUS_INVALID);
		assert_memory_equal(&envelope, &before, sizeof(before));
	}
	arena_finish(&arena);
}

static void what_cannot_be_unwrapped_leaves_the_row_alone(void **state)
{
	struct arena arena = {0};
	struct envelope envelope = event(), before;

	(void)state;
	envelope.source_service = SPAN_NONE;
	envelope.payload = SPAN_LIT("{\"schema\":\"interservice.envelope.v1\","
				    "\"source_service\":\"s\",\"payload\":"
				    "1e1048577}");
	before = envelope;
	assert_int_equal(envelope_unwrap(&envelope, &limits, &arena, NULL),
			 STATUS_INVALID);
	assert_memory_equal(&envelope, &before, sizeof(before));
	arena_finish(&arena);
}

static void an_inner_envelope_without_payload_has_an_empty_one(void **state)
{
	struct arena arena = {0};
	struct envelope envelope = event();

	(void)state;
	envelope.payload =
		SPAN_LIT("{\"schema\":\"interservice.envelope.v1\"}");
	assert_int_equal(envelope_unwrap(&envelope, &limits, &arena, NULL), 0);
	assert_span(envelope.payload, "{}");
	arena_finish(&arena);
}

static void only_a_valid_envelope_gives_its_type(void **state)
{
	struct envelope envelope = event();
	enum message_type type = MESSAGE_REQUEST;

	(void)state;
	envelope.event_type = SPAN_NONE;
	assert_int_equal(envelope_validate(&envelope, &limits, &type, NULL),
			 STATUS_INVALID);
	assert_int_equal(type, MESSAGE_REQUEST);
	envelope.event_type = SPAN_LIT("x");
	assert_int_equal(envelope_validate(&envelope, &limits, &type, NULL), 0);
	assert_int_equal(type, MESSAGE_EVENT);
}

static void an_envelope_is_built_behind_what_is_there(void **state)
{
	struct envelope envelope = event();
	struct buffer out;

	(void)state;
	buffer_init(&out);
	buffer_append_text(&out, "before ");
	envelope_build(&envelope, &out);
	assert_span(buffer_span(&out),
		    "before {\"schema\":\"interservice.envelope.v1\","
		    "\"message_id\":\"m\",\"message_type\":\"event\","
		    "\"topic\":\"event.a.b.c\",\"event_type\":\"x\","
		    "\"chain_depth\":0,\"payload\":{}}");
	buffer_finish(&out);
}

static void building_without_memory_marks_the_buffer(void **state)
{
	struct envelope envelope = event();
	struct buffer out;

	(void)state;
	buffer_init(&out);
	memory_ends_at(1);
	envelope_build(&envelope, &out);
	memory_ends_at(0);
	assert_true(out.failed);
	buffer_finish(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_without_escapes_stay_in_the_body),
		cmocka_unit_test(
			what_cannot_be_parsed_leaves_the_envelope_alone),
		cmocka_unit_test(what_cannot_be_unwrapped_leaves_the_row_alone),
		cmocka_unit_test(
			an_inner_envelope_without_payload_has_an_empty_one),
		cmocka_unit_test(only_a_valid_envelope_gives_its_type),
		cmocka_unit_test(an_envelope_is_built_behind_what_is_there),
		cmocka_unit_test(building_without_memory_marks_the_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
