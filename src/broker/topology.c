/* SPDX-License-Identifier: MIT */
/* Declares or asks for what a config needs on RabbitMQ. */
#include "broker/topology.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define SOURCE_SUFFIX "_exchange"
#define DEAD_LETTER_TYPE "fanout"

/* What the methods are queued for, and the first failure among them. */
struct work {
	struct connection *connection;
	const struct runtime_config *config;
	struct arena *arena;
	bool passive;
	struct error *err;
	int status;
};

static void declare_exchange(struct work *work, struct span name,
			     const char *type)
{
	if (work->status == 0)
		work->status = connection_declare_exchange(
			work->connection, name, span_of(type), work->passive,
			work->err);
}

static void declare_queue(struct work *work, struct span name,
			  const char *dead_letters)
{
	const struct queue_declaration queue = {
		.name = name,
		.type = span_of(work->config->rabbitmq.queue_type),
		.dead_letter_exchange = span_of(dead_letters),
	};

	if (work->status == 0)
		work->status = connection_declare_queue(
			work->connection, &queue, work->passive, work->err);
}

static void bind_queue(struct work *work, struct span queue,
		       struct span exchange, struct span key)
{
	if (work->status == 0 && !work->passive)
		work->status = connection_bind_queue(work->connection, queue,
						     exchange, key, work->err);
}

static void no_memory(struct work *work)
{
	if (work->status == 0)
		work->status =
			error_set(work->err, STATUS_NO_MEMORY, "out of memory");
}

static void bind_key(struct work *work, struct span queue, struct span exchange,
		     struct span key)
{
	if (span_present(key))
		bind_queue(work, queue, exchange, key);
	else
		no_memory(work);
}

static void bind_keys(struct work *work, struct span queue,
		      struct span exchange)
{
	struct json_value keys;
	struct json_value key;
	struct json_cursor at;
	struct span name;

	if (work->config->rabbitmq.binding_keys == NULL || work->status < 0)
		return;
	work->status = json_check(span_of(work->config->rabbitmq.binding_keys),
				  &keys, NULL, work->err);
	if (work->status < 0) {
		error_prefix(work->err, "binding_keys");
		return;
	}
	at = json_enter(keys);
	while (json_next(&at, &name, &key))
		bind_key(work, queue, exchange,
			 json_get_string(key, work->arena));
}

/* "<queue>.dlq", absent when memory has run out. */
static struct span dead_letter_queue(struct work *work)
{
	size_t size = strlen(work->config->rabbitmq.queue) + sizeof(".dlq");
	char *name = arena_alloc(work->arena, size);

	if (name == NULL) {
		work->status =
			error_set(work->err, STATUS_NO_MEMORY, "out of memory");
		return SPAN_NONE;
	}
	snprintf(name, size, "%s.dlq", work->config->rabbitmq.queue);
	return (struct span){name, size - 1};
}

static void declare_dead_letters(struct work *work)
{
	struct span exchange =
		span_of(work->config->rabbitmq.dead_letter_exchange);
	struct span queue = dead_letter_queue(work);

	declare_exchange(work, exchange, DEAD_LETTER_TYPE);
	declare_queue(work, queue, NULL);
	bind_queue(work, queue, exchange, SPAN_LIT(""));
}

static void declare_source(struct work *work, struct span exchange)
{
	struct span main = span_of(work->config->rabbitmq.exchange);

	declare_exchange(work, exchange, work->config->rabbitmq.exchange_type);
	if (work->status == 0 && !work->passive)
		work->status = connection_bind_exchange(work->connection, main,
							exchange, SPAN_LIT("#"),
							work->err);
}

int topology_declare(struct connection *connection,
		     const struct runtime_config *config, struct arena *arena,
		     struct error *err)
{
	struct span exchange = span_of(config->rabbitmq.exchange);
	struct span queue = span_of(config->rabbitmq.queue);
	char own[SOURCE_EXCHANGE_SIZE];
	struct work work = {
		.connection = connection,
		.config = config,
		.arena = arena,
		.passive = strcmp(config->rabbitmq.topology, "verify") == 0,
		.err = err,
	};

