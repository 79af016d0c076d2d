/* SPDX-License-Identifier: MIT */
/*
 * Exchanges, queues and bindings on RabbitMQ.
 *
 *	exchange --binding_keys--> queue --dead letters--> <queue>.dlx (fanout)
 *	                                                        |
 *	                                                   <queue>.dlq
 *
 * With exchange_per_source a message goes to `<source_service>_exchange`,
 * from which everything flows on into the config's exchange, so that the
 * queues bound there see it too.
 */
#ifndef BROKER_TOPOLOGY_H
#define BROKER_TOPOLOGY_H

#include "amqp/connection.h"
#include "base/arena.h"
#include "store/config.h"

/*
 * Queues the methods that declare it all. With topology 'verify' those that ask
 * whether the exchange and the queue are there: AMQP cannot ask how they are
 * bound, and where dead letters go is up to whoever made the queue. Nothing
 * with 'none'.
 */
int topology_declare(struct connection *connection,
		     const struct runtime_config *config, struct arena *arena,
		     struct error *err);

/* The exchange that messages of `source` go to, `name` being room for it. */
enum { SOURCE_EXCHANGE_SIZE = 300 };
struct span topology_exchange(const struct runtime_config *config,
			      struct span source,
			      char name[SOURCE_EXCHANGE_SIZE]);

/* With topology 'declare': the exchange of one source, flowing into the
 * config's one. */
int topology_declare_source(struct connection *connection,
			    const struct runtime_config *config,
			    struct span exchange, struct error *err);

/* Turns RabbitMQ's refusal of a declaration into what differs, what is there,
 * what is wanted and what to do; leaves other errors alone. */
void topology_explain(struct error *error);

#endif
