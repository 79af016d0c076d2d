/* SPDX-License-Identifier: MIT */
/*
 * How long a committed row takes to reach another program: writes rows at a
 * steady rate, each in a transaction of its own, and consumes what comes of
 * them. Uses the database's and the broker's usual C clients and nothing of
 * ours but the clock.
 *
 *	bench-latency RATE SECONDS DATABASE-URL AMQP-URL|-
 *
 * The queue `bench` must be there; with - nothing is consumed, and 0 stands for
 * when the message arrived. For each row, in the order of message_id,
 * prints when its commit had returned and when its message had arrived, in
 * microseconds since 1970.
 *
 * PostgreSQL has four writers, who take turns, SQLite its one. Their commits do
 * not wait for the disk, which could not keep up with the higher rates: what is
 * measured begins after the commit.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { ID_SIZE = 48, PATIENCE_SECONDS = 20, MAX_WRITERS = 4 };

/* With the envelope around it, a message of about 300 bytes. */
#define PAYLOAD                                              \
	"\"................................................" \
	"..................................................\""
#define INSERT(parameter)                                                    \
	"INSERT INTO event_bus_outbound_event (topic, event_type, payload, " \
	"message_id) VALUES ('event.bench.message.sent', 'message.sent', "   \
	"'" PAYLOAD "', " parameter ")"

struct sample {
	usec_t committed;
	usec_t arrived; /* 0: not yet */
};

struct bench {
	const char *database_url;
	size_t rate;
	size_t count;
	size_t writers;
	usec_t began; /* a little later than now, when all are connected */
	char prefix[ID_SIZE / 2]; /* of the message ids of this run */
	struct sample *samples;
};

static void die(const char *text)
{
	fprintf(stderr, "bench-latency: %s\n", text);
	exit(1);
}

/* ---- the two databases ---- */

struct writer {
	const struct bench *bench;
	pthread_t thread;
	size_t turn; /* among the writers */
	sqlite3 *sqlite;
	sqlite3_stmt *statement;
	PGconn *postgres;
};

