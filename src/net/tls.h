/* SPDX-License-Identifier: MIT */
/*
 * TLS on a connected non-blocking socket, the client's side.
 *
 * OpenSSL is loaded with its tables only when the first of these is created.
 * Nothing is sent but the handshake before the peer's certificate and name
 * have been verified.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "net/stream.h"

struct tls;

/* Borrows fd. STATUS_INVALID: a file of the target cannot be used. */
int tls_create(struct tls **out, int fd, const struct stream_target *target,
	       struct error *err);
void tls_destroy(struct tls *tls);

/* 1 when done, 0 when it goes on later, or what stream_step says. */
int tls_handshake(struct tls *tls, struct error *err);

/* Both return the bytes moved, 0 when nothing can move now. */
int tls_read(struct tls *tls, char *data, size_t size, struct error *err);
int tls_write(struct tls *tls, const char *data, size_t size,
	      struct error *err);

/* Bytes are decrypted already that no poll will announce. */
bool tls_pending(const struct tls *tls);

/* Poll events without which nothing goes on, whatever the caller wants. */
short tls_needs(const struct tls *tls);

#endif
