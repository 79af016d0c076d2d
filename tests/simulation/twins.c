/* SPDX-License-Identifier: MIT */
/* Asks the simulated store and the real one the same. */
#include "twins.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME "twins"

enum { BATCH_MAX = 8 };

/* ---- life ---- */

static void must(int status, const struct error *err)
{
	if (status == 0)
		return;
	fprintf(stderr, "%s\n", err->text);
	abort();
}

static void run_sql(struct twins *twins, const char *sql)
{
	if (sqlite3_exec(twins->application, sql, NULL, NULL, NULL) ==
	    SQLITE_OK)
		return;
	fprintf(stderr, "%s\n", sqlite3_errmsg(twins->application));
	abort();
}

void twins_open(struct twins *twins)
{
	struct error err;

	/* Else each connection gets a hundred pages at once, often. */
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	memset(twins, 0, sizeof(*twins));
	world_init(&twins->world);
	for (unsigned i = 0; i < TWIN_SESSIONS; i++)
		must(store_open(&twins->real[i], "memory:" NAME, true, &err),
		     &err);
	must(store_memory.migrate(twins->real[0], &err), &err);
	if (sqlite3_open_v2("/" NAME, &twins->application,
			    SQLITE_OPEN_READWRITE,
			    "postbus-memory") != SQLITE_OK)
		abort();
	run_sql(twins, "CREATE TRIGGER poison BEFORE INSERT ON "
		       "event_bus_inbound_event "
		       "WHEN NEW.topic = 'event.test.poison.row' "
		       "BEGIN SELECT RAISE(ABORT, 'poison'); END");
}

void twins_close(struct twins *twins)
{
	sqlite3_close(twins->application);
	for (unsigned i = 0; i < TWIN_SESSIONS; i++)
		store_memory.close(twins->real[i]);
	memory_drop(NAME);
	memory_set_clock(0);
	world_finish(&twins->world);
	arena_finish(&twins->simulated_batch.arena);
	arena_finish(&twins->real_batch.arena);
}

/* Both have the same time. */
static void set_clocks(struct twins *twins, usec_t now)
{
	twins->world.now = now;
	memory_set_clock(WORLD_EPOCH + now);
}

static void open_session(struct twins *twins, unsigned i)
{
	struct lane *lane = &twins->lanes[i];

	*lane = (struct lane){.world = &twins->world, .worker = &twins->worker};
	lane->session = session_open(&twins->world, lane);
	twins->simulated[i] = session_store(lane->session);
	store_memory.unlock(twins->real[i]);
}

void twins_begin(struct twins *twins, uint64_t seed, bool tracing)
{
	twins->plan = (struct plan){.seed = seed, .overlaps = seed % 2 == 0};
	twins->worker = (struct worker){.world = &twins->world};
	world_reset(&twins->world, &twins->plan, false);
	run_sql(twins, "DELETE FROM event_bus_outbound_event; "
		       "DELETE FROM event_bus_inbound_event; "
		       "DELETE FROM event_bus_rejected_message; "
		       "DELETE FROM sqlite_sequence");
	for (unsigned i = 0; i < TWIN_SESSIONS; i++)
		open_session(twins, i);
	set_clocks(twins, twins->world.now);
	twins->tracing = tracing;
	twins->operations = 0;
	twins->difference[0] = '\0';
}

/* ---- telling ---- */

