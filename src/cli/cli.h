/* SPDX-License-Identifier: MIT */
/*
 * What the subcommands share: the table entry each of them exports, the state
 * of a run, and the ways to the database, to input and to output.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "store/store.h"

/* The options that every command has. */
struct global_options {
	const char *database;
	const char *database_file;
	bool help;
	bool version;
};

struct command;

struct cli {
	const struct command *command; /* the one that runs */
	struct global_options global;
	struct texts operands;
	struct arena memory; /* lives as long as the run */
	struct buffer out;   /* what goes to standard output at last */
	struct terminal terminal;
};

/*
 * A command, or a group of them. A run function appends to cli->out and
 * returns 0, or a negative status with err filled; CLI_USAGE when the command
 * line was wrong.
 */
struct command {
	const char *name;
	const char *operands; /* as help shows them: "KEY"; NULL: none */
	size_t least, most;   /* how many */
	const char *summary;  /* one line */
	void (*details)(struct buffer *out); /* more for help, or NULL */
	const struct option *options[4];     /* tables, NULL after the last */
	size_t options_size;		     /* of the struct they fill */
	const void *subject; /* what it is about, where run serves several */
	int (*run)(struct cli *cli, const void *options, struct error *err);
	const struct command *const *actions; /* a group: NULL-terminated */
};

extern const struct command command_root;
extern const struct command command_config;
extern const struct command command_help;
extern const struct command command_inbox;
extern const struct command command_migrate;
extern const struct command command_outbox;
extern const struct command command_publish;
extern const struct command command_rejected;
extern const struct command command_status;
extern const struct command command_validate;
extern const struct command command_worker;

extern const struct option global_options[];

/* For a command whose one option is --json. */
struct json_options {
	bool json;
};
extern const struct option json_options[];

/*
 * The member of a group by name; its name is added to path, which begins as
 * "postbus". NULL and a sentence that lists those there are.
 */
enum { COMMAND_PATH_SIZE = 64 };
const struct command *command_descend(const struct command *from,
				      const char *name,
				      char path[COMMAND_PATH_SIZE],
				      struct error *err);

/* Says which commands a group has, one of which is missing: CLI_USAGE. */
int command_missing(const struct command *group, struct error *err);

/* Help for a command; `path` is what leads to it: "postbus config". */
void help_print(struct buffer *out, const char *path,
		const struct command *command);

/* The database's URL, from wherever it is given. CLI_USAGE when it is nowhere,
 * or an argument that carries a password. */
int database_url(struct cli *cli, const char **url, struct error *err);

/* Opens the database and sees that its tables are those of this program. */
int database_open(struct cli *cli, struct store **store, struct error *err);

/* What a config key's config says of messages, or the defaults where there is
 * no such config; *source stays as it is when none is set. */
int database_rules(struct store *store, const char *config_key,
		   struct envelope_limits *limits, struct span *source,
		   struct arena *memory, struct error *err);

/* Accepts NULL. */
void database_close(struct store *store);

/* Reads a whole file, or standard input for "-". */
int input_read(const char *path, struct buffer *in, struct error *err);

/* Sends cli->out to standard output and empties it. */
int output_flush(struct cli *cli, struct error *err);

/* "postbus: sentence" on standard error. */
void complain(const char *sentence);

#endif
