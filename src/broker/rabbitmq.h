/* SPDX-License-Identifier: MIT */
/* What the files of the RabbitMQ driver share. */
#ifndef BROKER_RABBITMQ_H
#define BROKER_RABBITMQ_H

#include "amqp/connection.h"
#include "broker/broker.h"
#include "broker/hosts.h"
#include "net/stream.h"

enum rabbitmq_state {
	RABBITMQ_DOWN,	      /* nothing is open; perhaps `down` is untold */
	RABBITMQ_REACHING,    /* the stream is being connected */
	RABBITMQ_OPENING,     /* AMQP shakes hands */
	RABBITMQ_DECLARING,   /* the topology's answers are awaited */
	RABBITMQ_SUBSCRIBING, /* a consumer asks for the queue's messages */
	RABBITMQ_UP,
	RABBITMQ_CLOSING, /* our goodbye is queued */
};

/* An exchange of exchange_per_source that the connection has met. */
struct source_exchange {
	struct source_exchange *next;
	struct span name;
};

struct rabbitmq {
	struct broker base;
	const struct runtime_config *config;
	enum broker_role role;
	struct arena memory; /* hosts */
	struct hosts hosts;
	const struct host *host;
	char name[192]; /* of connection and consumer */

	enum rabbitmq_state state;
	struct arena login; /* credentials and topology, until it is up */
	struct stream *stream;
	struct connection *connection;
	usec_t deadline; /* of connecting, of the goodbye */
	usec_t tick_at;
	bool lost; /* the stream has ended; the input is not empty yet */
	bool more; /* next has given an event, and none was asked for since */
	bool down_untold; /* next has to tell `down` */
	struct error down;
	struct arena sources; /* exchanges declared on this connection */
	struct source_exchange *declared;
};

static inline struct rabbitmq *rabbitmq_of(struct broker *broker)
{
	return (struct rabbitmq *)broker;
}

/* The one place where the state changes. */
void rabbitmq_move(struct rabbitmq *rabbitmq, enum rabbitmq_state state);

/* Drops everything; `error` is told by the next event. */
void rabbitmq_go_down(struct rabbitmq *rabbitmq, const struct error *error);

/* The driver's connect and next. */
void rabbitmq_connect(struct broker *broker, usec_t now);
bool rabbitmq_next(struct broker *broker, struct arena *arena,
		   struct broker_event *event);

/* The stream is ready: AMQP begins. */
void rabbitmq_login(struct rabbitmq *rabbitmq);

/* Logged in: queues the topology and what makes the channel this lane's. */
int rabbitmq_declare(struct rabbitmq *rabbitmq, struct error *err);

/* All is declared: a consumer begins. */
int rabbitmq_subscribe(struct rabbitmq *rabbitmq, struct error *err);

#endif
