/* SPDX-License-Identifier: MIT */
/* How a connection ends. */
#include "broker_kit.h"

#include <string.h>

static void closing_sends_what_is_pending(void **state)
{
	struct rig *rig = *state;
	struct lane relay, intake;

	open_both(rig, &relay, &intake);
	lane_publish(&relay, "m1", NULL, SPAN_LIT("{}"));
	relay.broker->driver->close(relay.broker, clock_monotonic());
	do {
		lane_next(&relay);
	} while (relay.event.kind == BROKER_CONFIRMED);
	assert_int_equal(relay.event.kind, BROKER_DOWN);
	assert_int_equal(relay.event.error.status, STATUS_OK);
	lane_expect_nothing(&relay);
	expect_message(&intake, "m1");
	destroy_both(&relay, &intake);
}

static void cutting_is_no_event(void **state)
{
	struct rig *rig = *state;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	relay.broker->driver->cut(relay.broker);
	relay.broker->driver->cut(relay.broker);
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
}

static void a_lane_that_is_down_takes_every_call(void **state)
{
	struct rig *rig = *state;
	const struct broker_driver *driver;
	struct lane relay;

	lane_open(&relay, &rig->config, BROKER_PUBLISHER);
	driver = relay.broker->driver;
	driver->cut(relay.broker);
	driver->acknowledge(relay.broker, 1);
	driver->stop_consuming(relay.broker);
	driver->close(relay.broker, clock_monotonic());
	lane_expect_nothing(&relay);
	lane_destroy(&relay);
	driver->destroy(NULL);
}

static const struct CMUnitTest tests[] = {
	BROKER_TEST(closing_sends_what_is_pending),
	BROKER_TEST(cutting_is_no_event),
	BROKER_TEST(a_lane_that_is_down_takes_every_call),
};

const struct broker_cases link_cases = {tests, sizeof(tests) / sizeof(*tests)};
