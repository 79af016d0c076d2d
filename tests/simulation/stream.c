/* SPDX-License-Identifier: MIT */
/* Streams without sockets: the bytes go to a peer, and come from it. */
#include "stream.h"

#include <stdio.h>

#include "peer.h"
#include "world.h"

struct stream {
	struct link *link;
	struct connection *connection;
	usec_t deadline;
	struct buffer written; /* of which the peer waits for the rest */
	bool ready;
	bool failed;
	size_t unwritten;   /* what the lane could not yet write */
	bool reads, writes; /* what the lane waits for */
	usec_t room_at;	    /* when it takes more */
};

/* ---- who the lanes are, on their machine ---- */

int __wrap_gethostname(char *name, size_t size);
int __wrap_getpid(void);

int __wrap_gethostname(char *name, size_t size)
{
	snprintf(name, size, "machine");
	return 0;
}

int __wrap_getpid(void)
{
	return 1;
}

/* ---- its life ---- */

static struct link *plugged;

void stream_plug(struct link *link)
{
	plugged = link;
}

void stream_rest(struct stream *stream)
{
	if (stream != NULL)
		stream->reads = stream->writes = false;
}

int stream_open(struct stream **out, const struct stream_target *target,
		usec_t now, struct error *err)
{
	struct stream *stream = world_alloc(plugged->world, sizeof(*stream));

	(void)now;
	(void)err;
	stream->link = plugged;
	stream->deadline = target->deadline;
	stream->connection = plugged->connection = wire_connect(plugged);
	plugged->stream = stream;
	*out = stream;
	return 0;
}

void stream_close(struct stream *stream)
{
	if (stream == NULL)
		return;
	buffer_finish(&stream->written);
	stream->link->stream = NULL;
	wire_let_go(stream->link);
}

/* The lane is told once; then it can only close. */
static int fail(struct stream *stream, const char *why, struct error *err)
{
	if (stream->failed)
		violated(stream->link->world, 'I', "it uses what has failed");
	stream->failed = true;
	return error_set(err, STATUS_AWAY, "%s", why);
}

static bool is_end(const struct frame *frame)
{
	return frame->kind == BROKER_DOWN && frame->bytes.len == 0;
}

int stream_step(struct stream *stream, usec_t now, struct error *err)
{
	struct frame *frame;

	if (stream->link->lane->dead || stream->ready)
		return stream->ready;
	frame = wire_hear(stream->connection);
	if (frame != NULL && is_end(frame))
		return fail(stream, "nobody listens", err);
	if (frame == NULL && now >= stream->deadline)
		return fail(stream, "nobody answers", err);
	stream->ready = frame != NULL;
	return stream->ready;
}

/* ---- bytes ---- */

int stream_read(struct stream *stream, struct buffer *in, size_t limit,
		struct error *err)
{
	struct link *link = stream->link;
	size_t before = buffer_length(in);

	while (!link->lane->dead && buffer_length(in) < limit) {
		struct frame *frame =
			stream->failed ? NULL : wire_hear(stream->connection);

		if (stream->failed || (frame != NULL && is_end(frame)))
			return fail(stream, "the peer has gone", err);
		if (frame == NULL)
			break;
		buffer_append_span(in, frame->bytes);
		if (!frame->part && frame->speech == 0)
			link_hear(link, frame);
	}
	return (int)(buffer_length(in) - before);
}

/* How much it takes now. */
static size_t room(const struct stream *stream)
{
	const struct world *world = stream->link->world;
	size_t most = world->plan->socket;
	size_t underway = stream->connection->underway;

	if (world->now < stream->room_at || underway >= most)
		return 0;
	return most - underway;
}

/* The peer's end has closed, and this one has been told so. */
static bool is_refused(const struct stream *stream)
{
	const struct frame *next = stream->connection->told;
	struct world *world = stream->link->world;

	return next != NULL && next->due <= world->now && is_end(next) &&
	       world_below(world, 2) == 0;
}

/* Who dies here has written a part of it, or nothing. */
static void write_some(struct stream *stream, struct buffer *out, size_t size)
{
	struct connection *connection = stream->connection;
	struct lane *lane = stream->link->lane;
	usec_t lasts;
	bool dies = lane_trap(lane, false, &lasts) != DEED_KINDS;

	if (dies)
		size = (size_t)world_below(lane->world, (usec_t)size + 1);
	buffer_append(&stream->written, buffer_span(out).at, size);
	buffer_consume(out, size);
	connection->peer->hear(connection, &stream->written);
	if (dies)
		worker_kill(lane->worker, lasts);
}

int stream_write(struct stream *stream, struct buffer *out, struct error *err)
{
	struct world *world = stream->link->world;
	size_t size = buffer_length(out);

	stream->unwritten = size;
	if (stream->link->lane->dead || size == 0)
		return 0;
	if (stream->failed || is_refused(stream))
		return fail(stream, "nobody reads", err);
	if (size > room(stream))
		size = room(stream);
	if (size > 0)
		write_some(stream, out, size);
	stream->unwritten = buffer_length(out);
	if (stream->unwritten > 0 && stream->room_at <= world->now)
		stream->room_at =
			world->now + 1 + world_below(world, USEC_PER_MSEC);
	return 0;
}

void stream_wait(const struct stream *stream, bool read, bool write,
		 struct wait *wait)
{
	struct stream *own = stream->link->stream;

	if (!stream->ready)
		wait_until(wait, stream->deadline);
	if (stream->unwritten > 0 && !write)
		violated(stream->link->world, 'I', "it leaves bytes unsent");
	own->reads = read || !stream->ready;
	own->writes = write;
}

usec_t stream_ready_at(const struct stream *stream)
{
	const struct frame *next = stream->connection->told;
	usec_t at = USEC_NEVER;

	if (stream->failed || stream->link->connection == NULL)
		return at;
	if (stream->reads && next != NULL)
		at = next->due;
	if (stream->writes && stream->room_at < at &&
	    stream->connection->underway < stream->link->world->plan->socket)
		at = stream->room_at;
	return at;
}
