/* SPDX-License-Identifier: MIT */
/* Cutting frames out of a byte stream and appending them to one. */
#include "amqp/frame.h"

#include <endian.h>
#include <string.h>

#include "base/quote.h"

/* Every method of ours but the login fits in far less; a token may be long. */
enum { METHOD_ROOM = 8192 };
enum { HEADER_SIZE = 7, CONTENT_HEADER_SIZE = 12 };

static uint16_t get16(const char *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return be16toh(value);
}

static uint32_t get32(const char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return be32toh(value);
}

static uint64_t get64(const char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return be64toh(value);
}

static void put32(char *at, uint32_t value)
{
	value = htobe32(value);
	memcpy(at, &value, sizeof(value));
}

static bool known_type(uint8_t type)
{
	return type == AMQP_FRAME_METHOD || type == AMQP_FRAME_HEADER ||
	       type == AMQP_FRAME_BODY || type == AMQP_FRAME_HEARTBEAT;
}

/* A peer that is no AMQP 0-9-1 server is told by how it begins. */
static int refuse_stranger(struct span input, struct error *err)
{
	enum { TLS_ALERT = 0x15, TLS_HANDSHAKE = 0x16 };
	char first = input.at[0];

	if (input.len >= 4 && memcmp(input.at, "AMQP", 4) == 0)
		return error_set(err, STATUS_PROTOCOL,
				 "the server does not speak AMQP 0-9-1");
	if (input.len >= 5 && memcmp(input.at, "HTTP/", 5) == 0)
		return error_set(err, STATUS_PROTOCOL,
				 "an HTTP server answers on this port, not "
				 "RabbitMQ");
	if (first == TLS_ALERT || first == TLS_HANDSHAKE)
		return error_set(err, STATUS_PROTOCOL,
				 "the server wants TLS on this port; set tls");
	return error_set(
		err, STATUS_PROTOCOL,
		"what answers is not AMQP: it begins with %s",
		quote((struct span){input.at, input.len < 16 ? input.len : 16})
			.text);
}

/* "AMQP" and "HTTP" are told apart from garbage by their first five bytes. */
static bool undecided(struct span input)
{
	return input.len < 5 && (input.at[0] == 'A' || input.at[0] == 'H');
}

int frame_read(struct span input, size_t frame_max, struct frame *frame,
	       struct error *err)
{
	size_t size;

	if (input.len == 0)
		return 0;
	if (!known_type((uint8_t)input.at[0]))
		return undecided(input) ? 0 : refuse_stranger(input, err);
	if (input.len < HEADER_SIZE)
		return 0;
	size = (size_t)get32(input.at + 3) + FRAME_OVERHEAD;
	if (size > frame_max)
		return error_set(err, STATUS_PROTOCOL,
				 "the server sent a frame of %zu bytes, %zu "
				 "are agreed upon",
				 size, frame_max);
	if (input.len < size)
		return 0;
	if ((uint8_t)input.at[size - 1] != AMQP_FRAME_END)
		return error_set(err, STATUS_PROTOCOL,
				 "a frame from the server has no end mark");
	*frame = (struct frame){
		.type = (uint8_t)input.at[0],
		.channel = get16(input.at + 1),
		.payload = {input.at + HEADER_SIZE, size - FRAME_OVERHEAD},
		.size = size,
	};
	return 1;
}

amqp_method_number_t frame_method(const struct frame *frame)
{
	return frame->payload.len < 4 ? 0 : get32(frame->payload.at);
}

const void *frame_decode(amqp_pool_t *pool, amqp_method_number_t id,
			 struct span payload)
{
	struct span fields = {payload.at + 4, payload.len - 4};
	void *method;

	recycle_amqp_pool(pool);
	if (amqp_decode_method(id, pool, bytes_of(fields), &method) < 0)
		return NULL;
	return method;
}

bool frame_content_header(struct span payload, uint64_t *body_size,
			  struct span *properties)
{
	if (payload.len < CONTENT_HEADER_SIZE ||
	    get16(payload.at) != FRAME_BASIC_CLASS)
		return false;
	*body_size = get64(payload.at + 4);
	*properties = (struct span){payload.at + CONTENT_HEADER_SIZE,
				    payload.len - CONTENT_HEADER_SIZE};
	return true;
}

static void begin_frame(char *at, uint8_t type, uint16_t channel)
{
	at[0] = (char)type;
	at[1] = (char)(channel >> 8);
	at[2] = (char)channel;
}

/* Completes a frame whose payload stands behind room for its header. */
static void end_frame(struct buffer *out, char *at, size_t payload)
{
	put32(at + 3, (uint32_t)payload);
	at[HEADER_SIZE + payload] = (char)AMQP_FRAME_END;
	buffer_grew(out, payload + FRAME_OVERHEAD);
}

int frame_write_method(struct buffer *out, uint16_t channel,
		       amqp_method_number_t id, void *method, struct error *err)
{
	char *at = buffer_reserve(out, METHOD_ROOM);
	amqp_bytes_t room;
	int size;

	if (at == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	begin_frame(at, AMQP_FRAME_METHOD, channel);
	put32(at + HEADER_SIZE, id);
	room.bytes = at + HEADER_SIZE + 4;
	room.len = METHOD_ROOM - FRAME_OVERHEAD - 4;
	size = amqp_encode_method(id, method, room);
	if (size < 0)
		return error_set(err, STATUS_INVALID,
				 "%s is larger than AMQP allows",
				 amqp_method_name(id));
	end_frame(out, at, (size_t)size + 4);
	return 0;
}

int frame_write_header(struct buffer *out, uint16_t channel,
		       amqp_basic_properties_t *properties, uint64_t body_size,
		       size_t room, struct error *err)
{
	size_t all = room + CONTENT_HEADER_SIZE + FRAME_OVERHEAD;
	char *at = buffer_reserve(out, all);
	amqp_bytes_t encoded;
	int size;

	if (at == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	begin_frame(at, AMQP_FRAME_HEADER, channel);
	put32(at + HEADER_SIZE, FRAME_BASIC_CLASS << 16);
	put32(at + HEADER_SIZE + 4, (uint32_t)(body_size >> 32));
	put32(at + HEADER_SIZE + 8, (uint32_t)body_size);
	encoded.bytes = at + HEADER_SIZE + CONTENT_HEADER_SIZE;
	encoded.len = room;
	size = amqp_encode_properties(FRAME_BASIC_CLASS, properties, encoded);
	if (size < 0)
		return error_set(err, STATUS_INVALID,
				 "the message's properties cannot be encoded");
	end_frame(out, at, (size_t)size + CONTENT_HEADER_SIZE);
	return 0;
}

void frame_write_body(struct buffer *out, uint16_t channel, struct span body,
		      size_t frame_max)
{
	while (body.len > 0) {
		size_t most = frame_max - FRAME_OVERHEAD;
		size_t part = body.len < most ? body.len : most;
		char *at = buffer_reserve(out, part + FRAME_OVERHEAD);

		if (at == NULL)
			return;
		begin_frame(at, AMQP_FRAME_BODY, channel);
		memcpy(at + HEADER_SIZE, body.at, part);
		end_frame(out, at, part);
		body.at += part;
		body.len -= part;
	}
}

void frame_write_heartbeat(struct buffer *out)
{
	char *at = buffer_reserve(out, FRAME_OVERHEAD);

	if (at == NULL)
		return;
	begin_frame(at, AMQP_FRAME_HEARTBEAT, 0);
	end_frame(out, at, 0);
}
