/* SPDX-License-Identifier: MIT */
/* The broker of a run: its queue, and what becomes of a message. */
#include "wire.h"

#include "peer.h"
#include "world.h"

/* ---- queues ---- */

void queue_push(struct queue *queue, struct message *message)
{
	message->next = NULL;
	if (queue->last == NULL)
		queue->first = message;
	else
		queue->last->next = message;
	queue->last = message;
	queue->count++;
}

void queue_push_front(struct queue *queue, struct message *message)
{
	message->next = queue->first;
	queue->first = message;
	if (queue->last == NULL)
		queue->last = message;
	queue->count++;
}

struct message *queue_pop(struct queue *queue)
{
	struct message *message = queue->first;

	if (message == NULL)
		return NULL;
	queue->first = message->next;
	if (queue->first == NULL)
		queue->last = NULL;
	queue->count--;
	return message;
}

/* ---- delivering ---- */

static bool may_deliver(const struct connection *connection)
{
	const struct world *world = connection->link->world;

	return connection->link->lane->role == BROKER_CONSUMER &&
	       connection->serving && !connection->stopped &&
	       world->server.ready.first != NULL &&
	       connection->unacknowledged_count < (size_t)world->plan->prefetch;
}

static void deliver(struct connection *connection, struct message *message)
{
	size_t at = connection->unacknowledged_count++;

	connection->unacknowledged[at] = (struct delivered){
		.message = message,
		.tag = ++connection->delivered,
	};
	connection_tell(connection, (struct frame){
					    .kind = BROKER_DELIVERED,
					    .tag = connection->delivered,
					    .message = message,
				    });
}

/* In turns to whoever has room. */
void server_pump(struct world *world)
{
	bool any = true;

	while (any) {
		any = false;
		for (struct connection *at = world->server.connections;
		     at != NULL; at = at->next)
			if (may_deliver(at)) {
				deliver(at, queue_pop(&world->server.ready));
				any = true;
			}
	}
}

void server_requeue(struct connection *connection)
{
	struct server *server = &connection->link->world->server;

	for (size_t i = connection->unacknowledged_count; i-- > 0;) {
		struct message *message = connection->unacknowledged[i].message;

		message->redelivered = true;
		queue_push_front(&server->ready, message);
	}
	connection->unacknowledged_count = 0;
}

/* ---- taking ---- */

static void lie_in_queue(struct world *world, struct message *message)
{
	struct server *server = &world->server;

	queue_push(&server->ready, message);
	if (server->repeats > 0) {
		struct message *again = world_alloc(world, sizeof(*again));

		server->repeats--;
		*again = *message;
		queue_push(&server->ready, again);
	}
	server_pump(world);
}

static void become_safe(struct world *world, void *subject, uint64_t argument)
{
	struct message *message = subject;

	(void)argument;
	if (message->lost)
		return;
	message->safe = true;
	if (message->routed)
		message->letter->kept = true;
	note(world, NULL, "safe", message->seq, 0);
}

static bool is_refused(struct connection *connection,
		       const struct message *message)
{
	struct server *server = &connection->link->world->server;

	if (connection->takes_all)
		return false;
	if (message->chokes)
		return true;
	if (server->nacks == 0)
		return false;
	server->nacks--;
	return true;
}

/* The broker answers once the message is safe, and its answers may pass each
 * other. */
static void take(struct connection *connection, struct message *message)
{
	struct world *world = connection->link->world;
	struct server *server = &world->server;
	usec_t at = world->now + world_below(world, world->plan->confirming);
	struct answer *answer = connection_expect(connection, message);

	if (connection->takes_all)
		message->must_route = false;
	if (is_refused(connection, message)) {
		answer->kind = BROKER_REFUSED;
		world_at(world, at, connection_answer, connection,
			 message->tag);
		return;
	}
	note(world, NULL, "taken", message->seq, message->routed);
	if (message->routed || !message->must_route)
		checker_taken(world, message->seq);
	if (message->routed)
		lie_in_queue(world, message);
	else
		connection_tell(connection,
				(struct frame){.kind = BROKER_RETURNED,
					       .tag = message->tag,
					       .message = message});
	world_at(world, at, become_safe, message, 0);
	if (server->mutes > 0) {
		server->mutes--;
		checker_broken(world, connection->link->lane);
	} else {
		world_at(world, at, connection_answer, connection,
			 message->tag);
	}
}

