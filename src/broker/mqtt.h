/* SPDX-License-Identifier: MIT */
/* What the files of the MQTT driver share. */
#ifndef BROKER_MQTT_H
#define BROKER_MQTT_H

#include "broker/broker.h"
#include "broker/hosts.h"
#include "broker/mqtt_topic.h"
#include "mqtt/session.h"
#include "net/stream.h"

enum mqtt_state {
	MQTT_DOWN,	  /* nothing is open; perhaps `down` is untold */
	MQTT_REACHING,	  /* the stream is being connected */
	MQTT_OPENING,	  /* the answer to CONNECT is awaited */
	MQTT_SUBSCRIBING, /* a new session: the answer to SUBSCRIBE is
			   * awaited */
	MQTT_UP,
	MQTT_CLOSING, /* our goodbye is queued */
};

struct mqtt {
	struct broker base;
	const struct runtime_config *config;
	enum broker_role role;
	struct mqtt_topics topics;
	struct arena memory; /* hosts, client id, filters */
	struct hosts hosts;
	const struct host *host;
	struct span client_id;
	struct mqtt_filter *filters; /* consumer */
	size_t filter_count;
	struct span *former; /* consumer: filters to unsubscribe from */
	size_t former_count;
	struct mqtt_message will;

	enum mqtt_state state;
	uint8_t version;    /* to be spoken next; falls back to 3.1.1 */
	struct arena login; /* credentials of the session */
	struct stream *stream;
	struct session *session;
	usec_t deadline; /* of connecting, of the goodbye */
	usec_t tick_at;
	unsigned unanswered; /* SUBSCRIBE, UNSUBSCRIBE */
	usec_t answer_by;    /* ... whose answers are missing after that */
	bool drained;	     /* all that had come was read */
	bool again;	     /* the host is to be tried again, at once */
	bool hung_up;	     /* the host, instead of an answer to CONNECT */
	bool lost;	  /* the stream has ended; the input is not empty yet */
	bool down_untold; /* next has to tell `down` */
	struct error down;

	usec_t now; /* as of the last step */
	usec_t up_at;
	unsigned thrown_out;  /* connections in a row that the broker ended soon
			       */
	bool was_up;	      /* on an earlier connection */
	bool session_lost;    /* what the broker held since then is gone */
	bool more;	      /* next had an event when it was last asked */
	bool stopped;	      /* deliveries are no longer wanted */
	uint64_t delivered;   /* newest delivery of QoS 1 and 2 */
	uint64_t returned;    /* publish whose confirm next has to tell */
	struct arena scratch; /* of one publish */
};

static inline struct mqtt *mqtt_of(struct broker *broker)
{
	return (struct mqtt *)broker;
}

/* The one place where the state changes. */
void mqtt_move(struct mqtt *mqtt, enum mqtt_state state);

/* Drops everything; `error` is told by the next event. */
void mqtt_go_down(struct mqtt *mqtt, const struct error *error);

/* Drops the connection and what belongs to it. */
void mqtt_drop(struct mqtt *mqtt);

/* ---- mqtt_login.c ---- */

/* How long an answer is awaited. */
usec_t mqtt_patience(const struct mqtt *mqtt);

/* Reads client id, filters and will from the config, once. */
int mqtt_read_config(struct mqtt *mqtt, struct error *err);
/* The driver's connect; the same host again. */
void mqtt_connect(struct broker *broker, usec_t now);
void mqtt_reach(struct mqtt *mqtt, usec_t now);
/* The stream is ready: MQTT begins. */
void mqtt_login(struct mqtt *mqtt);

/* ---- mqtt_events.c ---- */

bool mqtt_next(struct broker *broker, struct arena *arena,
	       struct broker_event *event);

/* ---- mqtt_publish.c ---- */

int mqtt_publish(struct broker *broker, const struct publication *message,
		 uint64_t *tag, struct error *err);

#endif
