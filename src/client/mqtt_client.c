/* SPDX-License-Identifier: MIT */
/* The public MQTT client: a session over a stream that connects again. */
#include "client/mqtt_client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { INPUT_LIMIT = 64 * 1024 };

/* How long a goodbye may take. */
#define CLOSE_PATIENCE (2 * USEC_PER_SEC)

/* What an attempt to connect waits for whose first one waited for nothing. */
#define SECOND_WAIT (100 * USEC_PER_MSEC)

#define SAME(name)                                                \
	_Static_assert((int)STATUS_##name == (int)POSTBUS_##name, \
		       "public statuses are the inner ones")
SAME(OK);
SAME(INVALID);
SAME(NOT_FOUND);
SAME(DENIED);
SAME(MISMATCH);
SAME(PROTOCOL);
SAME(AWAY);
SAME(UNKNOWN);
SAME(BUSY);
SAME(NO_MEMORY);
SAME(FAILED);

/* ---- life ---- */

struct postbus_mqtt *postbus_mqtt_create(const char *url)
{
	struct postbus_mqtt *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	client->random.state = random_seed();
	client_options_init(&client->options);
	client->url_is_bad = client_options_set_url(&client->options, url,
						    &client->error) < 0;
	return client;
}

void postbus_mqtt_destroy(struct postbus_mqtt *client)
{
	if (client == NULL)
		return;
	stream_close(client->stream);
	session_destroy(client->session);
	pending_finish(&client->pending);
	arena_finish(&client->arena);
	client_options_finish(&client->options);
	free(client);
}

int postbus_mqtt_set(struct postbus_mqtt *client, const char *name,
		     const char *value)
{
	if (client->state != CLIENT_IDLE)
		return error_set(&client->error, STATUS_BUSY,
				 "options are set before connecting");
	return client_options_set(&client->options, name, value,
				  &client->error);
}

int postbus_mqtt_set_will(struct postbus_mqtt *client,
			  struct postbus_mqtt_message *will, uint32_t delay)
{
	if (client->state != CLIENT_IDLE)
		return error_set(&client->error, STATUS_BUSY,
				 "a will is set before connecting");
	postbus_mqtt_message_destroy(client->options.will);
	client->options.will = will;
	client->options.will_delay = delay;
	return 0;
}

const char *postbus_mqtt_error(const struct postbus_mqtt *client)
{
	return client->error.text;
}

void postbus_mqtt_on_connected(struct postbus_mqtt *client,
			       postbus_mqtt_connected *callback, void *user)
{
	client->on_connected = callback;
	client->connected_user = user;
}

void postbus_mqtt_on_disconnected(struct postbus_mqtt *client,
				  postbus_mqtt_disconnected *callback,
				  void *user)
{
	client->on_disconnected = callback;
	client->disconnected_user = user;
}

void postbus_mqtt_on_message(struct postbus_mqtt *client,
			     postbus_mqtt_arrived *callback, void *user)
{
	client->on_message = callback;
	client->message_user = user;
}

/* ---- connecting ---- */

static bool can_move(enum client_state from, enum client_state to)
{
	switch (to) {
	case CLIENT_IDLE:
		return false;
	case CLIENT_WAITING:
		return from != CLIENT_ENDED;
	case CLIENT_ENDED:
		return from != CLIENT_IDLE && from != CLIENT_ENDED;
	default:
		return to == from + 1;
	}
}

void client_move(struct postbus_mqtt *client, enum client_state state)
{
	assert(can_move(client->state, state));
	client->state = state;
}

int client_create_session(struct postbus_mqtt *client, uint8_t version)
{
	const struct client_options *options = &client->options;
	const struct session_options wanted = {
		.version = version,
		.client_id = span_of(options->client_id),
		.clean_start = options->clean_start,
		.session_expiry = options->session_expiry,
		.keep_alive = (uint16_t)options->keep_alive,
		.receive_maximum = (uint16_t)options->receive_maximum,
		.maximum_packet = options->maximum_packet,
		.username = span_of(options->username),
		.password = span_of(options->password),
		.will = options->will == NULL ? NULL : &options->will->content,
		.will_delay = options->will_delay,
	};

	struct session *session;
	int status = session_create(&session, &wanted, &client->error);

	if (status < 0)
		return status;
	session_destroy(client->session);
	client->session = session;
	client->version = version;
	client->last_tag = 0;
	return 0;
}