static void open_sqlite(struct writer *writer, const char *path)
{
	if (sqlite3_open_v2(path, &writer->sqlite, SQLITE_OPEN_READWRITE,
			    NULL) != SQLITE_OK ||
	    sqlite3_busy_timeout(writer->sqlite, 10000) != SQLITE_OK ||
	    sqlite3_exec(writer->sqlite, "PRAGMA synchronous = NORMAL", NULL,
			 NULL, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(writer->sqlite, INSERT("?1"), -1,
			       &writer->statement, NULL) != SQLITE_OK)
		die(sqlite3_errmsg(writer->sqlite));
}

static void open_postgres(struct writer *writer, const char *url)
{
	PGresult *result;

	writer->postgres = PQconnectdb(url);
	PQclear(PQexec(writer->postgres, "SET synchronous_commit = off"));
	result = PQprepare(writer->postgres, "insert", INSERT("$1"), 1, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(PQerrorMessage(writer->postgres));
	PQclear(result);
}

static const char sqlite_scheme[] = "sqlite://";

static bool is_sqlite(const struct bench *bench)
{
	return strncmp(bench->database_url, sqlite_scheme,
		       strlen(sqlite_scheme)) == 0;
}

static void open_writer(struct writer *writer)
{
	const char *url = writer->bench->database_url;

	if (is_sqlite(writer->bench))
		open_sqlite(writer, url + strlen(sqlite_scheme));
	else
		open_postgres(writer, url);
}

static void insert_sqlite(struct writer *writer, const char *id)
{
	sqlite3_bind_text(writer->statement, 1, id, -1, SQLITE_STATIC);
	if (sqlite3_step(writer->statement) != SQLITE_DONE)
		die(sqlite3_errmsg(writer->sqlite));
	sqlite3_reset(writer->statement);
}

static void insert_postgres(struct writer *writer, const char *id)
{
	PGresult *result = PQexecPrepared(writer->postgres, "insert", 1, &id,
					  NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(PQerrorMessage(writer->postgres));
	PQclear(result);
}

static void close_writer(struct writer *writer)
{
	sqlite3_finalize(writer->statement);
	sqlite3_close(writer->sqlite);
	PQfinish(writer->postgres);
}

static void sleep_until(usec_t when)
{
	struct timespec rest = {
		.tv_sec = when / USEC_PER_SEC,
		.tv_nsec = when % USEC_PER_SEC * 1000,
	};

	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &rest, NULL);
}

static void write_row(struct writer *writer, size_t n)
{
	char id[ID_SIZE];

	snprintf(id, sizeof(id), "%s%08zu", writer->bench->prefix, n);
	if (writer->sqlite != NULL)
		insert_sqlite(writer, id);
	else
		insert_postgres(writer, id);
	writer->bench->samples[n].committed = clock_wall();
}

static void *write_rows(void *context)
{
	struct writer *writer = context;
	const struct bench *bench = writer->bench;

	open_writer(writer);
	for (size_t n = writer->turn; n < bench->count; n += bench->writers) {
		sleep_until(bench->began +
			    (usec_t)n * USEC_PER_SEC / (usec_t)bench->rate);
		write_row(writer, n);
	}
	close_writer(writer);
	return NULL;
}

/* ---- the broker ---- */

static void check(amqp_rpc_reply_t reply, const char *what)
{
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		die(what);
}

static amqp_connection_state_t consume(char *url)
{
	amqp_connection_state_t connection = amqp_new_connection();
	amqp_socket_t *socket = amqp_tcp_socket_new(connection);
	struct amqp_connection_info info;

	if (amqp_parse_url(url, &info) != AMQP_STATUS_OK ||
	    amqp_socket_open(socket, info.host, info.port) != AMQP_STATUS_OK)
		die("no connection to the broker");
	check(amqp_login(connection, info.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0,
			 AMQP_SASL_METHOD_PLAIN, info.user, info.password),
	      "the broker refused the login");
	amqp_channel_open(connection, 1);
	check(amqp_get_rpc_reply(connection), "no channel");
	amqp_basic_consume(connection, 1, amqp_cstring_bytes("bench"),
			   amqp_empty_bytes, false, true, false,
			   amqp_empty_table);
	check(amqp_get_rpc_reply(connection), "queue bench cannot be consumed");
	return connection;
}

/* The row that a message came of, NULL if it is none of this run. */
static struct sample *sample_of(const struct bench *bench, amqp_bytes_t id)
{
	size_t length = strlen(bench->prefix);
	char number[ID_SIZE] = "";
	size_t n;

	if (id.len <= length || id.len - length >= sizeof(number) ||
	    memcmp(id.bytes, bench->prefix, length) != 0)
		return NULL;
	memcpy(number, (const char *)id.bytes + length, id.len - length);
	n = strtoul(number, NULL, 10);
	return n < bench->count ? &bench->samples[n] : NULL;
}

static void receive_all(const struct bench *bench,
			amqp_connection_state_t connection)
{
	const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
	size_t arrived = 0;

	while (arrived < bench->count) {
		struct sample *sample;
		amqp_envelope_t envelope;

		amqp_maybe_release_buffers(connection);
		check(amqp_consume_message(connection, &envelope, &patience, 0),
		      "a message did not arrive");
		sample = sample_of(bench,
				   envelope.message.properties.message_id);
		if (sample != NULL && sample->arrived == 0) {
			sample->arrived = clock_wall();
			arrived++;
		}
		amqp_destroy_envelope(&envelope);
	}
}

/* ---- the program ---- */

static void write_and_receive(struct bench *bench,
			      amqp_connection_state_t connection)
{
	struct writer writers[MAX_WRITERS] = {0};

	for (size_t i = 0; i < bench->writers; i++) {
		writers[i].bench = bench;
		writers[i].turn = i;
		if (pthread_create(&writers[i].thread, NULL, write_rows,
				   &writers[i]) != 0)
			die("no thread");
	}
	if (connection != NULL)
		receive_all(bench, connection);
	for (size_t i = 0; i < bench->writers; i++)
		pthread_join(writers[i].thread, NULL);
}

int main(int argc, char **argv)
{
	struct bench bench = {0};
	amqp_connection_state_t connection = NULL;

	if (argc != 5)
		die("usage: bench-latency RATE SECONDS DATABASE-URL "
		    "AMQP-URL|-");
	bench.database_url = argv[3];
	bench.rate = strtoul(argv[1], NULL, 10);
	bench.count = bench.rate * strtoul(argv[2], NULL, 10);
	bench.writers = is_sqlite(&bench) ? 1 : MAX_WRITERS;
	bench.samples = calloc(bench.count, sizeof(*bench.samples));
	if (bench.count == 0 || bench.samples == NULL)
		die("nothing to do, or no memory for it");
	snprintf(bench.prefix, sizeof(bench.prefix), "%d-", getpid());
	if (strcmp(argv[4], "-") != 0)
		connection = consume(argv[4]);
	bench.began = clock_wall() + USEC_PER_SEC / 2;
	write_and_receive(&bench, connection);
	for (size_t n = 0; n < bench.count; n++)
		printf("%" PRId64 " %" PRId64 "\n", bench.samples[n].committed,
		       bench.samples[n].arrived);
	if (connection != NULL)
		amqp_destroy_connection(connection);
	free(bench.samples);
	return 0;
}
