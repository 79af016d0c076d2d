/* SPDX-License-Identifier: MIT */
/* A server of AMQP 0-9-1: what clients say to it, and what it does about it. */
#include "amqp_peer.h"

#include "world.h"

/* ---- bytes from the lane ---- */

enum { HEADER = 7, OVERHEAD = 8, CONTENT_HEADER = 12, GREETING_SIZE = 8 };

/* One frame, or all that make up a message. */
struct unit {
	uint8_t type;
	uint32_t method;
	struct span fields;
	struct span properties;
	struct span body;
	size_t size;
};

static uint64_t number(const char *at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | (unsigned char)at[i];
	return value;
}

/* The frame that begins the bytes; false if it is not all there. */
static bool read_frame(struct connection *connection, struct span bytes,
		       uint8_t *type, struct span *payload)
{
	size_t size;

	if (bytes.len < OVERHEAD)
		return false;
	size = (size_t)number(bytes.at + 3, 4);
	if (size > 131072 - OVERHEAD)
		return peer_refuse(connection, "a frame is too large");
	if (bytes.len < size + OVERHEAD)
		return false;
	if ((unsigned char)bytes.at[HEADER + size] != AMQP_FRAME_END)
		return peer_refuse(connection, "a frame has no end mark");
	*type = (uint8_t)bytes.at[0];
	*payload = (struct span){bytes.at + HEADER, size};
	return true;
}

static struct span rest(struct span bytes, size_t passed)
{
	return (struct span){bytes.at + passed, bytes.len - passed};
}

/* Behind its method a message has a header and, if it is not empty, a body,
 * which is short enough here for one frame. */
static bool read_content(struct connection *connection, struct span bytes,
			 struct unit *unit)
{
	struct span header;
	uint8_t type;
	uint64_t size;

	if (!read_frame(connection, rest(bytes, unit->size), &type, &header))
		return false;
	if (type != AMQP_FRAME_HEADER || header.len < CONTENT_HEADER)
		return peer_refuse(connection, "a message has no header");
	size = number(header.at + 4, 8);
	unit->size += header.len + OVERHEAD;
	unit->properties = rest(header, CONTENT_HEADER);
	if (!read_frame(connection, rest(bytes, unit->size), &type,
			&unit->body))
		return false;
	if (type != AMQP_FRAME_BODY || unit->body.len != size)
		return peer_refuse(connection, "a message has another body");
	unit->size += unit->body.len + OVERHEAD;
	return true;
}

static bool read_unit(struct connection *connection, struct span bytes,
		      struct unit *unit)
{
	struct span payload;

	*unit = (struct unit){0};
	if (!read_frame(connection, bytes, &unit->type, &payload))
		return false;
	unit->size = payload.len + OVERHEAD;
	unit->method = AMQP_SAYS_HEARTBEAT;
	if (unit->type == AMQP_FRAME_HEARTBEAT)
		return true;
	if (unit->type != AMQP_FRAME_METHOD || payload.len < 4)
		return peer_refuse(connection, "a frame is no method");
	unit->method = (uint32_t)number(payload.at, 4);
	unit->fields = rest(payload, 4);
	return unit->method != AMQP_BASIC_PUBLISH_METHOD ||
	       read_content(connection, bytes, unit);
}

/* ---- what the lane says, as it leaves ---- */

static struct span span_of_bytes(amqp_bytes_t bytes)
{
	return (struct span){bytes.bytes == NULL ? "" : bytes.bytes, bytes.len};
}

static amqp_bytes_t bytes_of(struct span span)
{
	return (amqp_bytes_t){.len = span.len, .bytes = (void *)span.at};
}

/* Of what was decoded last. */
static amqp_pool_t pool;

static const void *decode(struct connection *connection,
			  const struct unit *unit)
{
	void *method;

	if (pool.pagesize == 0)
		init_amqp_pool(&pool, 4096);
	recycle_amqp_pool(&pool);
	if (amqp_decode_method(unit->method, &pool, bytes_of(unit->fields),
			       &method) < 0) {
		peer_refuse(connection, "a method is malformed");
		return NULL;
	}
	return method;
}

static bool has_key(const amqp_basic_properties_t *properties,
		    struct span ordering_key)
{
	const amqp_table_t *headers = &properties->headers;

