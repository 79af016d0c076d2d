/* SPDX-License-Identifier: MIT */
/* Collects the frames of one message. */
#include "amqp/content.h"

void content_finish(struct content *content)
{
	buffer_finish(&content->bytes);
	*content = (struct content){0};
}

void content_begin(struct content *content, const struct frame *method)
{
	buffer_reset(&content->bytes);
	buffer_append_span(&content->bytes, method->payload);
	content->method_size = method->payload.len;
	content->stage = CONTENT_HEADER;
}

static int add_header(struct content *content, struct span payload,
		      struct error *err)
{
	struct span properties;

	if (!frame_content_header(payload, &content->body_size, &properties))
		return error_set(err, STATUS_PROTOCOL,
				 "a message's header frame is malformed");
	buffer_append_span(&content->bytes, properties);
	content->header_size = properties.len;
	content->missing = content->body_size;
	content->stage = CONTENT_BODY;
	return 0;
}

static size_t body_kept(const struct content *content)
{
	return buffer_length(&content->bytes) - content->method_size -
	       content->header_size;
}

static int add_body(struct content *content, struct span payload,
		    struct error *err)
{
	if (payload.len > content->missing)
		return error_set(err, STATUS_PROTOCOL,
				 "a message's body is longer than announced");
	content->missing -= payload.len;
	if (content->longest > 0 &&
	    payload.len > content->longest - body_kept(content))
		payload.len = content->longest - body_kept(content);
	buffer_append_span(&content->bytes, payload);
	return 0;
}

static int complete(struct content *content, struct arena *arena,
		    struct message *message, struct error *err)
{
	struct span all = arena_copy(arena, buffer_span(&content->bytes));
	size_t before = content->method_size + content->header_size;

	if (content->bytes.failed || !span_present(all))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	message->fields = (struct span){all.at, content->method_size};
	message->properties = (struct span){all.at + content->method_size,
					    content->header_size};
	message->body = (struct span){all.at + before, all.len - before};
	message->full_size = content->body_size > message->body.len
				     ? (size_t)content->body_size
				     : 0;
	message->method =
		frame_method(&(struct frame){.payload = message->fields});
	content->stage = CONTENT_NONE;
	return 1;
}

int content_add(struct content *content, const struct frame *frame,
		struct arena *arena, struct message *message, struct error *err)
{
	int status;

	if (content->stage == CONTENT_HEADER &&
	    frame->type == AMQP_FRAME_HEADER)
		status = add_header(content, frame->payload, err);
	else if (content->stage == CONTENT_BODY &&
		 frame->type == AMQP_FRAME_BODY)
		status = add_body(content, frame->payload, err);
	else
		return error_set(err, STATUS_PROTOCOL,
				 "the server mixed up the frames of a message");
	if (status < 0 || content->missing > 0)
		return status;
	return complete(content, arena, message, err);
}
