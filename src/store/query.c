/* SPDX-License-Identifier: MIT */
/* Statements for people: listing, retrying, purging by a filter. */
#include "store/query.h"

#include <ctype.h>

#include "base/random.h"

#define TEXT(name)                       \
	{                                \
		name, COLUMN_TEXT, false \
	}
#define TIME(name)                      \
	{                               \
		name, COLUMN_TEXT, true \
	}
#define INTEGER(name)                       \
	{                                   \
		name, COLUMN_INTEGER, false \
	}
#define BOOLEAN(name)                       \
	{                                   \
		name, COLUMN_BOOLEAN, false \
	}
#define JSON(name)                       \
	{                                \
		name, COLUMN_JSON, false \
	}
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct listed_column outbox_columns[] = {
	INTEGER("seq"),
	TEXT("id"),
	TEXT("config_key"),
	TEXT("topic"),
	TEXT("message_type"),
	TEXT("message_id"),
	TEXT("event_type"),
	TEXT("request_id"),
	TEXT("parent_request_id"),
	INTEGER("chain_depth"),
	TEXT("reply_to"),
	TEXT("message_status"),
	TEXT("source_service"),
	JSON("payload"),
	JSON("headers"),
	TEXT("ordering_key"),
	TEXT("status"),
	BOOLEAN("published"),
	TIME("published_at"),
	TIME("next_retry_at"),
	TIME("expires_at"),
	INTEGER("retry_count"),
	TEXT("last_error"),
	TIME("created_at"),
	TIME("updated_at"),
};

static const struct listed_column inbox_columns[] = {
	INTEGER("id"),		TEXT("message_id"),
	TEXT("config_key"),	TEXT("broker_type"),
	TEXT("topic"),		TEXT("event_type"),
	TEXT("message_type"),	TEXT("message_status"),
	TEXT("request_id"),	TEXT("parent_request_id"),
	INTEGER("chain_depth"), TEXT("reply_to"),
	TEXT("source_service"), JSON("payload"),
	JSON("headers"),	TEXT("ordering_key"),
	TEXT("status"),		BOOLEAN("processed"),
	TIME("processed_at"),	INTEGER("retry_count"),
	TIME("next_retry_at"),	TEXT("last_error"),
	TIME("received_at"),
};

static const struct listed_column rejected_columns[] = {
	INTEGER("id"),	TEXT("config_key"),  TEXT("broker_type"),
	TEXT("topic"),	TEXT("message_id"),  {"body", COLUMN_BYTES, false},
	TEXT("reason"), TIME("received_at"),
};

static const struct listed_column worker_columns[] = {
	TEXT("id"),	      TEXT("config_key"),	 TEXT("hostname"),
	INTEGER("pid"),	      TEXT("version"),		 TEXT("broker_type"),
	TIME("started_at"),   TIME("heartbeat_at"),	 TEXT("relay_state"),
	TEXT("intake_state"), INTEGER("config_version"), TEXT("last_error"),
};

static const struct listed_table tables[] = {
	[TABLE_OUTBOX] = {"event_bus_outbound_event", "seq", "seq DESC",
			  "created_at", "('invalid', 'error')",
			  "status <> 'pending'", outbox_columns,
			  COUNT(outbox_columns)},
	[TABLE_INBOX] = {"event_bus_inbound_event", "id", "id DESC",
			 "received_at", "('error')", "status <> 'pending'",
			 inbox_columns, COUNT(inbox_columns)},
	[TABLE_REJECTED] = {"event_bus_rejected_message", "id", "id DESC",
			    "received_at", NULL, "true", rejected_columns,
			    COUNT(rejected_columns)},
	[TABLE_WORKERS] = {"event_bus_worker", NULL, "started_at DESC, id",
			   "started_at", NULL, NULL, worker_columns,
			   COUNT(worker_columns)},
};

const struct listed_table *query_table(enum store_table table)
{
	return &tables[table];
}

void query_init(struct query *query, const struct dialect *dialect)
{
	*query = (struct query){.dialect = dialect};
	buffer_init(&query->sql);
	buffer_init(&query->pattern);
}

void query_finish(struct query *query)
{
	buffer_finish(&query->sql);
	buffer_finish(&query->pattern);
}

/* ---- the filter ---- */

static bool has_column(const struct listed_table *table, const char *name)
{
	for (size_t i = 0; i < table->column_count; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return true;
	return false;
}

static void append_parameter(struct query *query, struct span value)
{
	query->parameters[query->parameter_count++] = value;
	buffer_append_format(&query->sql, "%c%zu", query->dialect->parameter,
			     query->parameter_count);
}

static int match(struct query *query, const struct listed_table *table,
		 const char *column, const char *value, struct error *err)
{
	if (value == NULL)
		return 0;
	if (!has_column(table, column))
		return error_set(err, STATUS_INVALID,
				 "%s has no %s to filter by", table->name,
				 column);
	buffer_append_format(&query->sql, " AND %s = ", column);
	append_parameter(query, span_of(value));
	return 0;
}

static int match_topic(struct query *query, const struct listed_table *table,
		       const char *topic, struct error *err)
{
	if (topic == NULL || strchr(topic, '*') == NULL)
		return match(query, table, "topic", topic, err);
	if (!has_column(table, "topic"))
		return error_set(err, STATUS_INVALID,
				 "%s has no topic to filter by", table->name);
	query->dialect->pattern(&query->pattern, topic);
	buffer_append_format(&query->sql, " AND topic %s ",
			     query->dialect->like);
	append_parameter(query, buffer_span(&query->pattern));
	return 0;
}

static bool is_number(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < 19 && strspn(text, "0123456789") == len;
}

static bool is_uuid(const char *text)
{
	if (strlen(text) != UUID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; text[i] != '\0'; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-'
			 : strchr("0123456789abcdefABCDEF", text[i]) == NULL)
			return false;
	}
	return true;
}

