/* SPDX-License-Identifier: MIT */
/*
 * Whether a delivery can be an inbox row, and which. What comes from RabbitMQ
 * has to be an envelope; from MQTT an object with `schema` has to, an EdgeX
 * event is one as it is, and anything else is a plain event.
 */
#include "bus/intake.h"

#include "base/json.h"
#include "base/quote.h"
#include "base/testing.h"
#include "base/utf8.h"
#include "message/foreign.h"

/* What the message's own properties may fill in. A request's answer goes to
 * reply_to; on other messages that property means nothing to us. */
static void fallback_of(struct envelope *fallback,
			const struct delivery *delivery,
			const struct envelope *body)
{
	enum message_type type;
	struct span name = body->message_type;

	envelope_init(fallback);
	fallback->message_id = delivery->message_id;
	fallback->topic = span_present(delivery->bus_topic)
				  ? delivery->bus_topic
				  : delivery->topic;
	fallback->request_id = delivery->correlation_id;
	fallback->source_service = delivery->app_id;
	if (!span_present(fallback->source_service))
		fallback->source_service =
			headers_find(&delivery->headers, "source");
	if (message_type_parse(delivery->type, &type))
		fallback->message_type = delivery->type;
	if (!span_present(name))
		name = fallback->message_type;
	if (message_type_parse(name, &type) && type == MESSAGE_REQUEST)
		fallback->reply_to = delivery->reply_to;
}