	if (!span_present(ordering_key))
		return true;
	for (int i = 0; i < headers->num_entries; i++)
		if (span_is(span_of_bytes(headers->entries[i].key),
			    "ordering_key"))
			return span_equal(
				span_of_bytes(
					headers->entries[i].value.value.bytes),
				ordering_key);
	return false;
}

/* What leaves is what was handed over, whole and in its turn. */
static bool is_the_message(struct connection *connection,
			   const struct unit *unit,
			   const struct message *message)
{
	const amqp_basic_publish_t *publish = decode(connection, unit);
	const amqp_basic_properties_t *properties;
	void *decoded;

	if (publish == NULL || !publish->mandatory ||
	    !span_is(span_of_bytes(publish->exchange), "interservice") ||
	    !span_equal(span_of_bytes(publish->routing_key), message->topic))
		return false;
	if (amqp_decode_properties(AMQP_BASIC_CLASS, &pool,
				   bytes_of(unit->properties), &decoded) < 0)
		return false;
	properties = decoded;
	return properties->delivery_mode == 2 &&
	       properties->timestamp == (uint64_t)message->seq &&
	       span_equal(span_of_bytes(properties->message_id),
			  message->message_id) &&
	       has_key(properties, message->ordering_key) &&
	       span_equal(unit->body, message->letter->body);
}

static struct message *hear_publish(struct connection *connection,
				    const struct unit *unit)
{
	struct amqp_state *state = connection->state;
	struct message *message = queue_pop(&connection->link->unsent);

	if (!state->confirms || !state->bound)
		peer_refuse(connection,
			    "a message went out before the topology");
	if (message == NULL || !is_the_message(connection, unit, message))
		peer_refuse(connection, "a message was changed on its way out");
	return message;
}

static uint64_t hear_ack(struct connection *connection, const struct unit *unit)
{
	const amqp_basic_ack_t *ack = decode(connection, unit);

	if (ack == NULL)
		return 0;
	if (!ack->multiple)
		peer_refuse(connection, "a delivery is acknowledged by itself");
	link_acknowledged(connection->link, ack->delivery_tag);
	return ack->delivery_tag;
}

/* Of the login and the topology only a part has to be looked at. */
static void hear_other(struct connection *connection, const struct unit *unit)
{
	struct amqp_state *state = connection->state;
	const amqp_queue_bind_t *bind;
	const amqp_basic_qos_t *qos;
	const amqp_connection_tune_ok_t *tune;

	switch (unit->method) {
	case AMQP_QUEUE_BIND_METHOD:
		bind = decode(connection, unit);
		if (bind != NULL &&
		    span_is(span_of_bytes(bind->exchange), "interservice"))
			state->bound = true;
		break;
	case AMQP_CONFIRM_SELECT_METHOD:
		state->confirms = true;
		break;
	case AMQP_BASIC_QOS_METHOD:
		qos = decode(connection, unit);
		state->limited =
			qos != NULL &&
			qos->prefetch_count ==
				connection->link->world->plan->prefetch;
		break;
	case AMQP_BASIC_CONSUME_METHOD:
		if (!state->limited || !state->bound)
			peer_refuse(connection,
				    "it consumes before the topology");
		break;
	case AMQP_CONNECTION_TUNE_OK_METHOD:
		tune = decode(connection, unit);
		if (tune != NULL)
			state->interval = tune->heartbeat * USEC_PER_SEC;
		break;
	default:
		break;
	}
}

static void hear_unit(struct connection *connection, const struct unit *unit)
{
	struct parcel parcel = {.kind = PARCEL_SPEECH,
				.speech = unit->method,
				.size = unit->size};

	switch (unit->method) {
	case AMQP_BASIC_PUBLISH_METHOD:
		parcel.kind = PARCEL_PUBLISH;
		parcel.message = hear_publish(connection, unit);
		if (parcel.message == NULL)
			return;
		break;
	case AMQP_BASIC_ACK_METHOD:
		parcel.kind = PARCEL_ACK;
		parcel.tag = hear_ack(connection, unit);
		break;
	default:
		hear_other(connection, unit);
	}
	wire_send(connection, parcel);
}

