/* SPDX-License-Identifier: MIT */
/* What the MQTT peer says, as bytes. */
#include "mqtt_peer.h"
#include "world.h"

enum {
	PROPERTY_SERVER_KEEP_ALIVE = 0x13,
	PROPERTY_RECEIVE_MAXIMUM = 0x21,
	PROPERTY_USER = 0x26,
};
enum { NO_SUBSCRIBERS = 0x10, NOT_AUTHORIZED = 0x87, BAD_TOPIC = 0x90 };

/* ---- parts ---- */

static void put_byte(struct buffer *out, unsigned value)
{
	char byte = (char)value;

	buffer_append(out, &byte, 1);
}

static void put_u16(struct buffer *out, unsigned value)
{
	put_byte(out, value >> 8);
	put_byte(out, value);
}

static void put_text(struct buffer *out, struct span text)
{
	put_u16(out, (unsigned)text.len);
	buffer_append_span(out, text);
}

/* A length in seven bits a byte. */
static void put_length(struct buffer *out, size_t length)
{
	for (; length > 0x7f; length >>= 7)
		put_byte(out, 0x80 | (length & 0x7f));
	put_byte(out, (unsigned)length);
}

static void put_user(struct buffer *out, const char *name, struct span value)
{
	if (!span_present(value))
		return;
	put_byte(out, PROPERTY_USER);
	put_text(out, span_of(name));
	put_text(out, value);
}

/* Moves what is in `part`, its length first. */
static void put_part(struct buffer *out, struct buffer *part)
{
	put_length(out, buffer_length(part));
	buffer_append_span(out, buffer_span(part));
	buffer_finish(part);
}

/* ---- messages ---- */

/* A delivery that was seen before has its packet id still, in the session in
 * which it was. */
static unsigned id_of_delivery(struct server *server, struct message *message)
{
	if (message->session == server->session)
		return message->packet_id;
	if (++server->last_id == 0)
		server->last_id = 1;
	message->session = server->session;
	message->packet_id = server->last_id;
	message->redelivered = false;
	return message->packet_id;
}

static struct span slashed(struct world *world, struct span topic)
{
	struct span copy = world_copy(world, topic);
	char *at = (char *)copy.at;

	for (size_t i = 0; i < copy.len; i++)
		if (at[i] == '.')
			at[i] = '/';
	return copy;
}

static void say_delivery(struct connection *connection,
			 const struct frame *frame, struct buffer *out)
{
	struct world *world = connection->link->world;
	struct mqtt_state *state = connection->state;
	struct message *message = frame->message;
	unsigned id = id_of_delivery(&world->server, message);
	unsigned flags = world->plan->qos * 2u + message->redelivered * 8u;
	struct buffer packet = {0};
	struct buffer properties = {0};

	state->delivered[frame->tag % UNANSWERED_MAX] = (uint16_t)id;
	put_text(&packet, slashed(world, message->topic));
	put_u16(&packet, id);
	put_user(&properties, "message_id", message->message_id);
	put_user(&properties, "ordering_key", message->ordering_key);
	if (state->version == MQTT_5)
		put_part(&packet, &properties);
	else /* 3.1.1, perhaps for this connection only, has no place for it */
		message->letter->keys |= 1;
	buffer_append_span(&packet, message->letter->body);
	put_byte(out, MQTT_PUBLISH << 4 | flags);
	put_part(out, &packet);
	buffer_finish(&properties);
}

/* A type, a packet id, and a code if there is one to tell. */
static void put_answer(struct buffer *out, enum mqtt_type type, unsigned code,
		       unsigned id)
{
	put_byte(out, (unsigned)type << 4 | (type == MQTT_PUBREL ? 2 : 0));
	put_length(out, code == 0 ? 2 : 3);
	put_u16(out, id);
	if (code != 0)
		put_byte(out, code);
}

