/* SPDX-License-Identifier: MIT */
/* A lane's end of the wire: the driver of the simulated broker. */
#include "stream.h"
#include "wire.h"
#include "world.h"

static struct link *link_of(struct broker *broker)
{
	return (struct link *)broker;
}

/* ---- links ---- */

struct link *link_create(struct world *world, struct lane *lane)
{
	struct link *link = world_alloc(world, sizeof(*link));

	link->world = world;
	link->lane = lane;
	link->base.driver = &simulated_broker;
	link->base.lock = lane->role == BROKER_CONSUMER && world->plan->alone
				  ? "intake"
				  : NULL;
	if (world->plan->wire != WIRE_BROKER)
		link_observe(link);
	return link;
}

void link_abandon(struct link *link)
{
	wire_let_go(link);
}

void link_destroy(struct link *link)
{
	if (link->real != NULL)
		link->real->driver->destroy(link->real);
	link->real = NULL;
}

struct broker *link_broker(struct link *link)
{
	return &link->base;
}

usec_t link_was_up_at(const struct link *link)
{
	return link->up_at;
}

void link_stood_still(struct link *link, usec_t duration)
{
	double seconds = (double)duration / USEC_PER_SEC;

	if (link->connection != NULL &&
	    seconds >= link->world->plan->heartbeat / 2)
		link->connection->held = true;
}

usec_t link_ready_at(const struct link *link)
{
	if (link->stream != NULL)
		return stream_ready_at(link->stream);
	if (!link->listening || link->connection == NULL ||
	    link->connection->told == NULL)
		return USEC_NEVER;
	return link->connection->told->due;
}

/* ---- the driver ---- */

static void simulated_connect(struct broker *broker, usec_t now)
{
	struct link *link = link_of(broker);

	(void)now;
	if (link->lane->dead)
		return;
	if (link->connection != NULL)
		violated(link->world, 'I', "connected twice");
	link->connection = wire_connect(link);
	link->up = link->closing = false;
}

static void simulated_step(struct broker *broker, usec_t now)
{
	(void)broker;
	(void)now;
}

static bool begins_with(struct span text, const char *start)
{
	return text.len >= strlen(start) &&
	       memcmp(text.at, start, strlen(start)) == 0;
}

static struct message *make_message(struct world *world,
				    const struct publication *from)
{
	struct message *message = world_alloc(world, sizeof(*message));
	struct letter *letter =
		checker_letter(world, world_copy(world, from->body));

	letter->message_id = world_copy(world, from->envelope->message_id);
	letter->payload = world_copy(world, from->envelope->payload);
	message->seq = from->created_at; /* the store has put it there */
	message->letter = letter;
	message->message_id = letter->message_id;
	message->topic = world_copy(world, from->envelope->topic);
	message->ordering_key =
		world_copy(world, headers_find(&from->headers, "ordering_key"));
	message->routed = !begins_with(message->topic, "event.void.") &&
			  !begins_with(message->topic, "void.");
	message->must_route = from->type != MESSAGE_EVENT;
	message->chokes = span_is(message->topic, "event.test.choking.row");
	letter->hopeless = span_is(message->topic, "event.test.poison.row");
	letter->keys |= 1u << world->checker.stories[message->seq].key;
	world->checker.stories[message->seq].letter = letter;
	return message;
}

bool link_may_publish(struct link *link)
{
	if (!link->up)
		violated(link->world, 'I', "published while down");
	else if (link->blocked)
		violated(link->world, 'I', "published while blocked");
	return link->up;
}

struct message *link_publish(struct link *link, const struct publication *from,
			     uint64_t tag)
{
	struct connection *connection = link->connection;
	struct message *message = make_message(link->world, from);

	message->tag = tag;
	connection->by_tag[tag % UNANSWERED_MAX] = message;
	connection->unanswered++;
	return message;
}

static int simulated_publish(struct broker *broker,
			     const struct publication *from, uint64_t *tag,
			     struct error *err)
{
	struct link *link = link_of(broker);
	struct connection *connection = link->connection;
	unsigned most = link->world->plan->receive_maximum;

