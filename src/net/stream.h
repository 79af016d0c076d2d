/* SPDX-License-Identifier: MIT */
/*
 * One outgoing TCP connection, with or without TLS, or one to a Unix socket,
 * that never blocks but in resolving a host name.
 *
 * A stream is opened, stepped until it is ready, then read and written. Its
 * first failure ends it: every later call fails too, and it can only be closed.
 * Errors do not name the host, which the caller knows. One thread at a time.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/wait.h"

struct stream;

struct stream_target {
	const char *host; /* a name or an address, IPv6 without brackets, or
			   * the absolute path of a Unix socket */
	uint16_t port;	  /* none for a path */
	usec_t deadline;  /* monotonic: ready by then, or STATUS_AWAY */
	bool tls;	  /* at least 1.2; certificate and name are verified */
	const char *ca_file;   /* NULL: the system's authorities */
	const char *cert_file; /* NULL: no client certificate */
	const char *key_file;  /* NULL: the key is in cert_file */
	bool quick_ack;	       /* the peer's Nagle shall not wait for us */
};

/*
 * Resolves the name and begins to connect to its first address. The target's
 * strings are borrowed for the stream's life. STATUS_AWAY: no such name, or
 * no address that could even be tried; STATUS_INVALID: a TLS file cannot be
 * used.
 */
int stream_open(struct stream **out, const struct stream_target *target,
		usec_t now, struct error *err);

/* Accepts NULL. Says goodbye in TLS as far as the socket takes it. */
void stream_close(struct stream *stream);

/*
 * Goes on connecting: 1 when the stream is ready, 0 when not yet. The addresses
 * of a name share the time until the deadline and are tried in turn; the error
 * is the last one's. STATUS_DENIED: the certificate was not accepted, by us
 * or by the peer; STATUS_PROTOCOL: the peer does not speak TLS.
 */
int stream_step(struct stream *stream, usec_t now, struct error *err);

/*
 * Reads what is there until `in` holds `limit` bytes. Returns how many bytes
 * came. STATUS_AWAY when the peer has closed or broken the connection: what it
 * sent before that is in the buffer.
 */
int stream_read(struct stream *stream, struct buffer *in, size_t limit,
		struct error *err);

/* Writes and consumes as much as the socket takes. Returns 0. With nothing to
 * write it still acknowledges what was read, for quick_ack. */
int stream_write(struct stream *stream, struct buffer *out, struct error *err);

/* Adds what the stream waits for; once it is ready, only what the caller wants
 * of it, and nothing when it wants nothing or the stream has failed. */
void stream_wait(const struct stream *stream, bool read, bool write,
		 struct wait *wait);

#endif
