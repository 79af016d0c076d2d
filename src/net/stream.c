/* SPDX-License-Identifier: MIT */
/* Connecting, reading and writing a non-blocking TCP socket. */
#include "net/stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/tls.h"

/*
 * No TCP_USER_TIMEOUT: a broker that takes no bytes for now, as RabbitMQ does
 * with an alarm, would be cut off by it (the kernel counts a closed window as
 * silence). The protocols' own heartbeats notice a dead peer.
 */
enum { READ_SIZE = 64 * 1024, WRITE_SIZE = 1024 * 1024 };
enum { KEEPALIVE_SECONDS = 60 };

enum stream_state {
	STREAM_CONNECTING, /* `fd` is connecting to `address` */
	STREAM_SECURING,   /* connected; TLS shakes hands */
	STREAM_READY,
	STREAM_FAILED, /* `error` says why */
};

struct stream {
	enum stream_state state;
	struct stream_target target;
	struct addrinfo *addresses; /* of a name; NULL for a path */
	struct addrinfo *address;   /* the one being tried */
	struct addrinfo local;	    /* of a path */
	struct sockaddr_un path;
	usec_t try_until; /* then the next address has its turn */
	int fd;
	bool heard;	 /* the peer, since anything was written to it */
	struct tls *tls; /* NULL without */
	struct error error;
};

static int fail(struct stream *stream, enum status status, const char *cause,
		struct error *err)
{
	stream->state = STREAM_FAILED;
	error_set(&stream->error, status, "%s", cause);
	if (err != NULL)
		*err = stream->error;
	return status;
}

/* Fails for the reason that `error` has already. */
static int fail_so(struct stream *stream, struct error *err)
{
	stream->state = STREAM_FAILED;
	if (err != NULL)
		*err = stream->error;
	return stream->error.status;
}

/* A path is its own address. */
static int take_path(struct stream *stream, struct error *err)
{
	struct sockaddr_un *path = &stream->path;
	size_t len = strlen(stream->target.host);

	if (len >= sizeof(path->sun_path))
		return fail(stream, STATUS_INVALID,
			    "the path is too long for a socket", err);
	path->sun_family = AF_UNIX;
	memcpy(path->sun_path, stream->target.host, len + 1);
	stream->local = (struct addrinfo){
		.ai_family = AF_UNIX,
		.ai_socktype = SOCK_STREAM,
		.ai_addr = (struct sockaddr *)path,
		.ai_addrlen = sizeof(*path),
	};
	stream->address = &stream->local;
	return 0;
}

static int resolve(struct stream *stream, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICSERV};
	char port[8];
	char cause[160];
	int code;

	snprintf(port, sizeof(port), "%u", stream->target.port);
	code = getaddrinfo(stream->target.host, port, &hints,
			   &stream->addresses);
	if (code == 0) {
		stream->address = stream->addresses;
		return 0;
	}
	snprintf(cause, sizeof(cause), "the host name does not resolve: %s",
		 code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
	return fail(stream, STATUS_AWAY, cause, err);
}

static void set_option(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* A system that refuses one of these still gives a working connection. */
static void tune_socket(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_SECONDS / 4);
}

/* Begins with the current address; false, errno set, if it cannot be tried. */
static bool begin(struct stream *stream)
{
	const struct addrinfo *address = stream->address;

	stream->fd = socket(address->ai_family,
			    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (stream->fd < 0)
		return false;
	tune_socket(stream->fd);
	return connect(stream->fd, address->ai_addr, address->ai_addrlen) ==
		       0 ||
	       errno == EINPROGRESS;
}

static void drop_socket(struct stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}

static usec_t share_of_time(const struct stream *stream, usec_t now)
{
	usec_t left = stream->target.deadline - now;
	int addresses = 0;

	for (struct addrinfo *at = stream->address; at; at = at->ai_next)
		addresses++;
	return left > 0 ? left / addresses : 0;
}

/* Tries addresses from the current one on until one is under way. */
static int begin_any(struct stream *stream, usec_t now, struct error *err)
{
	int cause = errno;

	for (; stream->address; stream->address = stream->address->ai_next) {
		stream->try_until = now + share_of_time(stream, now);
		if (begin(stream))
			return 0;
		cause = errno;
		drop_socket(stream);
	}
	return fail(stream, STATUS_AWAY, strerror(cause), err);
}

static int next_address(struct stream *stream, int cause, usec_t now,
			struct error *err)
{
	drop_socket(stream);
	stream->address = stream->address->ai_next;
	errno = cause;
	return begin_any(stream, now, err);
}

int stream_open(struct stream **out, const struct stream_target *target,
		usec_t now, struct error *err)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int status;

	if (stream == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	stream->target = *target;
	stream->fd = -1;
	status = *target->host == '/' ? take_path(stream, err)
				      : resolve(stream, err);
	if (status == 0)
		status = begin_any(stream, now, err);
	if (status < 0)
		stream_close(stream);
	else
		*out = stream;
	return status;
}

void stream_close(struct stream *stream)
{
	if (stream == NULL)
		return;
	tls_destroy(stream->tls);
	drop_socket(stream);
	if (stream->addresses != NULL)
		freeaddrinfo(stream->addresses);
	free(stream);
}

static bool connect_ended(const struct stream *stream)
{
	struct pollfd poll_fd = {.fd = stream->fd, .events = POLLOUT};

	return poll(&poll_fd, 1, 0) > 0;
}

static int connect_error(const struct stream *stream)
{
	int cause = 0;
	socklen_t size = sizeof(cause);

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &cause, &size) < 0)
		return errno;
	return cause;
}

