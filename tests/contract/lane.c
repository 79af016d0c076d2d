/* SPDX-License-Identifier: MIT */
/* Drives a broker connection on the real clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lane.h"

static const usec_t patience = 30 * USEC_PER_SEC;

void lane_begin(struct lane *lane, const struct runtime_config *config,
		enum broker_role role)
{
	struct error err;

	*lane = (struct lane){0};
	if (broker_create(&lane->broker, config, role, &err) < 0)
		fail_msg("%s", err.text);
	lane->broker->driver->connect(lane->broker, clock_monotonic());
}

void lane_open(struct lane *lane, const struct runtime_config *config,
	       enum broker_role role)
{
	lane_begin(lane, config, role);
	lane_expect(lane, BROKER_UP);
}

void lane_destroy(struct lane *lane)
{
	if (lane->broker != NULL)
		lane->broker->driver->destroy(lane->broker);
	arena_finish(&lane->arena);
	lane->broker = NULL;
}

void lane_reconnect(struct lane *lane)
{
	memset(lane->confirmed, false, sizeof(lane->confirmed));
	lane->broker->driver->connect(lane->broker, clock_monotonic());
	lane_expect(lane, BROKER_UP);
}

/* One turn without the waiting. */
static bool turn(struct lane *lane)
{
	const struct broker_driver *driver = lane->broker->driver;
	usec_t now = clock_monotonic();
	struct broker_event event;
	bool found;

	driver->step(lane->broker, now);
	found = driver->next(lane->broker, &lane->arena, &event);
	if (found)
		lane->event = event;
	wait_init(&lane->wait);
	driver->flush(lane->broker, now, &lane->wait);
	return found;
}

static void sleep_until(struct wait wait, usec_t limit)
{
	usec_t now = clock_monotonic();
	int timeout;

	wait_until(&wait, limit);
	timeout = wait.until <= now
			  ? 0
			  : (int)((wait.until - now) / USEC_PER_MSEC) + 1;
	poll(wait.fds, wait.count, timeout);
}

void lane_next(struct lane *lane)
{
	usec_t limit = clock_monotonic() + patience;

	while (!turn(lane)) {
		if (clock_monotonic() > limit)
			fail_msg("no event from the broker in time");
		sleep_until(lane->wait, limit);
	}
}

struct broker_event *lane_expect(struct lane *lane, enum broker_event_kind kind)
{
	lane_next(lane);
	if (lane->event.kind != kind)
		fail_msg("event %d instead of %d: %s", (int)lane->event.kind,
			 (int)kind, lane->event.error.text);
	return &lane->event;
}

void lane_expect_nothing(struct lane *lane)
{
	enum { TURNS = 10, TURN_MSEC = 20 };

	for (int i = 0; i < TURNS; i++) {
		if (turn(lane))
			fail_msg("event %d instead of none",
				 (int)lane->event.kind);
		sleep_until(lane->wait,
			    clock_monotonic() + TURN_MSEC * USEC_PER_MSEC);
	}
}

/* One tag, or all up to it that had no answer yet. */
static void note_confirm(struct lane *lane, const struct broker_event *event)
{
	assert_in_range(event->tag, 1, LANE_TAGS - 1);
	assert_false(lane->confirmed[event->tag]);
	lane->confirmed[event->tag] = true;
	if (event->multiple)
		memset(lane->confirmed, true, event->tag);
}

uint64_t lane_publish(struct lane *lane, const char *message_id,
		      const char *topic, struct span body)
{
	const struct envelope envelope = {
		.message_id = span_of(message_id),
		.topic =
			span_of(topic == NULL ? "event.test.case.done" : topic),
		.source_service = SPAN_LIT("tester"),
	};
	const struct publication message = {
		.envelope = &envelope,
		.type = MESSAGE_EVENT,
		.body = body,
		.created_at = 1700000000,
	};
	struct error err;
	uint64_t tag;
	int status;

	while ((status = lane->broker->driver->publish(
			lane->broker, &message, &tag, &err)) == STATUS_BUSY)
		note_confirm(lane, lane_expect(lane, BROKER_CONFIRMED));
	if (status < 0)
		fail_msg("%s", err.text);
	return tag;
}

void lane_settle(struct lane *lane, uint64_t tag)
{
	for (uint64_t at = 1; at <= tag; at++)
		while (!lane->confirmed[at])
			note_confirm(lane, lane_expect(lane, BROKER_CONFIRMED));
}
