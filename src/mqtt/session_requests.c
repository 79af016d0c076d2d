/* SPDX-License-Identifier: MIT */
/* What is asked of the server, and its answers. */
#include <assert.h>
#include <stdlib.h>

#include "base/testing.h"
#include "mqtt/internal.h"
#include "mqtt/topic.h"

/* ---- the window ---- */

/* What is to be sent again goes first (4.6.0-1): while it waits there is no
 * room either. */
bool session_has_room(const struct session *session)
{
	return session->state == STATE_CONNECTED &&
	       session->in_flight < session->limits.receive_maximum &&
	       requests_has_id(&session->requests);
}

static void count(struct session *session, struct request *request)
{
	request->counted = true;
	session->in_flight++;
}

/* The request needs the server no more. */
static void settle(struct session *session, uint64_t tag,
		   enum request_state state)
{
	struct request *request = requests_get(&session->requests, tag);

	session->in_flight -= request->counted;
	request->counted = false;
	requests_move(&session->requests, tag, state);
}

static void send_pubrel(struct session *session, uint16_t id, uint8_t reason)
{
	packet_write_answer(&session->output, session->options.version,
			    PACKET_PUBREL, id, reason);
}

/* Sends one request again; false if the quota is used up. PUBREL is exempt
 * from it (4.9.0-3). */
static bool send_again(struct session *session, uint64_t tag)
{
	struct request *request = requests_get(&session->requests, tag);
	struct buffer *out = &session->output;
	size_t from = buffer_length(out);

	if (request->state == REQUEST_RELEASED) {
		send_pubrel(session, requests_id(tag), 0);
	} else if (request->state != REQUEST_PUBLISHED) {
		return true;
	} else {
		if (session->in_flight >= session->limits.receive_maximum)
			return false;
		buffer_append_span(out, request->copy);
		if (!out->failed && !testing_bug("dup-lost"))
			packet_mark_dup(out->data + out->start + from);
	}
	count(session, request);
	return true;
}

static void go_on_resending(struct session *session)
{
	if (session->state != STATE_CONNECTED)
		return;
	while (session->resend <= session->resend_end &&
	       send_again(session, session->resend))
		session->resend++;
}

void session_resume(struct session *session)
{
	session->resend = session->requests.answered + 1;
	session->resend_end = session->requests.newest;
	go_on_resending(session);
}

static bool is_publish(enum request_state state)
{
	return state == REQUEST_PUBLISHED || state == REQUEST_RELEASED;
}

static bool is_subscription(enum request_state state)
{
	return state == REQUEST_SUBSCRIBED || state == REQUEST_UNSUBSCRIBED;
}

void session_lose_requests(struct session *session, bool publishes)
{
	struct requests *requests = &session->requests;

	for (uint64_t tag = requests->answered + 1; tag <= requests->newest;
	     tag++) {
		struct request *request = requests_get(requests, tag);

		request->counted = false;
		if (is_subscription(request->state) ||
		    (publishes && is_publish(request->state)))
			requests_move(requests, tag, REQUEST_LOST);
	}
	session->in_flight = 0;
}

bool session_tell_request(struct session *session, struct session_event *event)
{
	struct requests *requests = &session->requests;
	uint64_t tag = requests_untold(requests);

	if (tag == 0)
		return false;
	event->kind = requests_get(requests, tag)->state == REQUEST_QUEUED
			      ? SESSION_CONFIRMED
			      : SESSION_LOST;
	event->tag = tag;
	requests_move(requests, tag, REQUEST_DONE);
	return true;
}

/* ---- asking ---- */

static int check_ready(struct session *session, struct error *err)
{
	if (session->state != STATE_CONNECTED)
		return error_set(err, STATUS_AWAY, "not connected");
	if (!requests_has_id(&session->requests))
		return error_set(err, STATUS_BUSY, "every packet id is in use");
	if (session->output.failed || !requests_reserve(&session->requests))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	return 0;
}

static uint16_t next_id(const struct session *session)
{
	return requests_id(session->requests.newest + 1);
}

static void take_back(struct session *session, size_t from)
{
	session->output.end = session->output.start + from;
	session->output.failed = false;
}

/* Judges the request that was written at `from`, or takes it back. */
static int check_written(struct session *session, size_t from, int status,
			 struct error *err)
{
	size_t size = buffer_length(&session->output) - from;

