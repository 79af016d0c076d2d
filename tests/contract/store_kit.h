/* SPDX-License-Identifier: MIT */
/*
 * A database of its own for each test, whatever the driver, and an independent
 * way to write and read it with SQL.
 */
#ifndef CONTRACT_STORE_KIT_H
#define CONTRACT_STORE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

struct kit;

struct kit_driver {
	const char *name;
	/* Makes place for a database that is not there yet and sets kit->url.
	 */
	void (*create)(struct kit *kit);
	void (*destroy)(struct kit *kit);
	/* Runs SQL on a connection of its own; the first value of the first
	 * row as text, "" for null or no row. Valid until the next call. */
	const char *(*sql)(struct kit *kit, const char *sql);
	/* From now on every UPDATE of an outbox row, and INSERT of an inbox
	 * row, with the topic event.test.poison.row fails as bad data. */
	const char *poison_sql;
};

struct kit {
	const struct kit_driver *driver;
	char url[256];
	char place[128]; /* directory or name, the driver's */
	char answer[256];
	struct store *store; /* migrated */
	struct store *other; /* the same database, opened by kit_other */
	struct outbox_batch batch;
	struct error err;
};

extern const struct kit_driver kit_sqlite;
extern const struct kit_driver kit_memory;
extern const struct kit_driver kit_postgres;

/* Which driver kit_setup takes. */
extern const struct kit_driver *kit_driver;

int kit_setup(void **state);
int kit_teardown(void **state);

#define STORE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

/* Cases that every store must pass, by file. */
struct kit_cases {
	const struct CMUnitTest *tests;
	size_t count;
};
extern const struct kit_cases claim_cases;
extern const struct kit_cases order_cases;
extern const struct kit_cases settle_cases;
extern const struct kit_cases accept_cases;
extern const struct kit_cases session_cases;
extern const struct kit_cases config_cases;
extern const struct kit_cases people_cases;

/* Fails the test with the error's sentence unless the call succeeds. */
#define must(kit, call) must_at((kit), (call), __FILE__, __LINE__)
void must_at(struct kit *kit, int status, const char *file, int line);

/* kit->driver->sql, for what is compared with. */
#define assert_sql(kit, query, expected) \
	assert_string_equal((kit)->driver->sql((kit), (query)), (expected))
int64_t sql_integer(struct kit *kit, const char *query);
void sql_run(struct kit *kit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A second store on the same database. */
struct store *kit_other(struct kit *kit);
/* A third and more, the caller's to close. */
struct store *kit_open(struct kit *kit);

/* An outbox row's members that tests vary; the rest is an event's. */
struct written {
	const char *topic; /* NULL: event.test.thing.done */
	const char *key;   /* ordering_key */
	const char *payload;
	const char *config_key; /* NULL: default */
	usec_t delay;
	usec_t expires;
};
/* Writes a row and gives its seq. */
int64_t write_row(struct kit *kit, struct written written);
#define WRITE(kit, ...) write_row((kit), (struct written){__VA_ARGS__})

/* Takes the relay's lock and claims everything that is due of "default". */
struct outbox_batch *claim_all(struct kit *kit);
/* Claims with `claim` whose config_key, limit and max_bytes may be left out. */
struct outbox_batch *claim_some(struct kit *kit, struct outbox_claim claim);
#define CLAIM(kit, ...) claim_some((kit), (struct outbox_claim){__VA_ARGS__})

/* The batch holds just these rows, in this order; ends in 0. */
#define assert_rows(batch, ...) \
	assert_rows_are((batch), (const int64_t[]){__VA_ARGS__, 0})
void assert_rows_are(const struct outbox_batch *batch, const int64_t *seqs);

/* Until what was begun can be ended without waiting. */
void kit_until_ready(struct store *store);

/* What the second part says; the first must succeed. */
int settle_in_two_parts(struct kit *kit, struct store *store,
			struct outcome outcome);

/* Settles one row, in two parts where the driver has them. */
void settle_one(struct kit *kit, struct outcome outcome);
#define SETTLE(kit, ...) settle_one((kit), (struct outcome){__VA_ARGS__})
#define REASON(text) .reason = SPAN_LIT(text)

/* Lets a waiting row be due. */
void make_due(struct kit *kit, int64_t seq);

/* A valid event as the intake gives it. */
struct inbox_row kit_event(const char *message_id, const char *payload);

#endif
