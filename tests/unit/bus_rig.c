/* SPDX-License-Identifier: MIT */
/* Lanes over the memory store and the memory broker. */
#include "bus_rig.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static const char *const url = "memory:rig";
static const usec_t epoch = (usec_t)1700000000 * USEC_PER_SEC;

static struct store *open_store(void)
{
	struct store *store = NULL;
	struct error err;

	if (store_open(&store, url, true, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

int rig_set_up(void **state)
{
	struct rig *rig = test_calloc(1, sizeof(*rig));
	struct error err;

	rig->now = USEC_PER_SEC;
	memory_set_clock(epoch + rig->now);
	assert_int_equal(config_init(&rig->config, "default", &err), 0);
	rig->config.broker_type = "memory";
	rig->config.host = "rig";
	rig->config.source_service = "tester";
	rig->config.retry_interval_seconds = 5;
	rig->config.max_retry_count = 3;
	rig->config.window = 16;
	rig->config.rabbitmq.binding_keys = "[\"event.#\"]";
	assert_int_equal(config_finish(&rig->config, &err), 0);
	rig->server = memory_broker("rig");
	rig->application = open_store();
	if (rig->application->driver->migrate(rig->application, &err) < 0)
		fail_msg("%s", err.text);
	*state = rig;
	return 0;
}

int rig_tear_down(void **state)
{
	struct rig *rig = *state;

	rig_close_lane(&rig->relay);
	rig_close_lane(&rig->intake);
	rig_close_lane(&rig->rival);
	rig->application->driver->close(rig->application);
	memory_fail("rig", MEMORY_CALL_FAILS, 0);
	memory_fail("rig", MEMORY_REPLY_LOST, 0);
	memory_drop("rig");
	memory_brokers_forget();
	memory_set_clock(0);
	config_destroy(&rig->config);
	test_free(rig);
	return 0;
}

static void open_lane(struct rig *rig, struct rig_lane *lane,
		      enum broker_role role)
{
	struct error err;

	lane->store = open_store();
	if (broker_create(&lane->broker, &rig->config, role, &err) < 0)
		fail_msg("%s", err.text);
}

void rig_open_relay(struct rig *rig, struct rig_lane *lane)
{
	open_lane(rig, lane, BROKER_PUBLISHER);
	assert_int_equal(relay_create(&lane->relay, &rig->config, lane->store,
				      lane->broker, 1, NULL),
			 0);
}

static void open_intake(struct rig *rig, struct rig_lane *lane)
{
	open_lane(rig, lane, BROKER_CONSUMER);
	assert_int_equal(intake_create(&lane->intake, &rig->config, lane->store,
				       lane->broker, NULL),
			 0);
}

void rig_open_intake(struct rig *rig)
{
	open_intake(rig, &rig->intake);
}

void rig_open_rival_intake(struct rig *rig)
{
	open_intake(rig, &rig->rival);
}

void rig_close_lane(struct rig_lane *lane)
{
	relay_destroy(lane->relay);
	intake_destroy(lane->intake);
	if (lane->broker != NULL)
		lane->broker->driver->destroy(lane->broker);
	if (lane->store != NULL)
		lane->store->driver->close(lane->store);
	*lane = (struct rig_lane){0};
}

static void step_lane(struct rig_lane *lane, usec_t now, usec_t *until)
{
	struct wait wait;

	wait_init(&wait);
	if (lane->relay != NULL)
		relay_step(lane->relay, now, &wait);
	if (lane->intake != NULL)
		intake_step(lane->intake, now, &wait);
	if (wait.until < *until)
		*until = wait.until;
}

/* One turn of everybody; then time moves to the next deadline, by a
 * millisecond at least and ten at most, as descriptors tell nothing here. */
static void turn(struct rig *rig)
{
	usec_t until = rig->now + 10 * USEC_PER_MSEC;

	step_lane(&rig->relay, rig->now, &until);
	step_lane(&rig->intake, rig->now, &until);
	step_lane(&rig->rival, rig->now, &until);
	if (until < rig->now + USEC_PER_MSEC)
		until = rig->now + USEC_PER_MSEC;
	rig->now = until;
	memory_set_clock(epoch + rig->now);
}

void rig_run(struct rig *rig, usec_t duration)
{
	usec_t end = rig->now + duration;

	while (rig->now < end)
		turn(rig);
}

void rig_run_until(struct rig *rig, const struct lane_report *report,
		   enum lane_state state)
{
	usec_t end = rig->now + 60 * USEC_PER_SEC;

	while (report->state != state) {
		if (rig->now > end)
			fail_msg("%s after a minute, %s expected: %s",
				 lane_state_name(report->state),
				 lane_state_name(state), report->error.text);
		turn(rig);
	}
}

enum lane_state rig_relay_state(const struct rig_lane *lane)
{
	return relay_report(lane->relay)->state;
}

const struct lane_report *rig_intake_report(const struct rig *rig)
{
	return intake_report(rig->intake.intake);
}

/* ---- rows ---- */

static struct rig_row write_row(struct rig *rig, const struct outbox_row *row)
{
	struct rig_row written;
	struct error err;

	if (rig->application->driver->enqueue(rig->application, "default", row,
					      0, 0, written.id, &err) < 0)
		fail_msg("%s", err.text);
	return written;
}

struct rig_row rig_event(struct rig *rig, const char *topic, const char *key)
{
	struct outbox_row row = {.ordering_key = span_of(key)};

	envelope_init(&row.envelope);
	row.envelope.topic = span_of(topic);
	row.envelope.message_type = SPAN_LIT("event");
	row.envelope.event_type = SPAN_LIT("test");
	return write_row(rig, &row);
}

struct rig_row rig_request(struct rig *rig, const char *topic)
{
	struct outbox_row row = {0};

	envelope_init(&row.envelope);
	row.envelope.topic = span_of(topic);
	row.envelope.message_type = SPAN_LIT("request");
	row.envelope.request_id = SPAN_LIT("r1");
	row.envelope.reply_to = SPAN_LIT("tester.response.thing.done");
	return write_row(rig, &row);
}

struct expected {
	const char *status, *retries, *why;
	int line;
	int seen;
};

static void check_column(const struct expected *expected,
			 const struct column *column)
{
	const char *want = NULL;

	if (strcmp(column->name, "status") == 0)
		want = expected->status;
	if (strcmp(column->name, "retry_count") == 0)
		want = expected->retries;
	if (want != NULL && !span_is(column->value, want))
		fail_msg("line %d: %s is %.*s, not %s", expected->line,
			 column->name, SPAN_ARG(column->value), want);
	if (strcmp(column->name, "last_error") != 0)
		return;
	if (expected->why == NULL && column->value.len > 0)
		fail_msg("line %d: last_error is %.*s", expected->line,
			 SPAN_ARG(column->value));
	if (expected->why != NULL &&
	    memmem(column->value.at, column->value.len, expected->why,
		   strlen(expected->why)) == NULL)
		fail_msg("line %d: last_error is %.*s, without %s",
			 expected->line, SPAN_ARG(column->value),
			 expected->why);
}

static int check_row(void *context, const struct column *columns, size_t count)
{
	struct expected *expected = context;

	for (size_t i = 0; i < count; i++)
		check_column(expected, &columns[i]);
	expected->seen++;
	return 0;
}

void rig_expect_at(struct rig *rig, struct rig_row row, const char *status,
		   const char *retries, const char *why, int line)
{
	struct expected expected = {status, retries, why, line, 0};
	const struct store_filter filter = {.id = row.id, .limit = 1};
	struct error err;

	if (rig->application->driver->browse(rig->application, TABLE_OUTBOX,
					     &filter, check_row, &expected,
					     &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(expected.seen, 1);
}

void rig_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2("/rig", &db, SQLITE_OPEN_READWRITE,
					 "postbus-memory"),
			 SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

struct store_counts rig_counts(struct rig *rig)
{
	struct store_counts counts;
	struct error err;

	if (rig->application->driver->counts(rig->application, "default",
					     &counts, &err) < 0)
		fail_msg("%s", err.text);
	return counts;
}

/* ---- messages ---- */

void rig_send_body(struct rig *rig, const char *message_id, struct span body,
		   struct headers headers)
{
	struct envelope envelope;
	struct publication message = {
		.envelope = &envelope,
		.type = MESSAGE_EVENT,
		.body = body,
		.headers = headers,
	};
	struct broker_event event;
	struct arena arena = {0};
	struct broker *broker;
	struct wait wait;
	uint64_t tag;

	envelope_init(&envelope);
	envelope.message_id = span_of(message_id);
	envelope.topic = SPAN_LIT("event.test.thing.done");
	envelope.source_service = SPAN_LIT("elsewhere");
	assert_int_equal(
		broker_create(&broker, &rig->config, BROKER_PUBLISHER, NULL),
		0);
	broker->driver->connect(broker, rig->now);
	broker->driver->step(broker, rig->now);
	while (broker->driver->next(broker, &arena, &event))
		assert_int_equal(event.kind, BROKER_UP);
	assert_int_equal(broker->driver->publish(broker, &message, &tag, NULL),
			 0);
	wait_init(&wait);
	broker->driver->flush(broker, rig->now, &wait);
	broker->driver->destroy(broker);
	arena_finish(&arena);
}

void rig_send(struct rig *rig, const char *message_id, const char *payload)
{
	char body[512];
	int len = snprintf(
		body, sizeof(body),
		"{\"schema\":\"interservice.envelope.v1\","
		"\"message_id\":\"%s\",\"message_type\":\"event\","
		"\"topic\":\"event.test.thing.done\",\"source_service\":\"x\","
		"\"event_type\":\"test\",\"payload\":%s}",
		message_id, payload);

	rig_send_body(rig, message_id, (struct span){body, (size_t)len},
		      (struct headers){0});
}

size_t rig_depth(struct rig *rig)
{
	return memory_broker_depth(rig->server, rig->config.rabbitmq.queue);
}
