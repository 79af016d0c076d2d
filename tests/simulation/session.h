/* SPDX-License-Identifier: MIT */
/*
 * A lane's session with the database, which may break in any call: the lane
 * half of struct store_driver, as store/store.h has it.
 */
#ifndef SIMULATION_SESSION_H
#define SIMULATION_SESSION_H

#include "database.h"

struct session *session_open(struct world *world, struct lane *lane);
/* Its client is gone. */
void session_abandon(struct session *session);
struct store *session_store(struct session *session);

/* Something may have been written. */
void session_wake(struct session *session);
bool session_has_news(const struct session *session);

/* It was given the lock, and no call of its has failed since. */
bool session_trusts_lock(const struct session *session);
/* It has the relay's lock, known or not. */
bool session_holds_lock(const struct session *session);
/* Another session has it. */
bool session_was_robbed(const struct session *session);
/* When it last had an answer. */
usec_t session_answered_at(const struct session *session);

extern const struct store_driver simulated_store;

#endif