static int no_memory(struct error *err)
{
	return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static int merge_headers(struct inbox_row *row, const struct headers *headers,
			 struct span extra, struct arena *arena,
			 struct error *err)
{
	bool failed;

	row->headers = headers_merge(headers, extra, arena, &failed);
	return failed ? no_memory(err) : 0;
}

static int judge_envelope(struct inbox_row *row,
			  const struct delivery *delivery,
			  const struct envelope_limits *limits,
			  struct arena *arena, struct error *err)
{
	struct envelope fallback;
	enum message_type type;
	int status = envelope_parse(&row->envelope, delivery->body, limits,
				    arena, err);

	if (status < 0)
		return status;
	fallback_of(&fallback, delivery, &row->envelope);
	envelope_normalise(&row->envelope, &fallback);
	if (!span_present(row->envelope.message_id))
		return error_set(err, STATUS_INVALID,
				 "message_id is missing from the envelope and "
				 "from the message's properties");
	status = envelope_validate(&row->envelope, limits, &type, err);
	if (testing_bug("dedupe-off"))
		row->envelope.message_id = SPAN_NONE;
	if (status == 0)
		status = merge_headers(row, &delivery->headers,
				       row->envelope.extra, arena, err);
	return status;
}

/* ---- what needs no envelope ---- */

static int find_schema(const struct delivery *delivery, bool *found,
		       struct arena *arena, struct error *err)
{
	struct json_cursor at;
	struct json_value value;
	struct span key;

	*found = false;
	if (json_check(delivery->body, &value, NULL, NULL) < 0 ||
	    value.type != JSON_OBJECT)
		return 0;
	at = json_enter(value);
	while (!*found && json_next(&at, &key, &value)) {
		struct span name = json_unescape(key, arena);

		if (!span_present(name))
			return no_memory(err);
		*found = span_is(name, "schema");
	}
	return 0;
}

static int join_headers(struct headers *joined, const struct headers *first,
			const struct headers *second, struct arena *arena,
			struct error *err)
{
	struct headers both = {.count = first->count + second->count};

	both.at = arena_alloc(arena, both.count * sizeof(*both.at));
	if (both.at == NULL)
		return no_memory(err);
	for (size_t i = 0; i < both.count; i++)
		both.at[i] = i < first->count ? first->at[i]
					      : second->at[i - first->count];
	*joined = both;
	return 0;
}

/* What only the message's own properties can say about a plain event. */
static void fill_from_properties(struct envelope *envelope,
				 const struct delivery *delivery)
{
	if (!span_present(envelope->message_id) && delivery->message_id.len > 0)
		envelope->message_id = delivery->message_id;
	if (!span_present(envelope->source_service))
		envelope->source_service = delivery->app_id;
}

static int judge_foreign(struct inbox_row *row, const struct delivery *delivery,
			 const struct envelope_limits *limits,
			 struct arena *arena, struct error *err)
{
	const struct foreign message = {delivery->topic, delivery->body,
					delivery->content_type};
	struct foreign_event event;
	struct headers headers;
	int status = edgex_read(&event, &message, limits, arena, err);

	if (status == 0)
		status = plain_read(&event, &message, limits, arena, err);
	if (status < 0)
		return status;
	row->envelope = event.envelope;
	fill_from_properties(&row->envelope, delivery);
	status = envelope_check_strings(&row->envelope, err);
	if (status == 0)
		status = join_headers(&headers, &event.headers,
				      &delivery->headers, arena, err);
	if (status == 0)
		status = merge_headers(row, &headers, SPAN_NONE, arena, err);
	return status;
}

static int judge_body(struct inbox_row *row, const struct delivery *delivery,
		      const struct envelope_limits *limits, struct arena *arena,
		      struct error *err)
{
	bool is_envelope = true;
	int status = 0;

	if (delivery->full_size > 0)
		return error_set(err, STATUS_INVALID,
				 "body: found %zu bytes, at most %zu are "
				 "allowed (max_message_bytes)",
				 delivery->full_size,
				 limits->max_message_bytes);
	if (delivery->any_body)
		status = find_schema(delivery, &is_envelope, arena, err);
	if (status < 0)
		return status;
	return is_envelope ? judge_envelope(row, delivery, limits, arena, err)
			   : judge_foreign(row, delivery, limits, arena, err);
}

/* ---- what holds for all ---- */

static int judge_ordering_key(struct inbox_row *row,
			      const struct delivery *delivery,
			      struct error *err)
{
	struct span key = headers_find(&delivery->headers, "ordering_key");

	if (span_present(key) && (!utf8_valid(key) || key.len == 0 ||
				  memchr(key.at, '\0', key.len) != NULL))
		return error_set(err, STATUS_INVALID,
				 "the header ordering_key is %s: it has to be "
				 "text without NUL",
				 quote(key).text);
	row->ordering_key = key;
	return 0;
}

/* Any bytes made into short text that every database takes. */
static struct span harmless(struct span raw, struct arena *arena)
{
	size_t len = 0;
	char *text;

	if (!span_present(raw))
		return SPAN_NONE;
	if (raw.len > ENVELOPE_MAX_STRING)
		raw.len = ENVELOPE_MAX_STRING;
	text = arena_alloc(arena, raw.len + 1);
	if (text == NULL)
		return SPAN_NONE;
	for (size_t i = 0; i < raw.len;) {
		size_t size = utf8_sequence(raw.at + i, raw.at + raw.len);

		if (size == 0 || (unsigned char)raw.at[i] < 0x20 ||
		    raw.at[i] == 0x7f) {
			text[len++] = '?';
			i++;
			continue;
		}
		memcpy(text + len, raw.at + i, size);
		len += size;
		i += size;
	}
	text[len] = '\0';
	return (struct span){text, len};
}

static void reject(struct inbox_row *row, const struct delivery *delivery,
		   struct span reason, struct arena *arena)
{
	struct span message_id = row->envelope.message_id;

	if (!span_present(message_id))
		message_id = delivery->message_id;
	envelope_init(&row->envelope);
	row->envelope.topic = harmless(delivery->topic, arena);
	row->envelope.message_id = harmless(message_id, arena);
	row->headers = SPAN_NONE;
	row->rejected = reason;
}

int intake_judge(struct inbox_row *row, const struct delivery *delivery,
		 const struct envelope_limits *limits, struct arena *arena,
		 struct error *err)
{
	struct error why;
	bool failed = false;
	int status;

	*row = (struct inbox_row){.body = delivery->body};
	envelope_init(&row->envelope);
	status = judge_body(row, delivery, limits, arena, &why);
	if (status == 0)
		status = judge_ordering_key(row, delivery, &why);
	if (status == STATUS_INVALID) {
		struct span reason = arena_copy(arena, span_of(why.text));

		failed = !span_present(reason);
		reject(row, delivery, reason, arena);
	}
	if (failed || status == STATUS_NO_MEMORY)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory to judge a message");
	return 0;
}
