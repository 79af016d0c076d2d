/* SPDX-License-Identifier: MIT */
/* Reading the packets that a server sends. */
#include "mqtt/packet.h"

#include "mqtt/topic.h"
#include "mqtt/wire.h"

enum { FLAG_RETAIN = 1, FLAG_DUP = 8, QOS_SHIFT = 1, QOS_MASK = 3 };

const char *packet_name(enum packet_type type)
{
	static const char *const names[] = {
		"will",	     "CONNECT",	 "CONNACK",	"PUBLISH",
		"PUBACK",    "PUBREC",	 "PUBREL",	"PUBCOMP",
		"SUBSCRIBE", "SUBACK",	 "UNSUBSCRIBE", "UNSUBACK",
		"PINGREQ",   "PINGRESP", "DISCONNECT",	"AUTH",
	};

	return names[type];
}

static bool from_server(enum packet_type type)
{
	switch (type) {
	case PACKET_CONNACK:
	case PACKET_PUBLISH:
	case PACKET_PUBACK:
	case PACKET_PUBREC:
	case PACKET_PUBREL:
	case PACKET_PUBCOMP:
	case PACKET_SUBACK:
	case PACKET_UNSUBACK:
	case PACKET_PINGRESP:
	case PACKET_DISCONNECT:
	case PACKET_AUTH:
		return true;
	default:
		return false;
	}
}

static bool flags_fit(enum packet_type type, uint8_t flags)
{
	unsigned qos = flags >> QOS_SHIFT & QOS_MASK;

	if (type == PACKET_PUBLISH)
		return qos < 3 && (qos > 0 || (flags & FLAG_DUP) == 0);
	return flags == (type == PACKET_PUBREL ? 2 : 0);
}

static int check_first_byte(enum packet_type type, uint8_t flags,
			    struct error *err)
{
	if (!from_server(type))
		return error_set(err, STATUS_PROTOCOL,
				 "byte 0x%02x begins no packet of an MQTT "
				 "server",
				 (unsigned)type << 4 | flags);
	if (!flags_fit(type, flags))
		return error_set(err, STATUS_PROTOCOL,
				 "the flags of %s are malformed",
				 packet_name(type));
	return 0;
}

/* The remaining length has begun, or not even that, and is not over. */
static bool length_goes_on(struct span bytes)
{
	return bytes.len < 5 &&
	       (bytes.len == 1 || (uint8_t)bytes.at[bytes.len - 1] >= 0x80);
}

int packet_read(struct span bytes, struct packet *packet, struct error *err)
{
	struct wire wire = wire_of(bytes);
	uint8_t first = wire_byte(&wire);
	enum packet_type type = first >> 4;
	uint8_t flags = first & 0x0f;
	uint32_t length;
	size_t head;

	*packet = (struct packet){0};
	if (wire.failed)
		return 0;
	if (check_first_byte(type, flags, err) < 0)
		return STATUS_PROTOCOL;
	length = wire_length(&wire);
	if (wire.failed && length_goes_on(bytes))
		return 0;
	if (wire.failed)
		return error_set(err, STATUS_PROTOCOL,
				 "the remaining length of %s is malformed",
				 packet_name(type));
	head = bytes.len - wire_left(&wire);
	packet->type = type;
	packet->flags = flags;
	packet->size = head + length;
	packet->body = (struct span){
		wire.at, wire_left(&wire) < length ? wire_left(&wire) : length};
	packet->cut = packet->body.len < length;
	return !packet->cut;
}

/* ---- bodies ---- */

static int malformed(const struct packet *packet, struct error *err)
{
	return error_set(err, STATUS_PROTOCOL, "%s is malformed",
			 packet_name(packet->type));
}

static int read_properties(const struct packet_reader *reader,
			   const struct packet *packet, struct wire *wire,
			   struct mqtt_properties *properties,
			   struct error *err)
{
	struct span rest = {wire->at, wire_left(wire)};
	int status;

	if (reader->version < MQTT_VERSION_5)
		return 0;
	status = mqtt_properties_read(properties, &rest, packet->type,
				      reader->arena, err);
	if (status < 0)
		error_prefix(err, "%s", packet_name(packet->type));
	else
		*wire = wire_of(rest);
	return status;
}

