/* SPDX-License-Identifier: MIT */
/* The wire between a lane and the broker: what is under way, and its ends. */
#include "wire.h"

#include "peer.h"
#include "world.h"

static action_fn arrive;
static void take_connect(struct connection *connection);

/* A peer that is silent is given up after two heartbeats. */
static const usec_t two_heartbeats = 20 * USEC_PER_SEC;

static usec_t latency(struct world *world)
{
	return 1 + world_below(world, world->plan->latency);
}

/* ---- to the lane ---- */

static void append(struct connection *connection, const struct frame *frame)
{
	struct frame *told;

	if (frame->due >= connection->cut_at)
		return;
	told = world_alloc(connection->link->world, sizeof(*told));
	*told = *frame;
	told->next = NULL;
	if (connection->told_last == NULL)
		connection->told = told;
	else
		connection->told_last->next = told;
	connection->told_last = told;
}

/* Where the network cuts the bytes in two; at their end if it does not. */
static size_t first_part(struct world *world, size_t size)
{
	if (!world->plan->dribbles || world_below(world, 2) == 0)
		return size;
	return 1 + (size_t)world_below(world, (usec_t)size);
}

/* The bytes of a frame come together or in parts, which take their time. */
static void append_bytes(struct connection *connection, struct frame *frame)
{
	struct world *world = connection->link->world;
	struct span left = world_copy(world, buffer_span(&world->speech));

	while (left.len > 0) {
		size_t size = first_part(world, left.len);
		struct frame part = *frame;

		part.bytes = (struct span){left.at, size};
		part.part = size < left.len;
		append(connection, &part);
		left.at += size;
		left.len -= size;
		if (part.part)
			frame->due +=
				1 + world_below(world, world->plan->latency);
	}
}

/* What the network itself tells. */
static bool begins_or_ends(const struct frame *frame)
{
	return frame->speech == 0 && !frame->lingers &&
	       (frame->kind == BROKER_UP || frame->kind == BROKER_DOWN);
}

static void append_speech(struct connection *connection, struct frame *frame)
{
	struct buffer *speech = &connection->link->world->speech;
	struct frame words = *frame;

	buffer_reset(speech);
	connection->peer->say(connection, frame, speech);
	if (begins_or_ends(frame))
		words.speech = LAST_WORDS;
	append_bytes(connection, &words);
	frame->due = words.due;
	if (begins_or_ends(frame))
		append(connection, frame);
}

