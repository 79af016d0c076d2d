/* SPDX-License-Identifier: MIT */
/* Statements for PostgreSQL: parameters in, rows out. */
#include <assert.h>
#include <endian.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/testing.h"
#include "base/utf8.h"
#include "store/postgres.h"

/* ---- parameters ---- */

void postgres_query_init(struct postgres_query *query, const char *sql)
{
	*query = (struct postgres_query){.sql = sql};
}

static void refuse(struct postgres_query *query, int status,
		   const char *culprit)
{
	if (query->status == 0) {
		query->status = status;
		query->culprit = culprit;
	}
}

void postgres_query_build(struct postgres_query *query, struct buffer *sql)
{
	buffer_append(sql, "", 1);
	postgres_query_init(query, sql->data);
	query->once = true;
	if (sql->failed)
		refuse(query, STATUS_NO_MEMORY, "a statement");
}

static void add(struct postgres_query *query, Oid type, const char *value,
		size_t length, bool binary)
{
	int at = query->count++;

	assert(at < POSTGRES_PARAMETERS);
	query->types[at] = type;
	query->values[at] = value;
	query->lengths[at] = (int)length;
	query->formats[at] = binary;
}

/* Whether the server takes it for text. */
static bool is_text(struct span text)
{
	return utf8_valid(text) && memchr(text.at, '\0', text.len) == NULL;
}

void postgres_add_text(struct postgres_query *query, struct span text)
{
	if (text.len > 0 && !is_text(text))
		refuse(query, STATUS_INVALID, "a text");
	add(query, POSTGRES_TEXT, text.at, text.len, true);
}

void postgres_add_string(struct postgres_query *query, const char *text)
{
	postgres_add_text(query, span_of(text));
}

void postgres_add_integer(struct postgres_query *query, int64_t integer)
{
	uint64_t *place = &query->integers[query->count];

	*place = htobe64((uint64_t)integer);
	add(query, POSTGRES_BIGINT, (const char *)place, sizeof(*place), true);
}

void postgres_add_untyped(struct postgres_query *query, struct span text)
{
	add(query, 0, text.at, text.len, false);
}

/* ---- arrays: a header, then each element after its length ---- */

enum { ARRAY_HEADER = 5, NULL_LENGTH = -1 };

static void append_word(struct buffer *bytes, uint32_t word)
{
	word = htobe32(word);
	buffer_append(bytes, &word, sizeof(word));
}

void postgres_array_init(struct postgres_array *array, Oid element,
			 const char *name)
{
	*array = (struct postgres_array){.name = name, .element = element};
	buffer_init(&array->bytes);
	for (int i = 0; i < ARRAY_HEADER; i++)
		append_word(&array->bytes, 0);
}

void postgres_array_finish(struct postgres_array *array)
{
	buffer_finish(&array->bytes);
}

void postgres_array_add(struct postgres_array *array, struct span element)
{
	static const char jsonb_version = 1;
	bool jsonb = array->element == POSTGRES_JSONB;

	array->count++;
	if (!span_present(element)) {
		append_word(&array->bytes, (uint32_t)NULL_LENGTH);
		return;
	}
	if (array->element != POSTGRES_BYTEA && !is_text(element))
		array->refused = true;
	append_word(&array->bytes, (uint32_t)(element.len + jsonb));
	buffer_append(&array->bytes, &jsonb_version, jsonb);
	buffer_append_span(&array->bytes, element);
}

void postgres_array_add_integer(struct postgres_array *array, int64_t element)
{
	uint64_t value = htobe64((uint64_t)element);

	array->count++;
	append_word(&array->bytes, sizeof(value));
	buffer_append(&array->bytes, &value, sizeof(value));
}

static Oid array_type(Oid element)
{
	switch (element) {
	case POSTGRES_BYTEA:
		return 1001;
	case POSTGRES_BIGINT:
		return 1016;
	case POSTGRES_JSONB:
		return 3807;
	default:
		return 1009; /* of text */
	}
}

void postgres_add_array(struct postgres_query *query,
			struct postgres_array *array)
{
	const uint32_t header[ARRAY_HEADER] = {
		htobe32(1), /* dimension */
		htobe32(1), /* there may be nulls */
		htobe32(array->element),
		htobe32(array->count),
		htobe32(1), /* the first index */
	};
	struct span bytes = buffer_span(&array->bytes);