void server_take(struct connection *connection, struct message *message)
{
	struct world *world = connection->link->world;
	bool bears = connection->goes_on || connection->takes_all;

	if (message->chokes && !bears) {
		note(world, NULL, "chokes", message->seq, 0);
		connection_tell(connection,
				(struct frame){.kind = BROKER_DOWN,
					       .status = STATUS_INVALID,
					       .lingers = true,
					       .by_publish = true});
		connection_close_server(connection);
	} else {
		take(connection, message);
	}
}

void server_acknowledge(struct connection *connection, uint64_t tag)
{
	size_t kept = 0;

	for (size_t i = 0; i < connection->unacknowledged_count; i++)
		if (connection->unacknowledged[i].tag > tag)
			connection->unacknowledged[kept++] =
				connection->unacknowledged[i];
	connection->unacknowledged_count = kept;
	server_pump(connection->link->world);
}

void server_put(struct world *world, struct span topic, struct span message_id,
		struct span body)
{
	struct message *message = world_alloc(world, sizeof(*message));

	message->letter = checker_letter(world, body);
	message->topic = topic;
	message->message_id = message_id;
	message->routed = message->safe = message->letter->kept = true;
	lie_in_queue(world, message);
}

bool server_is_idle(const struct server *server)
{
	if (server->ready.first != NULL || server->released_count > 0)
		return false;
	for (const struct connection *at = server->connections; at != NULL;
	     at = at->next)
		if (at->unacknowledged_count > 0)
			return false;
	return true;
}

/* ---- breaking ---- */

bool server_refuses(struct server *server)
{
	if (server->refusals == 0)
		return false;
	server->refusals--;
	return true;
}

void server_throw_others_out(struct connection *connection)
{
	struct world *world = connection->link->world;
	struct connection *at = world->server.connections;

	while (at != NULL) {
		struct connection *next = at->next;

		if (at != connection &&
		    at->link->lane->role == connection->link->lane->role) {
			connection_tell(at,
					(struct frame){.kind = BROKER_DOWN,
						       .status = STATUS_BUSY});
			connection_close_server(at);
		}
		at = next;
	}
}

/* What was not safe may be gone. */
static void lose_some(struct world *world)
{
	struct queue *ready = &world->server.ready;
	struct queue kept = {0};
	struct message *message;

	while ((message = queue_pop(ready)) != NULL) {
		if (message->safe || world_below(world, 2) == 0) {
			queue_push(&kept, message);
			continue;
		}
		message->lost = true;
		note(world, NULL, "lost", message->seq, 0);
	}
	*ready = kept;
}

static void forget_session(struct server *server)
{
	server->session++;
	server->known = server->subscribed = false;
	server->released_count = 0;
}

void server_restart(struct world *world, usec_t away_for, bool crash)
{
	struct server *server = &world->server;

	server->away_until = world->now + away_for;
	while (server->connections != NULL) {
		struct connection *connection = server->connections;

		connection_tell(connection,
				(struct frame){.kind = BROKER_DOWN,
					       .abrupt = crash,
					       .status = STATUS_AWAY});
		connection_close_server(connection);
	}
	if (crash)
		lose_some(world);
	if (crash && world_below(world, 2) == 0)
		forget_session(server);
}

/* The queue is gone for a moment: who speaks AMQP is told in words, and closes
 * the connection himself. */
void server_cancel(struct world *world)
{
	struct connection *at = world->server.connections;

	while (at != NULL) {
		struct connection *next = at->next;
		bool lingers = at->peer != NULL && at->peer->lingers;

		if (at->link->lane->role == BROKER_CONSUMER && !at->stopped) {
			connection_tell(
				at, (struct frame){.kind = BROKER_DOWN,
						   .lingers = at->peer != NULL,
						   .status = STATUS_NOT_FOUND});
			at->stopped = true;
			if (!lingers)
				connection_close_server(at);
		}
		at = next;
	}
}

static void tell_publishers(struct world *world, enum broker_event_kind kind)
{
	for (struct connection *at = world->server.connections; at != NULL;
	     at = at->next)
		if (at->link->lane->role == BROKER_PUBLISHER)
			connection_tell(at, (struct frame){.kind = kind});
}

static void unblock(struct world *world, void *subject, uint64_t argument)
{
	(void)subject;
	(void)argument;
	if (world->now >= world->server.blocked_until)
		tell_publishers(world, BROKER_UNBLOCKED);
}

void server_block(struct world *world, usec_t duration)
{
	world->server.blocked_until = world->now + duration;
	tell_publishers(world, BROKER_BLOCKED);
	world_at(world, world->server.blocked_until, unblock, NULL, 0);
}
