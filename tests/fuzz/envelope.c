/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a message's body, and as a row's payload: what is valid can be
 * built, and what is built reads the same again.
 */
#include "fuzz.h"

#include "base/json.h"
#include "base/utf8.h"
#include "message/envelope.h"

static const struct envelope_limits limits = {64 * 1024, 32};

static void must_be_alike(const struct envelope *a, const struct envelope *b)
{
	MUST(span_equal(a->schema, b->schema));
	MUST(span_equal(a->message_id, b->message_id));
	MUST(span_equal(a->message_type, b->message_type));
	MUST(span_equal(a->topic, b->topic));
	MUST(span_equal(a->source_service, b->source_service));
	MUST(span_equal(a->request_id, b->request_id));
	MUST(span_equal(a->parent_request_id, b->parent_request_id));
	MUST(span_equal(a->reply_to, b->reply_to));
	MUST(span_equal(a->status, b->status));
	MUST(span_equal(a->event_type, b->event_type));
	MUST(span_equal(a->payload, b->payload));
	MUST(a->chain_depth == b->chain_depth);
}

static void complete(struct envelope *envelope)
{
	struct envelope fallback;

	envelope_init(&fallback);
	fallback.message_id = SPAN_LIT("m");
	fallback.source_service = SPAN_LIT("s");
	fallback.topic = SPAN_LIT("event.a.b.c");
	fallback.message_type = SPAN_LIT("event");
	envelope_normalise(envelope, &fallback);
}

/* What was refused says so in a sentence that any log can show. */
static void judge(struct envelope *envelope, struct arena *arena)
{
	struct buffer built = {0};
	struct envelope again;
	struct error err = {0};
	enum message_type type;

	complete(envelope);
	if (envelope_validate(envelope, &limits, &type, &err) < 0) {
		MUST(err.status == STATUS_INVALID && err.text[0] != '\0');
		MUST(utf8_valid(span_of(err.text)));
		return;
	}
	MUST(envelope_check_strings(envelope, NULL) == 0);
	envelope_build(envelope, &built);
	MUST(!built.failed);
	if (envelope_parse(&again, buffer_span(&built),
			   &(struct envelope_limits){128 * 1024, 32}, arena,
			   &err) < 0)
		__builtin_trap();
	must_be_alike(envelope, &again);
	buffer_finish(&built);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = {size == 0 ? "" : (const char *)data, size};
	struct arena arena = {0};
	struct envelope envelope;
	struct error err = {0};

	if (envelope_parse(&envelope, bytes, &limits, &arena, &err) == 0)
		judge(&envelope, &arena);
	else
		MUST(utf8_valid(span_of(err.text)) && err.text[0] != '\0');
	envelope_init(&envelope);
	envelope.payload = bytes;
	if (envelope_unwrap(&envelope, &limits, &arena, NULL) == 0)
		judge(&envelope, &arena);
	arena_finish(&arena);
	return 0;
}
