/* SPDX-License-Identifier: MIT */
/* What the intake keeps to, whatever the broker and the store do. */
#include "bus_rig.h"

#include <stdio.h>

#define SECONDS(n) ((n)*USEC_PER_SEC)

static void run_up(struct rig *rig)
{
	rig_open_intake(rig);
	rig_run_until(rig, rig_intake_report(rig), LANE_RUNNING);
}

static void a_message_is_stored_and_then_acknowledged(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	rig_send(rig, "m1", "{}");
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_counts(rig).inbox_pending, 1);
	assert_int_equal(rig_depth(rig), 0);
}

static void a_message_seen_again_is_ignored_and_counted(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	rig_send(rig, "m1", "{\"a\":1}");
	rig_send(rig, "m1", "{\"a\":1}");
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_counts(rig).inbox_pending, 1);
	assert_int_equal(rig_intake_report(rig)->duplicates, 1);
	assert_int_equal(rig_depth(rig), 0);
}

static void a_message_id_with_another_payload_is_rejected(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	rig_send(rig, "m1", "{\"a\":1}");
	rig_send(rig, "m1", "{\"a\":2}");
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_counts(rig).inbox_pending, 1);
	assert_int_equal(rig_counts(rig).rejected, 1);
	assert_int_equal(rig_depth(rig), 0);
}

static void what_is_no_envelope_is_rejected_and_others_flow(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	rig_send(rig, "m1", "{}");
	rig_send_body(rig, "m2", SPAN_LIT("not json"), (struct headers){0});
	rig_send(rig, "m3", "{}");
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_counts(rig).inbox_pending, 2);
	assert_int_equal(rig_counts(rig).rejected, 1);
	assert_int_equal(rig_depth(rig), 0);
}

/* A constraint of the database's own, behind the driver's back. */
static void make_the_store_refuse(const char *message_id)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "CREATE TRIGGER refuse BEFORE INSERT ON "
		 "event_bus_inbound_event WHEN NEW.message_id = '%s' "
		 "BEGIN SELECT RAISE(ABORT, 'no such row here'); END",
		 message_id);
	rig_sql(sql);
}

static void a_row_that_the_store_refuses_is_rejected_alone(void **state)
{
	struct rig *rig = *state;

	make_the_store_refuse("mf");
	run_up(rig);
	for (int i = 0; i < 20; i++) {
		char id[8] = {'m', (char)('a' + i), '\0'};

		rig_send(rig, id, "{}");
	}
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_counts(rig).inbox_pending, 19);
	assert_int_equal(rig_counts(rig).rejected, 1);
	assert_int_equal(rig_depth(rig), 0);
}

static void an_ordering_key_that_is_no_text_is_rejected(void **state)
{
	struct rig *rig = *state;
	struct header header = {SPAN_LIT("ordering_key"), SPAN_LIT("a\0b")};

	run_up(rig);
	rig_send_body(rig, "bad",
		      SPAN_LIT("{\"message_type\":\"event\","
			       "\"event_type\":\"test\"}"),
		      (struct headers){&header, 1});
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_counts(rig).inbox_pending, 0);
	assert_int_equal(rig_counts(rig).rejected, 1);
	assert_int_equal(rig_depth(rig), 0);
}

static void nothing_is_acknowledged_while_the_store_fails(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	memory_fail("rig", MEMORY_CALL_FAILS, 1000);
	for (int i = 0; i < 3; i++) {
		char id[8] = {'m', (char)('a' + i), '\0'};

		rig_send(rig, id, "{}");
	}
	rig_run(rig, SECONDS(20));
	assert_int_equal(rig_intake_report(rig)->state, LANE_STALLED);
	assert_int_equal(rig_depth(rig), 3);
	memory_fail("rig", MEMORY_CALL_FAILS, 0);
	rig_run(rig, SECONDS(7));
	assert_int_equal(rig_counts(rig).inbox_pending, 3);
	assert_int_equal(rig_depth(rig), 0);
	assert_int_equal(rig_intake_report(rig)->state, LANE_RUNNING);
}

static void a_commit_whose_reply_is_lost_stores_once(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	memory_fail("rig", MEMORY_REPLY_LOST, 1);
	rig_send(rig, "m1", "{}");
	rig_run(rig, SECONDS(20));
	assert_int_equal(rig_counts(rig).inbox_pending, 1);
	assert_int_equal(rig_depth(rig), 0);
}

static void a_link_lost_while_the_store_fails_loses_nothing(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	memory_fail("rig", MEMORY_CALL_FAILS, 1000);
	rig_send(rig, "m1", "{}");
	rig_run(rig, SECONDS(1));
	memory_broker_cut(rig->server);
	rig_run(rig, SECONDS(1));
	memory_fail("rig", MEMORY_CALL_FAILS, 0);
	rig_run(rig, SECONDS(20));
	assert_int_equal(rig_counts(rig).inbox_pending, 1);
	assert_int_equal(rig_depth(rig), 0);
}

static void an_intake_reconnects_for_ever(void **state)
{
	struct rig *rig = *state;

	memory_broker_knobs(rig->server)->refuse = true;
	rig_open_intake(rig);
	rig_run(rig, SECONDS(600));
	assert_int_equal(rig_intake_report(rig)->state, LANE_AWAY);
	memory_broker_knobs(rig->server)->refuse = false;
	rig_run(rig, SECONDS(7));
	assert_int_equal(rig_intake_report(rig)->state, LANE_RUNNING);
}

