/* SPDX-License-Identifier: MIT */
/* Databases for tests on PostgreSQL: a schema each, in the database that
 * POSTBUS_TEST_POSTGRESQL names. */
#include "kit_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char poison_sql[] =
	"CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
	"IF NEW.topic = 'event.test.poison.row' THEN RAISE 'poison' "
	"USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$;"
	"CREATE TRIGGER poison BEFORE UPDATE ON event_bus_outbound_event "
	"FOR EACH ROW EXECUTE FUNCTION poison();"
	"CREATE TRIGGER poison BEFORE INSERT ON event_bus_inbound_event "
	"FOR EACH ROW EXECUTE FUNCTION poison();";

bool kit_postgres_found(void)
{
	if (getenv("POSTBUS_TEST_POSTGRESQL") != NULL)
		return true;
	printf("1..0 # SKIP POSTBUS_TEST_POSTGRESQL names no server\n");
	return false;
}

static void take(char *member, size_t size, const char *value)
{
	snprintf(member, size, "%s", value == NULL ? "" : value);
}

struct kit_server kit_postgres_server(void)
{
	PGconn *conn = PQconnectdb(getenv("POSTBUS_TEST_POSTGRESQL"));
	struct kit_server server;

	take(server.user, sizeof(server.user), PQuser(conn));
	take(server.host, sizeof(server.host), PQhost(conn));
	take(server.port, sizeof(server.port), PQport(conn));
	take(server.database, sizeof(server.database), PQdb(conn));
	PQfinish(conn);
	return server;
}

static void enter_schema(const struct kit *kit, PGconn *conn)
{
	char sql[sizeof(kit->place) + 64];

	snprintf(sql, sizeof(sql),
		 "SET client_min_messages = 'error'; SET search_path = '%s'",
		 kit->place);
	PQclear(PQexec(conn, sql));
	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(conn));
}

PGconn *kit_postgres_connect(const struct kit *kit)
{
	PGconn *conn = PQconnectdb(getenv("POSTBUS_TEST_POSTGRESQL"));

	enter_schema(kit, conn);
	return conn;
}

struct store *kit_postgres_open_named(struct kit *kit)
{
	struct store *store = NULL;
	char url[512];

	snprintf(url, sizeof(url), "%s&application_name=%s", kit->url,
		 kit->place);
	must(kit, store_open(&store, url, false, &kit->err));
	return store;
}

const char *kit_postgres_sql(struct kit *kit, PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	kit->answer[0] = '\0';
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0)
		snprintf(kit->answer, sizeof(kit->answer), "%s",
			 PQgetvalue(result, 0, 0));
	else if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	PQclear(result);
	return kit->answer;
}

/* One connection serves all: the server takes long to make one. */
static const char *run_sql(struct kit *kit, const char *sql)
{
	static PGconn *conn;

	if (conn == NULL)
		conn = PQconnectdb(getenv("POSTBUS_TEST_POSTGRESQL"));
	enter_schema(kit, conn);
	return kit_postgres_sql(kit, conn, sql);
}

static void create_schema(struct kit *kit)
{
	static int number;
	const char *url = getenv("POSTBUS_TEST_POSTGRESQL");

	snprintf(kit->place, sizeof(kit->place), "test_%d_%d", (int)getpid(),
		 number++);
	snprintf(kit->url, sizeof(kit->url), "%s%cschema=%s", url,
		 strchr(url, '?') == NULL ? '?' : '&', kit->place);
}

static void destroy_schema(struct kit *kit)
{
	char sql[sizeof(kit->place) + 64];

	snprintf(sql, sizeof(sql), "DROP SCHEMA IF EXISTS %s CASCADE",
		 kit->place);
	run_sql(kit, sql);
}

const struct kit_driver kit_postgres = {
	.name = "postgresql",
	.create = create_schema,
	.destroy = destroy_schema,
	.sql = run_sql,
	.poison_sql = poison_sql,
};