/* A number is the integer key, a UUID the id: compared as what they are, so
 * that an index serves and no database stumbles over the type. */
static void match_id(struct query *query, const struct listed_table *table,
		     const char *id)
{
	bool by_uuid = table->key == NULL || strcmp(table->key, "seq") == 0;

	if (id == NULL)
		return;
	if (table->key != NULL && is_number(id)) {
		buffer_append_format(&query->sql, " AND %s = %s", table->key,
				     id);
	} else if (by_uuid && is_uuid(id)) {
		for (size_t i = 0; i < sizeof(query->uuid); i++)
			query->uuid[i] = (char)tolower((unsigned char)id[i]);
		buffer_append_text(&query->sql, " AND id = ");
		append_parameter(query, span_of(query->uuid));
	} else {
		buffer_append_text(&query->sql, " AND false");
	}
}

static int append_filter(struct query *query, const struct listed_table *table,
			 const struct store_filter *filter, struct error *err)
{
	int status;

	buffer_append_text(&query->sql, " WHERE true");
	status = match(query, table, "config_key", filter->config_key, err);
	if (status == 0)
		status = match(query, table, "status", filter->status, err);
	if (status == 0)
		status = match_topic(query, table, filter->topic, err);
	if (status == 0)
		status = match(query, table, "message_id", filter->message_id,
			       err);
	if (status < 0)
		return status;
	match_id(query, table, filter->id);
	if (filter->older_than > 0) {
		buffer_append_format(&query->sql, " AND %s <= ", table->born);
		query->dialect->from_now(&query->sql, -filter->older_than);
	}
	return 0;
}

/* ---- statements ---- */

static int finished(struct query *query, struct error *err)
{
	if (query->sql.failed || query->pattern.failed)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a statement");
	return 0;
}

static void append_from(struct query *query, const struct listed_table *table)
{
	buffer_append_format(&query->sql, " FROM %s%s", query->dialect->prefix,
			     table->name);
}

int query_list(struct query *query, enum store_table table,
	       const struct store_filter *filter, struct error *err)
{
	const struct listed_table *listed = &tables[table];
	int status;

	for (size_t i = 0; i < listed->column_count; i++) {
		buffer_append_text(&query->sql, i == 0 ? "SELECT " : ", ");
		if (listed->columns[i].is_time)
			query->dialect->time(&query->sql,
					     listed->columns[i].name);
		else
			buffer_append_text(&query->sql,
					   listed->columns[i].name);
	}
	append_from(query, listed);
	status = append_filter(query, listed, filter, err);
	if (status < 0)
		return status;
	buffer_append_format(&query->sql, " ORDER BY %s", listed->order);
	if (filter->limit > 0)
		buffer_append_format(&query->sql, " LIMIT %lld",
				     (long long)filter->limit);
	return finished(query, err);
}

/* " FROM table WHERE ..." of what retry or purge may touch. */
static int append_affected(struct query *query,
			   const struct listed_table *table, bool purge,
			   const struct store_filter *filter, struct error *err)
{
	int status;

	if ((purge ? table->purged : table->retried) == NULL)
		return error_set(err, STATUS_INVALID, "%s cannot be %s",
				 table->name, purge ? "purged" : "retried");
	append_from(query, table);
	status = append_filter(query, table, filter, err);
	if (status < 0)
		return status;
	if (purge)
		buffer_append_format(&query->sql, " AND %s", table->purged);
	else
		buffer_append_format(&query->sql, " AND status IN %s",
				     table->retried);
	return 0;
}

int query_count(struct query *query, enum store_table table, bool purge,
		const struct store_filter *filter, struct error *err)
{
	int status;

	buffer_append_text(&query->sql, "SELECT count(*)");
	status = append_affected(query, &tables[table], purge, filter, err);
	return status < 0 ? status : finished(query, err);
}

static void append_retry(struct query *query, enum store_table table)
{
	buffer_append_text(&query->sql, "status = 'pending', retry_count = 0, "
					"next_retry_at = NULL, ");
	if (table == TABLE_OUTBOX) {
		buffer_append_text(&query->sql, "updated_at = ");
		query->dialect->from_now(&query->sql, 0);
	} else {
		buffer_append_text(&query->sql,
				   "processed = false, processed_at = NULL");
	}
}

int query_change(struct query *query, enum store_table table, bool purge,
		 const struct store_filter *filter, int64_t limit,
		 struct error *err)
{
	const struct listed_table *listed = &tables[table];
	int status;

	if (purge) {
		buffer_append_text(&query->sql, "DELETE");
		append_from(query, listed);
	} else {
		buffer_append_format(&query->sql, "UPDATE %s%s SET ",
				     query->dialect->prefix, listed->name);
		append_retry(query, table);
	}
	buffer_append_format(&query->sql, " WHERE %s IN (SELECT %s",
			     listed->key, listed->key);
	status = append_affected(query, listed, purge, filter, err);
	if (status < 0)
		return status;
	/* With a limit of the filter's, the rows that a listing shows; else
	 * from the oldest on, where a purge finds its rows at once. */
	buffer_append_format(&query->sql, " ORDER BY %s %s LIMIT %lld)",
			     listed->key, filter->limit > 0 ? "DESC" : "ASC",
			     (long long)limit);
	return finished(query, err);
}
