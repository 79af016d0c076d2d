/* SPDX-License-Identifier: MIT */
/* MQTT's data types. */
#include "mqtt/wire.h"

#include <string.h>

#include "base/utf8.h"

enum { LENGTH_BYTES = 4 };

struct wire wire_of(struct span bytes)
{
	const char *at = bytes.at == NULL ? "" : bytes.at;

	return (struct wire){.at = at, .end = at + bytes.len};
}

size_t wire_left(const struct wire *wire)
{
	return (size_t)(wire->end - wire->at);
}

bool wire_done(const struct wire *wire)
{
	return !wire->failed && wire->at == wire->end;
}

static bool has(struct wire *wire, size_t size)
{
	if (wire_left(wire) < size)
		wire->failed = true;
	return !wire->failed;
}

uint8_t wire_byte(struct wire *wire)
{
	return has(wire, 1) ? (uint8_t)*wire->at++ : 0;
}

uint16_t wire_u16(struct wire *wire)
{
	unsigned high = wire_byte(wire);
	unsigned low = wire_byte(wire);

	return (uint16_t)(high << 8 | low);
}

uint32_t wire_u32(struct wire *wire)
{
	uint32_t high = wire_u16(wire);
	uint32_t low = wire_u16(wire);

	return high << 16 | low;
}

uint32_t wire_length(struct wire *wire)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < LENGTH_BYTES; i++) {
		uint32_t byte = wire_byte(wire);

		value |= (byte & 0x7f) << 7 * i;
		if (byte >= 0x80)
			continue;
		if (byte == 0 && i > 0)
			wire->failed = true;
		return value;
	}
	wire->failed = true;
	return 0;
}

struct span wire_take(struct wire *wire, size_t size)
{
	const char *at = wire->at;

	if (!has(wire, size))
		return SPAN_NONE;
	wire->at += size;
	return (struct span){at, size};
}

struct span wire_binary(struct wire *wire)
{
	return wire_take(wire, wire_u16(wire));
}

struct span wire_string(struct wire *wire)
{
	struct span text = wire_binary(wire);

	if (!wire_is_text(text))
		wire->failed = true;
	return text;
}

bool wire_is_text(struct span text)
{
	return text.len <= WIRE_STRING_MAX &&
	       (text.len == 0 ||
		(memchr(text.at, '\0', text.len) == NULL && utf8_valid(text)));
}

void wire_put_byte(struct buffer *out, unsigned value)
{
	const char byte = (char)value;

	buffer_append(out, &byte, 1);
}

void wire_put_u16(struct buffer *out, unsigned value)
{
	const char bytes[] = {(char)(value >> 8), (char)value};

	buffer_append(out, bytes, sizeof(bytes));
}

void wire_put_u32(struct buffer *out, uint32_t value)
{
	wire_put_u16(out, value >> 16);
	wire_put_u16(out, value & 0xffff);
}

static size_t encode_length(char bytes[LENGTH_BYTES], size_t value)
{
	size_t size = 0;

	do {
		bytes[size++] =
			(char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
	} while (value > 0 && size < LENGTH_BYTES);
	return size;
}

void wire_put_length(struct buffer *out, uint32_t value)
{
	char bytes[LENGTH_BYTES];

	buffer_append(out, bytes, encode_length(bytes, value));
}

void wire_put_binary(struct buffer *out, struct span bytes)
{
	wire_put_u16(out, (unsigned)bytes.len);
	buffer_append_span(out, bytes);
}

bool wire_insert_length(struct buffer *out, size_t from, size_t more)
{
	size_t length = buffer_length(out) - from;
	char bytes[LENGTH_BYTES];
	size_t size;
	char *at;

	if (out->failed)
		return true;
	if (more > WIRE_LENGTH_MAX || length > WIRE_LENGTH_MAX - more)
		return false;
	size = encode_length(bytes, length + more);
	buffer_append(out, bytes, size);
	if (out->failed)
		return true;
	at = out->data + out->start + from;
	memmove(at + size, at, length);
	memcpy(at, bytes, size);
	return true;
}
