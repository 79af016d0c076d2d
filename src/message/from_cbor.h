/* SPDX-License-Identifier: MIT */
/* CBOR (RFC 8949) as JSON text, for what devices send. */
#ifndef MESSAGE_FROM_CBOR_H
#define MESSAGE_FROM_CBOR_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/span.h"

/*
 * Appends the one item that `cbor` must hold as JSON that json_check accepts:
 * integers with all their digits, floats with as many as tell them apart, byte
 * strings in base64, undefined as null; tags are passed over.
 *
 * STATUS_INVALID: malformed, cut off or followed by more; more than `limit`
 * bytes of JSON; nested deeper than JSON_MAX_DEPTH; or what JSON cannot say: a
 * key that is no text, NUL, NaN, infinity, a number beyond 64 bits.
 * STATUS_NO_MEMORY. What was appended until then stays.
 */
int json_from_cbor(struct span cbor, size_t limit, struct buffer *out,
		   struct error *err);

#endif
