/* SPDX-License-Identifier: MIT */
/* Envelopes: reading, completing and writing them. */
#include "message/envelope.h"

#include <inttypes.h>

#include "base/json.h"
#include "message/bounds.h"
#include "message/fields.h"
#include "message/members.h"

const struct field envelope_fields[FIELD_COUNT] = {
	{"schema", offsetof(struct envelope, schema)},
	{"message_id", offsetof(struct envelope, message_id)},
	{"message_type", offsetof(struct envelope, message_type)},
	{"topic", offsetof(struct envelope, topic)},
	{"source_service", offsetof(struct envelope, source_service)},
	{"request_id", offsetof(struct envelope, request_id)},
	{"parent_request_id", offsetof(struct envelope, parent_request_id)},
	{"reply_to", offsetof(struct envelope, reply_to)},
	{"status", offsetof(struct envelope, status)},
	{"event_type", offsetof(struct envelope, event_type)},
};

static struct span *slot(struct envelope *envelope, const struct field *field)
{
	return (struct span *)(void *)((char *)envelope + field->offset);
}

void envelope_init(struct envelope *envelope)
{
	*envelope = (struct envelope){.chain_depth = CHAIN_DEPTH_ABSENT};
}

static int no_memory(struct error *err)
{
	return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

/* ---- parse ---- */

static int wrong_type(const struct member *member, const char *wanted,
		      struct error *err)
{
	return error_set(err, STATUS_INVALID, "%.*s: found %s, %s is required",
			 SPAN_ARG(member->name),
			 json_type_name(member->value.type), wanted);
}

static int read_chain_depth(struct envelope *envelope,
			    const struct member *member, struct error *err)
{
	int64_t depth;

	if (member->value.type != JSON_NUMBER)
		return wrong_type(member, "an integer", err);
	if (!json_get_integer(member->value, &depth) || depth < 0)
		return error_set(err, STATUS_INVALID,
				 "chain_depth: found %.*s, an integer of 0 or "
				 "more is required",
				 SPAN_ARG(member->value.text));
	envelope->chain_depth = depth;
	return 0;
}

static int read_string(struct span *field, const struct member *member,
		       struct arena *arena, struct error *err)
{
	if (member->value.type != JSON_STRING)
		return wrong_type(member, "a string", err);
	*field = json_get_string(member->value, arena);
	return span_present(*field) ? 0 : no_memory(err);
}

/* True when the member is a field of the envelope; *rc then says whether it
 * could be read. Null leaves the field absent. */
static bool read_field(struct envelope *envelope, const struct member *member,
		       struct arena *arena, struct error *err, int *rc)
{
	bool null = member->value.type == JSON_NULL;

	*rc = 0;
	if (span_is(member->name, "payload")) {
		if (!null)
			envelope->payload = member->value.text;
		return true;
	}
	if (span_is(member->name, "chain_depth")) {
		if (!null)
			*rc = read_chain_depth(envelope, member, err);
		return true;
	}
	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (span_is(member->name, envelope_fields[i].name)) {
			if (!null)
				*rc = read_string(
					slot(envelope, &envelope_fields[i]),
					member, arena, err);
			return true;
		}
	return false;
}

/* Makes an object of the members, as they were written. */
static int join_extra(struct envelope *envelope, const struct members *members,
		      struct arena *arena, struct error *err)
{
	size_t room = 2;
	char *text;
	char *end;

	for (size_t i = 0; i < members->count; i++)
		room += members->at[i].text.len + 1;
	end = text = arena_alloc(arena, room);
	if (text == NULL)
		return no_memory(err);
	for (size_t i = 0; i < members->count; i++) {
		struct span member = members->at[i].text;

		*end++ = i == 0 ? '{' : ',';
		memcpy(end, member.at, member.len);
		end += member.len;
	}
	*end++ = '}';
	envelope->extra = (struct span){text, (size_t)(end - text)};
	return 0;
}

static int read_object(struct envelope *envelope, struct json_value object,
		       struct arena *arena, struct error *err)
{
	struct envelope read;
	struct members members;
	struct members unknown;
	int rc = members_read(&members, object, arena, err);

	if (rc != 0)
		return rc;
	envelope_init(&read);
	unknown = (struct members){.at = members.at};
	for (size_t i = 0; i < members.count; i++) {
		if (!read_field(&read, &members.at[i], arena, err, &rc))
			unknown.at[unknown.count++] = members.at[i];
		if (rc != 0)
			return rc;
	}
	if (unknown.count > 0)
		rc = join_extra(&read, &unknown, arena, err);
	if (rc == 0)
		*envelope = read;
	return rc;
}

int envelope_parse(struct envelope *envelope, struct span body,
		   const struct envelope_limits *limits, struct arena *arena,
		   struct error *err)
{
	struct envelope parsed;
	struct json_measure measure;
	struct json_value value;
	int rc = bounds_check_text(body, limits, &value, &measure, err);

	if (rc == 0 && value.type != JSON_OBJECT)
		rc = error_set(err, STATUS_INVALID,
			       "found %s, an object is required",
			       json_type_name(value.type));
	if (rc != 0) {
		error_prefix(err, "body");
		return rc;
	}
	rc = read_object(&parsed, value, arena, err);
	if (rc != 0)
		return rc;
	rc = bounds_check_numbers(parsed.payload, measure.exponents, limits,
				  err);
	if (rc == 0)
		*envelope = parsed;
	else
		error_prefix(err, "payload");
	return rc;
}

/* ---- unwrap ---- */

/* Whether an object says it is an envelope, be it a faulty one. */
static int find_schema(struct json_value object, struct arena *arena,
		       bool *found, struct error *err)
{
	struct json_cursor at = json_enter(object);
	struct json_value member;
	struct span key;

	*found = false;
	while (!*found && json_next(&at, &key, &member)) {
		struct span text = json_unescape(key, arena);

		if (span_is(text, "schema") && member.type == JSON_STRING) {
			text = json_get_string(member, arena);
			*found = span_is(text, ENVELOPE_SCHEMA);
		}
		if (!span_present(text))
			return no_memory(err);
	}
	return 0;
}

/* A row that leaves message_type and chain_depth to the database has "event"
 * and 0 there; neither hides what the inner envelope says. */
static void override_defaults(struct envelope *row,
			      const struct envelope *inner)
{
	if (!span_present(row->topic) && span_present(inner->message_type) &&
	    span_is(row->message_type, message_type_name(MESSAGE_EVENT)))
		row->message_type = inner->message_type;
	if (row->chain_depth == 0 && inner->chain_depth != CHAIN_DEPTH_ABSENT)
		row->chain_depth = inner->chain_depth;
}

/* Fills what is absent, the payload excepted. */
static void fill(struct envelope *envelope, const struct envelope *from)
{
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		struct span *field = slot(envelope, &envelope_fields[i]);

		if (!span_present(*field))
			*field = field_of(from, &envelope_fields[i]);
	}
	if (envelope->chain_depth == CHAIN_DEPTH_ABSENT)
		envelope->chain_depth = from->chain_depth;
	if (!span_present(envelope->extra))
		envelope->extra = from->extra;
}

