/* SPDX-License-Identifier: MIT */
/* A growing byte queue in one piece of memory. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 512, KEEP_CAP = 64 * 1024 };

void buffer_init(struct buffer *buffer)
{
	*buffer = (struct buffer){0};
}

void buffer_finish(struct buffer *buffer)
{
	free(buffer->data);
	buffer_init(buffer);
}

static bool grow(struct buffer *buffer, size_t need)
{
	size_t cap = buffer->cap == 0 ? FIRST_CAP : buffer->cap;
	char *data;

	while (cap < need) {
		if (cap > SIZE_MAX / 2)
			return false;
		cap *= 2;
	}
	data = realloc(buffer->data, cap);
	if (data == NULL)
		return false;
	buffer->data = data;
	buffer->cap = cap;
	return true;
}

/* Moves what is left to the front when that is cheap or makes the room. */
static void compact(struct buffer *buffer, size_t size)
{
	size_t len = buffer_length(buffer);

	if (buffer->start == 0 || size <= buffer->cap - buffer->end)
		return;
	if (len > 0 && len > buffer->start)
		return;
	if (len > 0)
		memcpy(buffer->data, buffer->data + buffer->start, len);
	buffer->start = 0;
	buffer->end = len;
}

char *buffer_reserve(struct buffer *buffer, size_t size)
{
	compact(buffer, size);
	if (size > buffer->cap - buffer->end) {
		if (size > SIZE_MAX - buffer->end ||
		    !grow(buffer, buffer->end + size)) {
			buffer->failed = true;
			return NULL;
		}
	}
	return buffer->data + buffer->end;
}

void buffer_grew(struct buffer *buffer, size_t size)
{
	buffer->end += size;
}

void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
	char *room;

	if (size == 0)
		return;
	room = buffer_reserve(buffer, size);
	if (room == NULL)
		return;
	memcpy(room, data, size);
	buffer->end += size;
}

void buffer_append_span(struct buffer *buffer, struct span span)
{
	buffer_append(buffer, span.at, span.len);
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	char *room;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0) {
		buffer->failed = true;
		return;
	}
	room = buffer_reserve(buffer, (size_t)len + 1);
	if (room == NULL)
		return;
	va_start(args, format);
	vsnprintf(room, (size_t)len + 1, format, args);
	va_end(args);
	buffer->end += (size_t)len;
}

struct span buffer_span(const struct buffer *buffer)
{
	if (buffer->data == NULL)
		return (struct span){"", 0};
	return (struct span){buffer->data + buffer->start,
			     buffer_length(buffer)};
}

void buffer_consume(struct buffer *buffer, size_t size)
{
	buffer->start += size;
	if (buffer->start == buffer->end)
		buffer->start = buffer->end = 0;
}

void buffer_reset(struct buffer *buffer)
{
	if (buffer->cap > KEEP_CAP)
		buffer_finish(buffer);
	buffer->start = buffer->end = 0;
	buffer->failed = false;
}
