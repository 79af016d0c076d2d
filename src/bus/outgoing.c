/* SPDX-License-Identifier: MIT */
/* From an outbox row to a message ready to be published. */
#include "bus/outgoing.h"

#include "base/testing.h"

void outgoing_init(struct outgoing *outgoing,
		   const struct runtime_config *config)
{
	*outgoing = (struct outgoing){
		.config = config,
		.limits = {.max_message_bytes =
				   (size_t)config->max_message_bytes,
			   .max_chain_depth = (int)config->max_chain_depth},
	};
	arena_init(&outgoing->scratch);
	buffer_init(&outgoing->body);
}

void outgoing_finish(struct outgoing *outgoing)
{
	arena_finish(&outgoing->scratch);
	buffer_finish(&outgoing->body);
}

static int check_row(const struct outbox_row *row, struct error *err)
{
	if (span_present(row->broken))
		return error_set(err, STATUS_INVALID, "%.*s",
				 SPAN_ARG(row->broken));
	if (row->expired && !testing_bug("expired-sent"))
		return error_set(err, STATUS_INVALID, "expired");
	return 0;
}

static int make_envelope(struct outgoing *outgoing,
			 const struct outbox_row *row, enum message_type *type,
			 struct error *err)
{
	struct envelope *envelope = &outgoing->envelope;
	struct envelope fallback;
	int status;

	*envelope = row->envelope;
	status = envelope_unwrap(envelope, &outgoing->limits,
				 &outgoing->scratch, err);
	if (status < 0)
		return status;
	envelope_init(&fallback);
	fallback.message_id = span_of(row->id);
	fallback.source_service = span_of(outgoing->config->source_service);
	envelope_normalise(envelope, &fallback);
	return envelope_validate(envelope, &outgoing->limits, type, err);
}

static int make_headers(struct outgoing *outgoing, const struct outbox_row *row,
			struct headers *headers, struct error *err)
{
	int status =
		headers_parse(headers, row->headers, &outgoing->scratch, err);

	if (status == 0 && span_present(outgoing->envelope.extra))
		status = headers_add_extra(headers, outgoing->envelope.extra,
					   &outgoing->scratch, err);
	if (status == 0 && span_present(row->ordering_key))
		status = headers_set(headers,
				     (struct header){SPAN_LIT("ordering_key"),
						     row->ordering_key},
				     &outgoing->scratch, err);
	return status;
}

static int make_body(struct outgoing *outgoing, struct error *err)
{
	size_t limit = outgoing->limits.max_message_bytes;

	buffer_reset(&outgoing->body);
	envelope_build(&outgoing->envelope, &outgoing->body);
	if (outgoing->body.failed)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a message");
	if (buffer_length(&outgoing->body) > limit)
		return error_set(err, STATUS_INVALID,
				 "the message has %zu bytes; max_message_bytes "
				 "allows %zu",
				 buffer_length(&outgoing->body), limit);
	return 0;
}

int outgoing_prepare(struct outgoing *outgoing, const struct outbox_row *row,
		     struct publication *message, struct error *err)
{
	struct publication made = {.created_at = row->created_at,
				   .expires_in = row->expires_in};
	int status;

	arena_reset(&outgoing->scratch);
	status = check_row(row, err);
	if (status == 0)
		status = make_envelope(outgoing, row, &made.type, err);
	if (status == 0)
		status = make_headers(outgoing, row, &made.headers, err);
	if (status == 0)
		status = make_body(outgoing, err);
	if (status < 0)
		return status;
	made.envelope = &outgoing->envelope;
	made.body = buffer_span(&outgoing->body);
	*message = made;
	return 0;
}

bool outgoing_must_route(const struct outgoing *outgoing,
			 enum message_type type)
{
	struct span mandatory = span_of(outgoing->config->rabbitmq.mandatory);

	if (span_is(mandatory, "none"))
		return false;
	return span_is(mandatory, "all") || type != MESSAGE_EVENT;
}
