/* SPDX-License-Identifier: MIT */
/*
 * A connection to a broker that says anything, and a program that asks anything
 * that it may, in any order.
 *
 * The first byte chooses who logs in and whether the handshake has been gone
 * through. Then each step is a byte that says what happens, the bytes from
 * the broker after their number.
 */
#include "fuzz.h"

#include <stdbool.h>

#include "amqp/connection.h"
#include "amqp/frame.h"
#include "base/utf8.h"

struct game {
	const uint8_t *at;
	const uint8_t *end;
	struct connection *connection;
	struct arena arena;
	bool open;
	bool closed;
	bool consumes;
	uint64_t asked; /* the newest tag */
	usec_t now;
};

static uint8_t next_byte(struct game *game)
{
	return game->at < game->end ? *game->at++ : 0;
}

static void judge(struct game *game, const struct connection_event *event)
{
	MUST(!game->closed);
	MUST(utf8_valid(span_of(event->error.text)));
	switch (event->kind) {
	case CONNECTION_OPENED:
		MUST(!game->open);
		game->open = true;
		break;
	case CONNECTION_CLOSED:
		game->closed = true;
		break;
	case CONNECTION_CONFIRMED:
	case CONNECTION_REFUSED:
	case CONNECTION_RETURNED:
		MUST(event->tag >= 1 && event->tag <= game->asked);
		break;
	case CONNECTION_DELIVERED:
		MUST(game->open);
		MUST(span_present(event->delivery.body));
		break;
	default:
		MUST(game->open);
	}
}

static void drain(struct game *game)
{
	struct connection_event event;

	while (connection_next(game->connection, &game->arena, &event)) {
		judge(game, &event);
		arena_reset(&game->arena);
	}
	buffer_reset(connection_output(game->connection));
}

static void hear(struct game *game, uint16_t channel, amqp_method_number_t id,
		 void *method)
{
	MUST(frame_write_method(connection_input(game->connection), channel, id,
				method, NULL) == 0);
}

/* As a broker does that means well. */
static void shake_hands(struct game *game)
{
	amqp_connection_start_t start = {
		.version_minor = 9,
		.mechanisms = amqp_cstring_bytes("PLAIN EXTERNAL"),
		.locales = amqp_cstring_bytes("en_US"),
	};
	amqp_connection_tune_t tune = {.frame_max = 4096, .heartbeat = 10};
	amqp_connection_open_ok_t open_ok = {0};
	amqp_channel_open_ok_t channel_ok = {0};

	hear(game, 0, AMQP_CONNECTION_START_METHOD, &start);
	hear(game, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	hear(game, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
	hear(game, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &channel_ok);
	drain(game);
	MUST(game->open);
}

static void take_up(struct game *game)
{
	amqp_confirm_select_ok_t select_ok = {0};
	amqp_basic_consume_ok_t consume_ok = {0};

	if (game->consumes) {
		MUST(connection_consume(game->connection, SPAN_LIT("q"),
					SPAN_LIT("c"), NULL) == 0);
		hear(game, 1, AMQP_BASIC_CONSUME_OK_METHOD, &consume_ok);
	} else {
		MUST(connection_select_confirms(game->connection, NULL) == 0);
		hear(game, 1, AMQP_CONFIRM_SELECT_OK_METHOD, &select_ok);
	}
	drain(game);
}

static void feed(struct game *game)
{
	size_t size = next_byte(game);

	if (size > (size_t)(game->end - game->at))
		size = (size_t)(game->end - game->at);
	buffer_append(connection_input(game->connection), game->at, size);
	game->at += size;
}

static void publish(struct game *game, uint8_t how)
{
	const struct outgoing message = {
		.exchange = SPAN_LIT("x"),
		.routing_key = SPAN_LIT("a.b"),
		.properties.message_id = {"1234", how & 3},
		.body = {"hi", how & 2},
	};
	uint64_t tag;

	if (game->consumes ||
	    connection_publish(game->connection, &message, &tag, NULL) < 0)
		return;
	MUST(tag == game->asked + 1);
	game->asked = tag;
}

static void step(struct game *game)
{
	const struct error gone = {STATUS_AWAY, "gone"};
	uint8_t byte = next_byte(game);
	uint8_t how = byte >> 3;

	if ((byte & 7) == 7) {
		game->now += how * USEC_PER_SEC;
		(void)connection_tick(game->connection, how & 1, game->now);
	} else if ((byte & 7) == 6 && how == 31) {
		connection_lost(game->connection, &gone);
	} else if ((byte & 7) == 5 && game->open && !game->closed) {
		publish(game, how);
	} else if ((byte & 7) == 4 && game->consumes && game->open) {
		connection_acknowledge(game->connection, how);
	} else if ((byte & 7) == 3 && how == 31 && game->open &&
		   !game->closed) {
		connection_close(game->connection);
	} else {
		feed(game);
	}
	drain(game);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct game game = {.at = data, .end = data + size, .now = 1};
	uint8_t how = next_byte(&game);
	const struct connection_options options = {
		.virtual_host = {"/", 1},
		.username = {how & 1 ? NULL : "guest", how & 1 ? 0 : 5},
		.password = {"secret", 6},
		.name = {"fuzz", 4},
		.heartbeat = how & 2 ? 10 : 0,
	};

	game.consumes = how & 4;
	game.connection = connection_create(&options);
	MUST(game.connection != NULL);
	if (how & 8) {
		shake_hands(&game);
		take_up(&game);
	}
	while (game.at < game.end && !game.closed)
		step(&game);
	connection_destroy(game.connection);
	arena_finish(&game.arena);
	return 0;
}
