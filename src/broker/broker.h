/* SPDX-License-Identifier: MIT */
/*
 * One connection to a message broker, for one lane.
 *
 * Nothing blocks but the resolving of a host name. The lane's turn is:
 * broker_step, then broker_next until it is false, then publish or
 * acknowledge, then broker_flush, then wait. A lost connection is an event;
 * the lane decides when to connect again.
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/span.h"
#include "base/wait.h"
#include "message/envelope.h"
#include "message/headers.h"
#include "store/config.h"

enum broker_role { BROKER_PUBLISHER, BROKER_CONSUMER };

enum broker_event_kind {
	BROKER_UP,	  /* connected, topology in place, ready */
	BROKER_DOWN,	  /* not connected any more, or could not be: `error` */
	BROKER_CONFIRMED, /* the broker has taken `tag` (and all before it, if
			   * `multiple`, that had no answer yet) */
	BROKER_REFUSED,	  /* the broker has not taken `tag` (likewise) */
	BROKER_RETURNED,  /* `tag` reached no queue; its confirm follows */
	BROKER_BLOCKED,	  /* the broker takes no publishes now: `error` */
	BROKER_UNBLOCKED,
	BROKER_DELIVERED, /* `delivery`; from MQTT perhaps before UP */
};

/* A message that arrived; memory in the arena given to broker_next. */
struct delivery {
	uint64_t tag;
	bool redelivered;
	struct span topic;     /* routing key, or MQTT topic */
	struct span bus_topic; /* the MQTT topic as an envelope writes it; else
				* absent */
	bool any_body;	       /* MQTT: what is no envelope is welcome too */
	struct span body;
	size_t full_size; /* not 0: so many bytes came, and the body is only the
			   * beginning of a message that is too large */
	struct span message_id; /* the message's own properties, if any */
	struct span correlation_id;
	struct span reply_to;
	struct span type;
	struct span app_id;
	struct span content_type;
	struct headers headers;
};

struct broker_event {
	enum broker_event_kind kind;
	uint64_t tag;
	bool multiple;
	bool another_host;  /* BROKER_DOWN: one of the list has not been tried
			     * yet; connect may be called at once */
	bool by_publish;    /* BROKER_DOWN: one of the messages in flight made
			     * the broker close */
	struct error error; /* reason: DOWN, REFUSED, RETURNED, BLOCKED */
	struct delivery delivery;
};

struct publication {
	const struct envelope *envelope; /* properties come from here */
	enum message_type type;
	struct span body; /* the built envelope */
	struct headers headers;
	int64_t created_at; /* seconds since 1970 */
	int64_t expires_in; /* seconds, for brokers that can tell; 0: never */
};

struct broker;

struct broker_driver {
	const char *name; /* config's broker_type */

	/* Keeps `config`, which outlives it. Does not connect. Secrets are
	 * resolved at each connect. */
	int (*create)(struct broker **out, const struct runtime_config *config,
		      enum broker_role role, struct error *err);
	/* Cuts the connection if there is one. Accepts NULL. */
	void (*destroy)(struct broker *broker);

	/*
	 * Begins to connect, to the next host if several are listed; UP or
	 * DOWN follows from next. Only when down. At most connect_timeout
	 * passes until then.
	 */
	void (*connect)(struct broker *broker, usec_t now);

	/* Reads and handles what has arrived; heartbeats and deadlines. */
	void (*step)(struct broker *broker, usec_t now);

	/* Takes the next event, false when there is none. A consumer that is
	 * not asked stops reading, and still keeps its connection alive. */
	bool (*next)(struct broker *broker, struct arena *arena,
		     struct broker_event *event);

	/*
	 * Queues a message for sending and numbers it: 1, 2, 3 ... per
	 * connection. Borrowed memory is copied. STATUS_INVALID: this message
	 * can never be sent, the text says why; STATUS_BUSY: the broker takes
	 * no more before it has answered; STATUS_NO_MEMORY.
	 */
	int (*publish)(struct broker *broker, const struct publication *message,
		       uint64_t *tag, struct error *err);

	/* Acknowledges every delivery up to and including tag. */
	void (*acknowledge)(struct broker *broker, uint64_t tag);

	/* Consumer: asks for no more deliveries; what has come already may
	 * still be taken and acknowledged. */
	void (*stop_consuming)(struct broker *broker);

	/* Says goodbye properly; DOWN follows within a second or two. Pending
	 * output is sent first. */
	void (*close)(struct broker *broker, usec_t now);

	/* Drops the connection at once, unsent output with it; no event
	 * follows. Does nothing when down. */
	void (*cut)(struct broker *broker);

	/* Writes what is queued, as far as the socket takes it, and adds to
	 * `wait` what to wait for: nothing at all if `next` was asked since the
	 * last flush and still had an event the last time. */
	void (*flush)(struct broker *broker, usec_t now, struct wait *wait);
};

/* Every driver's struct broker begins with this. */
struct broker {
	const struct broker_driver *driver;
	const char *lock; /* the store's lock that a consumer must hold to
			   * connect; NULL: any number may */
};

/* By config->broker_type. STATUS_INVALID lists the known ones. */
int broker_create(struct broker **out, const struct runtime_config *config,
		  enum broker_role role, struct error *err);

extern const struct broker_driver broker_rabbitmq;
extern const struct broker_driver broker_mqtt;
extern const struct broker_driver broker_memory;

#endif
