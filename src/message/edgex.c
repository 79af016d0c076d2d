/* SPDX-License-Identifier: MIT */
/* EdgeX device events, in every shape in which they come over MQTT. */
#include "message/bounds.h"
#include "message/edgex_envelope.h"

enum { HEADERS = 8 };

/* An event, and what stood around it. */
struct found {
	const char *shape;
	struct json_value event;
	struct members members; /* the event's */
	struct json_measure measure;
	struct span content_type;
	struct span correlation_id;
	struct span api_version;
	bool failed; /* memory has run out */
};

static int not_an_event(struct error *err)
{
	return error_set(err, STATUS_INVALID, "this is no EdgeX event");
}

/* ---- shapes ---- */

static int read_members(struct members *members, struct json_value value,
			struct arena *arena, struct error *err)
{
	if (value.type != JSON_OBJECT)
		return not_an_event(err);
	return members_read(members, value, arena, err);
}

/* Finds the event in what may be an envelope's payload: an AddEventRequest, or
 * the event itself. */
static int find_event(struct found *found, struct json_value value,
		      struct arena *arena, struct error *err)
{
	const struct json_value *inner;
	int rc = read_members(&found->members, value, arena, err);

	if (rc < 0)
		return rc;
	if (!span_present(found->api_version))
		found->api_version = edgex_string(&found->members, "apiVersion",
						  arena, &found->failed);
	inner = edgex_member(&found->members, "event");
	if (inner == NULL) {
		found->event = value;
		return 0;
	}
	if (found->shape == NULL)
		found->shape = "request";
	found->event = *inner;
	return read_members(&found->members, *inner, arena, err);
}

static int open_envelope(struct found *found, struct json_value *value,
			 const struct envelope_limits *limits,
			 struct arena *arena, struct error *err)
{
	struct edgex_envelope envelope;
	struct members members;
	int rc = read_members(&members, *value, arena, err);

	if (rc == 0)
		rc = edgex_envelope_read(&envelope, &members, arena, err);
	if (rc <= 0)
		return rc;
	if (envelope.error_code != 0)
		return not_an_event(err);
	found->shape = "envelope";
	found->content_type = envelope.content_type;
	found->correlation_id = envelope.correlation_id;
	found->api_version = envelope.api_version;
	return edgex_envelope_open(&envelope, limits, arena, value,
				   &found->measure, err);
}

/* CBOR's maps begin with a byte that neither JSON nor UTF-8 begins with. */
static bool begins_like_cbor(struct span body)
{
	return body.len > 0 && ((unsigned char)body.at[0] & 0xe0) == 0xa0;
}

static int find(struct found *found, const struct foreign *message,
		const struct envelope_limits *limits, struct arena *arena,
		struct error *err)
{
	struct json_value value;
	int rc;

	*found = (struct found){.content_type = message->content_type};
	if (begins_like_cbor(message->body))
		rc = edgex_read_cbor(message->body, limits, arena, &value,
				     &found->measure, err);
	else
		rc = bounds_check_text(message->body, limits, &value,
				       &found->measure, err);
	if (rc == 0)
		rc = open_envelope(found, &value, limits, arena, err);
	if (rc == 0)
		rc = find_event(found, value, arena, err);
	if (rc < 0)
		return rc;
	if (found->shape == NULL)
		found->shape = "event";
	return bounds_check_numbers(found->event.text, found->measure.exponents,
				    limits, err);
}

/* ---- names ---- */

struct names {
	struct span device;
	struct span profile;
	struct span source;
	struct span service; /* absent: the topic does not say */
};

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A segment with its %XX decoded; what is no escape stays as it is. */
static struct span unescape(struct span segment, struct arena *arena,
			    bool *failed)
{
	char *text;
	size_t len = 0;

	if (segment.len == 0 || memchr(segment.at, '%', segment.len) == NULL)
		return segment;
	text = arena_alloc(arena, segment.len);
	if (text == NULL) {
		*failed = true;
		return SPAN_NONE;
	}
	for (size_t i = 0; i < segment.len; i++) {
		int high = -1;
		int low = -1;

		if (segment.at[i] == '%' && segment.len - i > 2) {
			high = digit_of(segment.at[i + 1]);
			low = digit_of(segment.at[i + 2]);
		}
		if (high < 0 || low < 0) {
			text[len++] = segment.at[i];
			continue;
		}
		text[len++] = (char)(high * 16 + low);
		i += 2;
	}
	return (struct span){text, len};
}

