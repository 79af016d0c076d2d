/* SPDX-License-Identifier: MIT */
/* The session's states, and what the server's packets mean in them. */
#include "mqtt/session.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "mqtt/internal.h"

enum { LEAST_KEPT = 128 * 1024, LONGEST_OTHER = 1024 * 1024 };

/* ---- life ---- */

/* Whether the server keeps the session that this one will ask for. */
static bool will_be_kept(const struct session_options *options)
{
	return options->session_expiry > 0 &&
	       (options->version >= MQTT_VERSION_5 || !options->clean_start);
}

/* Queues CONNECT. */
static int greet(struct session *session, struct error *err)
{
	bool fresh = session->options.clean_start && !session->met;

	session->clean = fresh || !session->kept;
	return packet_write_connect(&session->output, &session->options,
				    session->clean, err);
}

int session_create(struct session **out, const struct session_options *options,
		   struct error *err)
{
	struct session *session = calloc(1, sizeof(*session));
	int status;

	if (session == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	session->options = *options;
	session->kept = will_be_kept(options);
	if (options->longest_kept > 0 && options->longest_kept < LEAST_KEPT)
		session->options.longest_kept = LEAST_KEPT;
	/* Written once to see whether it can be. */
	status = greet(session, err);
	if (status == 0 && session->output.failed)
		status = error_set(err, STATUS_NO_MEMORY, "out of memory");
	buffer_reset(&session->output);
	if (status < 0)
		session_destroy(session);
	else
		*out = session;
	return status;
}

void session_destroy(struct session *session)
{
	if (session == NULL)
		return;
	buffer_finish(&session->input);
	buffer_finish(&session->output);
	requests_finish(&session->requests);
	deliveries_finish(&session->deliveries);
	free(session->assigned_id);
	free(session);
}

struct buffer *session_input(struct session *session)
{
	return &session->input;
}

struct buffer *session_output(struct session *session)
{
	return &session->output;
}

static bool can_move(enum session_state from, enum session_state to)
{
	switch (to) {
	case STATE_DOWN:
		return from == STATE_ENDED;
	case STATE_CONNECTING:
		return from == STATE_DOWN;
	case STATE_CONNECTED:
		return from == STATE_CONNECTING;
	case STATE_LEAVING:
		return from == STATE_CONNECTING || from == STATE_CONNECTED;
	case STATE_ENDED:
		return from != STATE_DOWN && from != STATE_ENDED;
	}
	return false;
}

void session_move(struct session *session, enum session_state state)
{
	assert(can_move(session->state, state));
	session->state = state;
}

void session_connect(struct session *session)
{
	session_move(session, STATE_CONNECTING);
	buffer_reset(&session->input);
	buffer_reset(&session->output);
	session->skip = 0;
	session->lost = false;
	session->reason = 0;
	session->version_refused = false;
	session->unanswered = false;
	session->silent_since = 0;
	session->limits = (struct session_limits){0};
	deliveries_forget(&session->deliveries);
	/* The options have been checked when the session was created. */
	(void)greet(session, NULL);
}

/* ---- ends ---- */

/* Ends the connection for the reason that `error` has already. */
static int end(struct session *session)
{
	session_move(session, STATE_ENDED);
	session_lose_requests(session, !session->kept);
	return session->error.status;
}

int session_fail_so(struct session *session, uint8_t reason)
{
	bool may_say = session->state == STATE_CONNECTED &&
		       session->options.version >= MQTT_VERSION_5;

	if (may_say && reason != 0)
		packet_write_disconnect(&session->output,
					session->options.version, reason);
	return end(session);
}

int session_fail(struct session *session, enum status status, uint8_t reason,
		 const char *format, ...)
{
	char text[sizeof(session->error.text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error_set(&session->error, status, "%s", text);
	return session_fail_so(session, reason);
}

void session_transport_lost(struct session *session, const struct error *error)
{
	if (session->lost || session->state == STATE_DOWN ||
	    session->state == STATE_ENDED)
		return;
	session->lost = true;
	session->error = *error;
	if (session->state == STATE_LEAVING)
		session->error = (struct error){.status = STATUS_OK};
	else if (session->state == STATE_CONNECTING)
		error_prefix(&session->error,
			     "no answer to CONNECT; is this an MQTT port?");
}

static bool tell_end(struct session *session, struct session_event *event)
{
	if (session->state != STATE_ENDED)
		return false;
	event->kind = SESSION_CLOSED;
	event->error = session->error;
	event->reason = session->reason;
	event->version_refused = session->version_refused;
	event->unanswered = session->unanswered;
	session_move(session, STATE_DOWN);
	return true;
}

/* ---- dispatch ---- */

static int server_disconnects(struct session *session,
			      const struct answer *answer)
{
	int status = mqtt_reason_error(
		&session->error, "the server closed the connection",
		answer->reason, answer->properties.reason);

	session->reason = answer->reason;
	if (status == STATUS_OK)
		session->error.status = STATUS_AWAY;
	return end(session);
}

/* PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT */
static int on_answer(struct session *session,
		     const struct packet_reader *reader,
		     const struct packet *packet, struct session_event *event)
{
	struct answer answer;

	if (packet_read_answer(reader, packet, &answer, &session->error) < 0)
		return session_fail_so(session, REASON_MALFORMED_PACKET);
	if (packet->type == PACKET_DISCONNECT)
		return server_disconnects(session, &answer);
	if (packet->type == PACKET_PUBREL)
		return session_on_pubrel(session, &answer);
	return session_on_answer(session, packet->type, &answer, event);
}

static int on_grant(struct session *session, const struct packet_reader *reader,
		    const struct packet *packet, struct session_event *event)
{
	struct grant grant;

	if (packet_read_grant(reader, packet, &grant, &session->error) < 0)
		return session_fail_so(session, REASON_MALFORMED_PACKET);
	return session_on_grant(session, packet->type, &grant, reader->arena,
				event);
}

/* A packet that has no meaning in this state or version. */
static int unexpected(struct session *session, const struct packet *packet)
{
	return session_fail(session, STATUS_PROTOCOL, REASON_PROTOCOL_ERROR,
			    "the server sent %s, which has no meaning here",
			    packet_name(packet->type));
}

static int handle_packet(struct session *session,
			 const struct packet_reader *reader,
			 const struct packet *packet,
			 struct session_event *event)
{
	if (session->state == STATE_CONNECTING)
		return packet->type == PACKET_CONNACK
			       ? session_on_connack(session, reader, packet,
						    event)
			       : unexpected(session, packet);
	switch (packet->type) {
	case PACKET_CONNACK:
		return session->state == STATE_LEAVING
			       ? 0
			       : unexpected(session, packet);
	case PACKET_PUBLISH:
		return session_on_publish(session, reader, packet, event);
	case PACKET_SUBACK:
	case PACKET_UNSUBACK:
		return on_grant(session, reader, packet, event);
	case PACKET_PINGRESP:
		if (packet->body.len > 0)
			return unexpected(session, packet);
		return 0;
	case PACKET_AUTH:
		return unexpected(session, packet);
	case PACKET_DISCONNECT:
		if (session->options.version < MQTT_VERSION_5)
			return unexpected(session, packet);
		return on_answer(session, reader, packet, event);
	default:
		return on_answer(session, reader, packet, event);
	}
}

/* ---- taking packets from the input ---- */

/* How much of a packet is needed to handle it. */
static size_t wanted(const struct session *session, const struct packet *packet)
{
	size_t kept = session->options.longest_kept;

	if (packet->type == PACKET_PUBLISH && kept > 0 && packet->size > kept)
		return kept;
	return packet->size;
}

static int check_size(struct session *session, const struct packet *packet)
{
	size_t most = session->options.maximum_packet;

	if (packet->type != PACKET_PUBLISH &&
	    (most == 0 || most > LONGEST_OTHER))
		most = LONGEST_OTHER;
	if (most == 0 || packet->size <= most)
		return 0;
	return session_fail(session, STATUS_PROTOCOL, REASON_PACKET_TOO_LARGE,
			    "%s of %zu bytes is longer than the %zu that are "
			    "allowed",
			    packet_name(packet->type), packet->size, most);
}

/* Takes the next packet off the input: 1 when there is one, 0 when more bytes
 * are needed, or negative with the connection ended. */
static int take_packet(struct session *session, struct packet *packet)
{
	struct span input = buffer_span(&session->input);
	int status = packet_read(input, packet, &session->error);
	size_t needed;

	if (status < 0)
		return session_fail_so(session, REASON_MALFORMED_PACKET);
	if (packet->size > 0 && check_size(session, packet) < 0)
		return -1;
	needed = wanted(session, packet);
	if (packet->size == 0 || input.len < needed)
		return 0;
	if (needed < packet->size) {
		packet->cut = true;
		packet->body.len =
			needed - (size_t)(packet->body.at - input.at);
	}
	session->skip = packet->size - needed;
	return 1;
}

/* Passes over what is left of a cut PUBLISH; false if more is to come. */
static bool pass_rest(struct session *session)
{
	size_t there = buffer_length(&session->input);
	size_t size = there < session->skip ? there : session->skip;

	buffer_consume(&session->input, size);
	session->skip -= size;
	return session->skip == 0;
}

/* Handles one packet; false when there is none to handle. */
static bool step(struct session *session, struct arena *arena,
		 struct session_event *event, bool *told)
{
	struct packet_reader reader = {session->options.version, arena};
	struct packet packet;
	size_t size;

	if (!pass_rest(session) || take_packet(session, &packet) <= 0)
		return false;
	size = packet.size - session->skip;
	*told = handle_packet(session, &reader, &packet, event) > 0;
	buffer_consume(&session->input, size);
	return true;
}

size_t session_needs(const struct session *session)
{
	struct packet packet;

	if (session->skip > 0 ||
	    packet_read(buffer_span(&session->input), &packet, NULL) < 0)
		return 0;
	return wanted(session, &packet);
}

static bool is_over(const struct session *session)
{
	return session->state == STATE_DOWN || session->state == STATE_ENDED;
}

bool session_next(struct session *session, struct arena *arena,
		  struct session_event *event)
{
	bool told = false;

	*event = (struct session_event){0};
	if (session_tell_request(session, event))
		return true;
	while (!is_over(session) && step(session, arena, event, &told))
		if (told)
			return true;
	if (!is_over(session) && session->output.failed)
		session_fail(session, STATUS_NO_MEMORY, 0, "out of memory");
	if (!is_over(session) && session->lost) {
		session->unanswered = session->state == STATE_CONNECTING;
		end(session);
	}
	return session_tell_request(session, event) || tell_end(session, event);
}

/* ---- keeping it alive ---- */

void session_ping(struct session *session)
{
	if (session->state == STATE_CONNECTED)
		packet_write_ping(&session->output);
}

usec_t session_tick(struct session *session, bool heard, usec_t now)
{
	const struct error silent = {STATUS_AWAY,
				     "the server has been silent for one and a "
				     "half keep-alive intervals"};
	usec_t interval = session->limits.keep_alive * USEC_PER_SEC;
	usec_t dead_at;

	if (session->state != STATE_CONNECTED || interval == 0)
		return USEC_NEVER;
	if (session->silent_since == 0)
		session->ping_at = now + interval / 2;
	if (heard || session->silent_since == 0)
		session->silent_since = now;
	dead_at = session->silent_since + interval + interval / 2;
	if (now >= dead_at)
		session_transport_lost(session, &silent);
	if (session->lost)
		return USEC_NEVER;
	if (now >= session->ping_at) {
		session_ping(session);
		session->ping_at = now + interval / 2;
	}
	return session->ping_at < dead_at ? session->ping_at : dead_at;
}

void session_disconnect(struct session *session, bool with_will)
{
	if (session->state != STATE_CONNECTING &&
	    session->state != STATE_CONNECTED)
		return;
	session_move(session, STATE_LEAVING);
	packet_write_disconnect(&session->output, session->options.version,
				with_will ? REASON_DISCONNECT_WITH_WILL : 0);
}
