/* SPDX-License-Identifier: MIT */
/* What the relay keeps to, whatever the broker and the store do. */
#include "bus_rig.h"

#define SECONDS(n) ((n)*USEC_PER_SEC)

static const char *const topic = "event.test.thing.done";

static void run_up(struct rig *rig)
{
	rig_open_relay(rig, &rig->relay);
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_RUNNING);
}

static struct memory_knobs *knobs(struct rig *rig)
{
	return memory_broker_knobs(rig->server);
}

static void a_confirmed_row_is_published(void **state)
{
	struct rig *rig = *state;
	struct rig_row row = rig_event(rig, topic, NULL);

	run_up(rig);
	rig_run(rig, SECONDS(1));
	rig_expect(rig, row, "published", "0", NULL);
	assert_int_equal(rig_depth(rig), 1);
}

static void more_rows_than_the_window_holds_all_go_once(void **state)
{
	struct rig *rig = *state;

	for (int i = 0; i < 100; i++)
		rig_event(rig, topic, NULL);
	run_up(rig);
	rig_run(rig, SECONDS(2));
	assert_int_equal(rig_counts(rig).outbox_published, 100);
	assert_int_equal(rig_depth(rig), 100);
}

static void an_unconfirmed_row_stays_pending_and_goes_again(void **state)
{
	struct rig *rig = *state;
	struct rig_row row = rig_event(rig, topic, NULL);

	knobs(rig)->mute = 1;
	run_up(rig);
	rig_run(rig, SECONDS(10));
	rig_expect(rig, row, "pending", "0", NULL);
	memory_broker_cut(rig->server);
	rig_run(rig, SECONDS(10));
	rig_expect(rig, row, "published", "0", NULL);
	assert_int_equal(rig_depth(rig), 2);
}

static void a_confirm_that_never_comes_ends_the_link(void **state)
{
	struct rig *rig = *state;
	struct rig_row row = rig_event(rig, topic, NULL);

	knobs(rig)->mute = 1;
	run_up(rig);
	rig_run(rig, SECONDS(70));
	rig_expect(rig, row, "published", "0", NULL);
}

static void a_refused_row_is_tried_again(void **state)
{
	struct rig *rig = *state;
	struct rig_row row = rig_event(rig, topic, NULL);

	knobs(rig)->nack = 1;
	run_up(rig);
	rig_run(rig, SECONDS(10));
	rig_expect(rig, row, "published", "1", NULL);
	assert_int_equal(rig_depth(rig), 1);
}

static void a_row_refused_too_often_ends_as_error(void **state)
{
	struct rig *rig = *state;
	struct rig_row row = rig_event(rig, topic, NULL);

	knobs(rig)->nack = 1000;
	run_up(rig);
	rig_run(rig, SECONDS(60));
	rig_expect(rig, row, "error", "3", "");
	assert_int_equal(rig_depth(rig), 0);
}

static void an_unroutable_request_fails_with_the_reason(void **state)
{
	struct rig *rig = *state;
	struct rig_row row = rig_request(rig, "nobody.request.thing.read");

	run_up(rig);
	rig_run(rig, SECONDS(60));
	rig_expect(rig, row, "error", "3", "unroutable");
	assert_int_equal(relay_report(rig->relay.relay)->unroutable, 3);
}

static void an_unroutable_event_is_published_and_noted(void **state)
{
	struct rig *rig = *state;
	struct rig_row row;

	rig->config.rabbitmq.binding_keys = "[\"other.#\"]";
	row = rig_event(rig, topic, NULL);
	run_up(rig);
	rig_run(rig, SECONDS(1));
	rig_expect(rig, row, "published", "0", "unroutable");
}

static void mandatory_all_makes_unroutable_events_fail(void **state)
{
	struct rig *rig = *state;
	struct rig_row row;

	rig->config.rabbitmq.binding_keys = "[\"other.#\"]";
	rig->config.rabbitmq.mandatory = "all";
	row = rig_event(rig, topic, NULL);
	run_up(rig);
	rig_run(rig, SECONDS(60));
	rig_expect(rig, row, "error", "3", "unroutable");
}

static void mandatory_none_lets_unroutable_requests_go(void **state)
{
	struct rig *rig = *state;
	struct rig_row row = rig_request(rig, "nobody.request.thing.read");

	rig->config.rabbitmq.mandatory = "none";
	run_up(rig);
	rig_run(rig, SECONDS(1));
	rig_expect(rig, row, "published", "0", "unroutable");
}

