/* SPDX-License-Identifier: MIT */
/* What an open connection asks of the server. */
#include <string.h>

#include "amqp/internal.h"
#include "base/quote.h"

/* A publish's method frame, and what frames a body beside its bytes. */
enum { PUBLISH_ROOM = 8192 };

int connection_send(struct connection *connection, uint16_t channel,
		    amqp_method_number_t id, void *method, struct error *err)
{
	return frame_write_method(&connection->output, channel, id, method,
				  err);
}

/* Queues a method that the server answers. */
static int ask(struct connection *connection, amqp_method_number_t id,
	       void *method, struct error *err)
{
	int status = connection_send(connection, CHANNEL, id, method, err);

	if (status == 0)
		connection->unanswered++;
	return status;
}

static int check_short(const char *what, struct span value, struct error *err)
{
	if (value.len <= SHORT_STRING_MAX)
		return 0;
	return error_set(err, STATUS_INVALID,
			 "the %s %s is too long: AMQP carries %d bytes at most",
			 what, quote(value).text, SHORT_STRING_MAX);
}

static amqp_table_entry_t argument(const char *key, struct span value)
{
	return (amqp_table_entry_t){
		.key = amqp_cstring_bytes(key),
		.value.kind = AMQP_FIELD_KIND_UTF8,
		.value.value.bytes = bytes_of(value),
	};
}

int connection_declare_exchange(struct connection *connection, struct span name,
				struct span type, bool passive,
				struct error *err)
{
	amqp_exchange_declare_t declare = {
		.exchange = bytes_of(name),
		.type = bytes_of(type),
		.passive = passive,
		.durable = true,
	};
	int status = check_short("exchange name", name, err);

	if (status == 0)
		status = check_short("exchange type", type, err);
	return status < 0 ? status
			  : ask(connection, AMQP_EXCHANGE_DECLARE_METHOD,
				&declare, err);
}

int connection_declare_queue(struct connection *connection,
			     const struct queue_declaration *queue,
			     bool passive, struct error *err)
{
	amqp_table_entry_t arguments[] = {
		argument("x-queue-type", queue->type),
		argument("x-dead-letter-exchange", queue->dead_letter_exchange),
	};
	bool dead_letters = span_present(queue->dead_letter_exchange);
	amqp_queue_declare_t declare = {
		.queue = bytes_of(queue->name),
		.passive = passive,
		.durable = true,
		.arguments = {.num_entries = dead_letters ? 2 : 1,
			      .entries = arguments},
	};
	int status = check_short("queue name", queue->name, err);

	return status < 0 ? status
			  : ask(connection, AMQP_QUEUE_DECLARE_METHOD, &declare,
				err);
}

int connection_bind_queue(struct connection *connection, struct span queue,
			  struct span exchange, struct span routing_key,
			  struct error *err)
{
	amqp_queue_bind_t bind = {
		.queue = bytes_of(queue),
		.exchange = bytes_of(exchange),
		.routing_key = bytes_of(routing_key),
	};
	int status = check_short("binding key", routing_key, err);

	return status < 0 ? status
			  : ask(connection, AMQP_QUEUE_BIND_METHOD, &bind, err);
}

int connection_bind_exchange(struct connection *connection,
			     struct span destination, struct span source,
			     struct span routing_key, struct error *err)
{
	amqp_exchange_bind_t bind = {
		.destination = bytes_of(destination),
		.source = bytes_of(source),
		.routing_key = bytes_of(routing_key),
	};

	return ask(connection, AMQP_EXCHANGE_BIND_METHOD, &bind, err);
}

int connection_select_confirms(struct connection *connection, struct error *err)
{
	amqp_confirm_select_t select = {0};

	return ask(connection, AMQP_CONFIRM_SELECT_METHOD, &select, err);
}

/* A checked short string, NUL-terminated. */
static void keep_short(char kept[SHORT_STRING_SIZE], struct span value)
{
	memcpy(kept, value.at, value.len);
	kept[value.len] = '\0';
}

int connection_limit(struct connection *connection, uint16_t prefetch,
		     struct error *err)
{
	amqp_basic_qos_t qos = {.prefetch_count = prefetch};

	return ask(connection, AMQP_BASIC_QOS_METHOD, &qos, err);
}

