/* SPDX-License-Identifier: MIT */
/* Reads options from the command line into the structs their tables name. */
#include "cli/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quote.h"
#include "base/span.h"

int usage_error(struct error *err, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error_set(err, STATUS_INVALID, "%s", text);
	return CLI_USAGE;
}

static void *place_of(const struct option *option, void *values)
{
	return (char *)values + option->offset;
}

/* The option after this one, NULL after the last; NULL asks for the first. */
static const struct option *next(struct option_set set,
				 const struct option *option, size_t *table)
{
	if (option == NULL)
		*table = 0;
	for (option = option == NULL ? set.tables[0] : option + 1;
	     option != NULL; option = set.tables[++*table])
		if (option->name != NULL)
			return option;
	return NULL;
}

static void clear(const struct option *option, void *place)
{
	switch (option->kind) {
	case OPTION_FLAG:
		*(bool *)place = false;
		break;
	case OPTION_TEXT:
	case OPTION_CHOICE:
		*(const char **)place = NULL;
		break;
	case OPTION_TEXTS:
		*(struct texts *)place = (struct texts){0};
		break;
	case OPTION_NUMBER:
		*(int64_t *)place = -1;
		break;
	case OPTION_SECONDS:
		*(double *)place = -1;
		break;
	}
}

void options_clear(struct option_set set)
{
	const struct option *option = NULL;
	size_t table;

	while ((option = next(set, option, &table)) != NULL)
		clear(option, place_of(option, set.values));
}

static int put_choice(const struct option *option, const char **place,
		      const char *text, struct error *err)
{
	const char *choice = option->value;

	while (*choice != '\0') {
		struct span one = {choice, strcspn(choice, "|")};

		if (span_is(one, text)) {
			*place = text;
			return 0;
		}
		choice += one.len + (choice[one.len] == '|');
	}
	return usage_error(err, "--%s is %s but must be one of %s",
			   option->name, quote(span_of(text)).text,
			   option->value);
}

static int put_number(const struct option *option, int64_t *place,
		      const char *text, struct error *err)
{
	char *end;

	errno = 0;
	*place = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || *place < 0)
		return usage_error(err,
				   "--%s is %s but must be a whole number, 0 "
				   "or more",
				   option->name, quote(span_of(text)).text);
	return 0;
}

/* Seconds in the unit that a duration ends with; 0 for no such unit. */
static double unit_of(const char *suffix)
{
	static const struct {
		const char *suffix;
		double seconds;
	} units[] = {
		{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(units[i].suffix, suffix) == 0)
			return units[i].seconds;
	return 0;
}

static int put_seconds(const struct option *option, double *place,
		       const char *text, struct error *err)
{
	static const double most = 100.0 * 366 * 86400;
	char *end;
	double value = strtod(text, &end) * unit_of(end);

	if (strspn(text, "0123456789.") != (size_t)(end - text) ||
	    end == text || unit_of(end) == 0 || value > most)
		return usage_error(
			err,
			"--%s is %s but must be seconds, or a number with s, "
			"m, h or d behind it, at most a hundred years",
			option->name, quote(span_of(text)).text);
	*place = value;
	return 0;
}

/* The count doubles as capacity at each power of two. */
static int put_texts(struct texts *texts, const char *text, struct arena *arena,
		     struct error *err)
{
	if ((texts->count & (texts->count - 1)) == 0) {
		size_t room = texts->count == 0 ? 1 : texts->count * 2;
		const char **at = arena_alloc(arena, room * sizeof(*at));

		if (at == NULL)
			return error_set(err, STATUS_NO_MEMORY,
					 "memory has run out");
		for (size_t i = 0; i < texts->count; i++)
			at[i] = texts->at[i];
		texts->at = at;
	}
	texts->at[texts->count++] = text;
	return 0;
}

static int put(const struct option *option, void *values, const char *text,
	       struct arena *arena, struct error *err)
{
	void *place = place_of(option, values);

	switch (option->kind) {
	case OPTION_FLAG:
		*(bool *)place = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)place = text;
		return 0;
	case OPTION_CHOICE:
		return put_choice(option, place, text, err);
	case OPTION_TEXTS:
		return put_texts(place, text, arena, err);
	case OPTION_NUMBER:
		return put_number(option, place, text, err);
	case OPTION_SECONDS:
		return put_seconds(option, place, text, err);
	}
	return 0;
}

static const struct option *find(const struct option_set *sets, size_t count,
				 struct span name, void **values)
{
	for (size_t i = 0; i < count; i++) {
		const struct option *option = NULL;
		size_t table;

		while ((option = next(sets[i], option, &table)) != NULL) {
			if (!span_is(name, option->name))
				continue;
			*values = sets[i].values;
			return option;
		}
	}
	return NULL;
}

/* One option, at **argv; an unknown one is named without its value, which
 * might be a secret. */
static int take_one(const struct option_set *sets, size_t count, char ***argv,
		    struct arena *arena, struct error *err)
{
	char *text = **argv + 2;
	struct span name = {text, strcspn(text, "=")};
	const char *value = text[name.len] == '=' ? text + name.len + 1 : NULL;
	const struct option *option;
	void *values = NULL;

	option = find(sets, count, name, &values);
	if (option == NULL)
		return usage_error(err,
				   "there is no option --%.*s here; --help "
				   "lists them all",
				   SPAN_ARG(name));
	++*argv;
	if (option->kind == OPTION_FLAG && value != NULL)
		return usage_error(err, "--%s takes no value", option->name);
	if (option->kind != OPTION_FLAG && value == NULL)
		value = **argv == NULL ? NULL : *(*argv)++;
	if (option->kind != OPTION_FLAG && value == NULL)
		return usage_error(err, "--%s needs a value: --%s %s",
				   option->name, option->name, option->value);
	return put(option, values, value, arena, err);
}

int options_take(const struct option_set *sets, size_t count, char ***argv,
		 struct arena *arena, struct error *err)
{
	while (**argv != NULL && (**argv)[0] == '-' && (**argv)[1] != '\0') {
		int result;

		if (strcmp(**argv, "--") == 0) {
			++*argv;
			return 1;
		}
		if ((**argv)[1] != '-')
			return usage_error(err,
					   "options are written out, as in "
					   "--help; -%.1s is none",
					   **argv + 1);
		result = take_one(sets, count, argv, arena, err);
		if (result < 0)
			return result;
	}
	return 0;
}

int options_complete(struct option_set set, struct error *err)
{
	const struct option *option = NULL;
	size_t table;

	while ((option = next(set, option, &table)) != NULL)
		if (option->required &&
		    *(const char **)place_of(option, set.values) == NULL)
			return usage_error(err,
					   "--%s %s is missing; --help says "
					   "more",
					   option->name, option->value);
	return 0;
}