/* One that was up for a while is replaced at once, the next one is not. */
static void a_link_that_ends_soon_is_not_replaced_at_once(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	rig_run(rig, SECONDS(11));
	memory_broker_cut(rig->server);
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_intake_report(rig)->state, LANE_RUNNING);
	memory_broker_cut(rig->server);
	rig_run(rig, SECONDS(3));
	assert_int_equal(rig_intake_report(rig)->state, LANE_AWAY);
	rig_run(rig, SECONDS(3));
	assert_int_equal(rig_intake_report(rig)->state, LANE_RUNNING);
}

static void draining_stores_what_has_come_and_leaves_the_rest(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	for (int i = 0; i < 10; i++) {
		char id[8] = {'m', (char)('a' + i), '\0'};

		rig_send(rig, id, "{}");
	}
	intake_drain(rig->intake.intake, rig->now + SECONDS(4));
	rig_run_until(rig, rig_intake_report(rig), LANE_STOPPED);
	assert_int_equal(
		(int)rig_counts(rig).inbox_pending + (int)rig_depth(rig), 10);
	rig_send(rig, "late", "{}");
	rig_run(rig, SECONDS(1));
	assert_true(rig_depth(rig) >= 1);
}

static void draining_waits_for_no_store_that_is_away(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	memory_fail("rig", MEMORY_CALL_FAILS, 1000);
	rig_send(rig, "a", "{}");
	rig_run_until(rig, rig_intake_report(rig), LANE_STALLED);
	intake_drain(rig->intake.intake, rig->now + SECONDS(4));
	rig_run(rig, SECONDS(1));
	assert_int_equal(rig_intake_report(rig)->state, LANE_STOPPED);
	memory_fail("rig", MEMORY_CALL_FAILS, 0);
	assert_int_equal(rig_depth(rig), 1);
}

static void run_alone(struct rig *rig)
{
	rig_open_intake(rig);
	rig->intake.broker->lock = "intake";
	rig_run_until(rig, rig_intake_report(rig), LANE_RUNNING);
}

static void run_beside_it(struct rig *rig)
{
	rig_open_rival_intake(rig);
	rig->rival.broker->lock = "intake";
	rig_run_until(rig, intake_report(rig->rival.intake), LANE_STANDBY);
}

static void an_intake_that_must_be_alone_stands_by_for_another(void **state)
{
	struct rig *rig = *state;

	run_alone(rig);
	run_beside_it(rig);
	rig_run(rig, SECONDS(10));
	assert_int_equal(rig_intake_report(rig)->state, LANE_RUNNING);
	assert_int_equal(intake_report(rig->rival.intake)->state, LANE_STANDBY);
	rig_close_lane(&rig->intake);
	rig_run_until(rig, intake_report(rig->rival.intake), LANE_RUNNING);
}

static void intakes_that_may_compete_all_run(void **state)
{
	struct rig *rig = *state;

	run_up(rig);
	rig_open_rival_intake(rig);
	rig_run_until(rig, intake_report(rig->rival.intake), LANE_RUNNING);
	assert_int_equal(rig_intake_report(rig)->state, LANE_RUNNING);
}

static void an_intake_that_stands_by_drains_at_once(void **state)
{
	struct rig *rig = *state;

	run_alone(rig);
	run_beside_it(rig);
	intake_drain(rig->rival.intake, rig->now + SECONDS(5));
	rig_run(rig, SECONDS(1));
	assert_int_equal(intake_report(rig->rival.intake)->state, LANE_STOPPED);
}

static void nobody_who_must_be_alone_connects_without_the_store(void **state)
{
	struct rig *rig = *state;

	rig_open_intake(rig);
	rig->intake.broker->lock = "intake";
	memory_fail("rig", MEMORY_CALL_FAILS, 1000);
	rig_run_until(rig, rig_intake_report(rig), LANE_STALLED);
	memory_fail("rig", MEMORY_CALL_FAILS, 0);
	rig_run_until(rig, rig_intake_report(rig), LANE_RUNNING);
}

#define rig_test(name) \
	cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_message_is_stored_and_then_acknowledged),
		rig_test(a_message_seen_again_is_ignored_and_counted),
		rig_test(a_message_id_with_another_payload_is_rejected),
		rig_test(what_is_no_envelope_is_rejected_and_others_flow),
		rig_test(a_row_that_the_store_refuses_is_rejected_alone),
		rig_test(an_ordering_key_that_is_no_text_is_rejected),
		rig_test(nothing_is_acknowledged_while_the_store_fails),
		rig_test(a_commit_whose_reply_is_lost_stores_once),
		rig_test(a_link_lost_while_the_store_fails_loses_nothing),
		rig_test(an_intake_reconnects_for_ever),
		rig_test(a_link_that_ends_soon_is_not_replaced_at_once),
		rig_test(draining_stores_what_has_come_and_leaves_the_rest),
		rig_test(draining_waits_for_no_store_that_is_away),
		rig_test(an_intake_that_must_be_alone_stands_by_for_another),
		rig_test(intakes_that_may_compete_all_run),
		rig_test(an_intake_that_stands_by_drains_at_once),
		rig_test(nobody_who_must_be_alone_connects_without_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
