/* SPDX-License-Identifier: MIT */
/* PostgreSQL alone: publishing from SQL, by the validator's own rules. */
#include <stdio.h>
#include <stdlib.h>

#include "kit_postgres.h"
#include "message/envelope.h"

#define OUTBOX "FROM event_bus_outbound_event"
#define X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LONG X32 X32 X32 X32 X32 X32 X32 X32

/* ---- what is accepted ---- */

static void an_event_becomes_a_row_that_is_claimed(void **state)
{
	struct kit *kit = *state;

	sql_run(kit, "SELECT event_bus_publish_event("
		     "'event.shop.order.paid', 'order.paid', '{\"n\": 1}', "
		     "source_service => 'shop', ordering_key => 'o-1', "
		     "headers => '{\"tenant\": \"acme\"}')");
	assert_int_equal(claim_all(kit)->count, 1);
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE message_type = 'event' "
		   "AND topic = 'event.shop.order.paid' "
		   "AND event_type = 'order.paid' AND payload = '{\"n\": 1}' "
		   "AND source_service = 'shop' AND ordering_key = 'o-1' "
		   "AND headers = '{\"tenant\": \"acme\"}' "
		   "AND config_key = 'default' AND next_retry_at IS NULL",
		   "1");
}

static void an_event_gives_the_id_of_its_row(void **state)
{
	struct kit *kit = *state;

	assert_sql(kit,
		   "WITH new AS MATERIALIZED (SELECT event_bus_publish_event("
		   "'event.shop.order.paid', 'order.paid') AS id) "
		   "SELECT pg_typeof(id) FROM new",
		   "uuid");
	assert_sql(kit, "SELECT payload " OUTBOX, "{}");
}

static void a_delayed_event_is_scheduled(void **state)
{
	struct kit *kit = *state;

	sql_run(kit, "SELECT event_bus_publish_event("
		     "'event.shop.order.paid', 'order.paid', "
		     "delay => '1 hour')");
	assert_int_equal(claim_all(kit)->count, 0);
	assert_in_range(kit->batch.next_due_in, 3000 * USEC_PER_SEC,
			3601 * USEC_PER_SEC);
}

static void a_request_gives_the_id_that_it_will_be_answered_by(void **state)
{
	struct kit *kit = *state;

	assert_sql(kit,
		   "SELECT event_bus_publish_request('bank.request.bill.pay', "
		   "'shop.response.bill.pay', '{}', 'r-1', 'r-0', 3)",
		   "r-1");
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE message_type = 'request' "
		   "AND request_id = 'r-1' AND parent_request_id = 'r-0' "
		   "AND chain_depth = 3 "
		   "AND reply_to = 'shop.response.bill.pay'",
		   "1");
}

static void a_request_without_an_id_gets_one(void **state)
{
	struct kit *kit = *state;

	assert_sql(kit,
		   "SELECT length(event_bus_publish_request("
		   "'bank.request.bill.pay', 'shop.response.bill.pay'))",
		   "36");
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE length(request_id) = 36",
		   "1");
}

static void a_response_says_how_it_went(void **state)
{
	struct kit *kit = *state;

	sql_run(kit, "SELECT event_bus_publish_response('r-1', "
		     "'shop.response.bill.pay', 'error', '{\"why\": \"no\"}', "
		     "config_key => 'other')");
	assert_sql(kit,
		   "SELECT count(*) " OUTBOX " WHERE message_type = 'response' "
		   "AND message_status = 'error' AND request_id = 'r-1' "
		   "AND config_key = 'other'",
		   "1");
}

static void the_functions_work_whatever_the_search_path(void **state)
{
	struct kit *kit = *state;

	sql_run(kit,
		"SET search_path = pg_catalog; SELECT "
		"%s.event_bus_publish_event('event.a.b.c', 'b.c')",
		kit->place);
	assert_sql(kit, "SELECT count(*) " OUTBOX, "1");
}

/* ---- what is refused, in the validator's words ---- */

static const char *const refused[][8] = {
	/* message_type, topic, event_type, request_id, reply_to, status,
	 * source_service, chain_depth */
	{"event", NULL, "x", NULL, NULL, NULL, NULL, NULL},
	{"event", "event.a.b", "x", NULL, NULL, NULL, NULL, NULL},
	{"event", "shop.event.a.b", "x", NULL, NULL, NULL, NULL, NULL},
	{"event", "event.a..c", "x", NULL, NULL, NULL, NULL, NULL},
	{"event", "event.a.b.\xc3\xbc", "x", NULL, NULL, NULL, NULL, NULL},
	{"event", "event.a.b.c", NULL, NULL, NULL, NULL, NULL, NULL},
	{"event", "event.a.b.c", "", NULL, NULL, NULL, NULL, NULL},
	{"event", "event.a.b.c", LONG, NULL, NULL, NULL, NULL, NULL},
	{"event", "event.a.b.c", "a\nb\"\\", NULL, NULL, NULL, NULL, NULL},
	{"event", "event.a.b.c", "x", NULL, NULL, NULL, "a\x7f", NULL},
	{"request", "a.response.b.c", NULL, "r", "a.response.b.c", NULL, NULL,
	 NULL},
	{"request", "a.request.b.c", NULL, "", "a.response.b.c", NULL, NULL,
	 NULL},
	{"request", "a.request.b.c", NULL, "r", NULL, NULL, NULL, NULL},
	{"request", "a.request.b.c", NULL, "r", "event.a.b.c", NULL, NULL,
	 NULL},
	{"request", "a.request.b.c", NULL, "r", "a.response.b.c", NULL, NULL,
	 "33"},
	{"request", "a.request.b.c", NULL, "r", "a.response.b.c", NULL, NULL,
	 "-1"},
	{"response", "a.response.b.c", NULL, NULL, NULL, "success", NULL, NULL},
	{"response", "a.response.b.c", NULL, "r", NULL, NULL, NULL, NULL},
	{"response", "a.response.b.c", NULL, "r", NULL, "fine", NULL, NULL},
	{"response", "a.response.b", NULL, "r", NULL, "error", NULL, NULL},
};
enum { REFUSED = sizeof(refused) / sizeof(*refused) };