	if (status == 0 && session->output.failed)
		status = error_set(err, STATUS_NO_MEMORY, "out of memory");
	if (status == 0 && size > session->limits.maximum_packet)
		status = error_set(err, STATUS_INVALID,
				   "it takes %zu bytes, and the server allows "
				   "%u",
				   size, session->limits.maximum_packet);
	if (status < 0)
		take_back(session, from);
	return status;
}

static int check_message(const struct session *session,
			 const struct mqtt_message *message, struct error *err)
{
	if (message->qos > session->limits.maximum_qos)
		return error_set(err, STATUS_INVALID,
				 "QoS %u is asked for, and the server allows "
				 "%u",
				 message->qos, session->limits.maximum_qos);
	if (message->retain && !session->limits.retain_available)
		return error_set(err, STATUS_INVALID,
				 "the server keeps no retained messages");
	if (message->qos > 0 && !session_has_room(session))
		return error_set(err, STATUS_BUSY,
				 "the server's receive maximum is used up");
	return 0;
}

static int keep_copy(struct session *session, size_t from, struct span *copy,
		     struct error *err)
{
	struct span packet = buffer_span(&session->output);
	char *memory;

	packet.at += from;
	packet.len -= from;
	memory = malloc(packet.len);
	if (memory == NULL) {
		take_back(session, from);
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	}
	memcpy(memory, packet.at, packet.len);
	*copy = (struct span){memory, packet.len};
	return 0;
}

int session_publish(struct session *session, const struct mqtt_message *message,
		    uint64_t *tag, struct error *err)
{
	struct request request = {
		.state = message->qos == 0 ? REQUEST_QUEUED : REQUEST_PUBLISHED,
		.qos = message->qos,
	};
	size_t from = buffer_length(&session->output);
	int status = check_ready(session, err);

	assert(message->qos <= 2);
	if (status == 0)
		status = check_message(session, message, err);
	if (status < 0)
		return status;
	status =
		packet_write_publish(&session->output, session->options.version,
				     next_id(session), message, err);
	status = check_written(session, from, status, err);
	if (status == 0 && message->qos > 0 && session->kept)
		status = keep_copy(session, from, &request.copy, err);
	if (status < 0)
		return status;
	*tag = requests_add(&session->requests, request);
	if (message->qos > 0)
		count(session, requests_get(&session->requests, *tag));
	return 0;
}

static int check_filters(const struct session *session,
			 const struct mqtt_filter *filters, size_t filter_count,
			 struct error *err)
{
	for (size_t i = 0; i < filter_count; i++) {
		struct span filter = filters[i].filter;

		if (mqtt_filter_is_shared(filter) &&
		    !session->limits.shared_available)
			return error_set(
				err, STATUS_INVALID, "%s",
				mqtt_reason_text(
					REASON_NO_SHARED_SUBSCRIPTIONS));
		if (mqtt_filter_is_wild(filter) &&
		    !session->limits.wildcard_available)
			return error_set(
				err, STATUS_INVALID, "%s",
				mqtt_reason_text(
					REASON_NO_WILDCARD_SUBSCRIPTIONS));
	}
	return 0;
}

int session_subscribe(struct session *session,
		      const struct mqtt_filter *filters, size_t filter_count,
		      uint64_t *tag, struct error *err)
{
	struct request request = {.state = REQUEST_SUBSCRIBED,
				  .count = filter_count};
	size_t from = buffer_length(&session->output);
	int status = check_ready(session, err);

	assert(filter_count > 0);
	if (status == 0)
		status = check_filters(session, filters, filter_count, err);
	if (status < 0)
		return status;
	status = packet_write_subscribe(
		&session->output, session->options.version, next_id(session),
		filters, filter_count, err);
	status = check_written(session, from, status, err);
	if (status == 0)
		*tag = requests_add(&session->requests, request);
	return status;
}

int session_unsubscribe(struct session *session, const struct span *filters,
			size_t filter_count, uint64_t *tag, struct error *err)
{
	struct request request = {.state = REQUEST_UNSUBSCRIBED,
				  .count = filter_count};
	size_t from = buffer_length(&session->output);
	int status = check_ready(session, err);

	assert(filter_count > 0);
	if (status < 0)
		return status;
	status = packet_write_unsubscribe(
		&session->output, session->options.version, next_id(session),
		filters, filter_count, err);
	status = check_written(session, from, status, err);
	if (status == 0)
		*tag = requests_add(&session->requests, request);
	return status;
}

