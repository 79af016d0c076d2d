/* SPDX-License-Identifier: MIT */
/* Writing the packets that a client sends. */
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include "mqtt/wire.h"

enum { FLAGS_REQUEST = 2 }; /* SUBSCRIBE, UNSUBSCRIBE, PUBREL */

enum connect_flags {
	CONNECT_CLEAN = 0x02,
	CONNECT_WILL = 0x04,
	CONNECT_WILL_RETAIN = 0x20,
	CONNECT_PASSWORD = 0x40,
	CONNECT_USERNAME = 0x80,
	CONNECT_WILL_QOS_SHIFT = 3,
};

static void begin(struct buffer *out, enum packet_type type, unsigned flags)
{
	wire_put_byte(out, (unsigned)type << 4 | flags);
}

/* The packet that began at `from` has all but `more` bytes. Whatever was
 * appended is taken back if it failed. */
static int end(struct buffer *out, size_t from, size_t more, int status,
	       struct error *err)
{
	if (status == 0 && !wire_insert_length(out, from + 1, more))
		status = error_set(err, STATUS_INVALID,
				   "it is longer than the %d bytes that MQTT "
				   "carries",
				   WIRE_LENGTH_MAX);
	if (status < 0)
		out->end = out->start + from;
	return status;
}

static int put_properties(struct buffer *out, uint8_t version,
			  enum packet_type packet,
			  const struct mqtt_properties *properties,
			  struct error *err)
{
	if (version < MQTT_VERSION_5)
		return 0;
	return mqtt_properties_write(properties, packet, out, err);
}

/* ---- CONNECT ---- */

static int check_text(const char *what, struct span text, struct error *err)
{
	if (wire_is_text(text))
		return 0;
	return error_set(err, STATUS_INVALID,
			 "the %s is no text that MQTT can carry: UTF-8 "
			 "without NUL, %d bytes at most",
			 what, WIRE_STRING_MAX);
}

static int check_bytes(const char *what, struct span bytes, struct error *err)
{
	if (bytes.len <= WIRE_STRING_MAX)
		return 0;
	return error_set(err, STATUS_INVALID,
			 "the %s is longer than the %d bytes that MQTT carries",
			 what, WIRE_STRING_MAX);
}

static int check_options(const struct session_options *options, bool clean,
			 struct error *err)
{
	int status = check_text("client id", options->client_id, err);

	if (status == 0)
		status = check_text("username", options->username, err);
	if (status == 0)
		status = check_bytes("password", options->password, err);
	if (status == 0 && options->will != NULL)
		status = mqtt_topic_check(options->will->topic, err);
	if (status == 0 && options->will != NULL)
		status = check_bytes("will", options->will->payload, err);
	if (status < 0 || options->version >= MQTT_VERSION_5)
		return status;
	if (span_present(options->password) && !span_present(options->username))
		return error_set(err, STATUS_INVALID,
				 "MQTT 3.1.1 has no password without a "
				 "username");
	if (options->client_id.len == 0 && !clean)
		return error_set(err, STATUS_INVALID,
				 "MQTT 3.1.1 keeps no session without a "
				 "client id");
	return 0;
}

static unsigned connect_flags(const struct session_options *options, bool clean)
{
	const struct mqtt_message *will = options->will;
	unsigned flags = clean ? CONNECT_CLEAN : 0;

	if (will != NULL)
		flags |= CONNECT_WILL |
			 (unsigned)will->qos << CONNECT_WILL_QOS_SHIFT |
			 (will->retain ? CONNECT_WILL_RETAIN : 0);
	if (span_present(options->password))
		flags |= CONNECT_PASSWORD;
	if (span_present(options->username))
		flags |= CONNECT_USERNAME;
	return flags;
}

static int put_will(struct buffer *out, const struct session_options *options,
		    struct error *err)
{
	struct mqtt_properties properties = options->will->properties;
	int status;

	properties.will_delay = options->will_delay;
	status = put_properties(out, options->version, PACKET_WILL, &properties,
				err);
	wire_put_binary(out, options->will->topic);
	wire_put_binary(out, options->will->payload);
	return status;
}

int packet_write_connect(struct buffer *out,
			 const struct session_options *options, bool clean,
			 struct error *err)
{
	const struct mqtt_properties properties = {
		.session_expiry = options->session_expiry,
		.receive_maximum = options->receive_maximum,
		.maximum_packet = options->maximum_packet,
	};
	size_t from = buffer_length(out);
	int status = check_options(options, clean, err);

