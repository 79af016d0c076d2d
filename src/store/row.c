/* SPDX-License-Identifier: MIT */
/* One outbox row on its way out of a SQL database, and back. */
#include "store/row.h"

#include <stdio.h>

struct span *row_text(struct outbox_row *row, int i)
{
	struct envelope *envelope = &row->envelope;
	struct span *const members[] = {
		&envelope->topic,
		&envelope->message_type,
		&envelope->message_id,
		&envelope->event_type,
		&envelope->request_id,
		&envelope->parent_request_id,
		&envelope->reply_to,
		&envelope->status,
		&envelope->source_service,
		&envelope->payload,
		&row->headers,
		&row->ordering_key,
	};

	return i < (int)(sizeof(members) / sizeof(*members)) ? members[i]
							     : NULL;
}

int row_break(struct outbox_row *row, const char *column, const char *what,
	      struct arena *arena)
{
	char text[128];

	snprintf(text, sizeof(text), "%s is %s", column, what);
	row->broken = arena_copy(arena, span_of(text));
	return span_present(row->broken) ? 0 : STATUS_NO_MEMORY;
}

size_t row_bytes(const struct outbox_row *row)
{
	return row->envelope.payload.len + row->headers.len;
}

const char *row_status_after(enum outcome_kind kind)
{
	switch (kind) {
	case OUTCOME_PUBLISHED:
		return "published";
	case OUTCOME_RETRY:
		return "pending";
	case OUTCOME_ERROR:
		return "error";
	case OUTCOME_INVALID:
		break;
	}
	return "invalid";
}
