/* SPDX-License-Identifier: MIT */
/* Log lines: built whole, written once. */
#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"

static atomic_int max_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_set_level(enum log_level level)
{
	max_level = level;
}

static bool is_plain(const char *value)
{
	if (*value == '\0')
		return false;
	for (; *value != '\0'; value++)
		if ((unsigned char)*value <= ' ' || *value == '"' ||
		    *value == '\\' || *value == '=' || *value == 0x7f)
			return false;
	return true;
}

static void append_quoted(struct buffer *line, const char *value)
{
	buffer_append_text(line, "\"");
	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\')
			buffer_append_format(line, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buffer_append_format(line, "\\x%02x", c);
		else
			buffer_append(line, value, 1);
	}
	buffer_append_text(line, "\"");
}

static void append_pair(struct buffer *line, const char *key, const char *value)
{
	buffer_append_format(line, " %s=", key);
	if (is_plain(value))
		buffer_append_text(line, value);
	else
		append_quoted(line, value);
}

/* A lost log line must not stop the messages, nor must a reader that has
 * stopped reading. */
static void write_line(const struct buffer *line)
{
	struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t done;

	if (poll(&log, 1, 0) <= 0)
		return;
	done = write(STDERR_FILENO, line->data, line->end);
	(void)done;
}

void log_event(enum log_level level, const char *event, ...)
{
	char now[CLOCK_TEXT_SIZE];
	struct buffer line;
	const char *key;
	va_list args;

	if ((int)level > max_level)
		return;
	clock_format(clock_wall(), now);
	now[10] = 'T';
	buffer_init(&line);
	buffer_append_format(&line, "%.23sZ %s %s", now, level_names[level],
			     event);
	va_start(args, event);
	while ((key = va_arg(args, const char *)) != NULL) {
		const char *value = va_arg(args, const char *);

		if (value != NULL)
			append_pair(&line, key, value);
	}
	va_end(args);
	buffer_append_text(&line, "\n");
	if (!line.failed)
		write_line(&line);
	buffer_finish(&line);
}