int connection_consume(struct connection *connection, struct span queue,
		       struct span consumer_tag, struct error *err)
{
	amqp_basic_consume_t consume = {
		.queue = bytes_of(queue),
		.consumer_tag = bytes_of(consumer_tag),
	};
	int status = check_short("consumer tag", consumer_tag, err);

	if (status == 0)
		status = check_short("queue name", queue, err);
	if (status == 0)
		status = ask(connection, AMQP_BASIC_CONSUME_METHOD, &consume,
			     err);
	if (status == 0) {
		keep_short(connection->consumer_tag, consumer_tag);
		keep_short(connection->queue, queue);
	}
	return status;
}

void connection_cancel(struct connection *connection)
{
	amqp_basic_cancel_t cancel = {
		.consumer_tag = amqp_cstring_bytes(connection->consumer_tag),
	};

	if (connection->state != CONNECTION_OPEN ||
	    connection->consumer_tag[0] == '\0')
		return;
	(void)ask(connection, AMQP_BASIC_CANCEL_METHOD, &cancel, NULL);
	connection->consumer_tag[0] = '\0';
}

/* So much room that writing the message cannot fail half-way. */
static bool reserve(struct connection *connection, struct span body,
		    const struct headers *headers)
{
	size_t frames = body.len / FRAME_MIN_MAX + 1;
	size_t room = PUBLISH_ROOM + body.len + frames * 2 * FRAME_OVERHEAD;
	bool failed = connection->output.failed;
	char *at;

	for (size_t i = 0; i < headers->count; i++)
		room += headers->at[i].name.len + headers->at[i].value.len +
			FRAME_OVERHEAD;
	at = buffer_reserve(&connection->output, room + PUBLISH_ROOM);
	connection->output.failed = failed;
	return at != NULL && unconfirmed_reserve(&connection->unconfirmed);
}

static int write_message(struct connection *connection,
			 const struct outgoing *message, struct error *err)
{
	amqp_basic_publish_t publish = {
		.exchange = bytes_of(message->exchange),
		.routing_key = bytes_of(message->routing_key),
		.mandatory = true,
	};
	size_t before = buffer_length(&connection->output);
	struct buffer *out = &connection->output;
	int status = connection_send(connection, CHANNEL,
				     AMQP_BASIC_PUBLISH_METHOD, &publish, err);

	if (status == 0)
		status = properties_write(
			&message->properties, out, CHANNEL, message->body.len,
			connection->frame_max, &connection->scratch, err);
	arena_reset(&connection->scratch);
	if (status < 0)
		out->end = out->start + before;
	else
		frame_write_body(out, CHANNEL, message->body,
				 connection->frame_max);
	return status;
}

int connection_publish(struct connection *connection,
		       const struct outgoing *message, uint64_t *tag,
		       struct error *err)
{
	int status = check_short("exchange name", message->exchange, err);

	if (status == 0)
		status = check_short("topic", message->routing_key, err);
	if (status < 0)
		return status;
	if (!reserve(connection, message->body, &message->properties.headers))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	status = write_message(connection, message, err);
	if (status == 0)
		*tag = unconfirmed_add(&connection->unconfirmed,
				       message->properties.message_id,
				       message->routing_key);
	return status;
}

void connection_acknowledge(struct connection *connection, uint64_t tag)
{
	amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = true};

	if (connection->state == CONNECTION_OPEN)
		(void)connection_send(connection, CHANNEL,
				      AMQP_BASIC_ACK_METHOD, &ack, NULL);
}

/* The channel first: its server takes what came before, then it goes. */
void connection_close(struct connection *connection)
{
	amqp_channel_close_t channel = {.reply_code = AMQP_REPLY_SUCCESS};
	amqp_connection_close_t close = {.reply_code = AMQP_REPLY_SUCCESS};

	if (connection->state >= CONNECTION_CLOSING)
		return;
	if (connection->state == CONNECTION_OPEN)
		(void)connection_send(connection, CHANNEL,
				      AMQP_CHANNEL_CLOSE_METHOD, &channel,
				      NULL);
	connection_move(connection, CONNECTION_CLOSING);
	(void)connection_send(connection, 0, AMQP_CONNECTION_CLOSE_METHOD,
			      &close, NULL);
}