	if (strcmp(config->rabbitmq.topology, "none") == 0)
		return 0;
	declare_exchange(&work, exchange, config->rabbitmq.exchange_type);
	if (config->rabbitmq.exchange_per_source &&
	    config->source_service != NULL)
		declare_source(
			&work,
			topology_exchange(
				config, span_of(config->source_service), own));
	if (!work.passive)
		declare_dead_letters(&work);
	declare_queue(&work, queue, config->rabbitmq.dead_letter_exchange);
	bind_keys(&work, queue, exchange);
	return work.status;
}

struct span topology_exchange(const struct runtime_config *config,
			      struct span source,
			      char name[SOURCE_EXCHANGE_SIZE])
{
	int len;

	if (!config->rabbitmq.exchange_per_source || !span_present(source))
		return span_of(config->rabbitmq.exchange);
	len = snprintf(name, SOURCE_EXCHANGE_SIZE, "%.*s" SOURCE_SUFFIX,
		       (int)(source.len < 256 ? source.len : 256), source.at);
	return (struct span){name, (size_t)len};
}

int topology_declare_source(struct connection *connection,
			    const struct runtime_config *config,
			    struct span exchange, struct error *err)
{
	struct work work = {
		.connection = connection,
		.config = config,
		.err = err,
	};

	if (strcmp(config->rabbitmq.topology, "declare") == 0)
		declare_source(&work, exchange);
	return work.status;
}

/* ---- what a refusal means ---- */

/* The text between two marks, *at moved behind the second; absent when one of
 * them is missing. */
static struct span between(const char **at, const char *before,
			   const char *after)
{
	const char *begin = strstr(*at, before);
	const char *end;

	if (begin == NULL)
		return SPAN_NONE;
	begin += strlen(before);
	end = strstr(begin, after);
	if (end == NULL)
		return SPAN_NONE;
	*at = end + strlen(after);
	return (struct span){begin, (size_t)(end - begin)};
}

static const char *setting_of(struct span argument)
{
	if (span_is(argument, "x-queue-type"))
		return "queue_type";
	if (span_is(argument, "x-dead-letter-exchange"))
		return "dead_letter_exchange";
	if (span_is(argument, "type"))
		return "exchange_type";
	return "the config";
}

/* "the value 'orders.dlx' of type 'longstr'" is 'orders.dlx'. */
static struct span bare(struct span value)
{
	static const char before[] = "the value ";
	const size_t size = sizeof(before) - 1;
	const char *end;

	if (value.len <= size || memcmp(value.at, before, size) != 0)
		return value;
	end = memmem(value.at, value.len, " of type ", strlen(" of type "));
	if (end == NULL)
		return value;
	return (struct span){value.at + size, (size_t)(end - value.at) - size};
}

/* "inequivalent arg 'A' for KIND 'N' in vhost 'V': received W but current is
 * H (406)" */
static void explain_mismatch(struct error *error)
{
	const struct error cause = *error;
	const char *at = cause.text;
	struct span argument = between(&at, "inequivalent arg '", "' for ");
	struct span object = between(&at, "", " in vhost ");
	struct span want = between(&at, "received ", " but current is ");
	struct span have = between(&at, "", " (406)");

	if (!span_present(argument) || !span_present(object) ||
	    !span_present(want) || !span_present(have))
		return;
	error_set(error, STATUS_MISMATCH,
		  "%.*s is there already, set up otherwise: %.*s: have %.*s, "
		  "want %.*s; change %s, or delete it, or set topology to "
		  "verify",
		  SPAN_ARG(object), SPAN_ARG(argument), SPAN_ARG(bare(have)),
		  SPAN_ARG(bare(want)), setting_of(argument));
}

static void append_hint(struct error *error, const char *hint)
{
	size_t len = strlen(error->text);

	snprintf(error->text + len, sizeof(error->text) - len, "; %s", hint);
}

void topology_explain(struct error *error)
{
	if (error->status == STATUS_MISMATCH)
		explain_mismatch(error);
	else if (error->status == STATUS_NOT_FOUND)
		append_hint(error, "create it, or set topology to declare");
	else if (error->status == STATUS_DENIED)
		append_hint(error, "give the user configure, write and read "
				   "permissions for it");
}