static bool is_return_code(uint8_t code)
{
	return code > 0 && code < REASON_FAILURES;
}

int packet_read_connack(const struct packet_reader *reader,
			const struct packet *packet, struct connack *connack,
			struct error *err)
{
	struct wire wire = wire_of(packet->body);
	uint8_t flags = wire_byte(&wire);
	uint8_t code = wire_byte(&wire);
	int status = 0;

	*connack = (struct connack){
		.session_present = flags,
		.reason = code,
		.properties = {.maximum_qos = 2,
			       .retain_available = 1,
			       .wildcard_available = 1,
			       .identifiers_available = 1,
			       .shared_available = 1},
	};
	if (wire.failed || flags > 1 || (flags > 0 && code > 0))
		return malformed(packet, err);
	/* A version 3.1.1 server refuses version 5 in its own words. */
	if (reader->version < MQTT_VERSION_5 || is_return_code(code))
		connack->reason = mqtt_reason_of_return_code(code);
	else if (code < REASON_FAILURES || wire_left(&wire) > 0)
		status = read_properties(reader, packet, &wire,
					 &connack->properties, err);
	if (status == 0 && !wire_done(&wire))
		status = malformed(packet, err);
	return status;
}

int packet_read_publish(const struct packet_reader *reader,
			const struct packet *packet, struct publish *publish,
			struct error *err)
{
	struct wire wire = wire_of(packet->body);
	struct mqtt_message *message = &publish->message;
	int status;

	*publish = (struct publish){
		.message = {.qos = packet->flags >> QOS_SHIFT & QOS_MASK,
			    .retain = packet->flags & FLAG_RETAIN,
			    .dup = packet->flags & FLAG_DUP}};
	message->topic = wire_string(&wire);
	if (message->qos > 0)
		publish->id = wire_u16(&wire);
	if (wire.failed || (message->qos > 0 && publish->id == 0))
		return malformed(packet, err);
	status = read_properties(reader, packet, &wire, &message->properties,
				 err);
	if (status == STATUS_PROTOCOL && packet->cut)
		wire.at = wire.end;
	else if (status < 0)
		return status;
	if (message->properties.topic_alias != 0)
		return error_set(err, STATUS_PROTOCOL,
				 "the server used a topic alias, which was "
				 "not offered");
	if (message->topic.len == 0 || mqtt_filter_is_wild(message->topic))
		return error_set(err, STATUS_PROTOCOL,
				 "the topic of PUBLISH is malformed");
	message->payload = (struct span){wire.at, wire_left(&wire)};
	return 0;
}

int packet_read_answer(const struct packet_reader *reader,
		       const struct packet *packet, struct answer *answer,
		       struct error *err)
{
	bool has_id = packet->type != PACKET_DISCONNECT;
	struct wire wire = wire_of(packet->body);
	int status = 0;

	*answer = (struct answer){0};
	if (has_id)
		answer->id = wire_u16(&wire);
	if (wire.failed || (has_id && answer->id == 0))
		return malformed(packet, err);
	if (reader->version >= MQTT_VERSION_5 && wire_left(&wire) > 0)
		answer->reason = wire_byte(&wire);
	if (wire_left(&wire) > 0)
		status = read_properties(reader, packet, &wire,
					 &answer->properties, err);
	if (status == 0 && !wire_done(&wire))
		status = malformed(packet, err);
	return status;
}

int packet_read_grant(const struct packet_reader *reader,
		      const struct packet *packet, struct grant *grant,
		      struct error *err)
{
	bool has_codes = packet->type == PACKET_SUBACK ||
			 reader->version >= MQTT_VERSION_5;
	struct wire wire = wire_of(packet->body);
	int status;

	*grant = (struct grant){.id = wire_u16(&wire)};
	if (grant->id == 0)
		return malformed(packet, err);
	status =
		read_properties(reader, packet, &wire, &grant->properties, err);
	if (status < 0)
		return status;
	grant->codes = wire_take(&wire, wire_left(&wire));
	if (has_codes != (grant->codes.len > 0))
		return malformed(packet, err);
	return 0;
}

void packet_mark_dup(char *first_byte)
{
	*first_byte = (char)(*first_byte | FLAG_DUP);
}