/* The client begins with what is no frame. */
static bool hear_greeting(struct connection *connection, struct buffer *written)
{
	struct amqp_state *state = connection->state;

	if (buffer_length(written) < GREETING_SIZE)
		return false;
	if (memcmp(buffer_span(written).at, "AMQP\0\0\x09\x01",
		   GREETING_SIZE) != 0)
		return peer_refuse(connection,
				   "it does not begin with AMQP 0-9-1");
	buffer_consume(written, GREETING_SIZE);
	state->greeted = true;
	wire_send(connection, (struct parcel){.kind = PARCEL_SPEECH,
					      .speech = AMQP_SAYS_GREETING,
					      .size = GREETING_SIZE});
	return true;
}

static void amqp_hear(struct connection *connection, struct buffer *written)
{
	struct amqp_state *state = connection->state;
	struct unit unit;

	if (!state->greeted && !hear_greeting(connection, written))
		return;
	while (read_unit(connection, buffer_span(written), &unit)) {
		hear_unit(connection, &unit);
		buffer_consume(written, unit.size);
	}
}

/* ---- what the server does about it ---- */

static void begin_to_consume(struct connection *connection)
{
	struct server *server = &connection->link->world->server;

	if (server_refuses(server)) {
		connection_tell(connection,
				(struct frame){.kind = BROKER_DOWN,
					       .lingers = true,
					       .status = STATUS_DENIED});
		return;
	}
	peer_say(connection, AMQP_BASIC_CONSUME_OK_METHOD);
	connection->stopped = false;
	server_pump(connection->link->world);
}

/* Whoever comes while it blocks is told at once. */
static void open_connection(struct connection *connection)
{
	struct amqp_state *state = connection->state;
	struct world *world = connection->link->world;

	state->open = true;
	peer_say(connection, AMQP_CONNECTION_OPEN_OK_METHOD);
	if (connection->link->lane->role == BROKER_PUBLISHER &&
	    world->now < world->server.blocked_until)
		connection_tell(connection,
				(struct frame){.kind = BROKER_BLOCKED});
}

static void close_connection(struct connection *connection)
{
	peer_say(connection, AMQP_CONNECTION_CLOSE_OK_METHOD);
	peer_close(connection, STATUS_OK);
}

static void take_speech(struct connection *connection, uint32_t speech)
{
	const struct amqp_state *state = connection->state;

	switch (speech) {
	case AMQP_SAYS_GREETING:
		peer_say(connection, AMQP_CONNECTION_START_METHOD);
		break;
	case AMQP_CONNECTION_START_OK_METHOD:
		peer_say(connection, AMQP_CONNECTION_TUNE_METHOD);
		break;
	case AMQP_CONNECTION_TUNE_OK_METHOD:
		peer_watch(connection, state->interval, 2 * state->interval,
			   AMQP_SAYS_HEARTBEAT);
		break;
	case AMQP_CONNECTION_OPEN_METHOD:
		open_connection(connection);
		break;
	case AMQP_BASIC_CONSUME_METHOD:
		begin_to_consume(connection);
		break;
	case AMQP_BASIC_CANCEL_METHOD:
	case AMQP_CHANNEL_CLOSE_METHOD:
		connection->stopped = true;
		peer_say(connection, speech + 1);
		break;
	case AMQP_CONNECTION_CLOSE_METHOD:
		close_connection(connection);
		break;
	case AMQP_CHANNEL_OPEN_METHOD:
	case AMQP_EXCHANGE_DECLARE_METHOD:
	case AMQP_QUEUE_DECLARE_METHOD:
	case AMQP_QUEUE_BIND_METHOD:
	case AMQP_BASIC_QOS_METHOD:
	case AMQP_CONFIRM_SELECT_METHOD:
		peer_say(connection,
			 speech + 1); /* the answer's number is next */
		break;
	case AMQP_SAYS_HEARTBEAT:
	case AMQP_CHANNEL_CLOSE_OK_METHOD:
	case AMQP_CONNECTION_CLOSE_OK_METHOD:
		break;
	default:
		peer_refuse(connection, "the client says what it may not say");
	}
}

static void amqp_take(struct connection *connection,
		      const struct parcel *parcel)
{
	if (parcel->kind == PARCEL_SPEECH)
		take_speech(connection, parcel->speech);
}

const struct peer amqp_peer = {
	.driver = &broker_rabbitmq,
	.state_size = sizeof(struct amqp_state),
	.lingers = true,
	.hear = amqp_hear,
	.take = amqp_take,
	.say = amqp_say,
};