/* Takes the last segment off the topic; absent when there is none. */
static struct span take_last(struct span *topic)
{
	const char *slash =
		topic->len == 0 ? NULL : memrchr(topic->at, '/', topic->len);
	size_t start = slash == NULL ? 0 : (size_t)(slash - topic->at) + 1;
	struct span segment = {topic->at + start, topic->len - start};

	if (topic->len == 0)
		return SPAN_NONE;
	topic->len = slash == NULL ? 0 : start - 1;
	return segment;
}

static bool fits(struct span name, struct span segment)
{
	return span_present(segment) &&
	       (!span_present(name) || span_equal(name, segment));
}

/* A topic of v2 ends in profile, device, source; from v3 on the service stands
 * before them. Any other topic says nothing. */
static void read_topic(struct names *names, struct span topic,
		       struct span api_version, struct arena *arena,
		       bool *failed)
{
	struct span source = unescape(take_last(&topic), arena, failed);
	struct span device = unescape(take_last(&topic), arena, failed);
	struct span profile = unescape(take_last(&topic), arena, failed);
	struct span service = unescape(take_last(&topic), arena, failed);

	if (!fits(names->source, source) || !fits(names->device, device) ||
	    !fits(names->profile, profile) || !span_present(service))
		return;
	names->source = source;
	names->profile = profile;
	if (!span_is(api_version, "v2") && !span_is(service, "device") &&
	    !span_is(service, "core") && service.len > 0)
		names->service = service;
}

static int read_names(struct names *names, struct found *found,
		      struct span topic, struct arena *arena, struct error *err)
{
	const struct json_value *readings =
		edgex_member(&found->members, "readings");

	*names = (struct names){
		.device = edgex_string(&found->members, "deviceName", arena,
				       &found->failed),
		.profile = edgex_string(&found->members, "profileName", arena,
					&found->failed),
		.source = edgex_string(&found->members, "sourceName", arena,
				       &found->failed),
	};
	if (!span_present(names->device) || readings == NULL ||
	    readings->type != JSON_ARRAY)
		return not_an_event(err);
	read_topic(names, topic, found->api_version, arena, &found->failed);
	return 0;
}

/* ---- the row ---- */

static int make_headers(struct headers *headers, const struct found *found,
			const struct names *names, struct arena *arena,
			struct error *err)
{
	headers->count = 0;
	headers->at = arena_alloc(arena, HEADERS * sizeof(*headers->at));
	if (headers->at == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	edgex_add_header(headers, "shape", span_of(found->shape));
	edgex_add_header(headers, "device", names->device);
	edgex_add_header(headers, "profile", names->profile);
	edgex_add_header(headers, "source", names->source);
	edgex_add_header(headers, "correlation_id", found->correlation_id);
	edgex_add_header(headers, "api_version", found->api_version);
	edgex_add_header(headers, "content_type", found->content_type);
	return 0;
}

static int read_event(struct foreign_event *event,
		      const struct foreign *message,
		      const struct envelope_limits *limits, struct arena *arena,
		      struct error *err)
{
	struct envelope *envelope = &event->envelope;
	struct names names;
	struct found found;
	int rc = find(&found, message, limits, arena, err);

	if (rc == 0)
		rc = read_names(&names, &found, message->topic, arena, err);
	if (rc == 0)
		rc = make_headers(&event->headers, &found, &names, arena, err);
	if (rc < 0)
		return rc;
	envelope_init(envelope);
	envelope->message_id =
		edgex_string(&found.members, "id", arena, &found.failed);
	envelope->message_type = SPAN_LIT("event");
	envelope->event_type = SPAN_LIT("edgex.device.event");
	envelope->source_service =
		span_present(names.service) ? names.service : names.device;
	envelope->topic = message->topic;
	envelope->chain_depth = 0;
	envelope->payload = found.event.text;
	if (found.failed)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	return 1;
}

int edgex_read(struct foreign_event *event, const struct foreign *message,
	       const struct envelope_limits *limits, struct arena *arena,
	       struct error *err)
{
	int rc = read_event(event, message, limits, arena, err);

	return rc == STATUS_INVALID ? 0 : rc;
}