	if (array->bytes.failed)
		refuse(query, STATUS_NO_MEMORY, array->name);
	else if (array->refused)
		refuse(query, STATUS_INVALID, array->name);
	else
		memcpy(array->bytes.data, header, sizeof(header));
	add(query, array_type(array->element), bytes.at, bytes.len, true);
}

static int check_parameters(const struct postgres_query *query,
			    struct error *err)
{
	if (query->status == STATUS_NO_MEMORY)
		return error_set(err, STATUS_NO_MEMORY, "no memory for %s",
				 query->culprit);
	if (query->status < 0)
		return error_set(err, STATUS_INVALID,
				 "%s: found NUL or bytes that are no UTF-8, "
				 "which PostgreSQL cannot store",
				 query->culprit);
	return 0;
}

/* ---- rows ---- */

enum { BOOLEAN_OID = 16 }; /* the server's pg_type says so for ever */

struct span postgres_text(const PGresult *row, int column)
{
	if (PQgetisnull(row, 0, column))
		return SPAN_NONE;
	return (struct span){PQgetvalue(row, 0, column),
			     (size_t)PQgetlength(row, 0, column)};
}

int64_t postgres_integer(const PGresult *row, int column)
{
	return strtoll(PQgetvalue(row, 0, column), NULL, 10);
}

bool postgres_boolean(const PGresult *row, int column)
{
	return *PQgetvalue(row, 0, column) == 't';
}

struct span postgres_shown(const PGresult *row, int column)
{
	if (PQftype(row, column) != BOOLEAN_OID || PQgetisnull(row, 0, column))
		return postgres_text(row, column);
	return postgres_boolean(row, column) ? SPAN_LIT("1") : SPAN_LIT("0");
}

int postgres_read_integer(void *context, const PGresult *row, struct error *err)
{
	(void)err;
	*(int64_t *)context = postgres_integer(row, 0);
	return 0;
}

/* ---- to the server and back ---- */

static int flush(struct postgres_store *store, struct error *err)
{
	int left;

	while ((left = PQflush(store->conn)) > 0) {
		if (!postgres_wait(store, POLLIN | POLLOUT))
			return postgres_late(store, err);
		/* A server that talks while we do wants to be heard. */
		if (PQconsumeInput(store->conn) == 0)
			return postgres_broken(store, err);
	}
	return left < 0 ? postgres_broken(store, err) : 0;
}

static int receive(struct postgres_store *store, PGresult **result,
		   struct error *err)
{
	while (PQisBusy(store->conn)) {
		if (!postgres_wait(store, POLLIN))
			return postgres_late(store, err);
		if (PQconsumeInput(store->conn) == 0)
			return postgres_broken(store, err);
	}
	*result = PQgetResult(store->conn);
	return 0;
}

static int take(struct postgres_store *store, struct postgres_query *query,
		const PGresult *result, postgres_row_fn *each, void *context,
		struct error *err)
{
	switch (PQresultStatus(result)) {
	case PGRES_SINGLE_TUPLE:
		return each == NULL ? 0 : each(context, result, err);
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		query->affected =
			strtoll(PQcmdTuples((PGresult *)result), NULL, 10);
		return 0;
	default:
		return postgres_failure(store, result, err);
	}
}

/* Everything up to the end of the statement, so that the next may follow. */
static int collect(struct postgres_store *store, struct postgres_query *query,
		   postgres_row_fn *each, void *context, struct error *err)
{
	PGresult *result = NULL;
	int status = 0;

	for (;;) {
		int received = receive(store, &result, err);

		if (received < 0)
			return received;
		if (result == NULL)
			return status;
		if (status == 0)
			status = take(store, query, result, each, context, err);
		PQclear(result);
	}
}

/* ---- statements ---- */

/* Puts the schema in; NULL when memory has run out. */
static char *expand(const struct postgres_store *store, const char *sql)
{
	struct buffer text;
	const char *at;

	buffer_init(&text);
	while ((at = strstr(sql, "@.")) != NULL) {
		buffer_append(&text, sql, (size_t)(at - sql));
		buffer_append_text(&text, store->target.prefix);
		sql = at + 2;
	}
	buffer_append(&text, sql, strlen(sql) + 1);
	if (text.failed)
		buffer_finish(&text);
	return text.data;
}