static void an_outage_of_the_broker_costs_no_attempt(void **state)
{
	struct rig *rig = *state;
	struct rig_row row;

	run_up(rig);
	knobs(rig)->refuse = true;
	memory_broker_cut(rig->server);
	row = rig_event(rig, topic, NULL);
	rig_run(rig, SECONDS(300));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_AWAY);
	knobs(rig)->refuse = false;
	rig_run(rig, SECONDS(7));
	rig_expect(rig, row, "published", "0", NULL);
}

/* One that was up for a while is replaced at once, the next one is not. */
static void a_link_that_ends_soon_is_not_replaced_at_once(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	rig_run(rig, SECONDS(11));
	memory_broker_cut(rig->server);
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_RUNNING);
	memory_broker_cut(rig->server);
	rig_run(rig, SECONDS(3));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_AWAY);
	rig_run(rig, SECONDS(3));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_RUNNING);
}

static void a_broker_that_stays_away_is_told_once(void **state)
{
	struct rig *rig = *state;
	const struct lane_report *report;
	uint64_t changes;

	knobs(rig)->refuse = true;
	rig_open_relay(rig, &rig->relay);
	report = relay_report(rig->relay.relay);
	rig_run_until(rig, report, LANE_AWAY);
	changes = report->changes;
	rig_run(rig, SECONDS(100));
	assert_int_equal(report->changes, changes);
}

static void a_blocked_broker_pauses_the_relay(void **state)
{
	struct rig *rig = *state;
	struct rig_row row;

	run_up(rig);
	knobs(rig)->blocked = true;
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_BLOCKED);
	row = rig_event(rig, topic, NULL);
	rig_run(rig, SECONDS(100));
	rig_expect(rig, row, "pending", "0", NULL);
	knobs(rig)->blocked = false;
	rig_run(rig, SECONDS(2));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_RUNNING);
	rig_expect(rig, row, "published", "0", NULL);
}

static void a_row_that_makes_the_broker_close_fails_alone(void **state)
{
	struct rig *rig = *state;
	struct rig_row before = rig_event(rig, topic, NULL);
	struct rig_row poison = rig_event(rig, "event.test.poison.pill", NULL);
	struct rig_row after = rig_event(rig, topic, NULL);

	knobs(rig)->poison = "event.test.poison.pill";
	run_up(rig);
	rig_run(rig, SECONDS(100));
	rig_expect(rig, poison, "error", "3", "");
	rig_expect(rig, before, "published", "0", NULL);
	rig_expect(rig, after, "published", "0", NULL);
}

static void a_row_with_a_bad_topic_is_invalid_and_others_flow(void **state)
{
	struct rig *rig = *state;
	struct rig_row bad = rig_event(rig, "no such topic", NULL);
	struct rig_row good = rig_event(rig, topic, NULL);

	run_up(rig);
	rig_run(rig, SECONDS(1));
	rig_expect(rig, bad, "invalid", "0", "topic");
	rig_expect(rig, good, "published", "0", NULL);
}

/* ---- order ---- */

static void rows_of_one_key_go_one_at_a_time(void **state)
{
	struct rig *rig = *state;

	for (int i = 0; i < 5; i++)
		rig_event(rig, topic, "k");
	knobs(rig)->confirm_delay = SECONDS(1);
	run_up(rig);
	rig_run(rig, SECONDS(1) / 2);
	assert_int_equal(rig_depth(rig), 1);
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_depth(rig), 2);
	rig_run(rig, SECONDS(10));
	assert_int_equal(rig_counts(rig).outbox_published, 5);
}

static void a_failing_row_holds_back_its_key_and_no_other(void **state)
{
	struct rig *rig = *state;
	struct rig_row first, second, other, keyless;

	rig->config.retry_base_seconds = rig->config.retry_max_seconds = 1000;
	knobs(rig)->nack = 1;
	first = rig_event(rig, topic, "k");
	second = rig_event(rig, topic, "k");
	other = rig_event(rig, topic, "l");
	keyless = rig_event(rig, topic, NULL);
	run_up(rig);
	rig_run(rig, SECONDS(2));
	rig_expect(rig, first, "pending", "1", "");
	rig_expect(rig, second, "pending", "0", NULL);
	rig_expect(rig, other, "published", "0", NULL);
	rig_expect(rig, keyless, "published", "0", NULL);
	rig_run(rig, SECONDS(1000));
	rig_expect(rig, first, "published", "1", NULL);
	rig_expect(rig, second, "published", "0", NULL);
}

