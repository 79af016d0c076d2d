/* SPDX-License-Identifier: MIT */
/*
 * Bytes that are appended at the end and consumed at the front.
 *
 * Appending never fails by itself: when memory runs out the buffer is marked
 * `failed` and stays as it was, so that a writer checks once, at the end.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct buffer {
	char *data;
	size_t start; /* first byte not consumed */
	size_t end;   /* one past the last byte */
	size_t cap;
	bool failed; /* an append found no memory */
};

void buffer_init(struct buffer *buffer);
void buffer_finish(struct buffer *buffer);

/* Room for at least `size` more bytes, to be written at the returned place
 * and then counted with buffer_grew. NULL when memory has run out. */
char *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_grew(struct buffer *buffer, size_t size);

void buffer_append(struct buffer *buffer, const void *data, size_t size);
void buffer_append_span(struct buffer *buffer, struct span span);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_format(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What has not been consumed; valid until the next change. */
struct span buffer_span(const struct buffer *buffer);
static inline size_t buffer_length(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}
void buffer_consume(struct buffer *buffer, size_t size);

/* Empties the buffer and clears `failed`; gives memory back beyond 64 KiB. */
void buffer_reset(struct buffer *buffer);

#endif