void twins_differ(struct twins *twins, const char *format, ...)
{
	va_list args;

	if (twins->difference[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(twins->difference, sizeof(twins->difference), format, args);
	va_end(args);
}

void twins_tell(struct twins *twins, const char *format, ...)
{
	va_list args;

	twins->operations++;
	va_start(args, format);
	vsnprintf(twins->told, sizeof(twins->told), format, args);
	va_end(args);
	if (twins->tracing)
		printf("%3u  %s\n", twins->operations, twins->told);
}

static void compare_status(struct twins *twins, int simulated, int real)
{
	if (simulated != real)
		twins_differ(twins, "status %d, and really %d", simulated,
			     real);
}

/* After each call: no fault is left, and the checker, which knows nothing of
 * how these rows came about, is not heard. */
static void settle_down(struct twins *twins)
{
	struct world *world = &twins->world;

	for (unsigned i = 0; i < TWIN_SESSIONS; i++)
		twins->lanes[i].trap.nth = 0;
	for (unsigned i = 0; i <= MEMORY_REPLY_LOST; i++)
		memory_fail(NAME, (enum memory_fault)i, 0);
	world->checker.verdict = 0;
	world->over = false;
}

/* ---- the application ---- */

static struct span text_of(struct twins *twins, const char *text)
{
	return world_copy(&twins->world, span_of(text));
}

static void fill_envelope(struct twins *twins, struct envelope *envelope,
			  int64_t seq, const struct twin_row *wanted)
{
	char text[128];

	envelope_init(envelope);
	envelope->topic = SPAN_LIT("event.test.thing.done");
	envelope->message_type = SPAN_LIT("event");
	envelope->event_type = SPAN_LIT("test");
	snprintf(text, sizeof(text), "row-%lld", (long long)seq);
	if (wanted->named)
		envelope->message_id = text_of(twins, text);
	snprintf(text, sizeof(text), "{\"n\":%lld%*s}", (long long)seq,
		 (int)wanted->padding, "");
	envelope->payload = text_of(twins, text);
}

void twins_write(struct twins *twins, const struct twin_row *wanted)
{
	struct world *world = &twins->world;
	struct outbox_row written = {.ordering_key = span_of(wanted->key)};
	char id[UUID_TEXT_SIZE];
	struct error err;
	int64_t seq;
	struct row *row = database_write(&world->database, &seq);

	twins_tell(twins, "write %lld: key %s, due in %lld, expires in %lld%s",
		   (long long)seq, wanted->key == NULL ? "none" : wanted->key,
		   (long long)wanted->delay, (long long)wanted->expires,
		   wanted->later ? ", not committed" : "");
	fill_envelope(twins, &row->envelope, seq, wanted);
	row->key = written.ordering_key;
	if (wanted->delay > 0)
		row->next_retry_at = world->now + wanted->delay;
	if (wanted->expires > 0)
		row->expires_at = world->now + wanted->expires;
	written.envelope = row->envelope;
	/* Under another config key it is as good as not there. */
	must(store_memory.enqueue(
		     twins->real[0], wanted->later ? "uncommitted" : "default",
		     &written, wanted->delay, wanted->expires, id, &err),
	     &err);
	if (!wanted->later)
		database_commit(world, seq);
}

void twins_commit(struct twins *twins, int64_t seq)
{
	char sql[128];

	twins_tell(twins, "commit %lld", (long long)seq);
	database_commit(&twins->world, seq);
	snprintf(sql, sizeof(sql),
		 "UPDATE event_bus_outbound_event SET config_key = 'default' "
		 "WHERE seq = %lld",
		 (long long)seq);
	run_sql(twins, sql);
}

void twins_pass(struct twins *twins, usec_t duration)
{
	twins_tell(twins, "%lld us pass", (long long)duration);
	set_clocks(twins, twins->world.now + duration);
}

/* ---- the lanes ---- */

void twins_order(struct twins *twins, unsigned session, enum twin_fault fault)
{
	static const struct {
		enum deed_kind simulated;
		enum memory_fault real;
		const char *name;
	} faults[] = {
		[FAULT_CALL] = {CALL_FAILED, MEMORY_CALL_FAILS, "will fail"},
		[FAULT_SESSION] = {CALL_SESSION_DIED, MEMORY_SESSION_DIES,
				   "will lose the session"},
		[FAULT_REPLY] = {CALL_REPLY_LOST, MEMORY_REPLY_LOST,
				 "will lose the reply"},
	};

	if (fault == NO_FAULT)
		return;
	twins_tell(twins, "the next call of session %u %s", session,
		   faults[fault].name);
	twins->lanes[session].trap =
		(struct trap){.kind = faults[fault].simulated, .nth = 1};
	memory_fail(NAME, faults[fault].real, 1);
}

void twins_lock(struct twins *twins, unsigned session)
{
	struct store *simulated = twins->simulated[session];
	struct error err;
	int status;

	twins_tell(twins, "lock by session %u", session);
	status = simulated->driver->lock(simulated, "default", "relay", &err);
	compare_status(twins, status,
		       store_memory.lock(twins->real[session], "default",
					 "relay", &err));
	settle_down(twins);
}

void twins_unlock(struct twins *twins, unsigned session)
{
	struct store *simulated = twins->simulated[session];

	twins_tell(twins, "unlock by session %u", session);
	simulated->driver->unlock(simulated);
	store_memory.unlock(twins->real[session]);
}

void twins_claim(struct twins *twins, unsigned session,
		 const struct outbox_claim *claim)
{
	struct store *simulated = twins->simulated[session];
	struct error err;
	int status;

	twins_tell(twins,
		   "claim by session %u: limit %zu, %zu bytes, after %lld, "
		   "%zu busy",
		   session, claim->limit, claim->max_bytes,
		   (long long)claim->after_seq, claim->busy_count);
	status = simulated->driver->claim(simulated, claim,
					  &twins->simulated_batch, &err);
	compare_status(twins, status,
		       store_memory.claim(twins->real[session], claim,
					  &twins->real_batch, &err));
	compare_batches(twins);
	settle_down(twins);
}

/* A call is made in two parts where the driver can, unless a fault was
 * ordered. */
static bool two_parts(const struct twins *twins, unsigned session)
{
	return twins->simulated[session]->driver->ready != NULL &&
	       twins->lanes[session].trap.nth == 0;
}

static void await_answer(struct twins *twins, unsigned session)
{
	struct store *store = twins->simulated[session];
	struct wait wait = {0};

	while (!store->driver->ready(store, &wait)) {
		lane_wait(&twins->lanes[session], USEC_PER_MSEC);
		settle_down(twins);
	}
}

/* An answer takes time, and SQLite counts it in milliseconds. */
static void catch_up(struct twins *twins, usec_t began)
{
	usec_t took = twins->world.now - began + USEC_PER_MSEC - 1;

	set_clocks(twins, began + took / USEC_PER_MSEC * USEC_PER_MSEC);
}

static int settle_simulated(struct twins *twins, unsigned session,
			    const struct outcome *outcomes, size_t count,
			    struct error *err)
{
	struct store *store = twins->simulated[session];

	if (!two_parts(twins, session) ||
	    store->driver->settle_begin(store, outcomes, count, err) < 0)
		return store->driver->settle(store, outcomes, count, err);
	await_answer(twins, session);
	return store->driver->settle_end(store, outcomes, count, err);
}

void twins_settle(struct twins *twins, unsigned session,
		  const struct outcome *outcomes, size_t count)
{
	usec_t began = twins->world.now;
	struct error err;
	int status;

	twins_tell(twins, "settle by session %u: %zu rows", session, count);
	for (size_t i = 0; twins->tracing && i < count; i++)
		printf("       row %lld: outcome %d, %lld attempts, due in "
		       "%lld\n",
		       (long long)outcomes[i].seq, outcomes[i].kind,
		       (long long)outcomes[i].attempts,
		       (long long)outcomes[i].delay);
	status = settle_simulated(twins, session, outcomes, count, &err);
	compare_status(twins, status,
		       store_memory.settle(twins->real[session], outcomes,
					   count, &err));
	settle_down(twins);
	catch_up(twins, began);
	twins_count(twins);
}

/* The checker wants to know what it is told of. */
static void introduce(struct twins *twins, const struct inbox_row *row)
{
	struct letter *letter = checker_letter(&twins->world, row->body);

	letter->hopeless = span_present(row->rejected);
	letter->message_id = row->envelope.message_id;
	letter->payload = row->envelope.payload;
	letter->keys = UINT_MAX;
}

static int accept_simulated(struct twins *twins, unsigned session,
			    struct inbox_batch *batch, struct error *err)
{
	struct store *store = twins->simulated[session];

	if (!two_parts(twins, session) ||
	    store->driver->accept_begin(store, batch, err) < 0)
		return store->driver->accept(store, batch, err);
	await_answer(twins, session);
	return store->driver->accept_end(store, batch, err);
}

void twins_accept(struct twins *twins, unsigned session,
		  const struct inbox_row *rows, size_t count)
{
	struct inbox_row simulated[BATCH_MAX];
	struct inbox_row real[BATCH_MAX];
	struct inbox_batch batch = {"default", "memory", simulated, count};
	usec_t began = twins->world.now;
	struct error err;
	int status;

	if (count > BATCH_MAX)
		abort();
	twins_tell(twins, "accept by session %u: %zu rows", session, count);
	memcpy(simulated, rows, count * sizeof(*rows));
	memcpy(real, rows, count * sizeof(*rows));
	for (size_t i = 0; i < count; i++)
		introduce(twins, &rows[i]);
	status = accept_simulated(twins, session, &batch, &err);
	batch.rows = real;
	compare_status(twins, status,
		       store_memory.accept(twins->real[session], &batch, &err));
	for (size_t i = 0; status == 0 && i < count; i++)
		if (simulated[i].result != real[i].result)
			twins_differ(twins, "row %zu: result %d, and really %d",
				     i, simulated[i].result, real[i].result);
	settle_down(twins);
	catch_up(twins, began);
	twins_count(twins);
}