static int step_connecting(struct stream *stream, usec_t now, struct error *err)
{
	int cause = ETIMEDOUT;

	if (connect_ended(stream))
		cause = connect_error(stream);
	else if (now < stream->try_until)
		return 0;
	if (cause != 0)
		return next_address(stream, cause, now, err);
	if (!stream->target.tls) {
		stream->state = STREAM_READY;
		return 0;
	}
	if (tls_create(&stream->tls, stream->fd, &stream->target,
		       &stream->error) < 0)
		return fail_so(stream, err);
	stream->state = STREAM_SECURING;
	return 0;
}

static int step_securing(struct stream *stream, usec_t now, struct error *err)
{
	int status = tls_handshake(stream->tls, &stream->error);

	if (status < 0)
		return fail_so(stream, err);
	if (status > 0)
		stream->state = STREAM_READY;
	else if (now >= stream->target.deadline)
		return fail(stream, STATUS_AWAY,
			    "no answer to the TLS handshake in time", err);
	return 0;
}

int stream_step(struct stream *stream, usec_t now, struct error *err)
{
	int status = 0;

	if (stream->state == STREAM_CONNECTING)
		status = step_connecting(stream, now, err);
	if (status == 0 && stream->state == STREAM_SECURING)
		status = step_securing(stream, now, err);
	if (status == 0 && stream->state == STREAM_FAILED)
		status = fail_so(stream, err);
	return status < 0 ? status : stream->state == STREAM_READY;
}

/* What recv or send said, as bytes moved, 0 or a failure of the stream. */
static int moved(struct stream *stream, ssize_t result)
{
	if (result >= 0)
		return (int)result;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return error_set(&stream->error, STATUS_AWAY,
			 "the connection is broken: %s", strerror(errno));
}

static int receive(struct stream *stream, char *room, size_t size)
{
	ssize_t result;

	if (stream->tls != NULL)
		return tls_read(stream->tls, room, size, &stream->error);
	result = recv(stream->fd, room, size, 0);
	if (result == 0)
		return error_set(&stream->error, STATUS_AWAY,
				 "the peer closed the connection");
	return moved(stream, result);
}

static int transmit(struct stream *stream, struct span data)
{
	size_t size = data.len < WRITE_SIZE ? data.len : WRITE_SIZE;

	if (stream->tls != NULL)
		return tls_write(stream->tls, data.at, size, &stream->error);
	return moved(stream, send(stream->fd, data.at, size, MSG_NOSIGNAL));
}

int stream_read(struct stream *stream, struct buffer *in, size_t limit,
		struct error *err)
{
	int total = 0;

	if (stream->state == STREAM_FAILED)
		return fail_so(stream, err);
	while (buffer_length(in) < limit) {
		char *room = buffer_reserve(in, READ_SIZE);
		int got;

		if (room == NULL)
			return fail(stream, STATUS_NO_MEMORY, "out of memory",
				    err);
		got = receive(stream, room, READ_SIZE);
		if (got < 0)
			return fail_so(stream, err);
		if (got == 0)
			break;
		buffer_grew(in, (size_t)got);
		total += got;
		/* A socket that gave less has no more. */
		if (stream->tls == NULL && got < READ_SIZE)
			break;
	}
	stream->heard = stream->heard || total > 0;
	return total;
}

/* A peer without TCP_NODELAY keeps a small packet back until the one before it
 * is acknowledged, which may take 40 ms where nothing is written that does it
 * too. The kernel forgets the option. */
static void acknowledge(struct stream *stream)
{
	if (stream->heard && stream->target.quick_ack)
		set_option(stream->fd, IPPROTO_TCP, TCP_QUICKACK, 1);
	stream->heard = false;
}

int stream_write(struct stream *stream, struct buffer *out, struct error *err)
{
	if (stream->state == STREAM_FAILED)
		return fail_so(stream, err);
	while (buffer_length(out) > 0) {
		int sent = transmit(stream, buffer_span(out));

		if (sent < 0)
			return fail_so(stream, err);
		if (sent == 0)
			break;
		buffer_consume(out, (size_t)sent);
		stream->heard = false;
	}
	acknowledge(stream);
	return 0;
}

void stream_wait(const struct stream *stream, bool read, bool write,
		 struct wait *wait)
{
	short events = 0;

	if (stream->state == STREAM_CONNECTING) {
		events = POLLOUT;
		wait_until(wait, stream->try_until);
	} else if (stream->state == STREAM_SECURING) {
		wait_until(wait, stream->target.deadline);
	} else {
		events = (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0));
	}
	if (stream->tls != NULL) {
		events |= tls_needs(stream->tls);
		if (read && tls_pending(stream->tls))
			wait_until(wait, 0);
	}
	if (stream->state != STREAM_FAILED && events != 0)
		wait_for(wait, stream->fd, events);
}
