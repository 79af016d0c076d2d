/* SPDX-License-Identifier: MIT */
/* The table of properties, and walking it both ways. */
#include "mqtt/properties.h"

#include "mqtt/wire.h"

enum property_type {
	TYPE_FLAG, /* a byte, 0 or 1 */
	TYPE_U16,
	TYPE_U32,
	TYPE_LENGTH,
	TYPE_STRING,
	TYPE_BINARY,
	TYPE_PAIRS, /* may repeat */
};

struct property {
	const char *name;
	enum property_type type;
	bool positive; /* 0 is a protocol error */
	size_t offset; /* in struct mqtt_properties */
	unsigned packets;
};

/* By identifier (2.2.2.2). */
#define IN(packet) (1u << PACKET_##packet)
#define MESSAGE (IN(PUBLISH) | IN(WILL))
#define ACKS (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP))
#define ANSWERS                                                            \
	(IN(CONNACK) | ACKS | IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT) | \
	 IN(AUTH))
#define AT(member) offsetof(struct mqtt_properties, member)
static const struct property table[] = {
	[1] = {"payload format", TYPE_FLAG, false, AT(payload_format), MESSAGE},
	[2] = {"message expiry", TYPE_U32, false, AT(message_expiry), MESSAGE},
	[3] = {"content type", TYPE_STRING, false, AT(content_type), MESSAGE},
	[8] = {"response topic", TYPE_STRING, false, AT(response_topic),
	       MESSAGE},
	[9] = {"correlation data", TYPE_BINARY, false, AT(correlation_data),
	       MESSAGE},
	[11] = {"subscription identifier", TYPE_LENGTH, true,
		AT(subscription_identifier), IN(PUBLISH) | IN(SUBSCRIBE)},
	[17] = {"session expiry", TYPE_U32, false, AT(session_expiry),
		IN(CONNECT) | IN(CONNACK) | IN(DISCONNECT)},
	[18] = {"assigned client identifier", TYPE_STRING, false,
		AT(assigned_client_id), IN(CONNACK)},
	[19] = {"server keep alive", TYPE_U16, false, AT(server_keep_alive),
		IN(CONNACK)},
	[21] = {"authentication method", TYPE_STRING, false, AT(auth_method),
		IN(CONNECT) | IN(CONNACK) | IN(AUTH)},
	[22] = {"authentication data", TYPE_BINARY, false, AT(auth_data),
		IN(CONNECT) | IN(CONNACK) | IN(AUTH)},
	[23] = {"request problem information", TYPE_FLAG, false,
		AT(request_problem), IN(CONNECT)},
	[24] = {"will delay", TYPE_U32, false, AT(will_delay), IN(WILL)},
	[25] = {"request response information", TYPE_FLAG, false,
		AT(request_response), IN(CONNECT)},
	[26] = {"response information", TYPE_STRING, false,
		AT(response_information), IN(CONNACK)},
	[28] = {"server reference", TYPE_STRING, false, AT(server_reference),
		IN(CONNACK) | IN(DISCONNECT)},
	[31] = {"reason string", TYPE_STRING, false, AT(reason), ANSWERS},
	[33] = {"receive maximum", TYPE_U16, true, AT(receive_maximum),
		IN(CONNECT) | IN(CONNACK)},
	[34] = {"topic alias maximum", TYPE_U16, false, AT(topic_alias_maximum),
		IN(CONNECT) | IN(CONNACK)},
	[35] = {"topic alias", TYPE_U16, true, AT(topic_alias), IN(PUBLISH)},
	[36] = {"maximum QoS", TYPE_FLAG, false, AT(maximum_qos), IN(CONNACK)},
	[37] = {"retain available", TYPE_FLAG, false, AT(retain_available),
		IN(CONNACK)},
	[38] = {"user property", TYPE_PAIRS, false, AT(user),
		MESSAGE | ANSWERS | IN(CONNECT) | IN(SUBSCRIBE) |
			IN(UNSUBSCRIBE)},
	[39] = {"maximum packet size", TYPE_U32, true, AT(maximum_packet),
		IN(CONNECT) | IN(CONNACK)},
	[40] = {"wildcard subscription available", TYPE_FLAG, false,
		AT(wildcard_available), IN(CONNACK)},
	[41] = {"subscription identifier available", TYPE_FLAG, false,
		AT(identifiers_available), IN(CONNACK)},
	[42] = {"shared subscription available", TYPE_FLAG, false,
		AT(shared_available), IN(CONNACK)},
};
enum { TABLE_SIZE = sizeof(table) / sizeof(table[0]) };

