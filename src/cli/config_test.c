/* SPDX-License-Identifier: MIT */
/* `postbus config test`: connects as a worker would and says what it finds. */
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/random.h"
#include "broker/broker.h"
#include "cli/config.h"

enum { CLOSE_SECONDS = 2 };

static void rest(const struct wait *wait, usec_t now)
{
	struct pollfd fds[WAIT_MAX_FDS];
	usec_t left = wait->until > now ? wait->until - now : 0;

	memcpy(fds, wait->fds, sizeof(fds));
	poll(fds, wait->count,
	     left > USEC_PER_SEC ? 1000 : (int)(left / USEC_PER_MSEC) + 1);
}

/* 1 while neither up nor down. */
static int read_events(struct broker *broker, struct arena *arena,
		       struct error *err)
{
	struct broker_event event;

	while (broker->driver->next(broker, arena, &event)) {
		if (event.kind == BROKER_UP)
			return 0;
		if (event.kind == BROKER_DOWN)
			return error_set(err, event.error.status, "%s",
					 event.error.text);
	}
	return 1;
}

/* Until the broker is up, or down with the reason in err. */
static int follow(struct broker *broker, usec_t deadline, struct error *err)
{
	struct arena arena = {0};
	int result = 1;

	while (result == 1) {
		usec_t now = clock_monotonic();
		struct wait wait;

		broker->driver->step(broker, now);
		result = read_events(broker, &arena, err);
		if (result == 1 && now >= deadline)
			result = error_set(err, STATUS_AWAY,
					   "no answer in time");
		wait_init(&wait);
		wait_until(&wait, deadline);
		broker->driver->flush(broker, now, &wait);
		if (result == 1)
			rest(&wait, now);
	}
	arena_finish(&arena);
	return result;
}

static size_t count_hosts(const char *hosts)
{
	size_t count = 1;

	for (; *hosts != '\0'; hosts++)
		count += *hosts == ',';
	return count;
}

/* Each listed host gets its try; the last one's failure is told. */
static int try_hosts(struct broker *broker, const struct runtime_config *config,
		     struct error *err)
{
	usec_t patience = (usec_t)(config->connect_timeout * USEC_PER_SEC) +
			  CLOSE_SECONDS * USEC_PER_SEC;
	int result = STATUS_AWAY;

	for (size_t i = count_hosts(config->host); i > 0 && result < 0; i--) {
		usec_t now = clock_monotonic();

		broker->driver->connect(broker, now);
		result = follow(broker, now + patience, err);
	}
	return result;
}

static const char *verdict(const struct runtime_config *config)
{
	if (strcmp(config->broker_type, "rabbitmq") != 0)
		return "";
	if (strcmp(config->rabbitmq.topology, "declare") == 0)
		return ", exchange and queue are declared and in place";
	if (strcmp(config->rabbitmq.topology, "verify") == 0)
		return ", exchange and queue are there and as configured";
	return ", exchange and queue are not looked at (topology=none)";
}

/* An MQTT client id can be connected once: that of a running worker is left
 * alone, and so is the will that says that it is gone. */
static void be_somebody_else(struct runtime_config *config,
			     char client_id[UUID_TEXT_SIZE])
{
	uuid_generate(client_id);
	config->mqtt.client_id = client_id;
	config->mqtt.will_topic = NULL;
}

static int test_broker(struct cli *cli, const struct runtime_config *config,
		       struct error *err)
{
	struct broker *broker = NULL;
	int result = broker_create(&broker, config, BROKER_PUBLISHER, err);

	if (result < 0)
		return result;
	result = try_hosts(broker, config, err);
	if (result < 0) {
		error_prefix(err, "broker %s at %.200s", config->broker_type,
			     config->host);
	} else {
		usec_t now = clock_monotonic();

		buffer_append_format(
			&cli->out, "broker: %s at %s is connected%s\n",
			config->broker_type, config->host, verdict(config));
		broker->driver->close(broker, now);
		follow(broker, now + CLOSE_SECONDS * USEC_PER_SEC, NULL);
	}
	broker->driver->destroy(broker);
	return result;
}

static int run(struct cli *cli, const void *options, struct error *err)
{
	struct runtime_config config;
	char client_id[UUID_TEXT_SIZE];
	struct store *store = NULL;
	int result = database_open(cli, &store, err);

	(void)options;
	if (result == 0)
		result = store->driver->config_load(store, cli->operands.at[0],
						    &config, err);
	database_close(store);
	if (result < 0)
		return result;
	buffer_append_text(&cli->out,
			   "database: open, tables are up to date\n");
	result = config_finish(&config, err);
	if (result == 0) {
		buffer_append_text(&cli->out, "config: complete\n");
		signal(SIGPIPE, SIG_IGN);
		be_somebody_else(&config, client_id);
		result = test_broker(cli, &config, err);
	}
	config_destroy(&config);
	return result;
}

static void details(struct buffer *out)
{
	buffer_append_text(
		out,
		"Opens the database, connects to the broker and readies the "
		"topology just as a\nworker does: with topology=declare, "
		"exchange and queue are created if they are\nnot there.\n");
}

const struct command command_config_test = {
	.name = "test",
	.operands = "KEY",
	.least = 1,
	.most = 1,
	.summary = "Try a config: database, broker, exchange and queue",
	.details = details,
	.run = run,
};
