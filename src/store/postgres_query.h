/* SPDX-License-Identifier: MIT */
/* One statement for PostgreSQL, its parameters and its rows. */
#ifndef STORE_POSTGRES_QUERY_H
#define STORE_POSTGRES_QUERY_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/span.h"

struct postgres_store;

/* The server's numbers of types. */
enum {
	POSTGRES_BYTEA = 17,
	POSTGRES_BIGINT = 20,
	POSTGRES_TEXT = 25,
	POSTGRES_JSONB = 3802,
};

enum { POSTGRES_PARAMETERS = 20 };

/* A parameter that is an array, in the server's binary form. */
struct postgres_array {
	const char *name; /* for sentences */
	Oid element;	  /* one of the above */
	struct buffer bytes;
	uint32_t count;
	bool refused; /* an element can be no text of the server's */
};

struct postgres_query {
	const char *sql; /* "@." stands for the schema of our tables */
	bool once;	 /* made for this call; else a static string, which is
			    prepared and known by its address */
	bool commits;	 /* if the reply is lost, the outcome is unknown */
	int status;	 /* < 0: a parameter cannot be */
	const char *culprit;
	int count;
	Oid types[POSTGRES_PARAMETERS];
	const char *values[POSTGRES_PARAMETERS];
	int lengths[POSTGRES_PARAMETERS];
	int formats[POSTGRES_PARAMETERS];
	uint64_t integers[POSTGRES_PARAMETERS];
	int64_t affected; /* rows, once it ran */
};

void postgres_query_init(struct postgres_query *query, const char *sql);
/* For a statement that was built for this call. */
void postgres_query_build(struct postgres_query *query, struct buffer *sql);

/* Each adds the next parameter, which it borrows; absent spans are null. */
void postgres_add_text(struct postgres_query *query, struct span text);
void postgres_add_string(struct postgres_query *query, const char *text);
void postgres_add_integer(struct postgres_query *query, int64_t integer);
void postgres_add_array(struct postgres_query *query,
			struct postgres_array *array);
/* Text whose type the server infers; a NUL follows it. */
void postgres_add_untyped(struct postgres_query *query, struct span text);

/* `name` is what the elements are called in a sentence. */
void postgres_array_init(struct postgres_array *array, Oid element,
			 const char *name);
void postgres_array_finish(struct postgres_array *array);
void postgres_array_add(struct postgres_array *array, struct span element);
void postgres_array_add_integer(struct postgres_array *array, int64_t element);

/* A row's columns, valid during the call. Anything but 0 ends the reading and
 * is what postgres_run returns. */
typedef int postgres_row_fn(void *context, const PGresult *row,
			    struct error *err);

/* Text of a column, NUL-terminated; absent for null. */
struct span postgres_text(const PGresult *row, int column);
/* 0 for null. */
int64_t postgres_integer(const PGresult *row, int column);
bool postgres_boolean(const PGresult *row, int column);
/* The text as every store gives it: a boolean is "0" or "1". */
struct span postgres_shown(const PGresult *row, int column);
/* Such a callback: puts column 0 where context, an int64_t, is. */
postgres_row_fn postgres_read_integer;

/* Runs the statement; `each`, which may be NULL, gets row by row, none of them
 * kept in memory. */
int postgres_run(struct postgres_store *store, struct postgres_query *query,
		 postgres_row_fn *each, void *context, struct error *err);

/*
 * The same in two parts, with the rows in memory: sends the statement without
 * waiting for it to run, and takes the answer, to be given to PQclear. Between
 * them postgres_answered says whether the second would not wait, or else for
 * which events of the connection's socket.
 */
int postgres_send(struct postgres_store *store, struct postgres_query *query,
		  struct error *err);
bool postgres_answered(struct postgres_store *store, short *events);
int postgres_answer(struct postgres_store *store, struct postgres_query *query,
		    PGresult **answer, struct error *err);

#endif
