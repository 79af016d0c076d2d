/* SPDX-License-Identifier: MIT */
/*
 * Big-endian fields taken off the front of a span.
 *
 * What reaches past the end marks the reader `failed` and reads as zero or as
 * absent, so that a caller checks once.
 */
#ifndef AMQP_READER_H
#define AMQP_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct reader {
	struct span left;
	bool failed;
};

static inline struct span read_bytes(struct reader *reader, uint64_t size)
{
	struct span taken = {reader->left.at, (size_t)size};

	if (size > reader->left.len) {
		reader->failed = true;
		reader->left.len = 0;
		return SPAN_NONE;
	}
	reader->left.at += size;
	reader->left.len -= size;
	return taken;
}

/* An unsigned integer of 1 to 8 bytes. */
static inline uint64_t read_uint(struct reader *reader, size_t size)
{
	struct span bytes = read_bytes(reader, size);
	uint64_t value = 0;

	for (size_t i = 0; i < bytes.len; i++)
		value = value << 8 | (uint8_t)bytes.at[i];
	return value;
}

static inline struct span read_short_string(struct reader *reader)
{
	return read_bytes(reader, read_uint(reader, 1));
}

static inline struct span read_long_string(struct reader *reader)
{
	return read_bytes(reader, read_uint(reader, 4));
}

#endif
