/* SPDX-License-Identifier: MIT */
/* From a database URL to a connection under way. */
#include "store/postgres.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/quote.h"

/* What holds unless the URL says otherwise: a peer that is gone without a word
 * is noticed in seconds. */
static const struct parameter {
	const char *name;
	const char *value;
} defaults[] = {
	{"fallback_application_name", "postbus"},
	{"keepalives_idle", "5"},
	{"keepalives_interval", "1"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "2000"},
};
enum { DEFAULTS = sizeof(defaults) / sizeof(*defaults), PARAMETERS = 80 };

/* ---- our own parameters ---- */

static int take_schema(struct postgres_target *target, struct span name,
		       struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$";

	if (name.len == 0 || name.len >= sizeof(target->schema) ||
	    strspn(name.at, allowed) < name.len)
		return error_set(err, STATUS_INVALID,
				 "the database URL has schema=%s; it must be "
				 "1 to %zu letters, digits, _, - and $",
				 quote(name).text, sizeof(target->schema) - 1);
	snprintf(target->schema, sizeof(target->schema), "%.*s",
		 SPAN_ARG(name));
	return 0;
}

static int take_notify(struct postgres_target *target, struct span value,
		       struct error *err)
{
	if (!span_is(value, "on") && !span_is(value, "off"))
		return error_set(err, STATUS_INVALID,
				 "the database URL has notify=%s; it must be "
				 "on or off",
				 quote(value).text);
	target->notify = span_is(value, "on");
	return 0;
}

static bool is_named(struct span *parameter, const char *name)
{
	size_t len = strlen(name);

	if (parameter->len < len || memcmp(parameter->at, name, len) != 0)
		return false;
	*parameter = (struct span){parameter->at + len, parameter->len - len};
	return true;
}

/* 1: it was one of ours, 0: it is libpq's. */
static int take_parameter(struct postgres_target *target, struct span parameter,
			  struct error *err)
{
	int status;

	if (is_named(&parameter, "schema="))
		status = take_schema(target, parameter, err);
	else if (is_named(&parameter, "notify="))
		status = take_notify(target, parameter, err);
	else
		return 0;
	return status < 0 ? status : 1;
}

/* Where a URL's parameters begin, if any. As libpq sees it, whatever stands
 * before an '@' belongs to the user and the password. */
static char *parameters_of(char *url)
{
	char *host = strstr(url, "://");
	char *end;

	if (host == NULL)
		return NULL;
	host += 3;
	end = host + strcspn(host, "@/");
	if (*end == '@')
		host = end;
	return strchr(host, '?');
}

/* Leaves in `url` what is libpq's. */
static int take_parameters(struct postgres_target *target, char *url,
			   struct error *err)
{
	char *mark = parameters_of(url);
	char *to = mark;
	const char *at = mark;

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at + 1, "&");
		int taken =
			take_parameter(target, (struct span){at + 1, len}, err);

		if (taken < 0)
			return taken;
		if (taken == 0) {
			*to = to == mark ? '?' : '&';
			memmove(to + 1, at + 1, len);
			to += len + 1;
		}
		at += len + 1;
	}
	if (to != NULL)
		*to = '\0';
	return 0;
}

/* ---- libpq's ---- */

/* Most of its complaints quote the URL, password and all. */
static int refuse_url(const char *complaint, struct error *err)
{
	static const char harmless[] = "invalid URI query parameter";
	bool shown = complaint != NULL &&
		     strncmp(complaint, harmless, strlen(harmless)) == 0;

	return error_set(err, STATUS_INVALID,
			 "the database URL cannot be read%s%.*s; the form is "
			 "postgresql://user@host:port/database",
			 shown ? ": " : "",
			 shown ? (int)strcspn(complaint, "\n") : 0,
			 shown ? complaint : "");
}

int postgres_target_parse(struct postgres_target *target, const char *url,
			  struct error *err)
{
	char *copy = strdup(url);
	char *complaint = NULL;
	int status;

	*target = (struct postgres_target){.schema = "public", .notify = true};
	if (copy == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a store");
	status = take_parameters(target, copy, err);
	if (status == 0) {
		target->options = PQconninfoParse(copy, &complaint);
		if (target->options == NULL)
			status = refuse_url(complaint, err);
		PQfreemem(complaint);
	}
	snprintf(target->prefix, sizeof(target->prefix), "\"%s\".",
		 target->schema);
	free(copy);
	return status;
}

void postgres_target_finish(struct postgres_target *target)
{
	PQconninfoFree(target->options);
	target->options = NULL;
}

/* ---- several hosts ---- */

/* These list one for each host, or one for all. */
static bool is_list(const PQconninfoOption *option)
{
	return option->val != NULL &&
	       (strcmp(option->keyword, "host") == 0 ||
		strcmp(option->keyword, "hostaddr") == 0 ||
		strcmp(option->keyword, "port") == 0);
}

int postgres_target_hosts(const struct postgres_target *target)
{
	int most = 1;

	for (const PQconninfoOption *at = target->options; at->keyword != NULL;
	     at++) {
		int hosts = 1;

		if (!is_list(at))
			continue;
		for (const char *c = at->val; *c != '\0'; c++)
			hosts += *c == ',';
		most = hosts > most ? hosts : most;
	}
	return most;
}

static void reverse(char *text, size_t len)
{
	for (size_t i = 0; i < len / 2; i++) {
		char c = text[i];

		text[i] = text[len - 1 - i];
		text[len - 1 - i] = c;
	}
}

/* "a,b,c" becomes "b,c,a". */
static void rotate(char *list)
{
	size_t first = strcspn(list, ",");
	size_t len = strlen(list);

	if (first == len)
		return;
	reverse(list, len);
	reverse(list, len - first - 1);
	reverse(list + len - first, first);
}

void postgres_target_next_host(struct postgres_target *target)
{
	for (PQconninfoOption *at = target->options; at->keyword != NULL; at++)
		if (is_list(at))
			rotate(at->val);
}

/* ---- connecting ---- */

/* The later of two parameters of one name is what counts. */
struct parameters {
	const char *names[PARAMETERS + 1];
	const char *values[PARAMETERS + 1];
	size_t count;
};

static void add(struct parameters *all, const char *name, const char *value)
{
	if (value == NULL || *value == '\0' || all->count == PARAMETERS)
		return;
	all->names[all->count] = name;
	all->values[all->count++] = value;
}

static void ignore_notice(void *context, const PGresult *result)
{
	(void)context;
	(void)result;
}

PGconn *postgres_target_connect(const struct postgres_target *target,
				const PGconn *like)
{
	struct parameters all = {.count = 0};
	PGconn *conn;

	for (size_t i = 0; i < DEFAULTS; i++)
		add(&all, defaults[i].name, defaults[i].value);
	for (const PQconninfoOption *at = target->options; at->keyword != NULL;
	     at++)
		add(&all, at->keyword, at->val);
	add(&all, "client_encoding", "UTF8");
	if (like != NULL) {
		add(&all, "host", PQhost(like));
		add(&all, "hostaddr", PQhostaddr(like));
		add(&all, "port", PQport(like));
	}
	conn = PQconnectStartParams(all.names, all.values, 0);
	if (conn != NULL)
		PQsetNoticeReceiver(conn, ignore_notice, NULL);
	return conn;
}
