/* SPDX-License-Identifier: MIT */
/* The planted bugs and the crash points, and which of them is chosen. */
#include "base/testing.h"

#include <assert.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	const char *name;
	const char *text;
};

/* Each breaks one promise. */
static const struct entry bugs[] = {
	{"ack-before-commit",
	 "the intake acknowledges what it has not yet committed"},
	{"batch-poisoned",
	 "one row that the database refuses holds up its batch for ever"},
	{"broker-heard-late",
	 "the broker is heard after the store, by the clock from before it"},
	{"cursor-polling",
	 "the relay never looks below the highest seq that it has seen"},
	{"dedupe-off",
	 "a message that is delivered again is in the inbox again"},
	{"drain-hurries", "a relay told to end does not wait for its confirms"},
	{"dup-lost", "what is published again over MQTT does not say so"},
	{"expired-sent", "a row past its expires_at is published all the same"},
	{"key-overtaken", "rows of one ordering key are in flight together"},
	{"late-key-overtaken",
	 "a row that commits late is overtaken by a later one of its key"},
	{"mark-before-confirm",
	 "a row is published as soon as it is handed to the broker"},
	{"multiple-ignored",
	 "of many that AMQP confirms at once only the last is"},
	{"multiple-off-by-one",
	 "a confirm of many also confirms the next message"},
	{"nack-as-ack",
	 "a message that the broker refused counts as confirmed"},
	{"pubrec-overheard",
	 "MQTT's PUBREC that nobody has subscribed counts as success"},
	{"rejected-dropped",
	 "a message that can be no inbox row is acknowledged and forgotten"},
	{"resubscribe-forgotten",
	 "an MQTT session that the broker lost is not subscribed again"},
	{"retry-burnt-by-outage",
	 "a lost connection costs the rows in flight an attempt"},
	{"return-ignored",
	 "a command that reached no queue counts as published"},
	{"sleeper-goes-on",
	 "a relay that stood still for too long does not ask for its lock"},
	{"stalled-forgets",
	 "the intake forgets a batch that could not be committed"},
	{"suback-ignored", "a subscription that was refused counts as granted"},
	{"two-relays", "a lock that somebody else holds is taken"},
	{"unknown-acknowledged",
	 "a commit that may have failed counts as done"},
	{0},
};

static const struct entry crash_points[] = {
	{"accept", "a batch is about to be committed"},
	{"accepted", "a batch is committed and not yet acknowledged"},
	{"acknowledged", "a batch is acknowledged, but nothing is sent yet"},
	{"claim", "rows are about to be claimed"},
	{"claimed", "rows are claimed and not yet published"},
	{"commit", "a transaction has done its work and is to be committed"},
	{"commit-sent", "a COMMIT is on its way to PostgreSQL"},
	{"committed", "a COMMIT has ended, nobody has been told"},
	{"configured", "a config is taken over, no lane runs by it yet"},
	{"confirmed",
	 "the broker has confirmed a message, it is not yet noted"},
	{"connect", "a lane is about to connect to its broker"},
	{"declared", "the queue is there and not yet consumed from"},
	{"delivered", "a message has come, nothing is done with it yet"},
	{"drain", "the lanes are about to be told to end"},
	{"farewell", "the lanes have ended, the worker's row is still there"},
	{"heartbeat", "a heartbeat is about to be written"},
	{"inserted", "rows are in the inbox, in a transaction that is open"},
	{"intake-flushed", "an intake has sent what it had to say"},
	{"intake-goodbye", "an intake is about to say goodbye to its broker"},
	{"locked", "a relay has just got its lock"},
	{"migrated", "a migration is done, in a transaction that is open"},
	{"opened", "the broker lets a lane in, the topology is next"},
	{"publish", "a message is written into the buffer of its connection"},
	{"relay-flushed", "a relay has sent what it had to say"},
	{"relay-goodbye", "a relay is about to say goodbye to its broker"},
	{"settle", "outcomes are about to be written"},
	{"settled", "outcomes are written, the relay does not know it yet"},
	{"settling",
	 "a row's outcome is written, in a transaction that is open"},
	{"up", "a lane has a broker, it has not been told yet"},
	{0},
};

enum { CRASH_POINTS = sizeof(crash_points) / sizeof(*crash_points) };

static const struct entry *bug;	  /* NULL: none */
static const struct entry *crash; /* NULL: nowhere */
static unsigned crash_pass;	  /* the one to die at */
static bool counting;
static atomic_uint passes[CRASH_POINTS];

static const struct entry *find(const struct entry *table, const char *name,
				size_t len)
{
	for (; table->name != NULL; table++)
		if (strlen(table->name) == len &&
		    memcmp(table->name, name, len) == 0)
			return table;
	return NULL;
}

static const struct entry *choose(const struct entry *table,
				  const char *variable, const char *name,
				  size_t len)
{
	const struct entry *found = find(table, name, len);

	if (found != NULL)
		return found;
	if (strcmp(name, "list") == 0) {
		for (; table->name != NULL; table++)
			printf("%-24s %s\n", table->name, table->text);
		exit(EXIT_SUCCESS);
	}
	fprintf(stderr, "%s=%s is not known; %s=list names them\n", variable,
		name, variable);
	exit(2);
}

/* Before main, so that no program that is tested need know of this. */
__attribute__((constructor)) static void start(void)
{
	const char *name = getenv("POSTBUS_BUG");
	size_t len;

	if (name != NULL)
		bug = choose(bugs, "POSTBUS_BUG", name, strlen(name));
	name = getenv("POSTBUS_CRASH");
	if (name == NULL)
		return;
	counting = strcmp(name, "count") == 0;
	if (counting)
		return;
	len = strcspn(name, ":");
	crash = choose(crash_points, "POSTBUS_CRASH", name, len);
	crash_pass = name[len] == ':' ? (unsigned)atoi(name + len + 1) : 1;
}

__attribute__((destructor)) static void tell(void)
{
	for (size_t i = 0; counting && crash_points[i].name != NULL; i++)
		fprintf(stderr, "crash-point %s %u\n", crash_points[i].name,
			passes[i]);
}

bool testing_bug(const char *name)
{
	return bug != NULL && strcmp(bug->name, name) == 0;
}

void testing_crash_point(const char *name)
{
	const struct entry *point;
	unsigned pass;

	if (!counting && crash == NULL)
		return;
	point = find(crash_points, name, strlen(name));
	assert(point != NULL);
	pass = ++passes[point - crash_points];
	if (point == crash && pass == crash_pass)
		raise(SIGKILL);
}
