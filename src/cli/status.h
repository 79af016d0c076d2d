/* SPDX-License-Identifier: MIT */
/* What `postbus status` gathers, and its two faces. */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli/cli.h"
#include "cli/rows.h"
#include "cli/table.h"

/* A row kept after the listing has gone on. */
struct overview_row {
	struct overview_row *next;
	struct row row;
	const char *table; /* a failure's: where it is */
	double age;	   /* of its heartbeat in seconds; -1: it has none */
	bool stale;	   /* silent for three intervals: the worker is gone */
};

struct overview_rows {
	struct overview_row *first, **last;
};

struct overview {
	struct arena memory;
	struct overview_rows configs, workers, failures;
	struct store_counts counts;
};

/* Reads all of it. config_key NULL: of all configs. */
int overview_gather(struct overview *overview, struct store *store,
		    const char *config_key, struct error *err);
void overview_finish(struct overview *overview);

void overview_append_text(const struct overview *overview,
			  const struct terminal *terminal, struct buffer *out);
void overview_append_json(const struct overview *overview, struct buffer *out);

#endif
