/* SPDX-License-Identifier: MIT */
/* Messages that follow no convention: JSON, text, bytes. */
#include <inttypes.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "message/bounds.h"
#include "message/edgex_envelope.h"

enum { HEADERS = 5 };

static int no_memory(struct error *err)
{
	return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static int add_number(struct headers *headers, const char *name, int64_t number,
		      struct arena *arena, struct error *err)
{
	char text[24];
	struct span copy;

	snprintf(text, sizeof(text), "%" PRId64, number);
	copy = arena_copy(arena, span_of(text));
	edgex_add_header(headers, name, copy);
	return span_present(copy) ? 0 : no_memory(err);
}

/* An EdgeX envelope that carries an error instead of a message. */
static int read_edgex_error(struct foreign_event *event,
			    const struct edgex_envelope *envelope,
			    struct arena *arena, struct error *err)
{
	struct headers *headers = &event->headers;

	int rc = add_number(headers, "error_code", envelope->error_code, arena,
			    err);

	if (rc < 0)
		return rc;
	edgex_add_header(headers, "shape", SPAN_LIT("error"));
	edgex_add_header(headers, "correlation_id", envelope->correlation_id);
	edgex_add_header(headers, "api_version", envelope->api_version);
	return edgex_envelope_error(envelope, arena, &event->envelope.payload,
				    err);
}

/* Two members of one name make it no envelope, and no worse a message. */
static int read_json(struct foreign_event *event, struct json_value value,
		     struct arena *arena, struct error *err)
{
	struct edgex_envelope envelope;
	struct members members;
	int rc = STATUS_INVALID;

	event->envelope.payload = value.text;
	if (value.type == JSON_OBJECT)
		rc = members_read(&members, value, arena, err);
	if (rc == 0)
		rc = edgex_envelope_read(&envelope, &members, arena, err);
	if (rc == 1 && envelope.error_code != 0)
		rc = read_edgex_error(event, &envelope, arena, err);
	return rc == STATUS_INVALID || rc > 0 ? 0 : rc;
}

static bool is_text(struct span body)
{
	return utf8_valid(body) &&
	       (body.len == 0 || memchr(body.at, '\0', body.len) == NULL);
}

static int read_bytes(struct foreign_event *event,
		      const struct foreign *message, struct arena *arena,
		      struct error *err)
{
	struct buffer json;

	buffer_init(&json);
	if (is_text(message->body)) {
		json_append_string(&json, message->body);
	} else {
		buffer_append_text(&json, "\"");
		base64_append(&json, message->body);
		buffer_append_text(&json, "\"");
		edgex_add_header(&event->headers, "encoding",
				 SPAN_LIT("base64"));
	}
	if (!json.failed)
		event->envelope.payload = arena_copy(arena, buffer_span(&json));
	buffer_finish(&json);
	return span_present(event->envelope.payload) ? 0 : no_memory(err);
}

static int read_body(struct foreign_event *event, const struct foreign *message,
		     const struct envelope_limits *limits, struct arena *arena,
		     struct error *err)
{
	struct json_measure measure;
	struct json_value value;
	int rc;

	if (message->body.len > limits->max_message_bytes)
		return bounds_check_text(message->body, limits, &value,
					 &measure, err);
	if (json_check(message->body, &value, &measure, NULL) < 0)
		return read_bytes(event, message, arena, err);
	rc = bounds_check_numbers(value.text, measure.exponents, limits, err);
	return rc == 0 ? read_json(event, value, arena, err) : rc;
}

int plain_read(struct foreign_event *event, const struct foreign *message,
	       const struct envelope_limits *limits, struct arena *arena,
	       struct error *err)
{
	int rc;

	*event = (struct foreign_event){0};
	envelope_init(&event->envelope);
	event->envelope.message_type = SPAN_LIT("event");
	event->envelope.event_type = SPAN_LIT("mqtt.message");
	event->envelope.topic = message->topic;
	event->envelope.chain_depth = 0;
	event->headers.at =
		arena_alloc(arena, HEADERS * sizeof(*event->headers.at));
	if (event->headers.at == NULL)
		return no_memory(err);
	edgex_add_header(&event->headers, "content_type",
			 message->content_type);
	rc = read_body(event, message, limits, arena, err);
	if (rc == STATUS_INVALID)
		error_prefix(err, "body");
	return rc;
}
