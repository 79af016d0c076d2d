/* SPDX-License-Identifier: MIT */
/* What the files of the public MQTT client share. */
#ifndef CLIENT_MQTT_CLIENT_H
#define CLIENT_MQTT_CLIENT_H

#include "base/random.h"
#include "client/pending.h"
#include "mqtt/session.h"
#include "net/stream.h"
#include "postbus/mqtt.h"

/* Strings are owned, NULL: not set. */
struct client_options {
	char *host; /* of the URL; a path: a Unix socket */
	uint32_t port;
	bool tls;
	char *client_id;
	char *username;
	char *password;
	char *ca_file;
	char *cert_file;
	char *key_file;
	uint32_t version; /* 0: 5, then 3.1.1 if refused */
	bool clean_start;
	bool manual_ack;
	uint32_t session_expiry;
	uint32_t keep_alive;
	uint32_t receive_maximum;
	uint32_t maximum_packet;
	uint32_t connect_timeout; /* this and the rest: seconds */
	uint32_t retry_min;
	uint32_t retry_max;
	uint32_t will_delay;
	struct postbus_mqtt_message *will;
};

void client_options_init(struct client_options *options);
void client_options_finish(struct client_options *options);

/* Takes the URL apart. */
int client_options_set_url(struct client_options *options, const char *url,
			   struct error *err);

/* Sets one by its public name. */
int client_options_set(struct client_options *options, const char *name,
		       const char *value, struct error *err);

struct postbus_mqtt_message {
	struct mqtt_message content;
	struct arena memory; /* of what was made here; else empty */
	uint64_t delivery;
};

enum client_state {
	CLIENT_IDLE,	 /* nobody has asked it to connect */
	CLIENT_WAITING,	 /* until `retry_at` */
	CLIENT_REACHING, /* the stream connects, until `deadline` */
	CLIENT_OPENING,	 /* CONNACK is awaited, until `deadline` */
	CLIENT_UP,
	CLIENT_LEAVING, /* the goodbye is being sent, until `deadline` */
	CLIENT_ENDED,	/* disconnected for good */
};

struct postbus_mqtt {
	enum client_state state;
	struct client_options options;
	struct random random;
	struct stream *stream;
	struct session *session; /* from the first connection on */
	uint8_t version;	 /* of `session` */
	struct pending pending;
	uint64_t last_tag;   /* the newest of `session` */
	struct arena arena;  /* of the events being told */
	bool was_up;	     /* the server speaks `version` */
	bool url_is_bad;     /* `error` says why */
	bool stream_is_over; /* nothing more can be read or written */
	bool leave;	     /* asked to disconnect */
	usec_t retry_at;
	usec_t retry_after; /* the wait before the next attempt */
	usec_t deadline;
	usec_t tick_at;
	struct error error;

	postbus_mqtt_connected *on_connected;
	void *connected_user;
	postbus_mqtt_disconnected *on_disconnected;
	void *disconnected_user;
	postbus_mqtt_arrived *on_message;
	void *message_user;
};

/* The one place where the state changes. */
void client_move(struct postbus_mqtt *client, enum client_state state);

/* Tells the session's events. */
void client_tell(struct postbus_mqtt *client);

/* Tells everybody who still waits that no answer will come. */
void client_give_up(struct postbus_mqtt *client);

/* Replaces the session by a new one, if the options can be used. */
int client_create_session(struct postbus_mqtt *client, uint8_t version);

/* Closes the stream if there is one. */
void client_drop(struct postbus_mqtt *client);

/* The connection has ended, or could not be made: tells it, and waits for the
 * next attempt unless there is to be none. */
void client_down(struct postbus_mqtt *client, const struct error *cause);

#endif