static int unwrap_object(struct envelope *envelope, struct json_value object,
			 struct arena *arena, struct error *err)
{
	struct envelope inner;
	bool found;
	int rc = find_schema(object, arena, &found, err);

	if (rc != 0 || !found)
		return rc;
	rc = read_object(&inner, object, arena, err);
	if (rc != 0)
		return rc;
	override_defaults(envelope, &inner);
	fill(envelope, &inner);
	envelope->payload =
		span_present(inner.payload) ? inner.payload : SPAN_LIT("{}");
	return 0;
}

static int unwrap_payload(struct envelope *envelope,
			  const struct envelope_limits *limits,
			  struct arena *arena, struct error *err)
{
	struct envelope unwrapped = *envelope;
	struct json_measure measure;
	struct json_value payload;
	int rc = bounds_check_text(envelope->payload, limits, &payload,
				   &measure, err);

	if (rc != 0)
		return rc;
	unwrapped.payload =
		payload.type == JSON_NULL ? SPAN_NONE : payload.text;
	if (payload.type == JSON_OBJECT)
		rc = unwrap_object(&unwrapped, payload, arena, err);
	if (rc == 0)
		rc = bounds_check_numbers(unwrapped.payload, measure.exponents,
					  limits, err);
	/* As it is, it will lie one level deeper: in the envelope. */
	if (rc == 0 && measure.depth == JSON_MAX_DEPTH &&
	    unwrapped.payload.at == payload.text.at)
		rc = error_set(err, STATUS_INVALID,
			       "nested deeper than %d levels",
			       JSON_MAX_DEPTH - 1);
	if (rc == 0)
		*envelope = unwrapped;
	return rc;
}

int envelope_unwrap(struct envelope *envelope,
		    const struct envelope_limits *limits, struct arena *arena,
		    struct error *err)
{
	int rc;

	if (!span_present(envelope->payload))
		return 0;
	rc = unwrap_payload(envelope, limits, arena, err);
	if (rc != 0)
		error_prefix(err, "payload");
	return rc;
}

/* ---- normalise ---- */

void envelope_normalise(struct envelope *envelope,
			const struct envelope *fallback)
{
	static const struct envelope invented = {
		.schema = {ENVELOPE_SCHEMA, sizeof(ENVELOPE_SCHEMA) - 1},
		.chain_depth = 0,
		.payload = {"{}", 2},
	};
	const struct envelope *const sources[] = {fallback, &invented};

	for (size_t i = 0; i < 2; i++) {
		fill(envelope, sources[i]);
		if (!span_present(envelope->payload))
			envelope->payload = sources[i]->payload;
	}
}

/* ---- build ---- */

/* Begins the next member of the object that starts at byte `start`. */
static void append_name(struct buffer *out, size_t start, const char *name)
{
	buffer_append_text(out, buffer_length(out) == start ? "{\"" : ",\"");
	buffer_append_text(out, name);
	buffer_append_text(out, "\":");
}

void envelope_build(const struct envelope *envelope, struct buffer *out)
{
	size_t start = buffer_length(out);

	for (size_t i = 0; i < FIELD_COUNT; i++) {
		struct span text = field_of(envelope, &envelope_fields[i]);

		if (span_present(text)) {
			append_name(out, start, envelope_fields[i].name);
			json_append_string(out, text);
		}
	}
	append_name(out, start, "chain_depth");
	buffer_append_format(out, "%" PRId64, envelope->chain_depth);
	append_name(out, start, "payload");
	buffer_append_span(out, envelope->payload);
	buffer_append_text(out, "}");
}
