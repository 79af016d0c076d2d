/* SPDX-License-Identifier: MIT */
/*
 * A session between a server that says anything and a program that asks
 * anything, in any order.
 *
 * The first byte chooses the options. Then each step is a byte that says what
 * happens, the bytes from the server after their number.
 */
#include "fuzz.h"

#include <stdbool.h>

#include "mqtt/session.h"

struct game {
	const uint8_t *at;
	const uint8_t *end;
	struct session *session;
	struct arena arena;
	bool connected;
	uint64_t asked;	    /* the newest tag */
	uint64_t answered;  /* how many tags were told */
	uint64_t delivered; /* the newest delivery */
	usec_t now;
};

static uint8_t next_byte(struct game *game)
{
	return game->at < game->end ? *game->at++ : 0;
}

static void judge(struct game *game, const struct session_event *event)
{
	switch (event->kind) {
	case SESSION_CONNECTED:
		MUST(!game->connected);
		game->connected = true;
		break;
	case SESSION_CLOSED:
		game->connected = false;
		break;
	case SESSION_MESSAGE:
		MUST(game->connected);
		MUST(event->delivery == 0 ||
		     event->delivery == game->delivered + 1);
		if (event->delivery > 0)
			game->delivered = event->delivery;
		break;
	default:
		MUST(event->tag >= 1 && event->tag <= game->asked);
		MUST(++game->answered <= game->asked);
	}
}

static void drain(struct game *game)
{
	struct session_event event;

	while (session_next(game->session, &game->arena, &event)) {
		judge(game, &event);
		arena_reset(&game->arena);
	}
}

static void feed(struct game *game)
{
	size_t size = next_byte(game);

	if (size > (size_t)(game->end - game->at))
		size = (size_t)(game->end - game->at);
	buffer_append(session_input(game->session), game->at, size);
	game->at += size;
}

static void publish(struct game *game, uint8_t how)
{
	const struct mqtt_message message = {
		.topic = {"t", how & 1},
		.payload = {"hi", 2},
		.qos = how % 3,
		.retain = how & 4,
	};
	uint64_t tag;

	if (session_publish(game->session, &message, &tag, NULL) < 0)
		return;
	MUST(game->connected && tag == game->asked + 1);
	game->asked = tag;
}

static void subscribe(struct game *game, uint8_t how)
{
	const struct mqtt_filter filters[] = {
		{.filter = {"a/#", 3}, .qos = how % 3},
		{.filter = {"$share/g/b", 10}},
	};
	size_t count = 1 + (how & 1);
	uint64_t tag;
	int status =
		how & 4 ? session_unsubscribe(game->session, &filters[0].filter,
					      1, &tag, NULL)
			: session_subscribe(game->session, filters, count, &tag,
					    NULL);

	if (status < 0)
		return;
	MUST(game->connected && tag == game->asked + 1);
	game->asked = tag;
}

static void begin_again(struct game *game)
{
	const struct error gone = {STATUS_AWAY, "gone"};

	session_transport_lost(game->session, &gone);
	drain(game);
	MUST(!game->connected);
	session_connect(game->session);
}

static void pass_time(struct game *game, uint8_t how)
{
	game->now += how * USEC_PER_SEC;
	if (how == 31)
		session_disconnect(game->session, false);
	else
		(void)session_tick(game->session, how & 1, game->now);
}

static void step(struct game *game)
{
	uint8_t byte = next_byte(game);
	uint8_t how = byte >> 3;

	switch (byte & 7) {
	case 3:
		publish(game, how);
		break;
	case 4:
		subscribe(game, how);
		break;
	case 5:
		session_acknowledge(game->session, game->delivered - how % 4);
		break;
	case 6:
		begin_again(game);
		break;
	case 7:
		pass_time(game, how);
		break;
	default:
		feed(game);
	}
	drain(game);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct game game = {.at = data, .end = data + size, .now = 1};
	uint8_t how = next_byte(&game);
	const struct session_options options = {
		.version = how & 1 ? MQTT_VERSION_5 : MQTT_VERSION_3,
		.client_id = {"c", 1},
		.clean_start = how & 2,
		.session_expiry = how & 4 ? 60 : 0,
		.receive_maximum = how & 8 ? 2 : 0,
		.longest_kept = how & 16 ? 1 : 0,
		.keep_alive = how & 32 ? 10 : 0,
	};

	MUST(session_create(&game.session, &options, NULL) == 0);
	session_connect(game.session);
	while (game.at < game.end)
		step(&game);
	session_destroy(game.session);
	arena_finish(&game.arena);
	return 0;
}
