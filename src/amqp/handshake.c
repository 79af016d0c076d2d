/* SPDX-License-Identifier: MIT */
/* From the protocol header to the open channel (specification, 2.2.4). */
#include <stdio.h>
#include <string.h>

#include "amqp/internal.h"
#include "amqp/reader.h"
#include "base/quote.h"

#define LITERAL(text) \
	((amqp_bytes_t){.len = sizeof(text) - 1, .bytes = (void *)(text)})

static amqp_table_entry_t text_entry(const char *key, amqp_bytes_t value)
{
	return (amqp_table_entry_t){
		.key = amqp_cstring_bytes(key),
		.value.kind = AMQP_FIELD_KIND_UTF8,
		.value.value.bytes = value,
	};
}

static amqp_table_entry_t able(const char *key)
{
	return (amqp_table_entry_t){
		.key = amqp_cstring_bytes(key),
		.value.kind = AMQP_FIELD_KIND_BOOLEAN,
		.value.value.boolean = 1,
	};
}

/* "\0user\0password" (RFC 4616). */
static int plain_response(struct connection *connection, amqp_bytes_t *response)
{
	const struct connection_options *options = &connection->options;
	struct span user = options->username;
	struct span password = options->password;
	char *text =
		arena_alloc(&connection->scratch, user.len + password.len + 2);

	if (text == NULL)
		return connection_fail(connection, STATUS_NO_MEMORY,
				       "out of memory");
	text[0] = '\0';
	memcpy(text + 1, user.at, user.len);
	text[1 + user.len] = '\0';
	if (password.len > 0)
		memcpy(text + 2 + user.len, password.at, password.len);
	response->bytes = text;
	response->len = user.len + password.len + 2;
	return 0;
}

static int send_start_ok(struct connection *connection, amqp_bytes_t mechanism,
			 amqp_bytes_t response)
{
	amqp_table_entry_t capabilities[] = {
		able("publisher_confirms"),
		able("basic.nack"),
		able("consumer_cancel_notify"),
		able("connection.blocked"),
		able("authentication_failure_close"),
	};
	amqp_table_entry_t properties[] = {
		text_entry("product", LITERAL("postbus")),
		text_entry("version", LITERAL(POSTBUS_VERSION)),
		text_entry("connection_name",
			   bytes_of(connection->options.name)),
		{.key = LITERAL("capabilities"),
		 .value.kind = AMQP_FIELD_KIND_TABLE,
		 .value.value.table = {.num_entries = 5,
				       .entries = capabilities}},
	};
	amqp_connection_start_ok_t start_ok = {
		.client_properties = {.num_entries = 4, .entries = properties},
		.mechanism = mechanism,
		.response = response,
		.locale = LITERAL("en_US"),
	};

	return connection_send(connection, 0, AMQP_CONNECTION_START_OK_METHOD,
			       &start_ok, &connection->error);
}

static bool offers(struct span mechanisms, const char *name)
{
	size_t len = strlen(name);

	while (mechanisms.len >= len) {
		const char *blank = memchr(mechanisms.at, ' ', mechanisms.len);
		size_t word = blank == NULL ? mechanisms.len
					    : (size_t)(blank - mechanisms.at);

		if (word == len && memcmp(mechanisms.at, name, len) == 0)
			return true;
		if (blank == NULL)
			return false;
		mechanisms.at += word + 1;
		mechanisms.len -= word + 1;
	}
	return false;
}

/* Only the mechanisms matter to us; the server's own properties are a table. */
static bool read_mechanisms(struct span payload, struct span *mechanisms)
{
	enum { METHOD_AND_VERSION = 6 };
	struct reader reader = {.left = payload};

	read_bytes(&reader, METHOD_AND_VERSION);
	read_long_string(&reader);
	*mechanisms = read_long_string(&reader);
	return !reader.failed;
}

static int start(struct connection *connection, struct span payload)
{
	bool external = !span_present(connection->options.username);
	amqp_bytes_t response = {0};
	struct span mechanisms;
	int status;

	if (!read_mechanisms(payload, &mechanisms))
		return connection_fail(connection, STATUS_PROTOCOL,
				       "connection.start is malformed");
	if (!offers(mechanisms, external ? "EXTERNAL" : "PLAIN"))
		return connection_fail(connection, STATUS_DENIED,
				       "the server offers no SASL %s, only %s",
				       external ? "EXTERNAL" : "PLAIN",
				       quote(mechanisms).text);
	if (!external && plain_response(connection, &response) < 0)
		return STATUS_NO_MEMORY;
	status = send_start_ok(
		connection, external ? LITERAL("EXTERNAL") : LITERAL("PLAIN"),
		response);
	arena_reset(&connection->scratch);
	connection_move(connection,
			status < 0 ? CONNECTION_ENDED : CONNECTION_LOGIN);
	return status;
}

