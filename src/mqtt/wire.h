/* SPDX-License-Identifier: MIT */
/* MQTT's data types (version 5, 1.5), read with one check at the end and
 * appended to a buffer. */
#ifndef MQTT_WIRE_H
#define MQTT_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/span.h"

enum { WIRE_STRING_MAX = 65535, WIRE_LENGTH_MAX = 268435455 };

/* Bytes being read. What fails to be read is 0 or absent, and so is all that
 * comes after it. */
struct wire {
	const char *at;
	const char *end;
	bool failed;
};

struct wire wire_of(struct span bytes);
size_t wire_left(const struct wire *wire);
/* Everything was there, and nothing is left over. */
bool wire_done(const struct wire *wire);

uint8_t wire_byte(struct wire *wire);
uint16_t wire_u16(struct wire *wire);
uint32_t wire_u32(struct wire *wire);
/* A variable byte integer: four bytes at most and no longer than needed. */
uint32_t wire_length(struct wire *wire);
struct span wire_take(struct wire *wire, size_t size);
struct span wire_binary(struct wire *wire);
/* Fails on what is no MQTT text. */
struct span wire_string(struct wire *wire);

/* UTF-8 without NUL, at most 65,535 bytes (1.5.4). */
bool wire_is_text(struct span text);

void wire_put_byte(struct buffer *out, unsigned value);
void wire_put_u16(struct buffer *out, unsigned value);
void wire_put_u32(struct buffer *out, uint32_t value);
void wire_put_length(struct buffer *out, uint32_t value);
/* Its length of two bytes first; the caller has checked that it fits. */
void wire_put_binary(struct buffer *out, struct span bytes);

/* Puts the length of what stands in the buffer from offset `from` on, and of
 * `more` that is still to come, in front of it. False if MQTT cannot count that
 * far. */
bool wire_insert_length(struct buffer *out, size_t from, size_t more);

#endif