	if (link->lane->dead)
		return error_set(err, STATUS_BUSY, "dead");
	if (!link_may_publish(link))
		return error_set(err, STATUS_BUSY, "down");
	if (most > 0 && connection->unanswered >= most)
		return error_set(err, STATUS_BUSY, "too many unanswered");
	*tag = ++connection->published;
	queue_push(&link->unsent, link_publish(link, from, *tag));
	return 0;
}

/* False if the lane dies before it has said more. */
static bool survives(struct link *link)
{
	usec_t lasts;
	enum deed_kind kind;

	if (link->lane->dead)
		return false;
	kind = lane_trap(link->lane, false, &lasts);
	if (kind == DEED_KINDS)
		return true;
	worker_kill(link->lane->worker, lasts);
	return false;
}

static void transmit(struct link *link)
{
	while (link->unsent.first != NULL && survives(link)) {
		struct message *message = queue_pop(&link->unsent);

		checker_sent(link->world, link->lane, message->seq);
		wire_send(link->connection,
			  (struct parcel){.kind = PARCEL_PUBLISH,
					  .message = message});
	}
}

void link_acknowledged(struct link *link, uint64_t tag)
{
	struct connection *connection = link->connection;

	if (tag > connection->told_tag) {
		violated(link->world, 'I', "acknowledged what never came");
		return;
	}
	while (connection->acknowledged < tag)
		checker_acknowledged(
			link->world,
			connection
				->by_tag[++connection->acknowledged %
					 UNANSWERED_MAX]
				->letter);
}

static void simulated_acknowledge(struct broker *broker, uint64_t tag)
{
	struct link *link = link_of(broker);

	if (link->lane->dead)
		return;
	if (link->connection == NULL) {
		violated(link->world, 'I', "acknowledged while down");
		return;
	}
	link_acknowledged(link, tag);
	link->wants_ack = true;
	link->ack_tag = tag;
}

static void simulated_stop_consuming(struct broker *broker)
{
	struct link *link = link_of(broker);

	if (!link->lane->dead && link->connection != NULL)
		wire_send(link->connection,
			  (struct parcel){.kind = PARCEL_STOP});
}

static void simulated_close(struct broker *broker, usec_t now)
{
	(void)now;
	link_of(broker)->closing = true;
}

/* A relay that gives up for no reason may not send anything twice. That it was
 * told to end by now is one. */
void link_cut(struct link *link)
{
	const struct worker *worker = link->lane->worker;

	if (worker->drain_by != 0 && link->world->now >= worker->drain_by)
		checker_broken(link->world, link->lane);
	wire_let_go(link);
}

static void simulated_cut(struct broker *broker)
{
	struct link *link = link_of(broker);

	if (!link->lane->dead)
		link_cut(link);
}

static void simulated_destroy(struct broker *broker)
{
	simulated_cut(broker);
}

/* ---- events ---- */

static void read_delivery(const struct frame *frame, struct arena *arena,
			  struct delivery *delivery)
{
	struct message *message = frame->message;

	*delivery = (struct delivery){
		.tag = frame->tag,
		.redelivered = message->redelivered,
		.topic = arena_copy(arena, message->topic),
		.body = arena_copy(arena, message->letter->body),
		.message_id = arena_copy(arena, message->message_id),
	};
	if (span_present(message->ordering_key)) {
		delivery->headers.at =
			arena_alloc(arena, sizeof(*delivery->headers.at));
		delivery->headers.at[0] = (struct header){
			SPAN_LIT("ordering_key"),
			arena_copy(arena, message->ordering_key)};
		delivery->headers.count = 1;
	}
}

/* Tells the checker of each publish that the frame answers. */
static void tell_checker(struct link *link, const struct frame *frame)
{
	struct connection *connection = link->connection;
	uint64_t tag = frame->tag;
	uint64_t first = frame->multiple ? connection->oldest : tag;
	/* Half an answer may not be worth remembering. */
	const struct lane *told = connection->halves ? NULL : link->lane;

	for (; tag >= first && tag > 0; tag--) {
		struct message **sent =
			&connection->by_tag[tag % UNANSWERED_MAX];

		if (*sent == NULL)
			continue;
		if (frame->kind == BROKER_REFUSED)
			checker_refused(link->world, (*sent)->seq);
		else
			checker_confirmed(link->world, told, (*sent)->seq,
					  !(*sent)->routed &&
						  (*sent)->must_route);
		*sent = NULL;
		connection->unanswered--;
	}
	while (connection->oldest <= connection->published &&
	       connection->by_tag[connection->oldest % UNANSWERED_MAX] == NULL)
		connection->oldest++;
}

