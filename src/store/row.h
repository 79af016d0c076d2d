/* SPDX-License-Identifier: MIT */
/* One outbox row on its way out of a SQL database, and back. */
#ifndef STORE_ROW_H
#define STORE_ROW_H

#include "store/store.h"

/*
 * The i-th of the members that are text columns, NULL after the last: topic,
 * message_type, message_id, event_type, request_id, parent_request_id,
 * reply_to, message_status, source_service, payload, headers, ordering_key.
 */
struct span *row_text(struct outbox_row *row, int i);

/* Sets `broken`: "COLUMN is WHAT". Not even that: STATUS_NO_MEMORY. */
int row_break(struct outbox_row *row, const char *column, const char *what,
	      struct arena *arena);

/* What counts towards a claim's max_bytes. */
size_t row_bytes(const struct outbox_row *row);

/* The status that an outcome leaves. */
const char *row_status_after(enum outcome_kind kind);

#endif