/* ---- reading ---- */

/* The array doubles when its size is a power of two and full. */
static int add_pair(struct headers *pairs, struct wire *wire,
		    struct arena *arena, struct error *err)
{
	struct header pair;

	pair.name = wire_string(wire);
	pair.value = wire_string(wire);
	if ((pairs->count & (pairs->count - 1)) == 0) {
		size_t cap = pairs->count == 0 ? 1 : 2 * pairs->count;
		struct header *at = arena_alloc(arena, cap * sizeof(*at));

		if (at == NULL)
			return error_set(err, STATUS_NO_MEMORY,
					 "out of memory");
		if (pairs->count > 0)
			memcpy(at, pairs->at, pairs->count * sizeof(*at));
		pairs->at = at;
	}
	pairs->at[pairs->count++] = pair;
	return 0;
}

/* Stores a number of any size; false if the property cannot have it. */
static bool store_number(const struct property *property, void *at,
			 uint32_t value)
{
	if (property->type == TYPE_FLAG)
		*(uint8_t *)at = (uint8_t)value;
	else if (property->type == TYPE_U16)
		*(uint16_t *)at = (uint16_t)value;
	else
		*(uint32_t *)at = value;
	return property->type == TYPE_FLAG ? value <= 1
					   : value > 0 || !property->positive;
}

static int read_value(const struct property *property, void *at,
		      struct wire *wire, struct arena *arena, struct error *err)
{
	bool legal = true;

	switch (property->type) {
	case TYPE_FLAG:
		legal = store_number(property, at, wire_byte(wire));
		break;
	case TYPE_U16:
		legal = store_number(property, at, wire_u16(wire));
		break;
	case TYPE_U32:
		legal = store_number(property, at, wire_u32(wire));
		break;
	case TYPE_LENGTH:
		legal = store_number(property, at, wire_length(wire));
		break;
	case TYPE_STRING:
		*(struct span *)at = wire_string(wire);
		break;
	case TYPE_BINARY:
		*(struct span *)at = wire_binary(wire);
		break;
	case TYPE_PAIRS:
		return add_pair(at, wire, arena, err);
	}
	if (!legal)
		return error_set(err, STATUS_PROTOCOL,
				 "the %s has an impossible value",
				 property->name);
	return 0;
}

static bool may_repeat(const struct property *property, enum packet_type packet)
{
	return property->type == TYPE_PAIRS ||
	       (property->type == TYPE_LENGTH && packet == PACKET_PUBLISH);
}

static int read_property(struct mqtt_properties *properties, struct wire *wire,
			 enum packet_type packet, struct arena *arena,
			 struct error *err)
{
	uint32_t identifier = wire_length(wire);
	const struct property *property = &table[0];

	if (identifier < TABLE_SIZE)
		property = &table[identifier];
	if (wire->failed)
		return 0;
	if (property->name == NULL)
		return error_set(err, STATUS_PROTOCOL, "property %u is unknown",
				 identifier);
	if ((property->packets >> packet & 1) == 0)
		return error_set(err, STATUS_PROTOCOL,
				 "the %s does not belong here", property->name);
	if (property_found(properties, (int)identifier)) {
		uint32_t another;

		if (!may_repeat(property, packet))
			return error_set(err, STATUS_PROTOCOL,
					 "the %s is there twice",
					 property->name);
		if (property->type == TYPE_LENGTH)
			return read_value(property, &another, wire, arena, err);
	}
	properties->found |= (uint64_t)1 << identifier;
	return read_value(property, (char *)properties + property->offset, wire,
			  arena, err);
}

