/* SPDX-License-Identifier: MIT */
/* A lane's end of a wire of bytes: the product's driver, watched. */
#include <stdlib.h>

#include "peer.h"
#include "stream.h"
#include "world.h"

static struct link *link_of(struct broker *broker)
{
	return (struct link *)broker;
}

/* Its next calls are this lane's; NULL if that lane is dead. */
static struct broker *real_of(struct broker *broker)
{
	struct link *link = link_of(broker);

	if (link->lane->dead)
		return NULL;
	stream_plug(link);
	return link->real;
}

static const struct peer *const peers[WIRES] = {
	[WIRE_AMQP] = &amqp_peer,
	[WIRE_MQTT] = &mqtt_peer,
};

void link_observe(struct link *link)
{
	struct world *world = link->world;
	struct error err;

	link->peer = peers[world->plan->wire];
	if (link->peer->driver->create(&link->real, &world->config,
				       link->lane->role, &err) < 0)
		abort();
	link->base.driver = &observed_broker;
	link->base.lock = link->real->lock;
}

/* ---- the driver ---- */

static void observed_connect(struct broker *broker, usec_t now)
{
	struct broker *real = real_of(broker);

	if (real == NULL)
		return;
	if (link_of(broker)->connection != NULL)
		violated(link_of(broker)->world, 'I', "connected twice");
	real->driver->connect(real, now);
}

static void observed_step(struct broker *broker, usec_t now)
{
	struct broker *real = real_of(broker);

	if (real != NULL)
		real->driver->step(real, now);
}

/* `good`: the connection that is lost, if it was up. */
static void hear_end(struct link *link, const struct connection *good,
		     const struct error *why)
{
	struct world *world = link->world;

	note(world, link->lane, "is told of the end", why->status, 0);
	if (why->status == STATUS_OK)
		return;
	if (why->status == STATUS_PROTOCOL ||
	    (good != NULL && !connection_may_end(good)))
		violated(world, 'I', "the link was given up: %s", why->text);
	checker_broken(world, link->lane);
}

static bool observed_next(struct broker *broker, struct arena *arena,
			  struct broker_event *event)
{
	struct link *link = link_of(broker);
	struct broker *real = real_of(broker);
	const struct connection *good = link->up ? link->connection : NULL;

	if (real == NULL || !real->driver->next(real, arena, event))
		return false;
	if (event->kind == BROKER_UP)
		link->up = true;
	if (event->kind == BROKER_DOWN)
		hear_end(link, good, &event->error);
	return true;
}

static int observed_publish(struct broker *broker,
			    const struct publication *from, uint64_t *tag,
			    struct error *err)
{
	struct link *link = link_of(broker);
	struct broker *real = real_of(broker);
	int status;

	if (real == NULL)
		return error_set(err, STATUS_BUSY, "dead");
	if (!link_may_publish(link))
		return error_set(err, STATUS_BUSY, "down");
	status = real->driver->publish(real, from, tag, err);
	if (status < 0)
		return status;
	if (*tag != ++link->connection->published)
		violated(link->world, 'I', "publish %llu has number %llu",
			 (unsigned long long)link->connection->published,
			 (unsigned long long)*tag);
	queue_push(&link->unsent, link_publish(link, from, *tag));
	checker_sent(link->world, link->lane, from->created_at);
	return 0;
}

static void observed_acknowledge(struct broker *broker, uint64_t tag)
{
	struct broker *real = real_of(broker);

	if (real != NULL)
		real->driver->acknowledge(real, tag);
}

static void observed_stop_consuming(struct broker *broker)
{
	struct broker *real = real_of(broker);

	if (real != NULL)
		real->driver->stop_consuming(real);
}

static void observed_close(struct broker *broker, usec_t now)
{
	struct broker *real = real_of(broker);

	if (real != NULL)
		real->driver->close(real, now);
}

static void observed_cut(struct broker *broker)
{
	struct broker *real = real_of(broker);

	if (real == NULL)
		return;
	link_cut(link_of(broker));
	real->driver->cut(real);
}

static void observed_flush(struct broker *broker, usec_t now, struct wait *wait)
{
	struct link *link = link_of(broker);
	struct broker *real = real_of(broker);

	if (real == NULL)
		return;
	stream_rest(link->stream);
	real->driver->flush(real, now, wait);
	link->flushed_at = now;
	if (link->up)
		link->up_at = now;
}

const struct broker_driver observed_broker = {
	.name = "observed",
	.connect = observed_connect,
	.step = observed_step,
	.next = observed_next,
	.publish = observed_publish,
	.acknowledge = observed_acknowledge,
	.stop_consuming = observed_stop_consuming,
	.close = observed_close,
	.cut = observed_cut,
	.flush = observed_flush,
};
