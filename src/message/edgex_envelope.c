/* SPDX-License-Identifier: MIT */
/* What EdgeX wraps around its messages, in three versions and two encodings. */
#include "message/edgex_envelope.h"

#include <strings.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "message/bounds.h"
#include "message/from_cbor.h"

static bool same_name(struct span found, const char *name)
{
	return found.len == strlen(name) &&
	       strncasecmp(found.at, name, found.len) == 0;
}

const struct json_value *edgex_member(const struct members *members,
				      const char *name)
{
	for (size_t i = 0; i < members->count; i++)
		if (same_name(members->at[i].name, name))
			return &members->at[i].value;
	return NULL;
}

struct span edgex_string(const struct members *members, const char *name,
			 struct arena *arena, bool *failed)
{
	const struct json_value *value = edgex_member(members, name);
	struct span text;

	if (value == NULL || value->type != JSON_STRING)
		return SPAN_NONE;
	text = json_get_string(*value, arena);
	if (!span_present(text))
		*failed = true;
	return text.len > 0 ? text : SPAN_NONE;
}

/* "application/json; charset=utf-8" without what follows the semicolon. */
static struct span without_parameters(struct span type)
{
	const char *end = type.len == 0 ? NULL : memchr(type.at, ';', type.len);

	if (end != NULL)
		type.len = (size_t)(end - type.at);
	while (type.len > 0 && type.at[type.len - 1] == ' ')
		type.len--;
	return type;
}

static bool looks_like_envelope(const struct members *members)
{
	return edgex_member(members, "payload") != NULL &&
	       (edgex_member(members, "contentType") != NULL ||
		edgex_member(members, "correlationID") != NULL);
}

int edgex_envelope_read(struct edgex_envelope *envelope,
			const struct members *members, struct arena *arena,
			struct error *err)
{
	const struct json_value *code = edgex_member(members, "errorCode");
	bool failed = false;

	if (!looks_like_envelope(members))
		return 0;
	*envelope = (struct edgex_envelope){
		.payload = edgex_member(members, "payload"),
		.content_type = without_parameters(
			edgex_string(members, "contentType", arena, &failed)),
		.correlation_id =
			edgex_string(members, "correlationID", arena, &failed),
		.api_version =
			edgex_string(members, "apiVersion", arena, &failed),
	};
	if (failed)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	if (code != NULL && code->type == JSON_NUMBER)
		(void)json_get_integer(*code, &envelope->error_code);
	return 1;
}

/* ---- what is inside ---- */

int edgex_read_cbor(struct span cbor, const struct envelope_limits *limits,
		    struct arena *arena, struct json_value *value,
		    struct json_measure *measure, struct error *err)
{
	struct buffer json;
	struct span text = SPAN_NONE;
	int rc;

	buffer_init(&json);
	rc = json_from_cbor(cbor, limits->max_message_bytes, &json, err);
	if (rc == 0) {
		text = arena_copy(arena, buffer_span(&json));
		if (!span_present(text))
			rc = error_set(err, STATUS_NO_MEMORY, "out of memory");
	}
	buffer_finish(&json);
	return rc == 0 ? bounds_check_text(text, limits, value, measure, err)
		       : rc;
}

static bool is_cbor(struct span bytes, struct span content_type)
{
	if (same_name(content_type, "application/cbor"))
		return true;
	if (same_name(content_type, "application/json"))
		return false;
	return bytes.len > 0 && bytes.at[0] != '{' && bytes.at[0] != '[';
}

int edgex_envelope_open(const struct edgex_envelope *envelope,
			const struct envelope_limits *limits,
			struct arena *arena, struct json_value *value,
			struct json_measure *measure, struct error *err)
{
	struct span text;
	struct span bytes;
	int rc;

	if (envelope->payload->type != JSON_STRING)
		return bounds_check_text(envelope->payload->text, limits, value,
					 measure, err);
	text = json_get_string(*envelope->payload, arena);
	if (!span_present(text))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	rc = base64_decode(text, arena, &bytes, err);
	if (rc < 0)
		return rc;
	if (is_cbor(bytes, envelope->content_type))
		return edgex_read_cbor(bytes, limits, arena, value, measure,
				       err);
	return bounds_check_text(bytes, limits, value, measure, err);
}

static bool is_text(struct span bytes)
{
	return bytes.len > 0 && utf8_valid(bytes) &&
	       memchr(bytes.at, '\0', bytes.len) == NULL;
}

/* Version 4 writes the text itself, the others its base64. A text that happens
 * to be base64 does not happen to hold UTF-8 as well. */
int edgex_envelope_error(const struct edgex_envelope *envelope,
			 struct arena *arena, struct span *text,
			 struct error *err)
{
	struct span bytes;
	struct span digits;
	struct buffer json;
	int rc;

	*text = envelope->payload->text;
	if (envelope->payload->type != JSON_STRING)
		return 0;
	digits = json_get_string(*envelope->payload, arena);
	if (!span_present(digits))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	rc = base64_decode(digits, arena, &bytes, err);
	if (rc == STATUS_INVALID || (rc == 0 && !is_text(bytes)))
		return 0;
	if (rc < 0)
		return rc;
	buffer_init(&json);
	json_append_string(&json, bytes);
	*text = json.failed ? SPAN_NONE : arena_copy(arena, buffer_span(&json));
	buffer_finish(&json);
	if (!span_present(*text))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	return 0;
}