static void validate(const char *const *given, struct error *err)
{
	struct envelope envelope;
	const struct envelope_limits limits = ENVELOPE_LIMITS_DEFAULT;
	enum message_type type;

	envelope_init(&envelope);
	envelope.schema = SPAN_LIT(ENVELOPE_SCHEMA);
	envelope.message_id = SPAN_LIT("m");
	envelope.message_type = span_of(given[0]);
	envelope.topic = span_of(given[1]);
	envelope.event_type = span_of(given[2]);
	envelope.request_id = span_of(given[3]);
	envelope.reply_to = span_of(given[4]);
	envelope.status = span_of(given[5]);
	envelope.source_service = span_of(given[6]);
	envelope.chain_depth = given[7] == NULL ? 0 : atoi(given[7]);
	assert_int_equal(envelope_validate(&envelope, &limits, &type, err),
			 STATUS_INVALID);
}

static PGresult *publish(PGconn *conn, const char *const *given)
{
	static const char *const calls[] = {
		"SELECT event_bus_publish_event(topic => $2, event_type => $3, "
		"source_service => $7) WHERE concat($1, $4, $5, $6, $8) <> ''",
		"SELECT event_bus_publish_request(topic => $2, "
		"request_id => $4, reply_to => $5, source_service => $7, "
		"chain_depth => coalesce($8, '0')::integer) "
		"WHERE concat($1, $3, $6) <> ''",
		"SELECT event_bus_publish_response(topic => $2, "
		"request_id => $4, status => $6, source_service => $7) "
		"WHERE concat($1, $3, $5, $8) <> ''",
	};
	static const Oid text = 25;
	const Oid types[] = {text, text, text, text, text, text, text, text};
	const char *sql = given[0][0] == 'e'   ? calls[0]
			  : given[0][2] == 'q' ? calls[1]
					       : calls[2];

	return PQexecParams(conn, sql, 8, types, given, NULL, NULL, 0);
}

static void what_is_refused_is_refused_in_the_validators_words(void **state)
{
	struct kit *kit = *state;
	PGconn *conn = kit_postgres_connect(kit);

	for (size_t i = 0; i < REFUSED; i++) {
		PGresult *result = publish(conn, refused[i]);
		struct error err;

		validate(refused[i], &err);
		assert_int_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
		assert_string_equal(
			PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
			err.text);
		assert_string_equal(
			PQresultErrorField(result, PG_DIAG_SQLSTATE), "23514");
		PQclear(result);
	}
	PQfinish(conn);
	assert_sql(kit, "SELECT count(*) " OUTBOX, "0");
}

static void headers_are_a_flat_object_of_strings(void **state)
{
	struct kit *kit = *state;
	PGconn *conn = kit_postgres_connect(kit);
	static const char *const headers[][2] = {
		{"[]", "headers: found an array, an object of strings is "
		       "required"},
		{"{\"a\": 1}", "headers: \"a\" is a number, a string is "
			       "required"},
		{"{\"\": \"\"}",
		 "headers: found a name of 0 bytes, 1 to 255 are allowed"},
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		PGresult *result = PQexecParams(
			conn,
			"SELECT event_bus_publish_event('event.a.b.c', 'b.c', "
			"headers => $1)",
			1, NULL, &headers[i][0], NULL, NULL, 0);

		assert_string_equal(
			PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
			headers[i][1]);
		PQclear(result);
	}
	PQfinish(conn);
}

static void the_depth_that_is_allowed_is_the_configs(void **state)
{
	struct kit *kit = *state;

	sql_run(kit, "INSERT INTO event_bus_runtime_config (config_key, "
		     "max_chain_depth) VALUES ('default', 50)");
	sql_run(kit, "SELECT event_bus_publish_request('a.request.b.c', "
		     "'a.response.b.c', chain_depth => 50)");
	assert_sql(kit, "SELECT chain_depth " OUTBOX, "50");
}

static const struct CMUnitTest tests[] = {
	STORE_TEST(an_event_becomes_a_row_that_is_claimed),
	STORE_TEST(an_event_gives_the_id_of_its_row),
	STORE_TEST(a_delayed_event_is_scheduled),
	STORE_TEST(a_request_gives_the_id_that_it_will_be_answered_by),
	STORE_TEST(a_request_without_an_id_gets_one),
	STORE_TEST(a_response_says_how_it_went),
	STORE_TEST(the_functions_work_whatever_the_search_path),
	STORE_TEST(what_is_refused_is_refused_in_the_validators_words),
	STORE_TEST(headers_are_a_flat_object_of_strings),
	STORE_TEST(the_depth_that_is_allowed_is_the_configs),
};

int main(void)
{
	return kit_postgres_run("postgresql functions", tests,
				sizeof(tests) / sizeof(*tests));
}
