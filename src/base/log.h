/* SPDX-License-Identifier: MIT */
/*
 * One line per event on stderr, `key=value`. Only the worker and the CLI log.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

/* Lines above `level` are dropped; the start is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/*
 * Writes "time level event key=value ..." in one write. The arguments after
 * `event` are pairs of strings ending in NULL. A value with blanks, quotes
 * or control characters is quoted and escaped; a NULL value is left out.
 * Thread-safe; a full or closed stderr is ignored.
 */
void log_event(enum log_level level, const char *event, ...)
	__attribute__((sentinel));

#endif
