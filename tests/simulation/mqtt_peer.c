/* SPDX-License-Identifier: MIT */
/* A server of MQTT 3.1.1 and 5: what clients say, and what it does about it. */
#include "mqtt_peer.h"

#include "world.h"

/* ---- bytes from the lane ---- */

/* A packet, or what is left of it. */
struct packet {
	enum mqtt_type type;
	unsigned flags;
	const char *at;
	const char *end;
	bool failed; /* it ended too early */
};

static unsigned take_number(struct packet *packet, size_t size)
{
	unsigned value = 0;

	if ((size_t)(packet->end - packet->at) < size)
		packet->failed = true;
	for (; !packet->failed && size > 0; size--)
		value = value << 8 | (unsigned char)*packet->at++;
	return value;
}

static struct span take_bytes(struct packet *packet, size_t size)
{
	struct span bytes = {packet->at, size};

	if ((size_t)(packet->end - packet->at) < size) {
		packet->failed = true;
		return SPAN_LIT("");
	}
	packet->at += size;
	return bytes;
}

static struct span take_text(struct packet *packet)
{
	return take_bytes(packet, take_number(packet, 2));
}

static size_t take_length(struct packet *packet)
{
	size_t value = 0;
	unsigned shift = 0;
	unsigned byte;

	do {
		byte = take_number(packet, 1);
		value |= (size_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte > 0x7f && !packet->failed);
	return value;
}

static size_t left(const struct packet *packet)
{
	return (size_t)(packet->end - packet->at);
}

/* The packet that begins the bytes; 0 if it is not all there, else its size. */
static size_t read_packet(struct span bytes, struct packet *packet)
{
	unsigned first;
	size_t length;

	*packet = (struct packet){.at = bytes.at, .end = bytes.at + bytes.len};
	first = take_number(packet, 1);
	length = take_length(packet);
	if (packet->failed || left(packet) < length)
		return 0;
	packet->type = (enum mqtt_type)(first >> 4);
	packet->flags = first & 0x0f;
	packet->end = packet->at + length;
	return (size_t)(packet->end - bytes.at);
}

/* ---- properties ---- */

/* The rest of a property behind its number. */
static bool pass_property(struct packet *properties, unsigned number)
{
	switch (number) {
	case 0x01: /* payload format */
		take_number(properties, 1);
		return true;
	case 0x02: /* message expiry */
	case 0x11: /* session expiry */
	case 0x27: /* maximum packet size */
		take_number(properties, 4);
		return true;
	case 0x03: /* content type */
	case 0x08: /* response topic */
	case 0x09: /* correlation data */
		take_text(properties);
		return true;
	case 0x21: /* receive maximum */
		take_number(properties, 2);
		return true;
	default:
		return false;
	}
}

/* The value of a user property, absent if it is not there; and the receive
 * maximum, if `number` is wanted. */
static struct span find_property(struct connection *connection,
				 struct packet *packet, const char *name,
				 uint16_t *receive_maximum)
{
	enum { RECEIVE_MAXIMUM = 0x21, USER = 0x26 };
	size_t size = take_length(packet);
	struct span all = take_bytes(packet, size);
	struct packet properties = {.at = all.at, .end = all.at + all.len};
	struct span found = SPAN_NONE;

	while (left(&properties) > 0 && !properties.failed) {
		unsigned number = take_number(&properties, 1);
		struct packet before = properties;

		if (number == USER) {
			struct span key = take_text(&properties);
			struct span value = take_text(&properties);

			if (name != NULL && span_is(key, name))
				found = value;
		} else if (!pass_property(&properties, number)) {
			peer_refuse(connection, "a property is unknown");
			break;
		}
		if (number == RECEIVE_MAXIMUM && receive_maximum != NULL)
			*receive_maximum = (uint16_t)take_number(&before, 2);
	}
	return found;
}

/* ---- what the lane says, as it leaves ---- */

static uint32_t hear_connect(struct connection *connection,
			     struct packet *packet)
{
	struct mqtt_state *state = connection->state;
	const struct world *world = connection->link->world;
	bool publishes = connection->link->lane->role == BROKER_PUBLISHER;
	struct span name = take_text(packet);
	unsigned flags;

	state->version = (uint8_t)take_number(packet, 1);
	flags = take_number(packet, 1);
	state->clean = flags & 2;
	state->keep_alive = (uint16_t)take_number(packet, 2);
	if (state->version == MQTT_5)
		find_property(connection, packet, NULL,
			      &state->receive_maximum);
	if (packet->failed || !span_is(name, "MQTT") || flags > 2 ||
	    state->clean != publishes ||
	    !span_is(take_text(packet), publishes ? "tester-relay" : "tester"))
		peer_refuse(connection, "it asks for another session");
	if (state->version == MQTT_5 && !publishes &&
	    state->receive_maximum != world->plan->prefetch)
		peer_refuse(connection, "it has another receive maximum");
	return mqtt_speech(MQTT_CONNECT, 0, 0);
}

static bool is_dotted(struct span topic, struct span dots)
{
	if (topic.len != dots.len)
		return false;
	for (size_t i = 0; i < topic.len; i++)
		if (topic.at[i] != (dots.at[i] == '.' ? '/' : dots.at[i]))
			return false;
	return true;
}

static bool is_in_use(const struct connection *connection, unsigned id)
{
	const struct mqtt_state *state = connection->state;

	for (size_t i = 0; i < UNANSWERED_MAX; i++)
		if (state->published[i] == id && connection->by_tag[i] != NULL)
			return true;
	return false;
}

/* The packet goes on behind them. */
static bool has_properties(struct connection *connection, struct packet *packet,
			   const struct message *message)
{
	struct packet again = *packet;

	return span_equal(find_property(connection, packet, "message_id", NULL),
			  message->message_id) &&
	       span_equal(
		       find_property(connection, &again, "ordering_key", NULL),
		       message->ordering_key);
}

/* What leaves is what was handed over, whole and in its turn. */
static struct message *hear_publish(struct connection *connection,
				    struct packet *packet)
{
	struct mqtt_state *state = connection->state;
	const struct plan *plan = connection->link->world->plan;
	struct message *message = queue_pop(&connection->link->unsent);
	struct span topic = take_text(packet);
	unsigned id = take_number(packet, 2);

	if (message == NULL ||
	    (state->version == MQTT_5 &&
	     !has_properties(connection, packet, message)) ||
	    packet->failed || packet->flags != plan->qos * 2u ||
	    !is_dotted(topic, message->topic) ||
	    !span_equal(take_bytes(packet, left(packet)),
			message->letter->body)) {
		peer_refuse(connection, "a message was changed on its way out");
		return NULL;
	}
	if (id == 0 || is_in_use(connection, id))
		peer_refuse(connection, "a packet id is in use already");
	state->published[message->tag % UNANSWERED_MAX] = (uint16_t)id;
	return message;
}

/* They come in the order of what they acknowledge (4.6.0-2, -3). */
static uint64_t hear_ack(struct connection *connection, unsigned id)
{
	const struct mqtt_state *state = connection->state;
	uint64_t tag = connection->acknowledged + 1;

	if (tag > connection->told_tag ||
	    state->delivered[tag % UNANSWERED_MAX] != id) {
		peer_refuse(connection, "it acknowledges out of turn");
		return 0;
	}
	link_acknowledged(connection->link, tag);
	return tag;
}

static uint32_t hear_subscribe(struct connection *connection,
			       struct packet *packet)
{
	struct mqtt_state *state = connection->state;
	unsigned id = take_number(packet, 2);

	if (state->version == MQTT_5)
		find_property(connection, packet, NULL, NULL);
	state->filters = 0;
	while (left(packet) > 0 && !packet->failed) {
		take_text(packet);
		if ((take_number(packet, 1) & 3) !=
		    connection->link->world->plan->qos)
			peer_refuse(connection, "it wants another QoS");
		state->filters++;
	}
	if (packet->failed || packet->flags != 2 || state->filters != 2)
		peer_refuse(connection, "it subscribes to something else");
	return mqtt_speech(MQTT_SUBSCRIBE, 0, id);
}

static bool fits(const struct packet *packet)
{
	switch (packet->type) {
	case MQTT_PUBREL:
		return packet->flags == 2;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBCOMP:
	case MQTT_PINGREQ:
	case MQTT_DISCONNECT:
		return packet->flags == 0;
	default:
		return false;
	}
}

static uint32_t hear_other(struct connection *connection, struct packet *packet)
{
	unsigned id = 0;

	if (!fits(packet))
		peer_refuse(connection, "the client says what it may not say");
	if (packet->type != MQTT_PINGREQ && packet->type != MQTT_DISCONNECT)
		id = take_number(packet, 2);
	return mqtt_speech(packet->type, 0, id);
}

static struct parcel hear_packet(struct connection *connection,
				 struct packet *packet)
{
	struct parcel parcel = {.kind = PARCEL_SPEECH};
	bool twice = connection->link->world->plan->qos == 2;

	switch (packet->type) {
	case MQTT_CONNECT:
		parcel.speech = hear_connect(connection, packet);
		break;
	case MQTT_PUBLISH:
		parcel.kind = PARCEL_PUBLISH;
		parcel.message = hear_publish(connection, packet);
		break;
	case MQTT_SUBSCRIBE:
		parcel.speech = hear_subscribe(connection, packet);
		break;
	default:
		parcel.speech = hear_other(connection, packet);
	}
	if (packet->type == (twice ? MQTT_PUBREC : MQTT_PUBACK)) {
		parcel.kind = PARCEL_ACK;
		parcel.tag =
			hear_ack(connection, mqtt_speech_id(parcel.speech));
	}
	return parcel;
}

static void mqtt_hear(struct connection *connection, struct buffer *written)
{
	struct mqtt_state *state = connection->state;
	struct packet packet;
	size_t size;

	while ((size = read_packet(buffer_span(written), &packet)) > 0) {
		struct parcel parcel;

		if (state->greeted == (packet.type == MQTT_CONNECT))
			peer_refuse(connection, "CONNECT comes first, once");
		state->greeted = true;
		parcel = hear_packet(connection, &packet);
		parcel.size = size;
		if (parcel.kind != PARCEL_PUBLISH || parcel.message != NULL)
			wire_send(connection, parcel);
		buffer_consume(written, size);
	}
}

/* ---- what the server does about it ---- */

/* Who is told nothing has to guess; who is told is told in his own words, or
 * in those of the version that the server knows. */
static void turn_away(struct connection *connection)
{
	connection_tell(connection, (struct frame){.kind = BROKER_DOWN,
						   .abrupt = true,
						   .status = STATUS_PROTOCOL});
	connection_close_server(connection);
}

/* What was released and not yet completed is released again (4.4.0-1). */
static void resume(struct connection *connection)
{
	const struct server *server = &connection->link->world->server;

	for (size_t i = 0; i < server->released_count; i++)
		peer_say(connection,
			 mqtt_speech(MQTT_PUBREL, 0, server->released[i]));
	connection->stopped = !server->subscribed;
}

static void let_in(struct connection *connection)
{
	struct mqtt_state *state = connection->state;
	struct world *world = connection->link->world;
	struct server *server = &world->server;
	bool present = !state->clean && server->known;
	usec_t interval = state->keep_alive * USEC_PER_SEC;

	if (world->plan->outdated && state->version == MQTT_5) {
		turn_away(connection);
		return;
	}
	server_throw_others_out(connection);
	state->open = true;
	connection->takes_all = state->version != MQTT_5;
	connection->goes_on = !connection->takes_all;
	connection->halves = world->plan->qos == 2;
	peer_say(connection, mqtt_speech(MQTT_CONNACK, present, 0));
	peer_watch(connection, interval, interval + interval / 2, 0);
	if (state->clean)
		return;
	server->known = true;
	if (present)
		resume(connection);
	server_pump(world);
}

static void subscribe(struct connection *connection, unsigned id)
{
	enum { REFUSED = 0x80 };
	struct world *world = connection->link->world;
	bool refused = server_refuses(&world->server);
	unsigned lower = world->plan->qos - 1u;
	unsigned code = !refused		     ? world->plan->qos
			: world_below(world, 2) == 0 ? REFUSED
						     : lower;

	peer_say(connection, mqtt_speech(MQTT_SUBACK, code, id));
	connection->ended = refused;
	if (refused)
		return;
	world->server.subscribed = true;
	connection->stopped = false;
	server_pump(world);
}

static void complete(struct server *server, unsigned id)
{
	for (size_t i = 0; i < server->released_count; i++)
		if (server->released[i] == id)
			server->released[i--] =
				server->released[--server->released_count];
}

static void take_speech(struct connection *connection, uint32_t speech)
{
	struct mqtt_state *state = connection->state;
	unsigned id = mqtt_speech_id(speech);

	switch (mqtt_speech_type(speech)) {
	case MQTT_CONNECT:
		let_in(connection);
		break;
	case MQTT_SUBSCRIBE:
		subscribe(connection, id);
		break;
	case MQTT_PUBREL:
		state->unanswered--;
		peer_say(connection, mqtt_speech(MQTT_PUBCOMP, 0, id));
		break;
	case MQTT_PUBCOMP:
		complete(&connection->link->world->server, id);
		break;
	case MQTT_PINGREQ:
		peer_say(connection, mqtt_speech(MQTT_PINGRESP, 0, 0));
		break;
	case MQTT_DISCONNECT:
		peer_close(connection, STATUS_OK);
		break;
	default:
		peer_refuse(connection, "the client says what it may not say");
	}
}

/* Its part of the exchange is done; the id is in use until PUBCOMP. */
static void release(struct connection *connection, uint64_t tag)
{
	const struct mqtt_state *state = connection->state;
	struct server *server = &connection->link->world->server;
	uint16_t id = state->delivered[tag % UNANSWERED_MAX];

	if (server->released_count < RELEASED_MAX)
		server->released[server->released_count++] = id;
	peer_say(connection, mqtt_speech(MQTT_PUBREL, 0, id));
}

static void count_publish(struct connection *connection)
{
	struct mqtt_state *state = connection->state;
	unsigned most = connection->link->world->plan->receive_maximum;

	state->unanswered++;
	if (most > 0 && state->version == MQTT_5 && state->unanswered > most)
		peer_refuse(connection, "more come than the receive maximum");
}

static void mqtt_take(struct connection *connection,
		      const struct parcel *parcel)
{
	if (parcel->kind == PARCEL_SPEECH)
		take_speech(connection, parcel->speech);
	else if (parcel->kind == PARCEL_PUBLISH)
		count_publish(connection);
	else if (parcel->kind == PARCEL_ACK &&
		 connection->link->world->plan->qos == 2)
		release(connection, parcel->tag);
}

const struct peer mqtt_peer = {
	.driver = &broker_mqtt,
	.state_size = sizeof(struct mqtt_state),
	.only_answers = true,
	.hear = mqtt_hear,
	.take = mqtt_take,
	.say = mqtt_say,
};
