/* SPDX-License-Identifier: MIT */
/* The wire between a lane and the broker: what is under way, and its ends. */
#include "wire.h"

#include "world.h"

/* A peer that is silent is given up after two heartbeats. */
static const usec_t two_heartbeats = 20 * USEC_PER_SEC;

static usec_t latency(struct world *world)
{
	return 1 + world_below(world, world->plan->latency);
}

/* ---- to the lane ---- */

void connection_tell(struct connection *connection, struct frame frame)
{
	struct world *world = connection->link->world;
	usec_t due = world->now + latency(world);
	struct frame *told;

	if (due < connection->told_at)
		due = connection->told_at;
	connection->told_at = due; /* nothing passes what was lost */
	if (!connection->using || due >= connection->cut_at)
		return;
	told = world_alloc(world, sizeof(*told));
	*told = frame;
	told->next = NULL;
	told->due = due;
	if (connection->told_last == NULL)
		connection->told = told;
	else
		connection->told_last->next = told;
	connection->told_last = told;
}

struct frame *wire_hear(struct connection *connection)
{
	struct frame *frame = connection->told;

	if (frame == NULL || frame->due > connection->link->world->now)
		return NULL;
	connection->told = frame->next;
	if (connection->told == NULL)
		connection->told_last = NULL;
	return frame;
}

struct answer *connection_expect(struct connection *connection,
				 struct message *message)
{
	struct answer *answer =
		&connection->answers[message->tag % UNANSWERED_MAX];

	*answer = (struct answer){.message = message, .kind = BROKER_CONFIRMED};
	return answer;
}

static void tell_answer(struct connection *connection, struct answer *answer,
			bool multiple)
{
	answer->given = true;
	connection_tell(connection, (struct frame){.kind = answer->kind,
						   .tag = answer->message->tag,
						   .multiple = multiple,
						   .message = answer->message});
}

/* In order, and as many at once as are ready: what `multiple` is for. */
static void tell_in_order(struct connection *connection)
{
	struct answer *last = NULL;
	uint64_t tag = connection->answered + 1;
	bool multiple = false;

	for (;; tag++) {
		struct answer *answer =
			&connection->answers[tag % UNANSWERED_MAX];

		if (answer->message == NULL || answer->message->tag != tag ||
		    !answer->ready || answer->given)
			break;
		if (last != NULL && last->kind != answer->kind) {
			tell_answer(connection, last, multiple);
			last = NULL;
		}
		multiple = last != NULL;
		if (last != NULL)
			last->given = true;
		last = answer;
		connection->answered = tag;
	}
	if (last != NULL)
		tell_answer(connection, last, multiple);
}

void connection_answer(struct world *world, void *subject, uint64_t tag)
{
	struct connection *connection = subject;
	struct answer *answer = &connection->answers[tag % UNANSWERED_MAX];

	if (!connection->serving)
		return;
	answer->ready = true;
	if (world->plan->multiple)
		tell_in_order(connection);
	else
		tell_answer(connection, answer, false);
}

/* ---- to the server ---- */

static usec_t when_it_listens(const struct connection *connection)
{
	const struct world *world = connection->link->world;
	const struct server *server = &world->server;
	usec_t at = world->now;

	if (server->frozen_until > at)
		at = server->frozen_until;
	if (connection->link->lane->role == BROKER_PUBLISHER &&
	    server->blocked_until > at)
		at = server->blocked_until;
	return at;
}

/* True if what arrives now is lost, or put off until the server listens. */
static bool not_now(struct connection *connection, action_fn *action,
		    void *subject, uint64_t argument)
{
	struct world *world = connection->link->world;
	usec_t at = when_it_listens(connection);

	if (!connection->serving || world->now >= connection->cut_at)
		return true;
	if (at > world->now)
		world_at(world, at, action, subject, argument);
	return at > world->now;
}

struct parcel {
	struct connection *connection;
	struct message *message;
};

static void arrive_publish(struct world *world, void *subject,
			   uint64_t argument)
{
	struct parcel *parcel = subject;

	(void)world;
	if (!not_now(parcel->connection, arrive_publish, subject, argument))
		server_take(parcel->connection, parcel->message);
}

static void arrive_ack(struct world *world, void *subject, uint64_t tag)
{
	(void)world;
	if (!not_now(subject, arrive_ack, subject, tag))
		server_acknowledge(subject, tag);
}

static void arrive_stop(struct world *world, void *subject, uint64_t argument)
{
	struct connection *connection = subject;

	(void)world;
	if (!not_now(connection, arrive_stop, subject, argument))
		connection->stopped = true;
}

static void arrive_close(struct world *world, void *subject, uint64_t argument)
{
	struct connection *connection = subject;

	(void)world;
	if (not_now(connection, arrive_close, subject, argument))
		return;
	connection_tell(connection, (struct frame){.kind = BROKER_DOWN,
						   .status = STATUS_OK});
	connection_close_server(connection);
}

