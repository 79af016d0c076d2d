/* SPDX-License-Identifier: MIT */
/* Field tables as RabbitMQ writes them, read into strings. */
#ifndef AMQP_FIELDS_H
#define AMQP_FIELDS_H

#include "base/arena.h"
#include "base/error.h"
#include "message/headers.h"

/* Reads a table, its length prefix already taken off: see properties_read for
 * what becomes of the values. */
int fields_read(struct headers *headers, struct span table, struct arena *arena,
		struct error *err);

#endif