int mqtt_properties_read(struct mqtt_properties *properties, struct span *bytes,
			 enum packet_type packet, struct arena *arena,
			 struct error *err)
{
	struct wire wire = wire_of(*bytes);
	struct wire inner = wire_of(wire_take(&wire, wire_length(&wire)));
	struct mqtt_properties read = *properties;
	int status = 0;

	read.found = 0;
	while (status == 0 && !inner.failed && wire_left(&inner) > 0)
		status = read_property(&read, &inner, packet, arena, err);
	if (status == 0 && (wire.failed || inner.failed))
		status =
			error_set(err, STATUS_PROTOCOL, "malformed properties");
	if (status < 0)
		return status;
	*bytes = (struct span){wire.at, wire_left(&wire)};
	*properties = read;
	return 0;
}

/* ---- writing ---- */

static int check_text(const struct property *property, struct span text,
		      struct error *err)
{
	if (wire_is_text(text))
		return 0;
	return error_set(err, STATUS_INVALID,
			 "the %s is no text that MQTT can carry: UTF-8 "
			 "without NUL, %d bytes at most",
			 property->name, WIRE_STRING_MAX);
}

static int write_pairs(const struct property *property, unsigned identifier,
		       const struct headers *pairs, struct buffer *out,
		       struct error *err)
{
	for (size_t i = 0; i < pairs->count; i++) {
		int status = check_text(property, pairs->at[i].name, err);

		if (status == 0)
			status = check_text(property, pairs->at[i].value, err);
		if (status < 0)
			return status;
		wire_put_length(out, identifier);
		wire_put_binary(out, pairs->at[i].name);
		wire_put_binary(out, pairs->at[i].value);
	}
	return 0;
}

static int write_bytes(const struct property *property, unsigned identifier,
		       struct span bytes, struct buffer *out, struct error *err)
{
	if (!span_present(bytes))
		return 0;
	if (property->type == TYPE_STRING && check_text(property, bytes, err))
		return STATUS_INVALID;
	if (bytes.len > WIRE_STRING_MAX)
		return error_set(err, STATUS_INVALID,
				 "the %s is too long: MQTT carries %d bytes "
				 "at most",
				 property->name, WIRE_STRING_MAX);
	wire_put_length(out, identifier);
	wire_put_binary(out, bytes);
	return 0;
}

static void write_number(const struct property *property, unsigned identifier,
			 const void *at, struct buffer *out)
{
	uint32_t value = property->type == TYPE_FLAG  ? *(const uint8_t *)at
			 : property->type == TYPE_U16 ? *(const uint16_t *)at
						      : *(const uint32_t *)at;

	if (value == 0)
		return;
	wire_put_length(out, identifier);
	if (property->type == TYPE_FLAG)
		wire_put_byte(out, value);
	else if (property->type == TYPE_U16)
		wire_put_u16(out, value);
	else if (property->type == TYPE_U32)
		wire_put_u32(out, value);
	else
		wire_put_length(out, value);
}

static int write_property(const struct mqtt_properties *properties,
			  unsigned identifier, struct buffer *out,
			  struct error *err)
{
	const struct property *property = &table[identifier];
	const void *at = (const char *)properties + property->offset;

	switch (property->type) {
	case TYPE_PAIRS:
		return write_pairs(property, identifier, at, out, err);
	case TYPE_STRING:
	case TYPE_BINARY:
		return write_bytes(property, identifier,
				   *(const struct span *)at, out, err);
	default:
		write_number(property, identifier, at, out);
		return 0;
	}
}

int mqtt_properties_write(const struct mqtt_properties *properties,
			  enum packet_type packet, struct buffer *out,
			  struct error *err)
{
	size_t from = buffer_length(out);
	int status = 0;

	for (unsigned i = 0; status == 0 && i < TABLE_SIZE; i++)
		if (table[i].packets >> packet & 1)
			status = write_property(properties, i, out, err);
	if (status == 0 && !wire_insert_length(out, from, 0))
		status = error_set(err, STATUS_INVALID,
				   "the properties are too long for MQTT");
	if (status < 0)
		out->end = out->start + from;
	return status;
}
