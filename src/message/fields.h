/* SPDX-License-Identifier: MIT */
/* The string fields of an envelope, in the order they are written. */
#ifndef MESSAGE_FIELDS_H
#define MESSAGE_FIELDS_H

#include "message/envelope.h"

struct field {
	const char *name;
	size_t offset; /* of a span in struct envelope */
};

enum { FIELD_COUNT = 10 };
extern const struct field envelope_fields[FIELD_COUNT];

static inline struct span field_of(const struct envelope *envelope,
				   const struct field *field)
{
	return *(const struct span *)(const void *)((const char *)envelope +
						    field->offset);
}

#endif