	if (status < 0)
		return status;
	begin(out, PACKET_CONNECT, 0);
	wire_put_binary(out, SPAN_LIT("MQTT"));
	wire_put_byte(out, options->version);
	wire_put_byte(out, connect_flags(options, clean));
	wire_put_u16(out, options->keep_alive);
	status = put_properties(out, options->version, PACKET_CONNECT,
				&properties, err);
	wire_put_binary(out, options->client_id);
	if (status == 0 && options->will != NULL)
		status = put_will(out, options, err);
	if (span_present(options->username))
		wire_put_binary(out, options->username);
	if (span_present(options->password))
		wire_put_binary(out, options->password);
	return end(out, from, 0, status, err);
}

/* ---- requests ---- */

int packet_write_publish(struct buffer *out, uint8_t version, uint16_t id,
			 const struct mqtt_message *message, struct error *err)
{
	struct mqtt_properties properties = message->properties;
	size_t from = buffer_length(out);
	int status = mqtt_topic_check(message->topic, err);

	/* What belongs to one connection, or to what one was subscribed to
	 * (3.3.4-6), may come with a message that is passed on. */
	properties.topic_alias = 0;
	properties.subscription_identifier = 0;
	if (status < 0)
		return status;
	begin(out, PACKET_PUBLISH,
	      (unsigned)message->qos << 1 | (message->retain ? 1 : 0));
	wire_put_binary(out, message->topic);
	if (message->qos > 0)
		wire_put_u16(out, id);
	status = put_properties(out, version, PACKET_PUBLISH, &properties, err);
	status = end(out, from, message->payload.len, status, err);
	if (status == 0)
		buffer_append_span(out, message->payload);
	return status;
}

static size_t begin_request(struct buffer *out, enum packet_type type,
			    uint8_t version, uint16_t id)
{
	size_t from = buffer_length(out);

	begin(out, type, FLAGS_REQUEST);
	wire_put_u16(out, id);
	if (version >= MQTT_VERSION_5)
		wire_put_length(out, 0);
	return from;
}

static unsigned subscribe_options(uint8_t version,
				  const struct mqtt_filter *filter)
{
	if (version < MQTT_VERSION_5)
		return filter->qos;
	return filter->qos | (filter->no_local ? 4u : 0u) |
	       (filter->retain_as_published ? 8u : 0u) |
	       (unsigned)filter->retain_handling << 4;
}

int packet_write_subscribe(struct buffer *out, uint8_t version, uint16_t id,
			   const struct mqtt_filter *filters, size_t count,
			   struct error *err)
{
	size_t from = begin_request(out, PACKET_SUBSCRIBE, version, id);
	int status = 0;

	for (size_t i = 0; status == 0 && i < count; i++) {
		status = mqtt_filter_check(filters[i].filter,
					   filters[i].no_local, err);
		if (status < 0)
			break;
		wire_put_binary(out, filters[i].filter);
		wire_put_byte(out, subscribe_options(version, &filters[i]));
	}
	return end(out, from, 0, status, err);
}

int packet_write_unsubscribe(struct buffer *out, uint8_t version, uint16_t id,
			     const struct span *filters, size_t count,
			     struct error *err)
{
	size_t from = begin_request(out, PACKET_UNSUBSCRIBE, version, id);
	int status = 0;

	for (size_t i = 0; status == 0 && i < count; i++) {
		status = mqtt_filter_check(filters[i], false, err);
		if (status == 0)
			wire_put_binary(out, filters[i]);
	}
	return end(out, from, 0, status, err);
}

/* ---- answers ---- */

void packet_write_answer(struct buffer *out, uint8_t version,
			 enum packet_type type, uint16_t id, uint8_t reason)
{
	bool with_reason = version >= MQTT_VERSION_5 && reason != 0;

	begin(out, type, type == PACKET_PUBREL ? FLAGS_REQUEST : 0);
	wire_put_length(out, with_reason ? 3 : 2);
	wire_put_u16(out, id);
	if (with_reason)
		wire_put_byte(out, reason);
}

void packet_write_ping(struct buffer *out)
{
	begin(out, PACKET_PINGREQ, 0);
	wire_put_length(out, 0);
}

void packet_write_disconnect(struct buffer *out, uint8_t version,
			     uint8_t reason)
{
	bool with_reason = version >= MQTT_VERSION_5 && reason != 0;

	begin(out, PACKET_DISCONNECT, 0);
	wire_put_length(out, with_reason ? 1 : 0);
	if (with_reason)
		wire_put_byte(out, reason);
}
