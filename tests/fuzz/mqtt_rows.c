/* SPDX-License-Identifier: MIT */
/*
 * A topic, a newline and a body, as they come over MQTT: they become a row that
 * every database takes, or are rejected with a reason.
 */
#include "fuzz.h"

#include "base/json.h"
#include "base/utf8.h"
#include "bus/intake.h"

static void must_be_json(struct span text, enum json_type type, bool any)
{
	struct json_value value;

	MUST(json_check(text, &value, NULL, NULL) == 0);
	MUST(any || value.type == type);
}

static void must_be_storable(const struct inbox_row *row)
{
	const struct envelope *envelope = &row->envelope;

	if (span_present(row->rejected)) {
		MUST(row->rejected.len > 0 && utf8_valid(row->rejected));
		MUST(envelope_check_strings(envelope, NULL) == 0);
		return;
	}
	MUST(envelope_check_strings(envelope, NULL) == 0);
	MUST(envelope->event_type.len > 0 || envelope->request_id.len > 0);
	MUST(!span_present(envelope->message_id) ||
	     envelope->message_id.len > 0);
	must_be_json(envelope->payload, JSON_OBJECT, true);
	if (span_present(row->headers))
		must_be_json(row->headers, JSON_OBJECT, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct envelope_limits limits = {64 * 1024, 32};
	struct span input = {(const char *)data, size};
	const char *newline = size == 0 ? NULL : memchr(data, '\n', size);
	size_t topic = newline == NULL ? 0 : (size_t)(newline - input.at) + 1;
	const struct delivery delivery = {
		.topic = {input.at, topic == 0 ? 0 : topic - 1},
		.any_body = true,
		.body = {input.at + topic, size - topic},
	};
	struct arena arena = {0};
	struct inbox_row row;

	if (size > 0) {
		MUST(intake_judge(&row, &delivery, &limits, &arena, NULL) == 0);
		must_be_storable(&row);
	}
	arena_finish(&arena);
	return 0;
}