static void say_answer(struct connection *connection, const struct frame *frame,
		       struct buffer *out)
{
	struct mqtt_state *state = connection->state;
	bool twice = connection->link->world->plan->qos == 2;
	bool refused = frame->kind == BROKER_REFUSED;
	unsigned code = refused			 ? BAD_TOPIC
			: frame->message->routed ? 0
						 : NO_SUBSCRIBERS;

	if (state->version != MQTT_5)
		code = 0;
	if (refused || !twice)
		state->unanswered--;
	put_answer(out, twice ? MQTT_PUBREC : MQTT_PUBACK, code,
		   state->published[frame->tag % UNANSWERED_MAX]);
}

/* ---- what the protocol needs ---- */

static void say_welcome(struct connection *connection, bool present,
			struct buffer *out)
{
	const struct mqtt_state *state = connection->state;
	unsigned most = connection->link->world->plan->receive_maximum;
	struct buffer packet = {0};
	struct buffer properties = {0};

	put_byte(&packet, present);
	put_byte(&packet, 0);
	if (most > 0) {
		put_byte(&properties, PROPERTY_RECEIVE_MAXIMUM);
		put_u16(&properties, most);
	}
	put_byte(&properties, PROPERTY_SERVER_KEEP_ALIVE);
	put_u16(&properties, state->keep_alive);
	if (state->version == MQTT_5)
		put_part(&packet, &properties);
	put_byte(out, MQTT_CONNACK << 4);
	put_part(out, &packet);
	buffer_finish(&properties);
}

static void say_granted(struct connection *connection, uint32_t speech,
			struct buffer *out)
{
	const struct mqtt_state *state = connection->state;
	struct buffer packet = {0};

	put_u16(&packet, mqtt_speech_id(speech));
	if (state->version == MQTT_5)
		put_length(&packet, 0);
	for (unsigned i = 0; i < state->filters; i++)
		put_byte(&packet, mqtt_speech_code(speech));
	put_byte(out, MQTT_SUBACK << 4);
	put_part(out, &packet);
}

static void say_speech(struct connection *connection, uint32_t speech,
		       struct buffer *out)
{
	switch (mqtt_speech_type(speech)) {
	case MQTT_CONNACK:
		say_welcome(connection, mqtt_speech_code(speech) != 0, out);
		break;
	case MQTT_SUBACK:
		say_granted(connection, speech, out);
		break;
	case MQTT_PINGRESP:
		put_byte(out, MQTT_PINGRESP << 4);
		put_byte(out, 0);
		break;
	default:
		put_answer(out, mqtt_speech_type(speech), 0,
			   mqtt_speech_id(speech));
	}
}

/* Version 3.1.1 has words only for who does not get in. */
static void say_end(const struct connection *connection,
		    const struct frame *frame, struct buffer *out)
{
	static const struct {
		enum status status;
		unsigned code;
	} reasons[] = {
		{STATUS_BUSY, 0x8e},	  /* session taken over */
		{STATUS_NOT_FOUND, 0x98}, /* administrative action */
		{STATUS_AWAY, 0x8b},	  /* shutting down */
	};
	const struct mqtt_state *state = connection->state;

	if (!state->open || state->version != MQTT_5 || frame->abrupt)
		return;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (frame->status == reasons[i].status) {
			put_byte(out, MQTT_DISCONNECT << 4);
			put_length(out, 1);
			put_byte(out, reasons[i].code);
		}
}

void mqtt_say(struct connection *connection, const struct frame *frame,
	      struct buffer *out)
{
	if (frame->speech != 0) {
		say_speech(connection, frame->speech, out);
		return;
	}
	switch (frame->kind) {
	case BROKER_DOWN:
		say_end(connection, frame, out);
		break;
	case BROKER_CONFIRMED:
	case BROKER_REFUSED:
		say_answer(connection, frame, out);
		break;
	case BROKER_DELIVERED:
		say_delivery(connection, frame, out);
		break;
	case BROKER_UP:
	case BROKER_RETURNED: /* the confirm says it */
	case BROKER_BLOCKED:  /* it just reads no further */
	case BROKER_UNBLOCKED:
		break;
	}
}
