/* SPDX-License-Identifier: MIT */
/* Every case of tests/data/envelope-cases.json, each a test of its name. */
#include "unit.h"

#include <jansson.h>
#include <stdio.h>

#include "message/envelope.h"

struct trial {
	const json_t *which;
	struct envelope_limits limits;
	struct arena arena; /* outlives every verdict */
	struct span input;  /* body or payload, in memory of just its size */
	struct envelope row;
	struct envelope fallback;
};

struct verdict {
	const char *judged_by; /* what had the last word */
	int status;
	struct error error;
	struct envelope envelope;
};

/* ---- reading the table ---- */

static void append_hex(struct buffer *out, const char *digits)
{
	for (unsigned byte; sscanf(digits, "%2x", &byte) == 1; digits += 2)
		buffer_append(out, &(char){(char)byte}, 1);
}

static void append_repeat(struct buffer *out, const json_t *parts)
{
	const json_t *part;
	size_t i;

	json_array_foreach(parts, i, part)
	{
		const char *text = json_string_value(json_array_get(part, 0));
		json_int_t times = json_integer_value(json_array_get(part, 1));

		while (times-- > 0)
			buffer_append_text(out, text);
	}
}

/* A text of the table: a string, {"hex": ...} or {"repeat": ...}. */
static struct span text_of(const json_t *text)
{
	struct buffer out;
	struct span copy;

	if (text == NULL)
		return SPAN_NONE;
	buffer_init(&out);
	if (json_is_string(text))
		buffer_append_text(&out, json_string_value(text));
	else if (json_object_get(text, "hex") != NULL)
		append_hex(&out,
			   json_string_value(json_object_get(text, "hex")));
	else
		append_repeat(&out, json_object_get(text, "repeat"));
	copy = exact_copy(buffer_span(&out));
	buffer_finish(&out);
	return copy;
}

static struct span field(struct trial *trial, const json_t *object,
			 const char *name)
{
	struct span text = text_of(json_object_get(object, name));
	struct span copy = arena_copy(&trial->arena, text);

	free((char *)text.at);
	return copy;
}

static struct envelope read_fields(struct trial *trial, const json_t *object)
{
	const json_t *depth = json_object_get(object, "chain_depth");

	return (struct envelope){
		.message_id = field(trial, object, "message_id"),
		.message_type = field(trial, object, "message_type"),
		.topic = field(trial, object, "topic"),
		.source_service = field(trial, object, "source_service"),
		.request_id = field(trial, object, "request_id"),
		.parent_request_id = field(trial, object, "parent_request_id"),
		.reply_to = field(trial, object, "reply_to"),
		.status = field(trial, object, "status"),
		.event_type = field(trial, object, "event_type"),
		.chain_depth = depth == NULL ? CHAIN_DEPTH_ABSENT
					     : json_integer_value(depth),
	};
}

static void read_limits(struct envelope_limits *limits, const json_t *object)
{
	const json_t *bytes = json_object_get(object, "max_message_bytes");
	const json_t *depth = json_object_get(object, "max_chain_depth");

	*limits = ENVELOPE_LIMITS_DEFAULT;
	if (bytes != NULL)
		limits->max_message_bytes = (size_t)json_integer_value(bytes);
	if (depth != NULL)
		limits->max_chain_depth = (int)json_integer_value(depth);
}

static bool is_outbound(const struct trial *trial)
{
	const json_t *direction = json_object_get(trial->which, "direction");

	return strcmp(json_string_value(direction), "outbound") == 0;
}

static void trial_init(struct trial *trial, const json_t *which)
{
	*trial = (struct trial){.which = which};
	read_limits(&trial->limits, json_object_get(which, "limits"));
	trial->row = read_fields(trial, json_object_get(which, "row"));
	trial->fallback =
		read_fields(trial, json_object_get(which, "fallback"));
	trial->input = text_of(json_object_get(
		which, is_outbound(trial) ? "payload" : "body"));
	trial->row.payload = trial->input;
}

static void trial_finish(struct trial *trial)
{
	free((char *)trial->input.at);
	arena_finish(&trial->arena);
}

/* ---- judging ---- */

static void judge(const struct trial *trial, struct arena *arena,
		  struct verdict *verdict)
{
	struct envelope *envelope = &verdict->envelope;
	enum message_type type;

	if (is_outbound(trial)) {
		*envelope = trial->row;
		verdict->judged_by = "unwrap";
		verdict->status = envelope_unwrap(envelope, &trial->limits,
						  arena, &verdict->error);
	} else {
		verdict->judged_by = "parse";
		verdict->status =
			envelope_parse(envelope, trial->input, &trial->limits,
				       arena, &verdict->error);
	}
	if (verdict->status != 0)
		return;
	envelope_normalise(envelope, &trial->fallback);
	verdict->judged_by = "validate";
	verdict->status = envelope_validate(envelope, &trial->limits, &type,
					    &verdict->error);
	if (verdict->status == 0)
		assert_true(span_is(envelope->message_type,
				    message_type_name(type)));
}

