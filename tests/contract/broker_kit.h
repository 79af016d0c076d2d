/* SPDX-License-Identifier: MIT */
/* A place of its own on the broker for each test, whatever the driver. */
#ifndef CONTRACT_BROKER_KIT_H
#define CONTRACT_BROKER_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "lane.h"

/* Which driver broker_setup takes, and where its broker is. */
extern const char *broker_type;
extern const char *broker_host;

/* Names of its own for every test, so that one server serves all. */
struct rig {
	struct runtime_config config;
	char exchange[UUID_TEXT_SIZE + 8];
	char queue[UUID_TEXT_SIZE + 8];
	char dead[UUID_TEXT_SIZE + 8];
	char client[UUID_TEXT_SIZE];
	char rival[UUID_TEXT_SIZE];
	char filters[3 * UUID_TEXT_SIZE];
};

int broker_setup(void **state);
int broker_teardown(void **state);

#define BROKER_TEST(name) \
	cmocka_unit_test_setup_teardown(name, broker_setup, broker_teardown)

/* Cases that every broker must pass, by file. */
struct broker_cases {
	const struct CMUnitTest *tests;
	size_t count;
};
extern const struct broker_cases publish_cases;
extern const struct broker_cases consume_cases;
extern const struct broker_cases link_cases;

void open_both(struct rig *rig, struct lane *relay, struct lane *intake);
void destroy_both(struct lane *relay, struct lane *intake);

/* The next event is the delivery of that message. */
void expect_message(struct lane *intake, const char *message_id);

/* It came with this topic of the bus. */
void assert_topic(const struct delivery *got, struct span topic);

/* Acknowledges the last delivery and all before it. */
void acknowledge(struct lane *intake);

#endif
