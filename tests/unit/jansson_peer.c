/* SPDX-License-Identifier: MIT */
/* What jansson says. */
#include "jansson_peer.h"

#include <jansson.h>

static json_t *load(struct span text, json_error_t *error)
{
	return json_loadb(text.at, text.len, JSON_DECODE_ANY, error);
}

enum peer_verdict peer_check(struct span text)
{
	json_error_t error;
	json_t *loaded = load(text, &error);

	if (loaded == NULL)
		return json_error_code(&error) == json_error_numeric_overflow
			       ? PEER_OVERFLOWS
			       : PEER_REFUSES;
	json_decref(loaded);
	return PEER_ACCEPTS;
}

bool peer_same(struct span text, struct span other)
{
	json_t *one = load(text, NULL);
	json_t *two = load(other, NULL);
	bool same = one != NULL && json_equal(one, two);

	json_decref(one);
	json_decref(two);
	return same;
}
