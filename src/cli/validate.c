/* SPDX-License-Identifier: MIT */
/* `postbus validate`: holds envelopes against the rules, without a database. */
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "message/envelope.h"

struct tally {
	const char *name; /* of the input */
	int64_t valid, invalid;
};

static int judge(struct span body, struct arena *arena, struct error *err)
{
	struct envelope_limits limits = ENVELOPE_LIMITS_DEFAULT;
	struct envelope envelope, nothing;
	enum message_type type;
	int result = envelope_parse(&envelope, body, &limits, arena, err);

	if (result < 0)
		return result;
	envelope_init(&nothing);
	envelope_normalise(&envelope, &nothing);
	return envelope_validate(&envelope, &limits, &type, err);
}

/* A line of 0 means the whole input. */
static void count(struct tally *tally, struct span body, int64_t line)
{
	struct arena arena = {0};
	struct error why;

	if (judge(body, &arena, &why) == 0) {
		tally->valid++;
	} else {
		tally->invalid++;
		if (line > 0)
			error_prefix(&why, "%s:%" PRId64, tally->name, line);
		else
			error_prefix(&why, "%s", tally->name);
		complain(why.text);
	}
	arena_finish(&arena);
}

static bool is_blank(struct span line)
{
	for (size_t i = 0; i < line.len; i++)
		if (strchr(" \t\r", line.at[i]) == NULL)
			return false;
	return true;
}

/* Cuts the first line off *text. */
static struct span next_line(struct span *text)
{
	const char *end = memchr(text->at, '\n', text->len);
	size_t len = end == NULL ? text->len : (size_t)(end - text->at);
	struct span line = {text->at, len};

	if (end != NULL)
		len++;
	*text = (struct span){text->at + len, text->len - len};
	return line;
}

/* The input is no JSON as a whole, but one of its lines is an object. */
static bool is_json_lines(struct span text)
{
	struct json_value value;

	if (json_check(text, &value, NULL, NULL) == 0)
		return false;
	while (text.len > 0)
		if (json_check(next_line(&text), &value, NULL, NULL) == 0 &&
		    value.type == JSON_OBJECT)
			return true;
	return false;
}

static void count_lines(struct tally *tally, struct span text)
{
	for (int64_t number = 1; text.len > 0; number++) {
		struct span line = next_line(&text);

		if (!is_blank(line))
			count(tally, line, number);
	}
}

static int report(struct cli *cli, const struct tally *tally, struct error *err)
{
	int64_t all = tally->valid + tally->invalid;

	if (tally->invalid > 0)
		return error_set(err, STATUS_INVALID,
				 "%" PRId64 " of %" PRId64
				 " envelopes not valid",
				 tally->invalid, all);
	buffer_append_format(&cli->out, "%" PRId64 " envelope%s valid.\n", all,
			     all == 1 ? "" : "s");
	return 0;
}

static int run(struct cli *cli, const void *options, struct error *err)
{
	const char *path = cli->operands.count == 0 ? "-" : cli->operands.at[0];
	struct tally tally = {.name = strcmp(path, "-") == 0 ? "standard input"
							     : path};
	struct buffer in;
	int result;

	(void)options;
	buffer_init(&in);
	result = input_read(path, &in, err);
	if (result == 0) {
		struct span text = buffer_span(&in);

		if (is_json_lines(text))
			count_lines(&tally, text);
		else
			count(&tally, text, 0);
		result = report(cli, &tally, err);
	}
	buffer_finish(&in);
	return result;
}

const struct command command_validate = {
	.name = "validate",
	.operands = "[FILE]",
	.most = 1,
	.summary = "Check envelopes: one in a file, or one a line",
	.run = run,
};