static int check_options(struct postbus_mqtt *client)
{
	const struct client_options *options = &client->options;

	if (client->url_is_bad)
		return STATUS_INVALID;
	if (!options->clean_start && options->client_id == NULL)
		return error_set(&client->error, STATUS_INVALID,
				 "clean_start is false, which needs a "
				 "client_id");
	return 0;
}

int postbus_mqtt_connect(struct postbus_mqtt *client)
{
	int status = check_options(client);

	if (client->state != CLIENT_IDLE)
		return error_set(&client->error, STATUS_BUSY,
				 "it has been told to connect before");
	if (status == 0)
		status = client_create_session(
			client, client->options.version == 0
					? MQTT_VERSION_5
					: (uint8_t)client->options.version);
	if (status < 0)
		return status;
	client->retry_after = client->options.retry_min * USEC_PER_SEC;
	client_move(client, CLIENT_WAITING);
	return 0;
}

void client_drop(struct postbus_mqtt *client)
{
	stream_close(client->stream);
	client->stream = NULL;
	client->stream_is_over = false;
}

static void begin(struct postbus_mqtt *client, usec_t now)
{
	const struct client_options *options = &client->options;
	const struct stream_target target = {
		.host = options->host,
		.port = (uint16_t)options->port,
		.deadline = now + options->connect_timeout * USEC_PER_SEC,
		.tls = options->tls,
		.ca_file = options->ca_file,
		.cert_file = options->cert_file,
		.key_file = options->key_file,
		.quick_ack = true,
	};
	struct error cause;

	client->deadline = target.deadline;
	client_move(client, CLIENT_REACHING);
	if (stream_open(&client->stream, &target, now, &cause) < 0)
		client_down(client, &cause);
}

/* The time before the next attempt doubles; half of it is chance, so that not
 * all clients of a server come back at once. */
static void plan_retry(struct postbus_mqtt *client)
{
	usec_t most = client->options.retry_max * USEC_PER_SEC;
	usec_t after = client->retry_after < most ? client->retry_after : most;
	usec_t half = after / 2;

	client->retry_at =
		clock_monotonic() + half +
		(usec_t)random_below(&client->random, (uint64_t)half + 1);
	client->retry_after = after > 0 ? after * 2 : SECOND_WAIT;
	client_move(client, CLIENT_WAITING);
}

void client_down(struct postbus_mqtt *client, const struct error *cause)
{
	struct error told = *cause;

	client_drop(client);
	if (client->leave) {
		told = (struct error){.status = STATUS_OK};
		client_move(client, CLIENT_ENDED);
		client_give_up(client);
	} else {
		client->error = told;
		plan_retry(client);
	}
	if (client->on_disconnected != NULL)
		client->on_disconnected(client, told.status, told.text,
					client->disconnected_user);
}

/* The goodbye goes out with the next process. */
void postbus_mqtt_disconnect(struct postbus_mqtt *client)
{
	if (client->state == CLIENT_IDLE)
		return;
	if (client->state == CLIENT_UP) {
		session_disconnect(client->session, false);
		client->deadline = clock_monotonic() + CLOSE_PATIENCE;
		client_move(client, CLIENT_LEAVING);
	}
	client->leave = true;
}

bool postbus_mqtt_is_connected(const struct postbus_mqtt *client)
{
	return client->state == CLIENT_UP;
}

/* ---- processing ---- */

static void lose(struct postbus_mqtt *client, const struct error *cause)
{
	client->stream_is_over = true;
	session_transport_lost(client->session, cause);
}

/* Whether anything came. */
static bool receive(struct postbus_mqtt *client)
{
	struct buffer *input = session_input(client->session);
	size_t limit = session_needs(client->session);
	struct error cause;
	int got;

	if (limit < INPUT_LIMIT)
		limit = INPUT_LIMIT;
	got = stream_read(client->stream, input, limit, &cause);
	if (got < 0)
		lose(client, &cause);
	return got > 0;
}

/* After the goodbye is sent nothing is waited for. */
static void transmit(struct postbus_mqtt *client)
{
	const struct error done = {STATUS_AWAY, "the goodbye is sent"};
	struct buffer *output = session_output(client->session);
	struct error cause;

	if (stream_write(client->stream, output, &cause) < 0)
		lose(client, &cause);
	else if (client->state == CLIENT_LEAVING && buffer_length(output) == 0)
		lose(client, &done);
}

