/* SPDX-License-Identifier: MIT */
/*
 * An asynchronous MQTT client, versions 5 and 3.1.1.
 *
 * Nothing blocks but the resolving of a host name. A client fits any event
 * loop: wait for its descriptor and its timeout, then let it process; or let
 * postbus_mqtt_run do that. It connects again by itself, and what it has in
 * flight goes on where it was. Unlike other clients it acknowledges a message
 * when it is told to, so that a program which is killed loses none.
 *
 * One thread at a time. Callbacks are called from postbus_mqtt_process only and
 * may call everything but process, run and destroy. Strings are UTF-8 and are
 * copied. Nothing is printed.
 */
#ifndef POSTBUS_MQTT_H
#define POSTBUS_MQTT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postbus/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct postbus_mqtt;
struct postbus_mqtt_message;

/* ---- a client ---- */

/*
 * For a server: "mqtt://host", "mqtt://host:1883", "mqtts://host:8883",
 * "mqtt://[::1]", "unix:/path". Does not connect; a URL that cannot be used is
 * named by postbus_mqtt_connect. NULL when memory has run out.
 */
POSTBUS_API struct postbus_mqtt *postbus_mqtt_create(const char *url);

/* Cuts the connection if there is one; no callback is called. Accepts NULL. */
POSTBUS_API void postbus_mqtt_destroy(struct postbus_mqtt *client);

/*
 * Sets an option, before postbus_mqtt_connect:
 *
 *	client_id	 the server's choice unless given
 *	username, password
 *	version		 "5", "3.1.1"; otherwise 5, then 3.1.1 if the server
 *			 refuses it or closes the line
 *	clean_start	 "true": take up nothing of an earlier program; "false"
 *			 only with a client_id of one's own. Default true
 *	session_expiry	 seconds that the server keeps subscriptions and
 *			 messages for us while we are away. Default 300
 *	keep_alive	 seconds, 0: none. Default 30
 *	receive_maximum	 messages without acknowledgement. Default 1000
 *	maximum_packet	 bytes; the server drops longer ones silently.
 *			 Default 0: no limit
 *	manual_ack	 "true": only postbus_mqtt_acknowledge acknowledges
 *	connect_timeout	 seconds. Default 10
 *	retry_min, retry_max
 *			 seconds between attempts to connect, doubled from one
 *			 to the other. Default 1, 60
 *	ca_file		 authorities for mqtts; default: the system's
 *	cert_file, key_file
 *			 our certificate
 *
 * POSTBUS_INVALID: no such option or no such value; POSTBUS_BUSY: too late;
 * postbus_mqtt_error says more.
 */
POSTBUS_API int postbus_mqtt_set(struct postbus_mqtt *client, const char *name,
				 const char *value);

/* What the server publishes for us when we are gone without goodbye, `delay`
 * seconds later. Takes the message. Before postbus_mqtt_connect. */
POSTBUS_API int postbus_mqtt_set_will(struct postbus_mqtt *client,
				      struct postbus_mqtt_message *will,
				      uint32_t delay);

/* One sentence about the last failure, "" if there was none. */
POSTBUS_API const char *postbus_mqtt_error(const struct postbus_mqtt *client);

/* ---- callbacks; `user` is passed through ---- */

/* Connected. Without `session_present` the server knows no subscription of
 * ours: subscribe here. */
typedef void postbus_mqtt_connected(struct postbus_mqtt *client,
				    bool session_present, void *user);
POSTBUS_API void postbus_mqtt_on_connected(struct postbus_mqtt *client,
					   postbus_mqtt_connected *callback,
					   void *user);

/* Not connected any more, or could not be; `status` 0 when asked for. It will
 * try again otherwise, unless postbus_mqtt_disconnect is called. */
typedef void postbus_mqtt_disconnected(struct postbus_mqtt *client, int status,
				       const char *error, void *user);
POSTBUS_API void
postbus_mqtt_on_disconnected(struct postbus_mqtt *client,
			     postbus_mqtt_disconnected *callback, void *user);

/* A message has arrived; it lives until the callback returns, and is then
 * acknowledged unless manual_ack is set. */
typedef void postbus_mqtt_arrived(struct postbus_mqtt *client,
				  const struct postbus_mqtt_message *message,
				  void *user);
POSTBUS_API void postbus_mqtt_on_message(struct postbus_mqtt *client,
					 postbus_mqtt_arrived *callback,
					 void *user);

/* ---- connecting ---- */

/* Begins to connect, and stays at it. POSTBUS_INVALID: the options cannot be
 * used, postbus_mqtt_error says why; POSTBUS_BUSY: it has begun already. */
POSTBUS_API int postbus_mqtt_connect(struct postbus_mqtt *client);

/* Says goodbye after what is queued, and does not connect again; `on
 * disconnected` follows within two seconds. */
POSTBUS_API void postbus_mqtt_disconnect(struct postbus_mqtt *client);

POSTBUS_API bool postbus_mqtt_is_connected(const struct postbus_mqtt *client);

/* ---- the event loop's side; ask again after every other call ---- */

/* To wait for, -1: nothing. */
POSTBUS_API int postbus_mqtt_fd(const struct postbus_mqtt *client);
/* As poll(2) has them: POLLIN, POLLOUT. */
POSTBUS_API short postbus_mqtt_events(const struct postbus_mqtt *client);
/* Milliseconds until process has to be called at the latest, -1: no limit. */
POSTBUS_API int postbus_mqtt_timeout(const struct postbus_mqtt *client);

