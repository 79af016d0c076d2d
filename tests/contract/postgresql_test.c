/* SPDX-License-Identifier: MIT */
/* PostgreSQL alone: how to get in, what it refuses, its locks and wakes. */
#include <poll.h>
#include <stdio.h>

#include "kit_postgres.h"

/* A store of another URL; NULL when it is refused, as kit->err says. */
__attribute__((format(printf, 2, 3))) static struct store *
open_url(struct kit *kit, const char *format, ...)
{
	struct store *store = NULL;
	char url[512];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(url, sizeof(url), format, args);
	va_end(args);
	kit->err = (struct error){0};
	status = store_open(&store, url, false, &kit->err);
	assert_int_equal(status, kit->err.status);
	return store;
}

static void assert_says(const struct kit *kit, const char *words)
{
	if (strstr(kit->err.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%.*s\"", kit->err.text,
			 SPAN_ARG(span_of(words)));
}

/* ---- URLs and logins ---- */

static void a_missing_database_is_not_found(void **state)
{
	struct kit *kit = *state;
	struct kit_server server = kit_postgres_server();

	assert_null(open_url(kit, "postgresql://%s@%s:%s/missing", server.user,
			     server.host, server.port));
	assert_int_equal(kit->err.status, STATUS_NOT_FOUND);
	assert_says(kit, "missing");
}

static void a_server_that_is_not_there_is_away(void **state)
{
	struct kit *kit = *state;

	assert_null(open_url(kit, "postgresql://me@127.0.0.1:1/orders"));
	assert_int_equal(kit->err.status, STATUS_AWAY);
	assert_says(kit, "orders on 127.0.0.1:1");
	assert_says(kit, "Connection refused");
}

static void a_role_that_may_not_log_in_is_denied(void **state)
{
	struct kit *kit = *state;
	struct kit_server server = kit_postgres_server();

	sql_run(kit, "CREATE ROLE %s_locked NOLOGIN", kit->place);
	assert_null(open_url(kit, "postgresql://%s_locked@%s:%s/%s", kit->place,
			     server.host, server.port, server.database));
	assert_int_equal(kit->err.status, STATUS_DENIED);
	sql_run(kit, "DROP ROLE %s_locked", kit->place);
}

static void no_sentence_names_the_password(void **state)
{
	struct kit *kit = *state;
	static const char *const urls[] = {
		"postgresql://me:s3cr3t@127.0.0.1:1/orders",
		"postgresql://me:s3cr3t@127.0.0.1:none/orders",
		"postgresql://me:s3cr3t%%zz@127.0.0.1/orders",
		"postgresql://me:s3cr3t@[127.0.0.1/orders",
		"postgresql://me@127.0.0.1:1/orders?password=s3cr3t",
		"postgresql://me@127.0.0.1:1/orders?password=s3cr3t&x",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		assert_null(open_url(kit, "%s", urls[i]));
		assert_null(strstr(kit->err.text, "s3cr3t"));
	}
}

static void an_unknown_parameter_is_named(void **state)
{
	struct kit *kit = *state;

	assert_null(open_url(kit, "postgresql://me@127.0.0.1/orders?shema=x"));
	assert_int_equal(kit->err.status, STATUS_INVALID);
	assert_says(kit, "shema");
}

static void a_schema_must_have_an_ordinary_name(void **state)
{
	struct kit *kit = *state;

	assert_null(
		open_url(kit, "postgresql://me@127.0.0.1/orders?schema=a\"b"));
	assert_int_equal(kit->err.status, STATUS_INVALID);
	assert_says(kit, "schema");
}

static void our_parameters_may_stand_anywhere(void **state)
{
	struct kit *kit = *state;
	struct kit_server server = kit_postgres_server();
	struct store *store;
	int have, want;

	store = open_url(kit,
			 "postgres://%s@%s:%s/%s?application_name=x&schema=%s"
			 "&notify=off&connect_timeout=3",
			 server.user, server.host, server.port, server.database,
			 kit->place);
	assert_non_null(store);
	must(kit, store->driver->schema(store, &have, &want, &kit->err));
	assert_int_equal(have, want);
	store->driver->close(store);
}

static void of_several_hosts_one_that_answers_is_enough(void **state)
{
	struct kit *kit = *state;
	struct kit_server server = kit_postgres_server();
	struct store *store = open_url(
		kit, "postgresql://%s@127.0.0.1:1,%s:%s/%s", server.user,
		server.host, server.port, server.database);

	assert_non_null(store);
	store->driver->close(store);
}

/* ---- rights ---- */

/* A role that may log in and use the kit's schema, and nothing else. */
static struct store *open_as_stranger(struct kit *kit)
{
	struct kit_server server = kit_postgres_server();
	struct store *store;

	sql_run(kit, "CREATE ROLE %s_stranger LOGIN", kit->place);
	sql_run(kit, "GRANT USAGE ON SCHEMA %s TO %s_stranger", kit->place,
		kit->place);
	store = open_url(kit, "postgresql://%s_stranger@%s:%s/%s?schema=%s",
			 kit->place, server.host, server.port, server.database,
			 kit->place);
	assert_non_null(store);
	return store;
}

static void close_as_stranger(struct kit *kit, struct store *store)
{
	store->driver->close(store);
	sql_run(kit, "DROP OWNED BY %s_stranger", kit->place);
	sql_run(kit, "DROP ROLE %s_stranger", kit->place);
}

static void a_role_without_rights_is_denied(void **state)
{
	struct kit *kit = *state;
	struct store *store = open_as_stranger(kit);
	struct outbox_claim claim = {
		.config_key = "default", .limit = 1, .max_bytes = 1};

	must(kit, store->driver->lock(store, "default", "relay", &kit->err));
	assert_int_equal(
		store->driver->claim(store, &claim, &kit->batch, &kit->err),
		STATUS_DENIED);
	assert_says(kit, "event_bus_outbound_event");
	close_as_stranger(kit, store);
}

static void
a_role_that_was_granted_all_works_without_a_new_session(void **state)
{
	struct kit *kit = *state;
	struct store *store = open_as_stranger(kit);
	int64_t version;

	assert_int_equal(store->driver->config_version(store, "default",
						       &version, &kit->err),
			 STATUS_DENIED);
	sql_run(kit, "GRANT ALL ON ALL TABLES IN SCHEMA %s TO %s_stranger",
		kit->place, kit->place);
	assert_int_equal(store->driver->config_version(store, "default",
						       &version, &kit->err),
			 STATUS_NOT_FOUND);
	close_as_stranger(kit, store);
}

static void a_database_that_may_only_be_read_is_away(void **state)
{
	struct kit *kit = *state;
	struct store *store = open_url(
		kit, "%s&options=-c%%20default_transaction_read_only%%3Don",
		kit->url);
	struct heartbeat beat = {.worker_id =
					 "00000000-0000-4000-8000-000000000000",
				 .config_key = "default",
				 .hostname = "here",
				 .version = "1"};

	assert_non_null(store);
	assert_int_equal(store->driver->heartbeat(store, &beat, &kit->err),
			 STATUS_AWAY);
	assert_says(kit, "only be read");
	store->driver->close(store);
}

/* ---- waking ---- */

static void a_store_without_notify_is_deaf_and_writes_in_silence(void **state)
{
	struct kit *kit = *state;
	struct kit quiet = {.driver = kit->driver};
	struct store *store = NULL;

	kit->driver->create(&quiet);
	store = open_url(kit, "%s&notify=off", quiet.url);
	assert_non_null(store);
	must(kit, store->driver->migrate(store, &kit->err));
	assert_int_equal(store->driver->wake_fd(store), -1);
	assert_false(store->driver->woken(store));
	assert_sql(&quiet,
		   "SELECT tgenabled FROM pg_trigger "
		   "WHERE tgname = 'event_bus_outbound_event_added' AND "
		   "tgrelid = 'event_bus_outbound_event'::regclass",
		   "D");
	store->driver->close(store);
	kit->driver->destroy(&quiet);
}

/* Takes what the beginning of listening has to say. */
static void listen(struct store *store)
{
	while (store->driver->wake_fd(store) < 0 ||
	       !store->driver->woken(store))
		;
	assert_false(store->driver->woken(store));
}

static void rows_of_another_schema_do_not_wake(void **state)
{
	struct kit *kit = *state;
	struct kit neighbour = {.driver = kit->driver};
	struct pollfd ears = {.events = POLLIN};

	kit->driver->create(&neighbour);
	must(kit, store_open(&neighbour.store, neighbour.url, true, &kit->err));
	must(kit, neighbour.store->driver->migrate(neighbour.store, &kit->err));
	listen(kit->store);
	WRITE(&neighbour, .topic = NULL);
	ears.fd = kit->store->driver->wake_fd(kit->store);
	assert_int_equal(poll(&ears, 1, 10000), 1);
	assert_false(kit->store->driver->woken(kit->store));
	neighbour.store->driver->close(neighbour.store);
	kit->driver->destroy(&neighbour);
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(a_missing_database_is_not_found),
	STORE_TEST(a_server_that_is_not_there_is_away),
	STORE_TEST(a_role_that_may_not_log_in_is_denied),
	STORE_TEST(no_sentence_names_the_password),
	STORE_TEST(an_unknown_parameter_is_named),
	STORE_TEST(a_schema_must_have_an_ordinary_name),
	STORE_TEST(our_parameters_may_stand_anywhere),
	STORE_TEST(of_several_hosts_one_that_answers_is_enough),
	STORE_TEST(a_role_without_rights_is_denied),
	STORE_TEST(a_role_that_was_granted_all_works_without_a_new_session),
	STORE_TEST(a_database_that_may_only_be_read_is_away),
	STORE_TEST(a_store_without_notify_is_deaf_and_writes_in_silence),
	STORE_TEST(rows_of_another_schema_do_not_wake),
};

int main(void)
{
	return kit_postgres_run("postgresql", tests,
				sizeof(tests) / sizeof(*tests));
}