static void rows_held_by_a_retry_are_not_overtaken(void **state)
{
	struct rig *rig = *state;
	struct rig_row second, third;

	rig->config.retry_base_seconds = rig->config.retry_max_seconds = 100;
	knobs(rig)->nack = 1;
	rig_event(rig, topic, "k");
	run_up(rig);
	rig_run(rig, SECONDS(2));
	second = rig_event(rig, topic, "k");
	rig_event(rig, topic, NULL);
	rig_run(rig, SECONDS(2));
	assert_int_equal(rig_counts(rig).outbox_published, 1);

	knobs(rig)->confirm_delay = SECONDS(1) / 10;
	while (rig_counts(rig).outbox_published < 2)
		rig_run(rig, SECONDS(1) / 100);
	third = rig_event(rig, topic, "k");
	rig_run(rig, SECONDS(1) / 100 * 15);
	rig_expect(rig, second, "published", "0", NULL);
	rig_expect(rig, third, "pending", "0", NULL);
	rig_run(rig, SECONDS(1));
	rig_expect(rig, third, "published", "0", NULL);
}

/* What is written with a lower seq after a higher one has gone out stands for a
 * transaction that commits late. */
static void a_late_commit_is_not_overtaken_in_its_key(void **state)
{
	struct rig *rig = *state;

	knobs(rig)->confirm_delay = SECONDS(1) / 10;
	run_up(rig);
	rig_sql("INSERT INTO event_bus_outbound_event (seq, topic, event_type) "
		"VALUES (10, 'event.test.thing.done', 'test')");
	while (rig_counts(rig).outbox_published < 1)
		rig_run(rig, SECONDS(1) / 100);
	rig_sql("INSERT INTO event_bus_outbound_event (seq, topic, event_type, "
		"ordering_key) VALUES "
		"(5, 'event.test.thing.done', 'test', 'k'), "
		"(11, 'event.test.thing.done', 'test', 'k')");
	rig_event(rig, topic, NULL); /* wakes; the next sweep is far */
	rig_run(rig, SECONDS(1) / 100 * 15);
	rig_expect(rig, (struct rig_row){"5"}, "published", "0", NULL);
	rig_expect(rig, (struct rig_row){"11"}, "pending", "0", NULL);
}

static void a_parked_row_releases_its_key(void **state)
{
	struct rig *rig = *state;
	struct rig_row bad = rig_event(rig, "no such topic", "k");
	struct rig_row next = rig_event(rig, topic, "k");

	run_up(rig);
	rig_run(rig, SECONDS(3));
	rig_expect(rig, bad, "invalid", "0", "topic");
	rig_expect(rig, next, "published", "0", NULL);
}

static void a_lost_link_keeps_the_order_of_a_key(void **state)
{
	struct rig *rig = *state;
	struct rig_row first = rig_event(rig, topic, "k");
	struct rig_row second = rig_event(rig, topic, "k");

	knobs(rig)->mute = 1;
	run_up(rig);
	rig_run(rig, SECONDS(2));
	assert_int_equal(rig_depth(rig), 1);
	memory_broker_cut(rig->server);
	rig_run(rig, SECONDS(10));
	rig_expect(rig, first, "published", "0", NULL);
	rig_expect(rig, second, "published", "0", NULL);
	assert_int_equal(rig_depth(rig), 3);
}

/* ---- the store ---- */

static void a_store_that_fails_stops_publishing_until_it_is_back(void **state)
{
	struct rig *rig = *state;
	struct rig_row row;

	run_up(rig);
	row = rig_event(rig, topic, NULL);
	memory_fail("rig", MEMORY_CALL_FAILS, 100);
	rig_run(rig, SECONDS(3));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_STALLED);
	assert_int_equal(rig_depth(rig), 0);
	memory_fail("rig", MEMORY_CALL_FAILS, 0);
	rig_run(rig, SECONDS(7));
	rig_expect(rig, row, "published", "0", NULL);
	assert_int_equal(rig_relay_state(&rig->relay), LANE_RUNNING);
	assert_int_equal(rig_depth(rig), 1);
}

