/* SPDX-License-Identifier: MIT */
/* What the files that make up an AMQP connection share. */
#ifndef AMQP_INTERNAL_H
#define AMQP_INTERNAL_H

#include "amqp/connection.h"
#include "amqp/content.h"
#include "amqp/frame.h"
#include "amqp/unconfirmed.h"

enum { CHANNEL = 1, SHORT_STRING_MAX = 255, SHORT_STRING_SIZE = 256 };

enum connection_state {
	CONNECTION_GREETING, /* our header is queued; start is awaited */
	CONNECTION_LOGIN,    /* start-ok is queued; tune is awaited */
	CONNECTION_OPENING,  /* tune-ok and open are queued */
	CONNECTION_CHANNEL,  /* channel.open is queued */
	CONNECTION_OPEN,
	CONNECTION_CLOSING, /* our close is queued; its answer is awaited */
	CONNECTION_ENDED,   /* nothing is decoded any more; `error` */
};

struct connection {
	enum connection_state state;
	struct connection_options options;
	struct buffer input;
	struct buffer output;
	size_t frame_max;     /* agreed upon, or ours before that */
	amqp_pool_t pool;     /* the method being handled */
	struct arena scratch; /* what is being encoded */
	struct content content;
	struct unconfirmed unconfirmed;
	char consumer_tag[SHORT_STRING_SIZE]; /* "": does not consume */
	char queue[SHORT_STRING_SIZE];	      /* the one consumed from */
	unsigned unanswered; /* methods whose reply has not come */
	bool lost;	     /* no more input will come: `error` */
	bool by_publish;     /* a publish made the server close */
	bool end_told;
	struct error error;

	usec_t interval;     /* of heartbeats; 0: none */
	usec_t silent_since; /* 0: the clock has not been told yet */
	usec_t beat_at;
};

/* The one place where the state changes. */
void connection_move(struct connection *connection,
		     enum connection_state state);

/* Queues a method on channel 0 or 1. */
int connection_send(struct connection *connection, uint16_t channel,
		    amqp_method_number_t id, void *method, struct error *err);

/* Ends the connection with a reason. Returns the reason's status. */
int connection_fail(struct connection *connection, enum status status,
		    const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Handles a method of the phase before CONNECTION_OPEN: 1 when *event is to be
 * told, 0, or negative with the connection ended. */
int handshake_method(struct connection *connection, amqp_method_number_t id,
		     struct span payload, struct connection_event *event);

/* The sentence for a server that ends the connection or the channel. */
void explain_close(struct connection *connection, unsigned code,
		   struct span text);

#endif
