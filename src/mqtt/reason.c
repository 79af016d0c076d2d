/* SPDX-License-Identifier: MIT */
/* The table of reason codes. */
#include "mqtt/reason.h"

#include <stddef.h>

#include "base/quote.h"

struct reason {
	enum status status; /* of a request that was refused so */
	const char *text;
};

static const struct reason successes[] = {
	[0x00] = {STATUS_OK, "success"},
	[0x01] = {STATUS_OK, "granted QoS 1"},
	[0x02] = {STATUS_OK, "granted QoS 2"},
	[0x04] = {STATUS_OK, "disconnected, the will is published"},
	[0x10] = {STATUS_OK, "nobody has subscribed to the topic"},
	[0x11] = {STATUS_OK, "there was no such subscription"},
	[0x18] = {STATUS_OK, "the authentication goes on"},
	[0x19] = {STATUS_OK, "authenticate again"},
};

static const struct reason failures[] = {
	[0x00] = {STATUS_FAILED, "the server gives no reason"},
	[0x01] = {STATUS_PROTOCOL, "a packet was malformed"},
	[0x02] = {STATUS_PROTOCOL, "the protocol was broken"},
	[0x03] = {STATUS_FAILED, "the server refuses by a rule of its own"},
	[0x04] = {STATUS_PROTOCOL,
		  "the server does not speak this version of MQTT"},
	[0x05] = {STATUS_DENIED, "the client id is not accepted"},
	[0x06] = {STATUS_DENIED, "wrong username or password"},
	[0x07] = {STATUS_DENIED, "not authorised"},
	[0x08] = {STATUS_AWAY, "the server is not available"},
	[0x09] = {STATUS_AWAY, "the server is busy"},
	[0x0a] = {STATUS_DENIED, "the server has banned this client"},
	[0x0b] = {STATUS_AWAY, "the server is shutting down"},
	[0x0c] = {STATUS_DENIED, "the authentication method is not accepted"},
	[0x0d] = {STATUS_AWAY,
		  "the server heard nothing within the keep-alive"},
	[0x0e] = {STATUS_BUSY,
		  "another client has connected with the same client id"},
	[0x0f] = {STATUS_INVALID, "the topic filter is not accepted"},
	[0x10] = {STATUS_INVALID, "the topic is not accepted"},
	[0x11] = {STATUS_PROTOCOL, "the packet id is in use"},
	[0x12] = {STATUS_PROTOCOL, "the packet id is not known"},
	[0x13] = {STATUS_PROTOCOL, "more in flight than the receive maximum"},
	[0x14] = {STATUS_PROTOCOL, "the topic alias is invalid"},
	[0x15] = {STATUS_INVALID, "the packet is too large"},
	[0x16] = {STATUS_BUSY, "the message rate is too high"},
	[0x17] = {STATUS_BUSY, "a quota is exceeded"},
	[0x18] = {STATUS_AWAY, "an administrator closed the connection"},
	[0x19] = {STATUS_INVALID,
		  "the payload is not in the format that is announced"},
	[0x1a] = {STATUS_INVALID, "retained messages are not supported"},
	[0x1b] = {STATUS_INVALID, "this QoS is not supported"},
	[0x1c] = {STATUS_AWAY, "use another server for now"},
	[0x1d] = {STATUS_AWAY, "the server has moved"},
	[0x1e] = {STATUS_INVALID, "shared subscriptions are not supported"},
	[0x1f] = {STATUS_BUSY, "the connection rate is exceeded"},
	[0x20] = {STATUS_BUSY, "the maximum connect time is over"},
	[0x21] = {STATUS_INVALID, "subscription identifiers are not supported"},
	[0x22] = {STATUS_INVALID, "wildcard subscriptions are not supported"},
};

enum {
	SUCCESSES = sizeof(successes) / sizeof(successes[0]),
	FAILURES = sizeof(failures) / sizeof(failures[0]),
};

static const struct reason *find(uint8_t code)
{
	static const struct reason unknown = {STATUS_PROTOCOL,
					      "an unknown reason"};
	const struct reason *reason = &unknown;

	if (code < SUCCESSES)
		reason = &successes[code];
	else if (code >= REASON_FAILURES && code - REASON_FAILURES < FAILURES)
		reason = &failures[code - REASON_FAILURES];
	return reason->text == NULL ? &unknown : reason;
}

const char *mqtt_reason_text(uint8_t reason)
{
	return find(reason)->text;
}

int mqtt_reason_error(struct error *err, const char *context, uint8_t reason,
		      struct span words)
{
	const struct reason *found = find(reason);

	return error_set(err, found->status, "%s: %s (0x%02x)%s%s", context,
			 found->text, reason, words.len > 0 ? ", " : "",
			 words.len > 0 ? quote(words).text : "");
}

uint8_t mqtt_reason_of_return_code(uint8_t code)
{
	static const uint8_t reasons[] = {0x00, 0x84, 0x85, 0x88, 0x86, 0x87};

	return code < sizeof(reasons) ? reasons[code] : REASON_UNSPECIFIED;
}
