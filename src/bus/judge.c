/* SPDX-License-Identifier: MIT */
/* Whether a delivery can be an inbox row, and which. */
#include "bus/intake.h"

#include "base/quote.h"
#include "base/utf8.h"

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
	fallback->topic = delivery->topic;
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
	return envelope_validate(&row->envelope, limits, &type, err);
}

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
	status = judge_envelope(row, delivery, limits, arena, &why);
	if (status == 0)
		status = judge_ordering_key(row, delivery, &why);
	if (status == 0) {
		row->headers =
			headers_merge(&delivery->headers, row->envelope.extra,
				      arena, &failed);
	} else if (status == STATUS_INVALID) {
		struct span reason = arena_copy(arena, span_of(why.text));

		failed = !span_present(reason);
		reject(row, delivery, reason, arena);
	}
	if (failed || status == STATUS_NO_MEMORY)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory to judge a message");
	return 0;
}