/* ---- answers ---- */

/* An answer of the wrong kind for what has that packet id. */
static int mismatch(struct session *session, enum packet_type type, uint16_t id)
{
	return session_fail(session, STATUS_PROTOCOL, REASON_PROTOCOL_ERROR,
			    "the server's %s for packet id %u answers what "
			    "was never asked",
			    packet_name(type), id);
}

/* Of QoS 2 it is PUBREC that says what became of the message. */
static int confirm(struct session *session, uint64_t tag,
		   const struct answer *answer, struct session_event *event)
{
	uint8_t received = requests_get(&session->requests, tag)->reason;

	if (testing_bug("pubrec-overheard"))
		received = 0;
	settle(session, tag, REQUEST_DONE);
	go_on_resending(session);
	event->tag = tag;
	event->reason = received != 0 ? received : answer->reason;
	event->kind = SESSION_CONFIRMED;
	return 1;
}

static int reject(struct session *session, uint64_t tag,
		  const struct answer *answer, struct session_event *event)
{
	mqtt_reason_error(&event->error, "the server refuses the message",
			  answer->reason, answer->properties.reason);
	confirm(session, tag, answer, event);
	event->kind = SESSION_REJECTED;
	return 1;
}

/* After PUBREL never the PUBLISH again (4.3.3-6): its copy is forgotten. */
static int release(struct session *session, uint64_t tag,
		   const struct answer *pubrec)
{
	if (session->state != STATE_CONNECTED)
		return 0;
	requests_move(&session->requests, tag, REQUEST_RELEASED);
	requests_get(&session->requests, tag)->reason = pubrec->reason;
	send_pubrel(session, pubrec->id, 0);
	return 0;
}

/* Answers to what is not known may come late from an earlier connection. */
static int on_unknown(struct session *session, enum packet_type type,
		      uint16_t id)
{
	if (type == PACKET_PUBREC && session->state == STATE_CONNECTED)
		send_pubrel(session, id, REASON_PACKET_ID_NOT_FOUND);
	return 0;
}

int session_on_answer(struct session *session, enum packet_type type,
		      const struct answer *answer, struct session_event *event)
{
	uint64_t tag = requests_find(&session->requests, answer->id);
	const struct request *request;
	bool published;

	if (tag == 0)
		return on_unknown(session, type, answer->id);
	request = requests_get(&session->requests, tag);
	published = request->state == REQUEST_PUBLISHED;
	if (type == PACKET_PUBACK && published && request->qos == 1)
		return answer->reason >= REASON_FAILURES
			       ? reject(session, tag, answer, event)
			       : confirm(session, tag, answer, event);
	if (type == PACKET_PUBREC && published && request->qos == 2)
		return answer->reason >= REASON_FAILURES
			       ? reject(session, tag, answer, event)
			       : release(session, tag, answer);
	if (type == PACKET_PUBREC && request->state == REQUEST_RELEASED)
		return release(session, tag, answer);
	if (type == PACKET_PUBCOMP && request->state == REQUEST_RELEASED)
		return confirm(session, tag, answer, event);
	return mismatch(session, type, answer->id);
}

int session_on_grant(struct session *session, enum packet_type type,
		     const struct grant *grant, struct arena *arena,
		     struct session_event *event)
{
	bool subscribed = type == PACKET_SUBACK;
	uint64_t tag = requests_find(&session->requests, grant->id);
	const struct request *request;

	if (tag == 0)
		return mismatch(session, type, grant->id);
	request = requests_get(&session->requests, tag);
	if (request->state !=
		    (subscribed ? REQUEST_SUBSCRIBED : REQUEST_UNSUBSCRIBED) ||
	    (grant->codes.len > 0 && grant->codes.len != request->count))
		return mismatch(session, type, grant->id);
	event->granted = arena_copy(arena, grant->codes);
	if (grant->codes.len > 0 && !span_present(event->granted))
		return session_fail(session, STATUS_NO_MEMORY, 0,
				    "out of memory");
	settle(session, tag, REQUEST_DONE);
	event->kind = subscribed ? SESSION_SUBSCRIBED : SESSION_UNSUBSCRIBED;
	event->tag = tag;
	return 1;
}
