/* SPDX-License-Identifier: MIT */
/* Any bytes as CBOR: what becomes JSON is JSON, and no larger than allowed. */
#include "fuzz.h"

#include "base/json.h"
#include "message/from_cbor.h"

enum { LIMIT = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = {(const char *)data, size};
	struct buffer json = {0};
	struct json_value value;
	int status = json_from_cbor(bytes, LIMIT, &json, NULL);

	MUST(status == 0 || status == STATUS_INVALID);
	if (status == 0) {
		MUST(buffer_length(&json) <= LIMIT);
		MUST(json_check(buffer_span(&json), &value, NULL, NULL) == 0);
	}
	buffer_finish(&json);
	return 0;
}
