/* SPDX-License-Identifier: MIT */
/* Statuses and their sentences. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Texts end up in the database, which takes nothing but UTF-8. */
static void mask(char *text)
{
	const char *end = text + strlen(text);

	while (text < end) {
		size_t len = utf8_sequence(text, end);

		if (len == 0 || (unsigned char)*text < 0x20 || *text == 0x7f) {
			*text = '?';
			len = 1;
		}
		text += len;
	}
}

int error_set(struct error *err, enum status status, const char *format, ...)
{
	va_list args;

	if (err == NULL)
		return status;
	err->status = status;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	mask(err->text);
	return status;
}

void error_prefix(struct error *err, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;
	size_t len;

	if (err == NULL)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text) - 2, format, args);
	va_end(args);
	strcat(text, ": ");
	len = strlen(text);
	memmove(err->text + len, err->text, sizeof(err->text) - len);
	memcpy(err->text, text, len);
	err->text[sizeof(err->text) - 1] = '\0';
	mask(err->text);
}

bool status_is_transient(int status)
{
	return status < 0 && status != STATUS_INVALID &&
	       status != STATUS_NOT_FOUND;
}
