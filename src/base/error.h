/* SPDX-License-Identifier: MIT */
/*
 * How a call says what went wrong: a negative status for the program, one
 * sentence for a person.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

enum status {
	STATUS_OK = 0,
	STATUS_INVALID = -1,   /* the data breaks a rule; it always will */
	STATUS_NOT_FOUND = -2, /* what was named does not exist */
	STATUS_DENIED = -3,    /* credentials or permissions were refused */
	STATUS_MISMATCH = -4,  /* the other side is set up otherwise */
	STATUS_PROTOCOL =
		-5,	  /* the peer broke its protocol, or is no such peer */
	STATUS_AWAY = -6, /* unreachable, or no answer in time */
	STATUS_UNKNOWN = -7,   /* lost while committing: may have happened */
	STATUS_BUSY = -8,      /* held by somebody else */
	STATUS_NO_MEMORY = -9, /* an allocation failed */
	STATUS_FAILED = -10,   /* the system refused; the text says why */
};

struct error {
	enum status status;
	char text[512]; /* one sentence, no newline, no secret; may be cut */
};

/*
 * Fills err, when it is not NULL, and returns status, so that a failing
 * function can end in `return error_set(err, ...)`. In the finished text '?'
 * replaces control characters and bytes that are no UTF-8.
 */
int error_set(struct error *err, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text that err already has. */
void error_prefix(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * True if the same call may succeed later with the same data: the one place
 * that decides what is retried.
 */
bool status_is_transient(int status);

#endif
