/* SPDX-License-Identifier: MIT */
/*
 * The properties of MQTT 5 packets (specification, 2.2.2), all from one table.
 *
 * Version 3.1.1 has none: there they are left out, and read as absent.
 */
#ifndef MQTT_PROPERTIES_H
#define MQTT_PROPERTIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/span.h"
#include "message/headers.h"

/* A packet's type as its first byte has it; the will's properties are written
 * like those of a packet of their own. */
enum packet_type {
	PACKET_WILL,
	PACKET_CONNECT,
	PACKET_CONNACK,
	PACKET_PUBLISH,
	PACKET_PUBACK,
	PACKET_PUBREC,
	PACKET_PUBREL,
	PACKET_PUBCOMP,
	PACKET_SUBSCRIBE,
	PACKET_SUBACK,
	PACKET_UNSUBSCRIBE,
	PACKET_UNSUBACK,
	PACKET_PINGREQ,
	PACKET_PINGRESP,
	PACKET_DISCONNECT,
	PACKET_AUTH,
};

/* All zeroes: none. A number that is 0 and a span that is absent are not
 * written; which ones a packet brought is in `found`. */
struct mqtt_properties {
	uint64_t found; /* bit n: property n of the specification */

	/* of a message */
	uint8_t payload_format;	 /* 1: the payload is UTF-8 */
	uint32_t message_expiry; /* seconds */
	struct span content_type;
	struct span response_topic;
	struct span correlation_data;
	uint32_t subscription_identifier; /* the first, if several match */
	uint16_t topic_alias;
	struct headers user; /* in their order; names may repeat or be empty */

	/* of a connection */
	uint32_t session_expiry; /* seconds; UINT32_MAX: never */
	uint32_t will_delay;	 /* seconds */
	uint16_t receive_maximum;
	uint16_t topic_alias_maximum;
	uint32_t maximum_packet;
	uint16_t server_keep_alive; /* seconds */
	uint8_t maximum_qos;
	uint8_t retain_available;
	uint8_t wildcard_available;
	uint8_t identifiers_available;
	uint8_t shared_available;
	uint8_t request_problem;
	uint8_t request_response;
	struct span assigned_client_id;
	struct span response_information;
	struct span server_reference;
	struct span reason; /* for people */
	struct span auth_method;
	struct span auth_data;
};

/* Property identifiers that somebody asks `found` for. */
enum {
	PROPERTY_SESSION_EXPIRY = 17,
	PROPERTY_SERVER_KEEP_ALIVE = 19,
};

static inline bool property_found(const struct mqtt_properties *properties,
				  int identifier)
{
	return properties->found >> identifier & 1;
}

/*
 * Reads the properties, their length first, that stand at the beginning of
 * *bytes, and steps over them. Spans point into the bytes, the array of user
 * properties is in the arena; what is not there keeps the value that it had.
 * STATUS_PROTOCOL names the property that is
 * unknown, twice there, malformed or not meant for this packet (2.2.2.2);
 * STATUS_NO_MEMORY.
 */
int mqtt_properties_read(struct mqtt_properties *properties, struct span *bytes,
			 enum packet_type packet, struct arena *arena,
			 struct error *err);

/* Appends those that the packet may have, their length first. STATUS_INVALID
 * names a string that MQTT cannot carry; nothing is appended then. */
int mqtt_properties_write(const struct mqtt_properties *properties,
			  enum packet_type packet, struct buffer *out,
			  struct error *err);

#endif
