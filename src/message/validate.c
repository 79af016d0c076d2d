/* SPDX-License-Identifier: MIT */
/* The rules that a normalised envelope must obey. */
#include <inttypes.h>

#include "base/quote.h"
#include "base/utf8.h"
#include "message/envelope.h"
#include "message/fields.h"

static bool has_control(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c < 0x20 || c == 0x7f)
			return true;
	}
	return false;
}

static int check_string(const char *name, struct span text, struct error *err)
{
	const char *allowed = NULL;

	if (text.len > ENVELOPE_MAX_STRING)
		return error_set(err, STATUS_INVALID,
				 "%s: found %zu bytes, at most %d are allowed",
				 name, text.len, ENVELOPE_MAX_STRING);
	if (!utf8_valid(text))
		allowed = "valid UTF-8 is required";
	else if (has_control(text))
		allowed = "control characters are not allowed";
	if (allowed != NULL)
		return error_set(err, STATUS_INVALID, "%s: found %s, %s", name,
				 quote(text).text, allowed);
	return 0;
}

int envelope_check_strings(const struct envelope *envelope, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; i < FIELD_COUNT && rc == 0; i++) {
		struct span text = field_of(envelope, &envelope_fields[i]);

		if (span_present(text))
			rc = check_string(envelope_fields[i].name, text, err);
	}
	return rc;
}

static int refuse_word(const char *name, struct span found, const char *allowed,
		       struct error *err)
{
	if (!span_present(found))
		return error_set(err, STATUS_INVALID, "%s: absent, %s", name,
				 allowed);
	return error_set(err, STATUS_INVALID, "%s: found %s, %s", name,
			 quote(found).text, allowed);
}

static int check_schema(const struct envelope *envelope, struct error *err)
{
	if (span_is(envelope->schema, ENVELOPE_SCHEMA))
		return 0;
	return refuse_word("schema", envelope->schema,
			   "\"" ENVELOPE_SCHEMA "\" is required", err);
}

static int check_type(const struct envelope *envelope, enum message_type *type,
		      struct error *err)
{
	if (message_type_parse(envelope->message_type, type))
		return 0;
	return refuse_word("message_type", envelope->message_type,
			   "request, response or event is required", err);
}

static int require(const char *name, struct span text, const char *whose,
		   struct error *err)
{
	if (text.len > 0)
		return 0;
	return error_set(err, STATUS_INVALID,
			 "%s: %s, %s needs a string that is not empty", name,
			 span_present(text) ? "empty" : "absent", whose);
}

static int check_status(const struct envelope *envelope, struct error *err)
{
	if (span_is(envelope->status, "success") ||
	    span_is(envelope->status, "error"))
		return 0;
	return refuse_word("status", envelope->status,
			   "success or error is required", err);
}

/* What only this type of message must have. */
static int check_needs(const struct envelope *envelope, enum message_type type,
		       struct error *err)
{
	int rc;

	switch (type) {
	case MESSAGE_REQUEST:
		rc = require("request_id", envelope->request_id, "a request",
			     err);
		if (rc == 0)
			rc = require("reply_to", envelope->reply_to,
				     "a request", err);
		return rc;
	case MESSAGE_RESPONSE:
		rc = require("request_id", envelope->request_id, "a response",
			     err);
		return rc == 0 ? check_status(envelope, err) : rc;
	case MESSAGE_EVENT:
		return require("event_type", envelope->event_type, "an event",
			       err);
	}
	return 0;
}

/* What every message may have, if it is there. */
static int check_optional(const struct envelope *envelope,
			  const struct envelope_limits *limits,
			  struct error *err)
{
	int rc = 0;

	if (span_present(envelope->reply_to))
		rc = topic_check(envelope->reply_to, MESSAGE_RESPONSE,
				 "reply_to", err);
	if (rc == 0 && span_present(envelope->status))
		rc = check_status(envelope, err);
	if (rc == 0 && (envelope->chain_depth < 0 ||
			envelope->chain_depth > limits->max_chain_depth))
		rc = error_set(err, STATUS_INVALID,
			       "chain_depth: found %" PRId64
			       ", 0 to %d is allowed (max_chain_depth)",
			       envelope->chain_depth, limits->max_chain_depth);
	return rc;
}

int envelope_validate(const struct envelope *envelope,
		      const struct envelope_limits *limits,
		      enum message_type *type, struct error *err)
{
	enum message_type found;
	int rc = check_schema(envelope, err);

	if (rc == 0)
		rc = envelope_check_strings(envelope, err);
	if (rc == 0)
		rc = check_type(envelope, &found, err);
	if (rc == 0)
		rc = require("message_id", envelope->message_id, "a message",
			     err);
	if (rc == 0)
		rc = topic_check(envelope->topic, found, "topic", err);
	if (rc == 0)
		rc = check_needs(envelope, found, err);
	if (rc == 0)
		rc = check_optional(envelope, limits, err);
	if (rc == 0)
		*type = found;
	return rc;
}
