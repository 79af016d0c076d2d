/* SPDX-License-Identifier: MIT */
/* How large a text may be, as it is and as a database writes it out. */
#include "message/bounds.h"

int bounds_check_text(struct span text, const struct envelope_limits *limits,
		      struct json_value *value, struct json_measure *measure,
		      struct error *err)
{
	if (text.len > limits->max_message_bytes)
		return error_set(err, STATUS_INVALID,
				 "found %zu bytes, at most %zu are allowed "
				 "(max_message_bytes)",
				 text.len, limits->max_message_bytes);
	return json_check(text, value, measure, err);
}

int bounds_check_numbers(struct span payload, size_t exponents,
			 const struct envelope_limits *limits,
			 struct error *err)
{
	if (exponents <= limits->max_message_bytes &&
	    payload.len <= limits->max_message_bytes - exponents)
		return 0;
	return error_set(err, STATUS_INVALID,
			 "found numbers that take more than %zu bytes when "
			 "written out (max_message_bytes)",
			 limits->max_message_bytes);
}