static void check_deadline(struct postbus_mqtt *client, usec_t now)
{
	struct error late;

	if (now < client->deadline || client->state == CLIENT_UP)
		return;
	error_set(&late, STATUS_AWAY, "no answer from the server in time");
	lose(client, &late);
}

/* Idle clients hold no memory for what is under way. */
static void tidy(struct postbus_mqtt *client)
{
	struct buffer *input = session_input(client->session);
	struct buffer *output = session_output(client->session);

	if (buffer_length(input) == 0)
		buffer_finish(input);
	if (buffer_length(output) == 0 && !output->failed)
		buffer_finish(output);
	arena_finish(&client->arena);
}

static void exchange(struct postbus_mqtt *client, usec_t now)
{
	bool heard = receive(client);

	client_tell(client);
	if (client->stream != NULL) {
		client->tick_at = session_tick(client->session, heard, now);
		if (!client->stream_is_over)
			transmit(client);
		check_deadline(client, now);
		client_tell(client);
	}
	tidy(client);
}

static void reach(struct postbus_mqtt *client, usec_t now)
{
	struct error cause;
	int status = stream_step(client->stream, now, &cause);

	if (status < 0) {
		client_down(client, &cause);
	} else if (status > 0) {
		session_connect(client->session);
		client_move(client, CLIENT_OPENING);
		exchange(client, now);
	}
}

int postbus_mqtt_process(struct postbus_mqtt *client)
{
	const struct error asked = {.status = STATUS_OK};
	usec_t now = clock_monotonic();

	if (client->leave && (client->state == CLIENT_WAITING ||
			      client->state == CLIENT_REACHING))
		client_down(client, &asked);
	switch (client->state) {
	case CLIENT_WAITING:
		if (now >= client->retry_at)
			begin(client, now);
		break;
	case CLIENT_REACHING:
		reach(client, now);
		break;
	case CLIENT_OPENING:
	case CLIENT_UP:
	case CLIENT_LEAVING:
		exchange(client, now);
		break;
	default:
		break;
	}
	return client->state != CLIENT_IDLE && client->state != CLIENT_ENDED;
}

/* ---- waiting ---- */

static struct wait wants(const struct postbus_mqtt *client)
{
	struct wait wait;

	wait_init(&wait);
	if (client->leave && client->state < CLIENT_OPENING)
		wait_until(&wait, 0);
	if (client->state == CLIENT_WAITING)
		wait_until(&wait, client->retry_at);
	if (client->stream == NULL)
		return wait;
	stream_wait(client->stream, true,
		    buffer_length(session_output(client->session)) > 0, &wait);
	if (client->state != CLIENT_UP)
		wait_until(&wait, client->deadline);
	if (client->state != CLIENT_REACHING)
		wait_until(&wait, client->tick_at);
	return wait;
}

int postbus_mqtt_fd(const struct postbus_mqtt *client)
{
	struct wait wait = wants(client);

	return wait.count > 0 ? wait.fds[0].fd : -1;
}

short postbus_mqtt_events(const struct postbus_mqtt *client)
{
	struct wait wait = wants(client);

	return (short)(wait.count > 0 ? wait.fds[0].events : 0);
}

int postbus_mqtt_timeout(const struct postbus_mqtt *client)
{
	struct wait wait = wants(client);
	usec_t now = clock_monotonic();
	const usec_t most = INT32_MAX * USEC_PER_MSEC;

	if (wait.until == USEC_NEVER)
		return -1;
	if (wait.until <= now)
		return 0;
	if (wait.until - now > most)
		return INT32_MAX;
	return (int)((wait.until - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

int postbus_mqtt_run(struct postbus_mqtt *client)
{
	while (postbus_mqtt_process(client)) {
		struct pollfd fd = {.fd = postbus_mqtt_fd(client),
				    .events = postbus_mqtt_events(client)};

		if (poll(&fd, 1, postbus_mqtt_timeout(client)) < 0 &&
		    errno != EINTR)
			return error_set(&client->error, STATUS_FAILED,
					 "cannot poll: %s", strerror(errno));
	}
	return 0;
}