static void a_settle_whose_reply_is_lost_does_not_lose_the_row(void **state)
{
	struct rig *rig = *state;
	struct rig_row row;

	run_up(rig);
	row = rig_event(rig, topic, NULL);
	memory_fail("rig", MEMORY_REPLY_LOST, 1);
	rig_run(rig, SECONDS(20));
	rig_expect(rig, row, "published", "0", NULL);
}

/* ---- draining ---- */

static void draining_settles_what_is_in_flight(void **state)
{
	struct rig *rig = *state;
	struct rig_row sent, later;

	knobs(rig)->confirm_delay = SECONDS(1);
	run_up(rig);
	sent = rig_event(rig, topic, NULL);
	while (rig_depth(rig) == 0)
		rig_run(rig, 1);
	relay_drain(rig->relay.relay, rig->now + SECONDS(4));
	later = rig_event(rig, topic, NULL);
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_STOPPED);
	rig_expect(rig, sent, "published", "0", NULL);
	rig_expect(rig, later, "pending", "0", NULL);
	assert_int_equal(rig_depth(rig), 1);
}

static void draining_waits_for_no_store_that_is_away(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	rig_event(rig, topic, NULL);
	while (rig_depth(rig) == 0)
		rig_run(rig, 1);
	memory_fail("rig", MEMORY_CALL_FAILS, 1000);
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_STALLED);
	relay_drain(rig->relay.relay, rig->now + SECONDS(4));
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_relay_state(&rig->relay), LANE_STOPPED);
	memory_fail("rig", MEMORY_CALL_FAILS, 0);
}

static void draining_ends_in_time_when_the_broker_is_silent(void **state)
{
	struct rig *rig = *state;
	usec_t deadline;

	knobs(rig)->mute = 1;
	run_up(rig);
	rig_event(rig, topic, NULL);
	rig_run(rig, SECONDS(2));
	deadline = rig->now + SECONDS(4);
	relay_drain(rig->relay.relay, deadline);
	rig_run_until(rig, relay_report(rig->relay.relay), LANE_STOPPED);
	assert_true(rig->now <= deadline + SECONDS(1));
}

static void a_relay_that_gets_no_memory_is_none(void **state)
{
	struct rig *rig = *state;
	struct relay *relay = NULL;
	unsigned nth = 0;
	int status;

	do {
		memory_ends_at(++nth);
		status =
			relay_create(&relay, &rig->config, NULL, NULL, 1, NULL);
		memory_ends_at(0);
		assert_true(status == 0 || status == STATUS_NO_MEMORY);
	} while (status < 0);
	assert_true(nth > 6);
	relay_destroy(relay);
}

#define rig_test(name) \
	cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_relay_that_gets_no_memory_is_none),
		rig_test(a_confirmed_row_is_published),
		rig_test(more_rows_than_the_window_holds_all_go_once),
		rig_test(an_unconfirmed_row_stays_pending_and_goes_again),
		rig_test(a_confirm_that_never_comes_ends_the_link),
		rig_test(a_refused_row_is_tried_again),
		rig_test(a_row_refused_too_often_ends_as_error),
		rig_test(an_unroutable_request_fails_with_the_reason),
		rig_test(an_unroutable_event_is_published_and_noted),
		rig_test(mandatory_all_makes_unroutable_events_fail),
		rig_test(mandatory_none_lets_unroutable_requests_go),
		rig_test(an_outage_of_the_broker_costs_no_attempt),
		rig_test(a_broker_that_stays_away_is_told_once),
		rig_test(a_link_that_ends_soon_is_not_replaced_at_once),
		rig_test(a_blocked_broker_pauses_the_relay),
		rig_test(a_row_that_makes_the_broker_close_fails_alone),
		rig_test(a_row_with_a_bad_topic_is_invalid_and_others_flow),
		rig_test(rows_of_one_key_go_one_at_a_time),
		rig_test(a_failing_row_holds_back_its_key_and_no_other),
		rig_test(rows_held_by_a_retry_are_not_overtaken),
		rig_test(a_late_commit_is_not_overtaken_in_its_key),
		rig_test(a_parked_row_releases_its_key),
		rig_test(a_lost_link_keeps_the_order_of_a_key),
		rig_test(a_store_that_fails_stops_publishing_until_it_is_back),
		rig_test(a_settle_whose_reply_is_lost_does_not_lose_the_row),
		rig_test(draining_settles_what_is_in_flight),
		rig_test(draining_waits_for_no_store_that_is_away),
		rig_test(draining_ends_in_time_when_the_broker_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
