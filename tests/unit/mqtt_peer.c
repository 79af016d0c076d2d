/* SPDX-License-Identifier: MIT */
/* The scripted MQTT server. */
#include "unit.h"

#include <stdio.h>

#include "mqtt_peer.h"

/* Whether the client gets what is said one byte at a time. */
static bool dribbles;

#define CLIENT .client_id = {"c", 1}
const struct session_options peer_options = {
	.version = MQTT_VERSION_5, CLIENT, .clean_start = true};
const struct session_options peer_options_3 = {
	.version = MQTT_VERSION_3, CLIENT, .clean_start = true};
const struct session_options peer_kept = {
	.version = MQTT_VERSION_5, CLIENT, .session_expiry = 3600};
const struct session_options peer_kept_3 = {
	.version = MQTT_VERSION_3, CLIENT, .session_expiry = 3600};

static int at_once(void **state)
{
	(void)state;
	dribbles = false;
	return 0;
}

static int dribbled(void **state)
{
	(void)state;
	dribbles = true;
	return 0;
}

int peer_run(const struct CMUnitTest *tests, size_t count)
{
	struct CMUnitTest *both = calloc(2 * count, sizeof(*both));
	char(*names)[128] = calloc(count, sizeof(*names));
	int failed;

	for (size_t i = 0; i < count; i++) {
		both[2 * i] = both[2 * i + 1] = tests[i];
		both[2 * i].setup_func = at_once;
		both[2 * i + 1].setup_func = dribbled;
		snprintf(names[i], sizeof(names[i]), "%s, dribbled",
			 tests[i].name);
		both[2 * i + 1].name = names[i];
	}
	failed = _cmocka_run_group_tests("mqtt", both, 2 * count, NULL, NULL);
	free(names);
	free(both);
	return failed;
}

void peer_begin(struct peer *peer, const struct session_options *options)
{
	*peer = (struct peer){0};
	assert_int_equal(session_create(&peer->session, options, NULL), 0);
	session_connect(peer->session);
}

void peer_open(struct peer *peer, const struct session_options *options,
	       const char *connack)
{
	peer_begin(peer, options);
	peer_ignore(peer);
	peer_say(peer, connack);
	peer_expect(peer, SESSION_CONNECTED);
}

void peer_reconnect(struct peer *peer, const char *connack)
{
	const struct error gone = {STATUS_AWAY, "the line is cut"};

	session_transport_lost(peer->session, &gone);
	do
		assert_true(session_next(peer->session, &peer->arena,
					 &peer->event));
	while (peer->event.kind != SESSION_CLOSED);
	session_connect(peer->session);
	peer_ignore(peer);
	peer_say(peer, connack);
	peer_expect(peer, SESSION_CONNECTED);
}

void peer_end(struct peer *peer)
{
	session_destroy(peer->session);
	buffer_finish(&peer->out);
	arena_finish(&peer->arena);
}

/* What the notation stands for, appended. */
static void decode(struct buffer *out, const char *text)
{
	bool quoted = false;

	for (; *text != '\0'; text++) {
		unsigned byte = (unsigned char)*text;

		if (*text == '\'') {
			quoted = !quoted;
			continue;
		}
		if (!quoted && *text == ' ')
			continue;
		if (!quoted) {
			assert_int_equal(sscanf(text, "%2x", &byte), 1);
			text++;
		}
		buffer_append(out, &(char){(char)byte}, 1);
	}
}

void peer_say(struct peer *peer, const char *bytes)
{
	decode(&peer->out, bytes);
}

static void print_bytes(const char *who, struct span bytes)
{
	print_message("%s:", who);
	for (size_t i = 0; i < bytes.len; i++)
		print_message(" %02x", (unsigned char)bytes.at[i]);
	print_message("\n");
}

void peer_hear(struct peer *peer, const char *bytes)
{
	struct buffer expected = {0};
	struct span heard = buffer_span(session_output(peer->session));

	decode(&expected, bytes);
	if (!span_equal(heard, buffer_span(&expected))) {
		print_bytes("heard   ", heard);
		print_bytes("expected", buffer_span(&expected));
		fail_msg("the client did not send %s", bytes);
	}
	buffer_finish(&expected);
	peer_ignore(peer);
}

void peer_ignore(struct peer *peer)
{
	struct buffer *output = session_output(peer->session);

	buffer_consume(output, buffer_length(output));
}

static void feed(struct peer *peer)
{
	size_t size = dribbles ? 1 : buffer_length(&peer->out);

	buffer_append(session_input(peer->session), buffer_span(&peer->out).at,
		      size);
	buffer_consume(&peer->out, size);
}

/* Whether there is an event; peer->event stays the last one there was. */
static bool next_event(struct peer *peer)
{
	struct session_event event;

	while (!session_next(peer->session, &peer->arena, &event)) {
		if (buffer_length(&peer->out) == 0)
			return false;
		feed(peer);
	}
	peer->event = event;
	return true;
}

void peer_expect(struct peer *peer, enum session_event_kind kind)
{
	assert_true(next_event(peer));
	if (peer->event.kind != kind)
		fail_msg("event %d instead of %d: %s", (int)peer->event.kind,
			 (int)kind, peer->event.error.text);
}

void peer_expect_nothing(struct peer *peer)
{
	if (next_event(peer))
		fail_msg("event %d instead of none: %s", (int)peer->event.kind,
			 peer->event.error.text);
}

void peer_expect_closed(struct peer *peer, enum status status,
			const char *words)
{
	peer_expect(peer, SESSION_CLOSED);
	if (strstr(peer->event.error.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", peer->event.error.text,
			 words);
	assert_int_equal(peer->event.error.status, status);
	buffer_reset(&peer->out);
	peer_expect_nothing(peer);
}

void peer_publish(struct peer *peer, uint8_t qos, uint64_t tag)
{
	const struct mqtt_message message = {
		.topic = {"t", 1}, .payload = {"hi", 2}, .qos = qos};
	struct error err = {0};
	uint64_t given = 0;

	if (session_publish(peer->session, &message, &given, &err) < 0)
		fail_msg("not published: %s", err.text);
	assert_int_equal(given, tag);
}