static int tune(struct connection *connection,
		const amqp_connection_tune_t *offer)
{
	uint16_t wish = connection->options.heartbeat;
	amqp_connection_tune_ok_t tune_ok = {
		.channel_max = CHANNEL,
		.frame_max = FRAME_OUR_MAX,
		.heartbeat = wish,
	};
	amqp_connection_open_t open = {
		.virtual_host = bytes_of(connection->options.virtual_host),
	};
	int status;

	if (offer->frame_max != 0 && offer->frame_max < FRAME_MIN_MAX)
		return connection_fail(connection, STATUS_PROTOCOL,
				       "the server allows frames of %u bytes "
				       "only, AMQP demands %d",
				       offer->frame_max, FRAME_MIN_MAX);
	if (offer->frame_max != 0 && offer->frame_max < FRAME_OUR_MAX)
		tune_ok.frame_max = offer->frame_max;
	if (offer->heartbeat != 0 && offer->heartbeat < wish)
		tune_ok.heartbeat = offer->heartbeat;
	connection->frame_max = tune_ok.frame_max;
	connection->interval = tune_ok.heartbeat * USEC_PER_SEC;
	status = connection_send(connection, 0, AMQP_CONNECTION_TUNE_OK_METHOD,
				 &tune_ok, &connection->error);
	if (status == 0)
		status = connection_send(connection, 0,
					 AMQP_CONNECTION_OPEN_METHOD, &open,
					 &connection->error);
	connection_move(connection,
			status < 0 ? CONNECTION_ENDED : CONNECTION_OPENING);
	return status;
}

static int open_channel(struct connection *connection)
{
	amqp_channel_open_t open = {0};
	int status =
		connection_send(connection, CHANNEL, AMQP_CHANNEL_OPEN_METHOD,
				&open, &connection->error);

	connection_move(connection,
			status < 0 ? CONNECTION_ENDED : CONNECTION_CHANNEL);
	return status;
}

static int unexpected(struct connection *connection, amqp_method_number_t id)
{
	const char *name = amqp_method_name(id);

	if (id == AMQP_CONNECTION_SECURE_METHOD)
		return connection_fail(connection, STATUS_DENIED,
				       "the server wants more than user name "
				       "and password");
	return connection_fail(connection, STATUS_PROTOCOL,
			       "the server sent %s while the connection was "
			       "being opened",
			       name == NULL ? "an unknown method" : name);
}

int handshake_method(struct connection *connection, amqp_method_number_t id,
		     struct span payload, struct connection_event *event)
{
	const void *method;

	if (connection->state == CONNECTION_GREETING &&
	    id == AMQP_CONNECTION_START_METHOD)
		return start(connection, payload);
	if (connection->state == CONNECTION_LOGIN &&
	    id == AMQP_CONNECTION_TUNE_METHOD) {
		method = frame_decode(&connection->pool, id, payload);
		return method ? tune(connection, method)
			      : connection_fail(connection, STATUS_PROTOCOL,
						"connection.tune is malformed");
	}
	if (connection->state == CONNECTION_OPENING &&
	    id == AMQP_CONNECTION_OPEN_OK_METHOD)
		return open_channel(connection);
	if (connection->state == CONNECTION_CHANNEL &&
	    id == AMQP_CHANNEL_OPEN_OK_METHOD) {
		connection_move(connection, CONNECTION_OPEN);
		event->kind = CONNECTION_OPENED;
		return 1;
	}
	return unexpected(connection, id);
}

static enum status status_of(unsigned code)
{
	switch (code) {
	case AMQP_ACCESS_REFUSED:
	case AMQP_NOT_ALLOWED:
		return STATUS_DENIED;
	case AMQP_NOT_FOUND:
		return STATUS_NOT_FOUND;
	case AMQP_PRECONDITION_FAILED:
		return STATUS_MISMATCH;
	case AMQP_RESOURCE_LOCKED:
		return STATUS_BUSY;
	case AMQP_CONNECTION_FORCED:
	case AMQP_INTERNAL_ERROR:
		return STATUS_AWAY;
	default:
		return STATUS_FAILED;
	}
}

static void explain_login(struct connection *connection, struct error *error)
{
	struct span user = connection->options.username;

	if (span_present(user))
		error_prefix(error, "user %s or the password is refused",
			     quote(user).text);
	else
		error_prefix(error, "the client certificate is refused as a "
				    "login");
}

static void explain_vhost(struct connection *connection, struct error *error)
{
	struct quote vhost = quote(connection->options.virtual_host);

	if (strstr(error->text, "not found") != NULL) {
		error->status = STATUS_NOT_FOUND;
		error_prefix(error, "there is no virtual host %s", vhost.text);
	} else {
		error_prefix(error, "the virtual host %s is refused",
			     vhost.text);
	}
}

void explain_close(struct connection *connection, unsigned code,
		   struct span text)
{
	struct error *error = &connection->error;

	error_set(error, status_of(code), "%.*s (%u)", SPAN_ARG(text), code);
	if (connection->state == CONNECTION_LOGIN)
		explain_login(connection, error);
	else if (connection->state == CONNECTION_OPENING)
		explain_vhost(connection, error);
	else
		error_prefix(error, "the broker closed the connection");
}
