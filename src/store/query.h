/* SPDX-License-Identifier: MIT */
/*
 * The SQL that follows from tables of columns and settings: what people list,
 * retry and purge, and the config. Shared by the SQL drivers.
 */
#ifndef STORE_QUERY_H
#define STORE_QUERY_H

#include "base/buffer.h"
#include "store/store.h"

/* What a message_id gets that was seen with another payload. */
#define STORE_CONFLICT_REASON "message_id was seen before with another payload"

/* How one database's SQL differs from another's. */
struct dialect {
	const char *prefix; /* before each table's name: "", "public." */
	char parameter;	    /* before each parameter's number: '?', '$' */
	const char *like;   /* operator for the pattern below */
	/* Appends the pattern for a topic in which '*' is any run. */
	void (*pattern)(struct buffer *pattern, const char *topic);
	/* Appends the time `seconds` from now as a value to compare with. */
	void (*from_now)(struct buffer *sql, double seconds);
	/* Appends a time column as text. */
	void (*time)(struct buffer *sql, const char *column);
};

enum { QUERY_PARAMETERS = 8 };

/* A statement and its parameters, all of them text. */
struct query {
	const struct dialect *dialect;
	struct buffer sql;
	struct span parameters[QUERY_PARAMETERS];
	size_t parameter_count;
	struct buffer pattern;	   /* a parameter's memory */
	char uuid[UUID_TEXT_SIZE]; /* another's */
};

void query_init(struct query *query, const struct dialect *dialect);
void query_finish(struct query *query);

/* One table as it is listed. */
struct listed_column {
	const char *name;
	enum column_type type;
	bool is_time;
};
struct listed_table {
	const char *name;
	const char *key;     /* integer primary key, or NULL */
	const char *order;   /* ORDER BY of a listing */
	const char *born;    /* what older_than looks at, or NULL */
	const char *retried; /* list of statuses for retry, or NULL */
	const char *purged;  /* condition of what purge may delete, or NULL */
	const struct listed_column *columns;
	size_t column_count;
};
/* Not for TABLE_CONFIGS, whose columns follow from config_fields. */
const struct listed_table *query_table(enum store_table table);

/*
 * Each appends a statement; STATUS_INVALID when the filter names what the
 * table has not, or the table cannot be retried or purged.
 */
int query_list(struct query *query, enum store_table table,
	       const struct store_filter *filter, struct error *err);
/* Counts what retry or purge would change. */
int query_count(struct query *query, enum store_table table, bool purge,
		const struct store_filter *filter, struct error *err);
/* Changes or deletes up to `limit` of these rows. */
int query_change(struct query *query, enum store_table table, bool purge,
		 const struct store_filter *filter, int64_t limit,
		 struct error *err);

#endif