/* Reads, writes and calls back. 1 while there is something to do, 0 when it is
 * disconnected for good. Never blocks but in resolving a host name. */
POSTBUS_API int postbus_mqtt_process(struct postbus_mqtt *client);

/* The ready-made loop: returns 0 when it is disconnected for good, or
 * POSTBUS_FAILED if the system cannot poll. */
POSTBUS_API int postbus_mqtt_run(struct postbus_mqtt *client);

/* ---- publishing and subscribing, once connected ---- */

/* How it ended. `status` 0: the server has it (QoS 0: it is queued);
 * POSTBUS_AWAY: no answer came and none will; another: refused. `reason` is
 * MQTT's code. */
typedef void postbus_mqtt_done(struct postbus_mqtt *client, int status,
			       unsigned reason, void *user);

/*
 * Queues a message; `done`, if not NULL, is called later, once. It may outlast
 * a break of the connection. POSTBUS_INVALID: MQTT or this server cannot carry
 * it; POSTBUS_BUSY: too many are in flight, try again after the next `done`;
 * POSTBUS_AWAY: not connected. The message stays the caller's.
 */
POSTBUS_API int postbus_mqtt_publish(struct postbus_mqtt *client,
				     const struct postbus_mqtt_message *message,
				     postbus_mqtt_done *done, void *user);

/* `granted` is QoS 0 to 2, or MQTT's reason from 0x80 on; meaningless unless
 * `status` is 0 or POSTBUS_DENIED. */
typedef void postbus_mqtt_granted(struct postbus_mqtt *client, int status,
				  unsigned granted, void *user);

/* Statuses as postbus_mqtt_publish. Retained messages come with a new
 * subscription only. */
POSTBUS_API int postbus_mqtt_subscribe(struct postbus_mqtt *client,
				       const char *filter, unsigned qos,
				       postbus_mqtt_granted *granted,
				       void *user);
POSTBUS_API int postbus_mqtt_unsubscribe(struct postbus_mqtt *client,
					 const char *filter,
					 postbus_mqtt_done *done, void *user);

/* Acknowledges every message up to this delivery. Those of an earlier
 * connection are passed over: they come again. */
POSTBUS_API void postbus_mqtt_acknowledge(struct postbus_mqtt *client,
					  uint64_t delivery);

/* ---- messages ---- */

/* QoS 0, not retained, no properties. The payload may be NULL if it is empty.
 * NULL when memory has run out. */
POSTBUS_API struct postbus_mqtt_message *
postbus_mqtt_message_create(const char *topic, const void *payload,
			    size_t size);
POSTBUS_API void
postbus_mqtt_message_destroy(struct postbus_mqtt_message *message);

/* More than 2 counts as 2, in a subscription too. */
POSTBUS_API void
postbus_mqtt_message_set_qos(struct postbus_mqtt_message *message,
			     unsigned qos);
POSTBUS_API void
postbus_mqtt_message_set_retain(struct postbus_mqtt_message *message,
				bool retain);

/* MQTT 5; left out in version 3.1.1. */
enum postbus_mqtt_property {
	POSTBUS_MQTT_CONTENT_TYPE,
	POSTBUS_MQTT_RESPONSE_TOPIC,
	POSTBUS_MQTT_CORRELATION_DATA, /* any bytes */
};
POSTBUS_API int
postbus_mqtt_message_set_property(struct postbus_mqtt_message *message,
				  enum postbus_mqtt_property property,
				  const void *value, size_t size);
/* Names may repeat. */
POSTBUS_API int
postbus_mqtt_message_add_user(struct postbus_mqtt_message *message,
			      const char *name, const char *value);
/* Seconds; 0: never. */
POSTBUS_API void
postbus_mqtt_message_set_expiry(struct postbus_mqtt_message *message,
				uint32_t seconds);
/* Says that the payload is UTF-8. */
POSTBUS_API void
postbus_mqtt_message_set_text(struct postbus_mqtt_message *message, bool text);

POSTBUS_API const char *
postbus_mqtt_message_topic(const struct postbus_mqtt_message *message);
POSTBUS_API const void *
postbus_mqtt_message_payload(const struct postbus_mqtt_message *message,
			     size_t *size);
POSTBUS_API unsigned
postbus_mqtt_message_qos(const struct postbus_mqtt_message *message);
POSTBUS_API bool
postbus_mqtt_message_retain(const struct postbus_mqtt_message *message);
/* It may have been delivered before. */
POSTBUS_API bool
postbus_mqtt_message_dup(const struct postbus_mqtt_message *message);
POSTBUS_API uint32_t
postbus_mqtt_message_expiry(const struct postbus_mqtt_message *message);
POSTBUS_API bool
postbus_mqtt_message_text(const struct postbus_mqtt_message *message);
/* NULL if the message has none. */
POSTBUS_API const void *
postbus_mqtt_message_property(const struct postbus_mqtt_message *message,
			      enum postbus_mqtt_property property,
			      size_t *size);
/* The index-th user property; false when there are no more. */
POSTBUS_API bool
postbus_mqtt_message_user(const struct postbus_mqtt_message *message,
			  size_t index, const char **name, const char **value);
/* For postbus_mqtt_acknowledge; 0 if it wants no acknowledgement. */
POSTBUS_API uint64_t
postbus_mqtt_message_delivery(const struct postbus_mqtt_message *message);

#ifdef __cplusplus
}
#endif

#endif