static void assert_text(struct span found, const json_t *expected)
{
	struct span text = text_of(expected);

	assert_int_equal(span_present(found), span_present(text));
	if (!span_equal(found, text))
		fail_msg("found %.*s\nexpected %.*s", (int)found.len, found.at,
			 (int)text.len, text.at);
	free((char *)text.at);
}

/* What is built is an envelope that says the same again. */
static void assert_reads_back(const struct trial *trial, struct span built)
{
	struct envelope_limits limits = trial->limits;
	struct envelope again, nothing;
	struct arena arena = {0};
	enum message_type type;
	struct buffer rebuilt;

	limits.max_message_bytes += built.len;
	envelope_init(&nothing);
	buffer_init(&rebuilt);
	assert_int_equal(envelope_parse(&again, built, &limits, &arena, NULL),
			 0);
	envelope_normalise(&again, &nothing);
	assert_int_equal(envelope_validate(&again, &limits, &type, NULL), 0);
	envelope_build(&again, &rebuilt);
	assert_true(span_equal(buffer_span(&rebuilt), built));
	buffer_finish(&rebuilt);
	arena_finish(&arena);
}

static void assert_accepted(const struct trial *trial,
			    const struct verdict *verdict)
{
	struct buffer built;

	if (verdict->status != 0)
		fail_msg("refused: %s", verdict->error.text);
	buffer_init(&built);
	envelope_build(&verdict->envelope, &built);
	assert_false(built.failed);
	assert_text(buffer_span(&built),
		    json_object_get(trial->which, "envelope"));
	assert_text(verdict->envelope.extra,
		    json_object_get(trial->which, "extra"));
	assert_reads_back(trial, buffer_span(&built));
	buffer_finish(&built);
}

static void assert_refused(const struct trial *trial,
			   const struct verdict *verdict)
{
	const json_t *by = json_object_get(trial->which, "judged_by");
	const json_t *error = json_object_get(trial->which, "error");

	if (verdict->status == 0)
		fail_msg("accepted, expected: %s", json_string_value(error));
	assert_int_equal(verdict->status, STATUS_INVALID);
	assert_int_equal(verdict->error.status, STATUS_INVALID);
	assert_string_equal(verdict->error.text, json_string_value(error));
	assert_string_equal(verdict->judged_by, json_string_value(by));
}

static void assert_verdict(const struct trial *trial,
			   const struct verdict *verdict)
{
	const json_t *expected = json_object_get(trial->which, "verdict");

	if (strcmp(json_string_value(expected), "ok") == 0)
		assert_accepted(trial, verdict);
	else
		assert_refused(trial, verdict);
}

/* However early memory runs out: it is said, or changes nothing. */
static void assert_survives_exhaustion(const struct trial *trial)
{
	bool ended = true;

	for (unsigned nth = 1; ended; nth++) {
		struct arena arena = {0};
		struct verdict verdict;

		memory_ends_at(nth);
		judge(trial, &arena, &verdict);
		ended = memory_ended();
		memory_ends_at(0);
		if (ended)
			assert_int_equal(verdict.status, STATUS_NO_MEMORY);
		else
			assert_verdict(trial, &verdict);
		arena_finish(&arena);
	}
}

static void gets_its_verdict(void **state)
{
	struct arena arena = {0};
	struct verdict verdict;
	struct trial trial;

	trial_init(&trial, *state);
	judge(&trial, &arena, &verdict);
	assert_verdict(&trial, &verdict);
	assert_survives_exhaustion(&trial);
	arena_finish(&arena);
	trial_finish(&trial);
}

/* ---- the table ---- */

static json_t *load_table(void)
{
	char path[4096];
	json_error_t error;
	json_t *table;

	snprintf(path, sizeof(path), "%s/envelope-cases.json",
		 getenv("TEST_DATA"));
	table = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (table == NULL)
		fprintf(stderr, "%s:%d: %s\n", path, error.line, error.text);
	return table;
}

int main(void)
{
	json_t *table = load_table();
	size_t count = json_array_size(table);
	struct CMUnitTest *tests = calloc(count, sizeof(*tests));
	int failed = 1;
	size_t i;

	if (count > 0 && tests != NULL) {
		json_t *which;

		json_array_foreach(table, i, which) tests[i] =
			(struct CMUnitTest){
				.name = json_string_value(
					json_object_get(which, "name")),
				.test_func = gets_its_verdict,
				.initial_state = which,
			};
		failed = _cmocka_run_group_tests("envelope cases", tests, count,
						 NULL, NULL);
	}
	free(tests);
	json_decref(table);
	return failed;
}
