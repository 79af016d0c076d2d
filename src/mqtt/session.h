/* SPDX-License-Identifier: MIT */
/*
 * An MQTT client's session, versions 3.1.1 and 5, as a state machine over
 * bytes.
 *
 * Bytes that arrived are appended to session_input; bytes to be sent are
 * taken from session_output. Packets are decoded only when the next event is
 * asked for, so a caller that does not ask holds back its peer by simply
 * not reading. No I/O here, and no clock.
 *
 * A session outlives its connections: each begins with session_connect and
 * ends with SESSION_CLOSED, and what is in flight of a kept session goes on
 * with the next. Whoever wants a fresh start creates a session for each.
 */
#ifndef MQTT_SESSION_H
#define MQTT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/span.h"
#include "mqtt/properties.h"
#include "mqtt/reason.h"

struct session;

/* Either way: what is published, and what arrives. */
struct mqtt_message {
	struct span topic;
	struct span payload;
	uint8_t qos; /* 0, 1, 2 */
	bool retain;
	bool dup;			   /* inbound only */
	struct mqtt_properties properties; /* version 5; else left out */
};

enum { MQTT_VERSION_3 = 4, MQTT_VERSION_5 = 5 };

/* Borrowed until the session is destroyed. */
struct session_options {
	uint8_t version;       /* MQTT_VERSION_3 or _5 */
	struct span client_id; /* empty: the server makes one (version 5, or a
				* clean start) */
	bool clean_start;      /* the first connection takes up nothing that an
				* earlier program left behind. Version 3.1.1
				* keeps no session then */
	uint32_t session_expiry;  /* seconds that the server keeps the session
				   * without us; 0: not kept. Version 3.1.1 knows
				   * only 0 and not 0 */
	uint16_t keep_alive;	  /* seconds; 0: none */
	uint16_t receive_maximum; /* deliveries without acknowledgement;
				   * 0: 65,535. Version 3.1.1 cannot tell the
				   * server */
	uint32_t maximum_packet;  /* told to the server, which silently drops
				   * what is longer (3.2.2-15); 0: no limit */
	size_t longest_kept;  /* of a longer PUBLISH only so many bytes, but at
			       * least 128 KiB, are kept, and it is `cut`; 0:
			       * all, 256 MiB at most */
	struct span username; /* absent: none */
	struct span password; /* absent: none; bytes */
	const struct mqtt_message *will; /* NULL: none */
	uint32_t will_delay;		 /* seconds; version 5 */
};

/* What the server allows on this connection. */
struct session_limits {
	uint16_t receive_maximum; /* publishes of QoS 1 and 2 in flight */
	uint32_t maximum_packet;  /* bytes; UINT32_MAX: no limit */
	uint8_t maximum_qos;
	bool retain_available;
	bool wildcard_available;
	bool identifiers_available;
	bool shared_available;
	uint16_t keep_alive; /* seconds, the server's word if it gave one */
};

enum session_event_kind {
	SESSION_CONNECTED,  /* `session_present`, `limits`, `client_id`. Without
			     * session_present the server knows no subscription
			     * of ours */
	SESSION_MESSAGE,    /* `message`, `delivery`, `cut` */
	SESSION_CONFIRMED,  /* publish `tag` is done: QoS 0 queued, QoS 1
			     * PUBACK, QoS 2 PUBCOMP; `reason` */
	SESSION_REJECTED,   /* the server has taken and refused publish `tag`
			     * (4.4.0-2): `reason`, `error` */
	SESSION_SUBSCRIBED, /* `tag`, `granted`: one code per filter */
	SESSION_UNSUBSCRIBED, /* `tag`, `granted`; version 3.1.1 has none */
	SESSION_LOST, /* `tag` never got an answer: the connection ended (asked
		       * for a subscription, or the session is not kept), or
		       * the server has lost the session. Told before CLOSED,
		       * or after CONNECTED */
	SESSION_CLOSED, /* not connected any more, or could not be: `error`,
			 * and the server's `reason` if it gave one. Status OK
			 * when session_disconnect had asked for it. Nothing
			 * follows until session_connect */
};

struct session_event {
	enum session_event_kind kind;
	uint64_t tag;
	uint8_t reason; /* enum mqtt_reason, 0 if there is none */
	struct error error;

