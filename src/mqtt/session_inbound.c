/* SPDX-License-Identifier: MIT */
/* What the server brings: its welcome, and messages. */
#include <stdlib.h>

#include "base/quote.h"
#include "mqtt/internal.h"

enum { NO_RECEIVE_MAXIMUM = 65535 };

/* ---- CONNACK ---- */

static int refuse(struct session *session, const struct connack *connack)
{
	session->reason = connack->reason;
	session->version_refused =
		connack->reason == REASON_UNSUPPORTED_VERSION;
	mqtt_reason_error(&session->error, "the server refuses the connection",
			  connack->reason, connack->properties.reason);
	return session_fail_so(session, 0);
}

static void take_limits(struct session *session,
			const struct mqtt_properties *from)
{
	bool dictated = property_found(from, PROPERTY_SERVER_KEEP_ALIVE);

	session->limits = (struct session_limits){
		.receive_maximum = from->receive_maximum > 0
					   ? from->receive_maximum
					   : NO_RECEIVE_MAXIMUM,
		.maximum_packet = from->maximum_packet > 0
					  ? from->maximum_packet
					  : UINT32_MAX,
		.maximum_qos = from->maximum_qos,
		.retain_available = from->retain_available,
		.wildcard_available = from->wildcard_available,
		.identifiers_available = from->identifiers_available,
		.shared_available = from->shared_available,
		.keep_alive = dictated ? from->server_keep_alive
				       : session->options.keep_alive,
	};
	if (property_found(from, PROPERTY_SESSION_EXPIRY))
		session->kept = from->session_expiry > 0;
}

/* The server's choice of a client id is ours from now on. */
static int take_client_id(struct session *session, struct span assigned)
{
	if (assigned.len == 0)
		return 0;
	free(session->assigned_id);
	session->assigned_id = malloc(assigned.len);
	if (session->assigned_id == NULL)
		return session_fail(session, STATUS_NO_MEMORY, 0,
				    "out of memory");
	memcpy(session->assigned_id, assigned.at, assigned.len);
	session->options.client_id =
		(struct span){session->assigned_id, assigned.len};
	return 0;
}

int session_on_connack(struct session *session,
		       const struct packet_reader *reader,
		       const struct packet *packet, struct session_event *event)
{
	struct connack connack;

	if (packet_read_connack(reader, packet, &connack, &session->error) < 0)
		return session_fail_so(session, REASON_MALFORMED_PACKET);
	if (connack.reason >= REASON_FAILURES)
		return refuse(session, &connack);
	if (connack.session_present && session->clean)
		return session_fail(session, STATUS_PROTOCOL, 0,
				    "the server has a session although a clean "
				    "start was asked for");
	if (take_client_id(session, connack.properties.assigned_client_id) < 0)
		return -1;
	take_limits(session, &connack.properties);
	session_move(session, STATE_CONNECTED);
	session->met = true;
	if (!connack.session_present) {
		session->deliveries.released = (struct id_set){0};
		session_lose_requests(session, true);
	}
	session_resume(session);
	event->kind = SESSION_CONNECTED;
	event->session_present = connack.session_present;
	event->limits = session->limits;
	event->client_id = session->options.client_id;
	return 1;
}

/* ---- PUBLISH ---- */

static void answer(struct session *session, enum packet_type type, uint16_t id,
		   uint8_t reason)
{
	if (session->state == STATE_CONNECTED)
		packet_write_answer(&session->output, session->options.version,
				    type, id, reason);
}

/* Whether the message is new: 1, 0, or negative with the connection ended. */
static int judge(struct session *session, const struct publish *publish)
{
	struct deliveries *deliveries = &session->deliveries;
	unsigned most = session->options.receive_maximum;

	if (publish->message.qos == 0)
		return 1;
	if (publish->message.qos == 2 &&
	    id_set_has(&deliveries->released, publish->id)) {
		answer(session, PACKET_PUBREC, publish->id, 0);
		return 0;
	}
	if (id_set_has(&deliveries->waiting, publish->id)) {
		if (publish->message.dup)
			return 0;
		return session_fail(
			session, STATUS_PROTOCOL, REASON_PROTOCOL_ERROR,
			"the server used packet id %u twice", publish->id);
	}
	if (session->options.version >= MQTT_VERSION_5 && most > 0 &&
	    deliveries->newest - deliveries->acknowledged >= most)
		return session_fail(session, STATUS_PROTOCOL,
				    REASON_RECEIVE_MAXIMUM,
				    "the server sent more than the receive "
				    "maximum of %u",
				    most);
	return 1;
}

static int deliver(struct session *session, const struct packet *packet,
		   const struct publish *publish, struct session_event *event)
{
	const struct span *payload = &publish->message.payload;
	size_t kept = packet->size - session->skip;

	if (publish->message.qos > 0) {
		event->delivery = deliveries_add(
			&session->deliveries,
			(struct waiting){publish->id, publish->message.qos});
		if (event->delivery == 0)
			return session_fail(session, STATUS_NO_MEMORY, 0,
					    "out of memory");
	}
	event->kind = SESSION_MESSAGE;
	event->message = publish->message;
	event->cut = packet->cut;
	event->full_size = payload->len + (packet->size - kept);
	return 1;
}

int session_on_publish(struct session *session,
		       const struct packet_reader *reader,
		       const struct packet *packet, struct session_event *event)
{
	struct packet copy = *packet;
	struct publish publish;
	int status;

	if (session->state == STATE_LEAVING)
		return 0;
	copy.body = arena_copy(reader->arena, packet->body);
	if (!span_present(copy.body))
		return session_fail(session, STATUS_NO_MEMORY, 0,
				    "out of memory");
	if (packet_read_publish(reader, &copy, &publish, &session->error) < 0)
		return session_fail_so(session, REASON_MALFORMED_PACKET);
	status = judge(session, &publish);
	return status <= 0 ? status : deliver(session, packet, &publish, event);
}

int session_on_pubrel(struct session *session, const struct answer *pubrel)
{
	struct id_set *released = &session->deliveries.released;
	bool known = id_set_has(released, pubrel->id);

	id_set_put(released, pubrel->id, false);
	answer(session, PACKET_PUBCOMP, pubrel->id,
	       known ? 0 : REASON_PACKET_ID_NOT_FOUND);
	return 0;
}

void session_acknowledge(struct session *session, uint64_t delivery)
{
	struct waiting first;

	if (session->state != STATE_CONNECTED)
		return;
	while (deliveries_take(&session->deliveries, delivery, &first)) {
		bool exactly = first.qos == 2;

		if (exactly)
			id_set_put(&session->deliveries.released, first.id,
				   true);
		answer(session, exactly ? PACKET_PUBREC : PACKET_PUBACK,
		       first.id, 0);
	}
}
