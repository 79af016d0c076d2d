/* SPDX-License-Identifier: MIT */
/*
 * Command line options from a table: what is parsed and what the help shows
 * are the same lines.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/* What run functions return for a mistake in the command line itself. */
enum { CLI_USAGE = -100 };

struct texts {
	const char **at;
	size_t count;
};

enum option_kind {
	OPTION_FLAG,	/* bool */
	OPTION_TEXT,	/* const char *, NULL when not given */
	OPTION_TEXTS,	/* struct texts: may be given several times */
	OPTION_CHOICE,	/* const char *, one of those in `value`: "a|b|c" */
	OPTION_NUMBER,	/* int64_t, -1 when not given */
	OPTION_SECONDS, /* double, -1 when not given; "90", "1.5", "7d" */
};

struct option {
	const char *name;  /* without the dashes; NULL ends a table */
	const char *value; /* what help calls the value; NULL for a flag */
	enum option_kind kind;
	size_t offset; /* in the struct that takes the values */
	bool required;
	const char *help;
};

/* Tables, NULL after the last, and the struct that takes their values. */
struct option_set {
	const struct option *const *tables;
	void *values;
};

/* Makes every value absent. */
void options_clear(struct option_set set);

/*
 * Takes the options that *argv, a NULL-terminated list, begins with and moves
 * *argv behind them. `--name value` and `--name=value` are the same. Returns 1
 * if the options were ended by "--", 0 if by something else, CLI_USAGE for a
 * mistake.
 */
int options_take(const struct option_set *sets, size_t count, char ***argv,
		 struct arena *arena, struct error *err);

/* CLI_USAGE when an option that must be given was not. */
int options_complete(struct option_set set, struct error *err);

/* Fills err with the sentence and returns CLI_USAGE. */
int usage_error(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