	bool session_present;
	struct session_limits limits;
	struct span client_id; /* the server's choice if it made one */

	/* Granted QoS 0, 1, 2, or a reason of 0x80 and above. In 3.1.1, as in
	 * 5, 0x80 is a refusal. */
	struct span granted;

	struct mqtt_message message; /* memory in the arena of session_next */
	uint64_t delivery;  /* 1, 2, 3 ... for the session's life; 0 with QoS 0,
			     * which wants no acknowledgement */
	uint64_t full_size; /* of the payload */
	bool cut;	    /* only the beginning of the payload was kept */

	/* CLOSED: the server does not speak the version that was asked for
	 * (5: reason 0x84; 3.1.1: return code 1). The caller may try another
	 * session with the other one. */
	bool version_refused;

	/* CLOSED: the connection ended and CONNECT had no answer. Some servers
	 * close the line where they should refuse the version. */
	bool unanswered;
};

/* STATUS_INVALID says which option MQTT cannot carry; STATUS_NO_MEMORY. */
int session_create(struct session **out, const struct session_options *options,
		   struct error *err);
void session_destroy(struct session *session);

/* The transport is there: forgets what an old one left in the buffers, and
 * queues CONNECT. CONNECTED or CLOSED follows. Only when not connected. */
void session_connect(struct session *session);

struct buffer *session_input(struct session *session);
struct buffer *session_output(struct session *session);

/* How many bytes the input must hold for the next packet, as far as is known:
 * whoever bounds the input must let that much in. */
size_t session_needs(const struct session *session);

/* Decodes until there is an event; false when more bytes are needed for one, or
 * CLOSED has been told. May queue output. */
bool session_next(struct session *session, struct arena *arena,
		  struct session_event *event);

/* The transport has ended: what is in the input is still decoded, then
 * SESSION_CLOSED tells `error`. Without a connection it does nothing. */
void session_transport_lost(struct session *session, const struct error *error);

/*
 * Keep-alive, once connected: `heard` says that bytes came since the last call,
 * or that the caller chose not to read. Queues PINGREQ at half the interval;
 * after one and a half in silence the connection counts as lost. Returns when
 * to call again at the latest.
 */
usec_t session_tick(struct session *session, bool heard, usec_t now);

/* ---- once it is connected ---- */

/*
 * Queues a message and numbers it: 1, 2, 3 ... for the session's life, in one
 * row with subscribe and unsubscribe. A kept session keeps a copy and sends it
 * again on its next connection (4.4.0-1). STATUS_INVALID: it can never be sent
 * here, the text says why; STATUS_BUSY: the server's receive maximum or the
 * packet ids are used up, wait for an answer; STATUS_AWAY: not connected;
 * STATUS_NO_MEMORY.
 */
int session_publish(struct session *session, const struct mqtt_message *message,
		    uint64_t *tag, struct error *err);

/* Whether session_publish of QoS 1 or 2 would not be STATUS_BUSY now. */
bool session_has_room(const struct session *session);

struct mqtt_filter {
	struct span filter; /* "$share/group/filter" too */
	uint8_t qos;
	bool no_local; /* this and the rest: version 5 only */
	bool retain_as_published;
	uint8_t retain_handling; /* 0: send retained messages; 1: only if new;
				  * 2: never */
};

/* Statuses as session_publish. `granted` comes in the order of the filters. */
int session_subscribe(struct session *session,
		      const struct mqtt_filter *filters, size_t count,
		      uint64_t *tag, struct error *err);
int session_unsubscribe(struct session *session, const struct span *filters,
			size_t count, uint64_t *tag, struct error *err);

/*
 * Acknowledges every delivery up to and including this number, in the order
 * they came (4.6.0-2, -3): PUBACK, or PUBREC, whose exchange is then brought to
 * its end here. Deliveries of an earlier connection are passed over: the server
 * sends them again.
 */
void session_acknowledge(struct session *session, uint64_t delivery);

/* Queues a PINGREQ now, for who wants to know whether the peer is there. */
void session_ping(struct session *session);

/* Queues DISCONNECT; the transport is closed by the caller when the output is
 * sent. `with_will` asks the server to publish the will all the same (5). */
void session_disconnect(struct session *session, bool with_will);

#endif
