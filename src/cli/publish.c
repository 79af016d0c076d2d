/* SPDX-License-Identifier: MIT */
/* `postbus publish`: writes one outbox row, once it has proved to be valid. */
#include <string.h>

#include "base/json.h"
#include "base/quote.h"
#include "cli/cli.h"
#include "message/envelope.h"
#include "message/headers.h"

struct publish_options {
	const char *topic;
	const char *type;
	const char *event_type;
	const char *source;
	const char *payload;
	const char *request_id;
	const char *reply_to;
	const char *parent_request_id;
	int64_t chain_depth;
	const char *status;
	const char *message_id;
	struct texts headers;
	const char *ordering_key;
	double delay;
	double expires;
	const char *config_key;
};

#define AT(member) offsetof(struct publish_options, member)

static const struct option options[] = {
	{"topic", "TOPIC", OPTION_TEXT, AT(topic), true,
	 "such as event.orders.order.created"},
	{"type", "TYPE", OPTION_TEXT, AT(type), false,
	 "event (as if not given), request or response"},
	{"event-type", "NAME", OPTION_TEXT, AT(event_type), false,
	 "what happened; an event needs it"},
	{"source", "SERVICE", OPTION_TEXT, AT(source), false,
	 "the sender; else the config's source_service"},
	{"payload", "JSON", OPTION_TEXT, AT(payload), false,
	 "the JSON itself, @FILE, or - for standard input; else {}"},
	{"request-id", "ID", OPTION_TEXT, AT(request_id), false,
	 "a request and its response need it"},
	{"reply-to", "TOPIC", OPTION_TEXT, AT(reply_to), false,
	 "the response's topic; a request needs it"},
	{"status", "success|error", OPTION_CHOICE, AT(status), false,
	 "a response needs it"},
	{"parent-request-id", "ID", OPTION_TEXT, AT(parent_request_id), false,
	 "the request that this one serves"},
	{"chain-depth", "N", OPTION_NUMBER, AT(chain_depth), false,
	 "how many requests led to this one"},
	{"message-id", "ID", OPTION_TEXT, AT(message_id), false,
	 "what receivers deduplicate by; else the row's id"},
	{"header", "NAME=VALUE", OPTION_TEXTS, AT(headers), false,
	 "a message header"},
	{"ordering-key", "KEY", OPTION_TEXT, AT(ordering_key), false,
	 "messages of one key never overtake each other"},
	{"delay", "SECONDS", OPTION_SECONDS, AT(delay), false,
	 "send it that much later; 90, 15m, 2h, 7d"},
	{"expires", "SECONDS", OPTION_SECONDS, AT(expires), false,
	 "give up if it is not sent by then"},
	{"config-key", "KEY", OPTION_TEXT, AT(config_key), false,
	 "which worker sends it; else default"},
	{0},
};

/* --header NAME=VALUE ... as the column's JSON object, checked. */
static int read_headers(struct cli *cli, const struct texts *given,
			struct buffer *json, struct span *column,
			struct error *err)
{
	struct headers parsed;

	if (given->count == 0)
		return 0;
	for (size_t i = 0; i < given->count; i++) {
		const char *text = given->at[i];
		size_t len = strcspn(text, "=");

		if (text[len] == '\0')
			return usage_error(err,
					   "--header is %s but must be "
					   "NAME=VALUE",
					   quote(span_of(text)).text);
		buffer_append_text(json, i == 0 ? "{" : ",");
		json_append_string(json, (struct span){text, len});
		buffer_append_text(json, ":");
		json_append_string(json, span_of(text + len + 1));
	}
	buffer_append_text(json, "}");
	if (json->failed)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	*column = buffer_span(json);
	return headers_parse(&parsed, *column, &cli->memory, err);
}

static int read_payload(const char *given, struct buffer *in,
			struct span *payload, struct error *err)
{
	int result = 0;

	if (given == NULL)
		return 0;
	if (*given != '@' && strcmp(given, "-") != 0) {
		*payload = span_of(given);
		return 0;
	}
	result = input_read(*given == '@' ? given + 1 : given, in, err);
	if (result == 0)
		*payload = buffer_span(in);
	return result;
}

static void fill_envelope(struct envelope *envelope,
			  const struct publish_options *wanted)
{
	envelope->topic = span_of(wanted->topic);
	envelope->message_type =
		span_of(wanted->type == NULL ? "event" : wanted->type);
	envelope->event_type = span_of(wanted->event_type);
	envelope->source_service = span_of(wanted->source);
	envelope->request_id = span_of(wanted->request_id);
	envelope->reply_to = span_of(wanted->reply_to);
	envelope->parent_request_id = span_of(wanted->parent_request_id);
	envelope->chain_depth = wanted->chain_depth;
	envelope->status = span_of(wanted->status);
	envelope->message_id = span_of(wanted->message_id);
}

/*
 * Holds what the relay will make of the row against the rules, and gives the
 * row its sender. The row itself stays as typed: a payload that is an envelope
 * is the relay's to unwrap. The message id stands for the row's id to come.
 */
static int check_row(struct cli *cli, struct store *store,
		     const char *config_key, struct envelope *row,
		     struct error *err)
{
	struct envelope sent = *row;
	struct envelope_limits limits;
	struct envelope fallback;
	enum message_type type;
	int result;

	envelope_init(&fallback);
	fallback.message_id = SPAN_LIT("00000000-0000-4000-8000-000000000000");
	result = database_rules(store, config_key, &limits,
				&fallback.source_service, &cli->memory, err);
	if (result == 0)
		result = envelope_unwrap(&sent, &limits, &cli->memory, err);
	if (result < 0)
		return result;
	if (!span_present(sent.source_service))
		row->source_service = fallback.source_service;
	envelope_normalise(&sent, &fallback);
	return envelope_validate(&sent, &limits, &type, err);
}

static usec_t usec_of(double seconds)
{
	return seconds > 0 ? (usec_t)(seconds * (double)USEC_PER_SEC) : 0;
}

static int run(struct cli *cli, const void *given, struct error *err)
{
	const struct publish_options *wanted = given;
	const char *key =
		wanted->config_key == NULL ? "default" : wanted->config_key;
	struct outbox_row row = {.ordering_key = span_of(wanted->ordering_key)};
	struct store *store = NULL;
	struct buffer headers, payload;
	char id[UUID_TEXT_SIZE];
	int result;

	buffer_init(&headers);
	buffer_init(&payload);
	envelope_init(&row.envelope);
	fill_envelope(&row.envelope, wanted);
	if (wanted->expires == 0)
		result = usage_error(err, "--expires 0 would never be sent: "
					  "give more than 0 seconds");
	else
		result = read_headers(cli, &wanted->headers, &headers,
				      &row.headers, err);
	if (result == 0)
		result = read_payload(wanted->payload, &payload,
				      &row.envelope.payload, err);
	if (result == 0)
		result = database_open(cli, &store, err);
	if (result == 0)
		result = check_row(cli, store, key, &row.envelope, err);
	if (result == 0)
		result = store->driver->enqueue(
			store, key, &row, usec_of(wanted->delay),
			usec_of(wanted->expires), id, err);
	if (result == 0)
		buffer_append_format(&cli->out, "%s\n", id);
	database_close(store);
	buffer_finish(&headers);
	buffer_finish(&payload);
	return result;
}

const struct command command_publish = {
	.name = "publish",
	.summary = "Write a message into the outbox and print its id",
	.options = {options},
	.options_size = sizeof(struct publish_options),
	.run = run,
};
