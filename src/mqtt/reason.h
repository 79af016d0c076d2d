/* SPDX-License-Identifier: MIT */
/* MQTT's reason codes (version 5, 2.4; 3.1.1, 3.2.2.3 and 3.9.3) as
 * statuses and sentences, from one table. */
#ifndef MQTT_REASON_H
#define MQTT_REASON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

/* Those that are told apart somewhere. */
enum mqtt_reason {
	REASON_SUCCESS = 0x00,
	REASON_DISCONNECT_WITH_WILL = 0x04,
	REASON_NO_MATCHING_SUBSCRIBERS = 0x10,
	REASON_UNSPECIFIED = 0x80,
	REASON_MALFORMED_PACKET = 0x81,
	REASON_PROTOCOL_ERROR = 0x82,
	REASON_UNSUPPORTED_VERSION = 0x84,
	REASON_PACKET_ID_NOT_FOUND = 0x92,
	REASON_RECEIVE_MAXIMUM = 0x93,
	REASON_PACKET_TOO_LARGE = 0x95,
	REASON_NO_SHARED_SUBSCRIPTIONS = 0x9e,
	REASON_NO_WILDCARD_SUBSCRIPTIONS = 0xa2,
};

/* From here on a code is a failure. */
enum { REASON_FAILURES = 0x80 };

/* "the topic is not allowed to us"; a general phrase for unknown codes. */
const char *mqtt_reason_text(uint8_t reason);

/*
 * Fills err with "context: the reason's sentence (0x87)", the server's own
 * words after it if there are any, and returns the status that the table has
 * for it: STATUS_INVALID if the same message or request can never succeed.
 */
int mqtt_reason_error(struct error *err, const char *context, uint8_t reason,
		      struct span words);

/* The version 5 code that says what a CONNACK's return code 1 to 5 says in
 * 3.1.1; REASON_UNSPECIFIED for others. */
uint8_t mqtt_reason_of_return_code(uint8_t code);

#endif
