/* SPDX-License-Identifier: MIT */
/* What the files that make up an MQTT session share. */
#ifndef MQTT_INTERNAL_H
#define MQTT_INTERNAL_H

#include "mqtt/deliveries.h"
#include "mqtt/packet.h"
#include "mqtt/requests.h"
#include "mqtt/session.h"

enum session_state {
	STATE_DOWN,	  /* no connection, and nothing to tell of one */
	STATE_CONNECTING, /* CONNECT is queued; CONNACK is awaited */
	STATE_CONNECTED,
	STATE_LEAVING, /* DISCONNECT is queued; nothing may follow it */
	STATE_ENDED,   /* nothing is decoded any more; `error` is to be told */
};

struct session {
	enum session_state state;
	struct session_options options;
	struct session_limits limits;
	char *assigned_id; /* the server's choice, NULL without */
	bool met;	   /* the server has accepted a connection */
	bool clean;	   /* this connection asked for a clean start */
	bool kept;	   /* the server keeps the session without us */
	struct buffer input;
	struct buffer output;
	size_t skip; /* the rest of a cut PUBLISH that is still to come */

	struct requests requests;
	size_t in_flight;    /* publishes that use the server's quota */
	uint64_t resend;     /* the next tag to be sent again ... */
	uint64_t resend_end; /* ... until this one */
	struct deliveries deliveries;

	bool lost; /* no more input will come: `error` */
	uint8_t reason;
	bool version_refused;
	bool unanswered;
	struct error error;

	usec_t silent_since; /* 0: the clock has not been told yet */
	usec_t ping_at;
};

/* The one place where the state changes. */
void session_move(struct session *session, enum session_state state);

/* Ends the connection with a sentence, and for a version 5 server with a
 * DISCONNECT of that reason. Returns the status. */
int session_fail(struct session *session, enum status status, uint8_t reason,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same for a sentence that is in `error`. */
int session_fail_so(struct session *session, uint8_t reason);

/* ---- packets: 1 when *event is to be told, 0, or negative with the
 * connection ended ---- */

int session_on_connack(struct session *session,
		       const struct packet_reader *reader,
		       const struct packet *packet,
		       struct session_event *event);
int session_on_publish(struct session *session,
		       const struct packet_reader *reader,
		       const struct packet *packet,
		       struct session_event *event);
int session_on_pubrel(struct session *session, const struct answer *answer);

/* PUBACK, PUBREC, PUBCOMP */
int session_on_answer(struct session *session, enum packet_type type,
		      const struct answer *answer, struct session_event *event);
int session_on_grant(struct session *session, enum packet_type type,
		     const struct grant *grant, struct arena *arena,
		     struct session_event *event);

/* ---- requests ---- */

/* Tells a request that is done or lost without a packet. */
bool session_tell_request(struct session *session, struct session_event *event);

/* What cannot be answered any more: without `publishes`, only what belongs
 * to a connection. */
void session_lose_requests(struct session *session, bool publishes);

/* Sends again what a resumed session has in flight (4.4.0-1). */
void session_resume(struct session *session);

#endif
