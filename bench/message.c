/* SPDX-License-Identifier: MIT */
/* An event of 300 bytes. */
#include "message.h"

#include <string.h>

#include "base/random.h"

void message_build(struct envelope *envelope, struct buffer *body)
{
	static char padding[MESSAGE_BYTES];
	static char id[UUID_TEXT_SIZE];
	size_t length;

	uuid_generate(id);
	envelope_init(envelope);
	envelope->message_id = span_of(id);
	envelope->message_type = span_of("event");
	envelope->topic = span_of("event.bench.message.sent");
	envelope->event_type = span_of("message.sent");
	envelope->source_service = span_of("bench");
	envelope->payload = span_of("\"\"");
	envelope_normalise(envelope, envelope);
	envelope_build(envelope, body);
	length = MESSAGE_BYTES - buffer_length(body);
	memset(padding, '.', length + 2);
	padding[0] = padding[length + 1] = '"';
	envelope->payload = (struct span){padding, length + 2};
	buffer_reset(body);
	envelope_build(envelope, body);
}
