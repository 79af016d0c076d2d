/* SPDX-License-Identifier: MIT */
/* From an outbox row to a message ready to be published. */
#ifndef BUS_OUTGOING_H
#define BUS_OUTGOING_H

#include "broker/broker.h"
#include "store/store.h"

struct outgoing {
	const struct runtime_config *config;
	struct envelope_limits limits;
	struct envelope envelope;
	struct arena scratch;
	struct buffer body;
};

void outgoing_init(struct outgoing *outgoing,
		   const struct runtime_config *config);
void outgoing_finish(struct outgoing *outgoing);

/*
 * Normalises, validates and builds. The message borrows from the row and from
 * *outgoing until the next call. STATUS_INVALID: the row can never be sent
 * (expired ones too), the text says why. STATUS_NO_MEMORY.
 */
int outgoing_prepare(struct outgoing *outgoing, const struct outbox_row *row,
		     struct publication *message, struct error *err);

/* True if a message of this type that reached no queue has failed. */
bool outgoing_must_route(const struct outgoing *outgoing,
			 enum message_type type);

#endif