void connection_tell(struct connection *connection, struct frame frame)
{
	struct world *world = connection->link->world;

	frame.due = world->now + latency(world);
	if (frame.due < connection->told_at)
		frame.due = connection->told_at;
	if (frame.kind == BROKER_DOWN)
		connection->ended = true;
	if (connection->using && connection->peer != NULL)
		append_speech(connection, &frame);
	else if (connection->using)
		append(connection, &frame);
	connection->told_at = frame.due; /* nothing passes what was lost */
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

void wire_send(struct connection *connection, struct parcel parcel)
{
	struct world *world = connection->link->world;
	struct parcel *sent = world_alloc(world, sizeof(*sent));

	*sent = parcel;
	sent->due = world->now + latency(world);
	if (sent->due < connection->sent_at)
		sent->due = connection->sent_at;
	connection->sent_at = sent->due;
	connection->underway += sent->size;
	if (connection->sent_last == NULL)
		connection->sent = sent;
	else
		connection->sent_last->next = sent;
	connection->sent_last = sent;
	world_at(world, sent->due, arrive, connection, 0);
}

/* A broker that is frozen takes nothing. While it blocks it reads no further
 * where a message comes next. */
static usec_t taken_at(const struct connection *connection,
		       const struct parcel *parcel)
{
	const struct server *server = &connection->link->world->server;

	if (parcel->kind == PARCEL_CONNECT && connection->peer != NULL)
		return parcel->due;
	if (parcel->kind == PARCEL_PUBLISH &&
	    server->blocked_until > server->frozen_until)
		return server->blocked_until;
	return server->frozen_until;
}

static void take_parcel(struct connection *connection,
			const struct parcel *parcel)
{
	switch (parcel->kind) {
	case PARCEL_CONNECT:
		take_connect(connection);
		break;
	case PARCEL_PUBLISH:
		server_take(connection, parcel->message);
		break;
	case PARCEL_ACK:
		server_acknowledge(connection, parcel->tag);
		break;
	case PARCEL_STOP:
		connection->stopped = true;
		break;
	case PARCEL_CLOSE:
		connection_tell(connection,
				(struct frame){.kind = BROKER_DOWN,
					       .status = STATUS_OK});
		connection_close_server(connection);
		break;
	case PARCEL_GONE:
		connection_close_server(connection);
		break;
	case PARCEL_SPEECH:
		break;
	}
	if (connection->peer != NULL && parcel->kind != PARCEL_CONNECT)
		connection->peer->take(connection, parcel);
}

/* What comes over a connection that is cut, or closed over there, is lost. */
static bool is_lost(const struct connection *connection,
		    const struct parcel *parcel)
{
	if (parcel->kind == PARCEL_GONE)
		return false;
	if (connection->link->world->now >= connection->cut_at)
		return true;
	return parcel->kind != PARCEL_CONNECT && !connection->serving;
}

static bool waits(const struct connection *connection,
		  const struct parcel *parcel)
{
	return connection->serving || parcel->kind == PARCEL_CONNECT;
}

static void arrive(struct world *world, void *subject, uint64_t argument)
{
	struct connection *connection = subject;
	struct parcel *parcel;

	(void)argument;
	while ((parcel = connection->sent) != NULL &&
	       parcel->due <= world->now) {
		usec_t at = taken_at(connection, parcel);

		if (waits(connection, parcel) && at > world->now) {
			world_at(world, at, arrive, connection, 0);
			return;
		}
		connection->sent = parcel->next;
		if (connection->sent == NULL)
			connection->sent_last = NULL;
		connection->underway -= parcel->size;
		connection->heard_at = world->now;
		if (!is_lost(connection, parcel))
			take_parcel(connection, parcel);
	}
}

/* ---- the two ends ---- */

bool connection_may_end(const struct connection *connection)
{
	const struct world *world = connection->link->world;
	const struct server *server = &world->server;

	if (connection->peer->only_answers &&
	    (connection->held ||
	     server->blocked_until >= connection->opened_at))
		return true;
	return connection->ended || world->now >= connection->cut_at ||
	       server->frozen_until >= connection->opened_at;
}

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
	link->up = link->blocked = false;
	link->closing = link->wants_ack = false;
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
		wire_send(connection, (struct parcel){.kind = PARCEL_GONE});
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
						   .abrupt = true,
						   .status = STATUS_AWAY});
	connection->cut_at = world->now;
}

void link_break(struct link *link, usec_t noticed_after, bool half_open)
{
	struct connection *connection = link->connection;
	struct world *world = link->world;

	if (connection == NULL || world->now >= connection->cut_at)
		return;
	note(world, link->lane, "the link breaks", noticed_after, 0);
	connection->cut_at =
		world->now + world_below(world, 2) * latency(world);
	if (connection->peer == NULL || !half_open)
		world_at(world, world->now + noticed_after, hear_of_break,
			 connection, 0);
	world_at(world, world->now + world_below(world, noticed_after + 1),
		 notice_at_server, connection, 0);
}

static void take_connect(struct connection *connection)
{
	struct world *world = connection->link->world;
	struct server *server = &world->server;
	bool publishes = connection->link->lane->role == BROKER_PUBLISHER;

	if (!connection->using)
		return;
	if (world->now < server->away_until) {
		connection_tell(connection,
				(struct frame){.kind = BROKER_DOWN,
					       .status = STATUS_AWAY});
		return;
	}
	if (connection->peer == NULL && !publishes && server_refuses(server)) {
		connection_tell(connection,
				(struct frame){.kind = BROKER_DOWN,
					       .status = STATUS_DENIED});
		return;
	}
	connection->serving = true;
	connection->next = world->server.connections;
	world->server.connections = connection;
	connection_tell(connection, (struct frame){.kind = BROKER_UP});
	if (connection->peer != NULL)
		return; /* the rest when it has introduced itself */
	if (world->plan->alone && !publishes)
		server_throw_others_out(connection);
	if (publishes && world->now < server->blocked_until)
		connection_tell(connection,
				(struct frame){.kind = BROKER_BLOCKED});
	server_pump(world);
}

struct connection *wire_connect(struct link *link)
{
	struct connection *connection =
		world_alloc(link->world, sizeof(*connection));

	connection->link = link;
	connection->peer = link->peer;
	connection->using = true;
	connection->opened_at = link->world->now;
	connection->cut_at = USEC_NEVER;
	connection->oldest = 1;
	if (connection->peer != NULL) {
		connection->stopped = true; /* until it is asked for */
		connection->state =
			world_alloc(link->world, connection->peer->state_size);
	}
	wire_send(connection, (struct parcel){.kind = PARCEL_CONNECT});
	return connection;
}
