/* SPDX-License-Identifier: MIT */
/* How a lane comes up on RabbitMQ: host, credentials, topology. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/testing.h"
#include "broker/rabbitmq.h"
#include "broker/topology.h"

enum { HEARTBEAT_MAX = 65535, PREFETCH_MAX = 65535 };

void rabbitmq_connect(struct broker *broker, usec_t now)
{
	struct rabbitmq *rabbitmq = rabbitmq_of(broker);
	const struct runtime_config *config = rabbitmq->config;
	struct stream_target target = {
		.tls = config->tls,
		.ca_file = config->tls_ca_file,
		.cert_file = config->tls_cert_file,
		.key_file = config->tls_key_file,
	};
	struct error cause;

	assert(rabbitmq->state == RABBITMQ_DOWN);
	testing_crash_point("connect");
	rabbitmq->down_untold = false;
	rabbitmq->host = hosts_next(&rabbitmq->hosts);
	rabbitmq->deadline =
		now + (usec_t)(config->connect_timeout * (double)USEC_PER_SEC);
	target.host = rabbitmq->host->name;
	target.port = rabbitmq->host->port;
	target.deadline = rabbitmq->deadline;
	if (stream_open(&rabbitmq->stream, &target, now, &cause) < 0)
		rabbitmq_go_down(rabbitmq, &cause);
	else
		rabbitmq_move(rabbitmq, RABBITMQ_REACHING);
}

/* Guest is RabbitMQ's own default. Without a name, a client certificate is the
 * login. */
static int credentials(struct rabbitmq *rabbitmq,
		       struct connection_options *options, struct error *err)
{
	const struct runtime_config *config = rabbitmq->config;

	if (config->username == NULL && config->tls_cert_file != NULL)
		return 0;
	options->username =
		span_of(config->username == NULL ? "guest" : config->username);
	options->password = span_of(config->username == NULL ? "guest" : "");
	if (config->password == NULL)
		return 0;
	return secret_resolve(config->password, &rabbitmq->login,
			      &options->password, err);
}

static uint16_t heartbeat_of(const struct runtime_config *config)
{
	double seconds = ceil(config->rabbitmq.heartbeat_seconds);

	return (uint16_t)(seconds < HEARTBEAT_MAX ? seconds : HEARTBEAT_MAX);
}

/* What is beyond max_message_bytes is rejected, with as much of it as a
 * database takes without delay. */
static size_t longest_kept(const struct runtime_config *config)
{
	enum { LEAST = 1024 * 1024 };

	return config->max_message_bytes < LEAST
		       ? LEAST
		       : (size_t)config->max_message_bytes;
}

void rabbitmq_login(struct rabbitmq *rabbitmq)
{
	struct connection_options options = {
		.virtual_host =
			span_of(rabbitmq->config->rabbitmq.virtual_host),
		.name = span_of(rabbitmq->name),
		.heartbeat = heartbeat_of(rabbitmq->config),
		.longest_kept = longest_kept(rabbitmq->config),
	};
	struct error cause;

	if (credentials(rabbitmq, &options, &cause) < 0) {
		rabbitmq_go_down(rabbitmq, &cause);
		return;
	}
	rabbitmq->connection = connection_create(&options);
	if (rabbitmq->connection == NULL) {
		error_set(&cause, STATUS_NO_MEMORY, "out of memory");
		rabbitmq_go_down(rabbitmq, &cause);
		return;
	}
	rabbitmq->tick_at = USEC_NEVER;
	rabbitmq_move(rabbitmq, RABBITMQ_OPENING);
}

int rabbitmq_declare(struct rabbitmq *rabbitmq, struct error *err)
{
	const struct runtime_config *config = rabbitmq->config;
	int64_t prefetch = config->rabbitmq.prefetch_count;
	int status = topology_declare(rabbitmq->connection, config,
				      &rabbitmq->login, err);

	if (status < 0)
		return status;
	if (rabbitmq->role == BROKER_PUBLISHER)
		return connection_select_confirms(rabbitmq->connection, err);
	return connection_limit(
		rabbitmq->connection,
		(uint16_t)(prefetch < PREFETCH_MAX ? prefetch : PREFETCH_MAX),
		err);
}

int rabbitmq_subscribe(struct rabbitmq *rabbitmq, struct error *err)
{
	return connection_consume(rabbitmq->connection,
				  span_of(rabbitmq->config->rabbitmq.queue),
				  span_of(rabbitmq->name), err);
}