/* The broker closed over one of those that it had not answered. */
static void suspect(struct connection *connection)
{
	struct world *world = connection->link->world;

	for (size_t i = 0; i < UNANSWERED_MAX; i++)
		if (connection->by_tag[i] != NULL)
			checker_suspected(world, connection->by_tag[i]->seq);
}

void link_hear(struct link *link, const struct frame *frame)
{
	struct connection *connection = link->connection;

	switch (frame->kind) {
	case BROKER_DOWN:
		if (frame->by_publish)
			suspect(connection);
		break;
	case BROKER_CONFIRMED:
	case BROKER_REFUSED:
		tell_checker(link, frame);
		break;
	case BROKER_DELIVERED:
		connection->told_tag = frame->tag;
		connection->by_tag[frame->tag % UNANSWERED_MAX] =
			frame->message;
		break;
	case BROKER_BLOCKED:
	case BROKER_UNBLOCKED:
		link->blocked = frame->kind == BROKER_BLOCKED;
		break;
	case BROKER_UP:
	case BROKER_RETURNED:
		break;
	}
}

static void explain(struct broker_event *event, const struct frame *frame)
{
	event->kind = frame->kind;
	event->tag = frame->tag;
	event->multiple = frame->multiple;
	event->by_publish = frame->by_publish;
	if (frame->kind == BROKER_DOWN)
		error_set(&event->error, frame->status, "the link is lost");
	else if (frame->kind == BROKER_RETURNED)
		error_set(&event->error, STATUS_NOT_FOUND, "unroutable");
	else if (frame->kind == BROKER_REFUSED)
		error_set(&event->error, STATUS_AWAY, "refused");
	else if (frame->kind == BROKER_BLOCKED)
		error_set(&event->error, STATUS_BUSY, "blocked");
}

static bool simulated_next(struct broker *broker, struct arena *arena,
			   struct broker_event *event)
{
	struct link *link = link_of(broker);
	struct frame *frame;

	event->kind = BROKER_DOWN;
	event->error.status = 0;
	event->error.text[0] = '\0';
	event->another_host = false;
	link->asked = true;
	if (link->lane->dead || link->connection == NULL)
		return false;
	frame = wire_hear(link->connection);
	if (frame == NULL)
		return false;
	explain(event, frame);
	link_hear(link, frame);
	if (frame->kind == BROKER_UP)
		link->up = true;
	if (frame->kind == BROKER_DELIVERED)
		read_delivery(frame, arena, &event->delivery);
	if (frame->kind == BROKER_DOWN) {
		if (frame->status != STATUS_OK)
			checker_broken(link->world, link->lane);
		wire_let_go(link);
	}
	return true;
}

static void simulated_flush(struct broker *broker, usec_t now,
			    struct wait *wait)
{
	struct link *link = link_of(broker);

	transmit(link);
	if (link->connection != NULL && link->wants_ack && survives(link)) {
		wire_send(link->connection,
			  (struct parcel){.kind = PARCEL_ACK,
					  .tag = link->ack_tag});
		link->wants_ack = false;
	}
	if (link->connection != NULL && link->closing && !link->lane->dead) {
		link->closing = false;
		wire_send(link->connection,
			  (struct parcel){.kind = PARCEL_CLOSE});
	}
	if (link->up)
		link->up_at = now;
	link->listening = link->asked;
	link->asked = false;
	if (link_ready_at(link) <= now)
		wait_until(wait, now);
}

const struct broker_driver simulated_broker = {
	.name = "simulated",
	.destroy = simulated_destroy,
	.connect = simulated_connect,
	.step = simulated_step,
	.next = simulated_next,
	.publish = simulated_publish,
	.acknowledge = simulated_acknowledge,
	.stop_consuming = simulated_stop_consuming,
	.close = simulated_close,
	.cut = simulated_cut,
	.flush = simulated_flush,
};
