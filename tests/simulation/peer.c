/* SPDX-License-Identifier: MIT */
/* What brokers do whatever they speak. */
#include "peer.h"

#include "world.h"

bool peer_refuse(struct connection *connection, const char *what)
{
	violated(connection->link->world, 'I', "%s", what);
	return false;
}

void peer_say(struct connection *connection, uint32_t speech)
{
	connection_tell(connection, (struct frame){.speech = speech});
}

void peer_close(struct connection *connection, enum status status)
{
	connection_tell(connection,
			(struct frame){.kind = BROKER_DOWN, .status = status});
	connection_close_server(connection);
}

/* ---- signs of life ---- */

static bool is_silent(const struct connection *connection)
{
	return connection->sent == NULL &&
	       connection->link->world->now - connection->heard_at >
		       connection->patience;
}

/* A lane that had its turn meanwhile should have given a sign of life. */
static void give_up(struct connection *connection)
{
	struct link *link = connection->link;

	note(link->world, link->lane, "is silent", 0, 0);
	if (connection->using && !connection_may_end(connection) &&
	    link->flushed_at > connection->heard_at + connection->interval)
		peer_refuse(connection, "a client that lives is silent");
	peer_close(connection, STATUS_AWAY);
}

static void beat(struct world *world, void *subject, uint64_t sign)
{
	struct connection *connection = subject;
	usec_t frozen_until = world->server.frozen_until;

	if (!connection->serving)
		return;
	if (frozen_until > world->now) {
		world_at(world, frozen_until, beat, connection, sign);
		return;
	}
	if (sign != 0)
		peer_say(connection, (uint32_t)sign);
	if (is_silent(connection))
		give_up(connection);
	world_at(world, world->now + connection->interval / 2, beat, connection,
		 sign);
}

void peer_watch(struct connection *connection, usec_t interval, usec_t patience,
		uint32_t sign)
{
	struct world *world = connection->link->world;

	connection->interval = interval;
	connection->patience = patience;
	if (interval > 0)
		world_at(world, world->now + interval / 2, beat, connection,
			 sign);
}