static int no_memory(struct error *err)
{
	return error_set(err, STATUS_NO_MEMORY, "no memory for a statement");
}

static int prepare(struct postgres_store *store, struct postgres_query *query,
		   const char *name, struct error *err)
{
	char *sql = expand(store, query->sql);
	bool sent;
	int status;

	if (sql == NULL)
		return no_memory(err);
	sent = PQsendPrepare(store->conn, name, sql, query->count,
			     query->types) != 0;
	free(sql);
	if (!sent)
		return postgres_broken(store, err);
	status = flush(store, err);
	return status < 0 ? status : collect(store, query, NULL, NULL, err);
}

static int send_prepared(struct postgres_store *store,
			 struct postgres_query *query, struct error *err)
{
	size_t at = 0;
	char name[16];
	int status;

	while (at < store->prepared_count && store->prepared[at] != query->sql)
		at++;
	assert(at < POSTGRES_PREPARED);
	snprintf(name, sizeof(name), "postbus_%zu", at);
	if (at == store->prepared_count) {
		status = prepare(store, query, name, err);
		if (status < 0)
			return status;
		store->prepared[store->prepared_count++] = query->sql;
	}
	if (PQsendQueryPrepared(store->conn, name, query->count, query->values,
				query->lengths, query->formats, 0) == 0)
		return postgres_broken(store, err);
	return 0;
}

static int send_once(struct postgres_store *store, struct postgres_query *query,
		     struct error *err)
{
	char *sql = expand(store, query->sql);
	int sent;

	if (sql == NULL)
		return no_memory(err);
	/* Several statements at once go without parameters only. */
	sent = query->count == 0
		       ? PQsendQuery(store->conn, sql)
		       : PQsendQueryParams(store->conn, sql, query->count,
					   query->types, query->values,
					   query->lengths, query->formats, 0);
	free(sql);
	return sent == 0 ? postgres_broken(store, err) : 0;
}

int postgres_send(struct postgres_store *store, struct postgres_query *query,
		  struct error *err)
{
	int status = check_parameters(query, err);

	store->row_fault = false;
	if (status < 0)
		return status;
	return query->once ? send_once(store, query, err)
			   : send_prepared(store, query, err);
}

/* What the connection's loss means for the statement that was under way. */
static int outcome(const struct postgres_store *store,
		   const struct postgres_query *query, int status,
		   struct error *err)
{
	if (!store->lost || !query->commits)
		return status;
	if (err != NULL)
		err->status = STATUS_UNKNOWN;
	return STATUS_UNKNOWN;
}

int postgres_run(struct postgres_store *store, struct postgres_query *query,
		 postgres_row_fn *each, void *context, struct error *err)
{
	int status = postgres_send(store, query, err);

	if (status < 0)
		return status;
	PQsetSingleRowMode(store->conn);
	status = flush(store, err);
	if (query->commits)
		testing_crash_point("commit-sent");
	if (status == 0)
		status = collect(store, query, each, context, err);
	return outcome(store, query, status, err);
}

bool postgres_answered(struct postgres_store *store, short *events)
{
	int left = PQflush(store->conn);

	*events = left > 0 ? POLLIN | POLLOUT : POLLIN;
	return left < 0 || PQconsumeInput(store->conn) == 0 ||
	       (left == 0 && PQisBusy(store->conn) == 0);
}

int postgres_answer(struct postgres_store *store, struct postgres_query *query,
		    PGresult **answer, struct error *err)
{
	PGresult *first = NULL;
	PGresult *next = NULL;
	short events;
	int status;

	/* What came while nobody looked counts, however late it is now. */
	(void)postgres_answered(store, &events);
	status = flush(store, err);
	if (query->commits)
		testing_crash_point("commit-sent");
	while (!store->lost) {
		int received = receive(store, &next, err);

		if (received < 0)
			status = received;
		if (received < 0 || next == NULL)
			break;
		if (status == 0)
			status = take(store, query, next, NULL, NULL, err);
		PQclear(first);
		first = next;
	}
	if (status == 0)
		*answer = first;
	else
		PQclear(first);
	return outcome(store, query, status, err);
}