static void send(struct connection *connection, action_fn *arrive,
		 void *subject, uint64_t argument)
{
	struct world *world = connection->link->world;
	usec_t at = world->now + latency(world);

	if (at < connection->sent_at)
		at = connection->sent_at;
	connection->sent_at = at;
	world_at(world, at, arrive, subject, argument);
}

void wire_publish(struct connection *connection, struct message *message)
{
	struct parcel *parcel =
		world_alloc(connection->link->world, sizeof(*parcel));

	*parcel = (struct parcel){connection, message};
	send(connection, arrive_publish, parcel, 0);
}

void wire_acknowledge(struct connection *connection, uint64_t tag)
{
	send(connection, arrive_ack, connection, tag);
}

void wire_stop(struct connection *connection)
{
	send(connection, arrive_stop, connection, 0);
}

void wire_close(struct connection *connection)
{
	send(connection, arrive_close, connection, 0);
}

/* ---- the two ends ---- */

void connection_close_server(struct connection *connection)
{
	struct world *world = connection->link->world;
	struct connection **at = &world->server.connections;

	if (!connection->serving)
		return;
	connection->serving = false;
	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
	server_requeue(connection);
	server_pump(world);
}

static void notice_at_server(struct world *world, void *subject,
			     uint64_t argument)
{
	(void)world;
	(void)argument;
	connection_close_server(subject);
}

void wire_let_go(struct link *link)
{
	struct connection *connection = link->connection;
	struct world *world = link->world;
	bool silent = world_below(world, 4) == 0;

	link->connection = NULL;
	link->up = link->closing = link->wants_ack = false;
	link->unsent = (struct queue){0};
	if (connection == NULL)
		return;
	connection->using = false;
	connection->told = connection->told_last = NULL;
	if (!connection->serving)
		return;
	if (world_below(world, 2) == 0 && connection->cut_at > world->now)
		connection->cut_at = world->now + latency(world);
	if (silent && !world->healed)
		world_at(world, world->now + world_below(world, two_heartbeats),
			 notice_at_server, connection, 0);
	else
		send(connection, notice_at_server, connection, 0);
}

static void hear_of_break(struct world *world, void *subject, uint64_t argument)
{
	struct connection *connection = subject;

	(void)argument;
	if (!connection->using)
		return;
	connection->cut_at = USEC_NEVER;
	connection->told = connection->told_last = NULL;
	connection->told_at = world->now;
	connection_tell(connection, (struct frame){.kind = BROKER_DOWN,
						   .status = STATUS_AWAY});
	connection->cut_at = world->now;
}

void link_break(struct link *link, usec_t noticed_after)
{
	struct connection *connection = link->connection;
	struct world *world = link->world;

	if (connection == NULL || world->now >= connection->cut_at)
		return;
	note(world, link->lane, "the link breaks", noticed_after, 0);
	connection->cut_at =
		world->now + world_below(world, 2) * latency(world);
	world_at(world, world->now + noticed_after, hear_of_break, connection,
		 0);
	world_at(world, world->now + world_below(world, noticed_after + 1),
		 notice_at_server, connection, 0);
}

static void throw_others_out(struct connection *connection)
{
	struct world *world = connection->link->world;
	struct connection *at = world->server.connections;

	while (at != NULL) {
		struct connection *next = at->next;

		if (at != connection &&
		    at->link->lane->role == BROKER_CONSUMER) {
			connection_tell(at,
					(struct frame){.kind = BROKER_DOWN,
						       .status = STATUS_BUSY});
			connection_close_server(at);
		}
		at = next;
	}
}

static void arrive_connect(struct world *world, void *subject,
			   uint64_t argument)
{
	struct connection *connection = subject;
	usec_t at = when_it_listens(connection);

	if (!connection->using || world->now >= connection->cut_at)
		return;
	if (world->now < world->server.away_until) {
		connection_tell(connection,
				(struct frame){.kind = BROKER_DOWN,
					       .status = STATUS_AWAY});
		return;
	}
	if (world->now < world->server.frozen_until) {
		world_at(world, at, arrive_connect, subject, argument);
		return;
	}
	connection->serving = true;
	connection->next = world->server.connections;
	world->server.connections = connection;
	if (world->plan->alone &&
	    connection->link->lane->role == BROKER_CONSUMER)
		throw_others_out(connection);
	connection_tell(connection, (struct frame){.kind = BROKER_UP});
	if (world->now < world->server.blocked_until &&
	    connection->link->lane->role == BROKER_PUBLISHER)
		connection_tell(connection,
				(struct frame){.kind = BROKER_BLOCKED});
	server_pump(world);
}

struct connection *wire_connect(struct link *link)
{
	struct connection *connection =
		world_alloc(link->world, sizeof(*connection));

	connection->link = link;
	connection->using = true;
	connection->cut_at = USEC_NEVER;
	connection->oldest = 1;
	send(connection, arrive_connect, connection, 0);
	return connection;
}
