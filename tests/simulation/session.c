/* SPDX-License-Identifier: MIT */
/* A lane's session with the database, and what may befall its calls. */
#include "session.h"

#include "base/testing.h"
#include "world.h"

static const usec_t patience = 2 * USEC_PER_SEC; /* of a caller */
/* How long the server keeps a session whose client was lost. */
static const usec_t linger = 5 * USEC_PER_SEC;

/* ---- sessions ---- */

struct session *session_open(struct world *world, struct lane *lane)
{
	struct session *session = world_alloc(world, sizeof(*session));

	session->base.driver = world->plan->overlaps
				       ? &simulated_overlapping_store
				       : &simulated_store;
	session->world = world;
	session->lane = lane;
	session->news = true;
	session->backend = backend_begin(session->world, session->lane->worker);
	return session;
}

struct store *session_store(struct session *session)
{
	return &session->base;
}

void session_wake(struct session *session)
{
	session->news = true;
}

bool session_has_news(const struct session *session)
{
	return session->news;
}

bool session_trusts_lock(const struct session *session)
{
	return session->trusts_lock;
}

unsigned session_failures(const struct session *session)
{
	return session->failures;
}

usec_t session_answered_at(const struct session *session)
{
	return session->answered_at;
}

void session_abandon(struct session *session)
{
	backend_end(session->world, session->backend, 0);
}

/* The client goes on with a new connection. */
static void replace(struct session *session, usec_t server_keeps)
{
	struct world *world = session->world;

	session->former = session->backend;
	if (server_keeps == 0)
		backend_end(world, session->backend, 0);
	else
		world_at(world, world->now + server_keeps, backend_end,
			 session->backend, 0);
	session->backend = backend_begin(session->world, session->lane->worker);
}

/* ---- calls ---- */

int session_failed(struct session *session, enum status status, const char *why,
		   struct error *err)
{
	session->trusts_lock = false;
	session->failures++;
	if (!session->lane->dead && status != STATUS_BUSY) {
		note(session->world, session->lane, why, 0, 0);
		checker_broken(session->world, session->lane);
	}
	return error_set(err, status, "%s", why);
}

/* The call hangs until the caller gives up. */
static int hang(struct session *session, usec_t server_keeps, struct error *err)
{
	if (lane_wait(session->lane, patience))
		replace(session, server_keeps);
	return session_failed(session, STATUS_AWAY,
			      "the database does not answer", err);
}

static int fall_into(struct session *session, enum deed_kind trap, usec_t lasts,
		     struct error *err)
{
	switch (trap) {
	case CALL_KILLED_BEFORE:
		worker_kill(session->lane->worker, lasts);
		return session_failed(session, STATUS_AWAY, "killed", err);
	case CALL_STOPPED_BEFORE:
		worker_stop(session->lane->worker, lasts);
		if (!lane_wait(session->lane, 0))
			return session_failed(session, STATUS_AWAY, "killed",
					      err);
		return 0;
	case CALL_FAILED:
		return session_failed(session, STATUS_AWAY, "the call fails",
				      err);
	case CALL_HUNG:
		return hang(session, lasts, err);
	case CALL_SESSION_DIED:
		replace(session, 0);
		return session_failed(session, STATUS_AWAY, "the session dies",
				      err);
	default:
		return 0;
	}
}

/* What may happen before a call takes effect. */
int session_enter(struct session *session, enum deed_kind *trap, usec_t *lasts,
		  struct error *err)
{
	struct database *database = &session->world->database;
	int status;

	*trap = DEED_KINDS;
	if (session->pending != NULL)
		violated(
			session->world, 'I',
			"the store was called before what was begun had ended");
	if (session->lane->dead)
		return session_failed(session, STATUS_AWAY, "dead", err);
	*trap = lane_trap(session->lane, true, lasts);
	status = fall_into(session, *trap, *lasts, err);
	if (status < 0)
		return status;
	if (session->world->now < database->frozen_until)
		return hang(session, linger, err);
	if (session->world->now < database->away_until)
		return session_failed(session, STATUS_AWAY,
				      "the database is away", err);
	if (!session->backend->alive) {
		replace(session, 0);
		return session_failed(session, STATUS_AWAY,
				      "the session was lost", err);
	}
	session->backend->asked_at = session->world->now;
	return 0;
}

/* What may happen after it has, before the caller hears of it. */
int session_leave(struct session *session, enum deed_kind trap, usec_t lasts,
		  struct error *err)
{
	if (trap == CALL_KILLED_AFTER) {
		worker_kill(session->lane->worker, lasts);
		return session_failed(session, STATUS_AWAY, "killed", err);
	}
	if (trap == CALL_STOPPED_AFTER) {
		worker_stop(session->lane->worker, lasts);
		if (!lane_wait(session->lane, 0))
			return session_failed(session, STATUS_AWAY, "killed",
					      err);
	}
	session->answered_at = session->world->now;
	return 0;
}

int session_unknown(struct session *session, usec_t server_keeps,
		    struct error *err)
{
	replace(session, server_keeps);
	return session_failed(session, STATUS_UNKNOWN,
			      "the connection was lost in a commit", err);
}

/* Unless its session has ended before. */
static void commit_late(struct world *world, void *subject, uint64_t argument)
{
	struct transaction *late = subject;

	(void)argument;
	if (late->backend->alive)
		transaction_commit(world, late);
}

/* Commits at once, later, or not at all. */
int session_commit(struct session *session, struct transaction *transaction,
		   enum deed_kind trap, usec_t lasts, struct error *err)
{
	struct world *world = session->world;
	struct transaction *late;

	switch (trap) {
	case CALL_COMMIT_CUT:
		return session_unknown(session, 0, err);
	case CALL_REPLY_LOST:
		transaction_commit(world, transaction);
		return session_unknown(session, 0, err);
	case CALL_COMMIT_LATE:
		late = world_alloc(world, sizeof(*late));
		*late = *transaction;
		world_at(world, world->now + lasts, commit_late, late, 0);
		if (!lane_wait(session->lane, patience))
			return session_failed(session, STATUS_AWAY, "killed",
					      err);
		return session_unknown(session, lasts + 1, err);
	default:
		transaction_commit(world, transaction);
		return session_leave(session, trap, lasts, err);
	}
}

/* ---- the lock ---- */

static bool is_silent(const struct world *world, const struct backend *backend)
{
	return world->plan->steals && worker_is_silent(backend->worker) &&
	       world->now - backend->asked_at > 3 * USEC_PER_SEC;
}

static unsigned lane_number(const char *lane)
{
	return strcmp(lane, "relay") == 0 ? 0 : 1;
}

static int simulated_lock(struct store *store, const char *config_key,
			  const char *lane, struct error *err)
{
	struct session *session = session_of(store);
	struct world *world = session->world;
	struct backend **holder = &world->database.holders[lane_number(lane)];
	enum deed_kind trap;
	usec_t lasts;
	int status = session_enter(session, &trap, &lasts, err);

	(void)config_key;
	if (status < 0)
		return status;
	if (*holder != NULL && *holder != session->backend &&
	    (*holder == session->former || is_silent(world, *holder))) {
		note(world, session->lane, "ends the holder's session", 0, 0);
		checker_broken(world, session->lane);
		backend_end(world, *holder, 0);
	}
	if (*holder != NULL && *holder != session->backend &&
	    !testing_bug("two-relays"))
		return session_failed(session, STATUS_BUSY,
				      "another worker holds it", err);
	if (*holder == NULL) {
		note(world, session->lane, "takes the lock", 0, 0);
		*holder = session->backend;
	}
	status = session_leave(session, trap, lasts, err);
	session->trusts_lock = status == 0 && *holder == session->backend;
	return status;
}

static void simulated_unlock(struct store *store)
{
	struct session *session = session_of(store);

	session->trusts_lock = false;
	for (unsigned i = 0; i < LANES; i++)
		if (session->world->database.holders[i] == session->backend)
			session->world->database.holders[i] = NULL;
}

static bool holds(const struct session *session, unsigned lane)
{
	return testing_bug("two-relays") ||
	       session->world->database.holders[lane] == session->backend;
}

bool session_holds_lock(const struct session *session)
{
	return session->world->database.holders[0] == session->backend;
}

bool session_was_robbed(const struct session *session)
{
	const struct backend *holder = session->world->database.holders[0];

	return holder != NULL && holder != session->backend;
}

/* ---- claim ---- */

static void tell_expired(struct session *session,
			 const struct outbox_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->rows[i].expired)
			checker_expired(session->world, session->lane,
					batch->rows[i].seq);
}

static int simulated_claim(struct store *store,
			   const struct outbox_claim *claim,
			   struct outbox_batch *batch, struct error *err)
{
	struct session *session = session_of(store);
	enum deed_kind trap;
	usec_t lasts;
	int status = session_enter(session, &trap, &lasts, err);

	arena_reset(&batch->arena);
	batch->rows = NULL;
	batch->count = 0;
	batch->next_due_in = USEC_NEVER;
	if (status < 0)
		return status;
	if (!holds(session, 0))
		return session_failed(session, STATUS_BUSY, "the lock is lost",
				      err);
	if (trap == CALL_COMMIT_CUT || trap == CALL_REPLY_LOST ||
	    trap == CALL_COMMIT_LATE) {
		replace(session, 0);
		return session_failed(session, STATUS_AWAY, "the session dies",
				      err);
	}
	database_claim(&session->world->database, session->world->now, claim,
		       batch);
	tell_expired(session, batch);
	note(session->world, session->lane, "claims", claim->after_seq,
	     (int64_t)batch->count);
	status = session_leave(session, trap, lasts, err);
	if (status < 0)
		batch->count = 0;
	return status;
}

/* ---- settle ---- */

static struct transaction transaction_of(struct world *world,
					 const struct outcome *outcomes,
					 size_t count)
{
	struct transaction taken = {.count = count};

	taken.settled = world_alloc(world, count * sizeof(*taken.settled));
	for (size_t i = 0; i < count; i++) {
		struct settled *settled = &taken.settled[i];

		settled->outcome = outcomes[i];
		settled->outcome.reason = world_copy(world, outcomes[i].reason);
		settled->due = world->now + outcomes[i].delay;
		/* Never null, not even for a delay of nothing. */
		if (settled->due == 0)
			settled->due = 1;
	}
	return taken;
}

static int simulated_settle(struct store *store, const struct outcome *outcomes,
			    size_t count, struct error *err)
{
	struct session *session = session_of(store);
	struct world *world = session->world;
	struct transaction transaction;
	enum deed_kind trap;
	usec_t lasts;
	int status = session_enter(session, &trap, &lasts, err);

	if (status < 0)
		return status;
	if (!holds(session, 0))
		return session_failed(session, STATUS_BUSY, "the lock is lost",
				      err);
	transaction = transaction_of(world, outcomes, count);
	transaction.backend = session->backend;
	note(world, session->lane, "settles", (int64_t)count, 0);
	return session_commit(session, &transaction, trap, lasts, err);
}

static int simulated_settle_begin(struct store *store,
				  const struct outcome *outcomes, size_t count,
				  struct error *err)
{
	struct session *session = session_of(store);
	struct transaction transaction =
		transaction_of(session->world, outcomes, count);

	if (!holds(session, 0))
		return error_set(err, STATUS_BUSY, "the lock is lost");
	return session_begin(session, &transaction, false, "begins to settle",
			     err);
}

static int simulated_settle_end(struct store *store,
				const struct outcome *outcomes, size_t count,
				struct error *err)
{
	const struct transaction *transaction;

	(void)outcomes;
	(void)count;
	return session_end(session_of(store), &transaction, err);
}

/* ---- waking ---- */

/* Not a real descriptor: whoever runs the lane asks session_has_news. */
static int simulated_wake_fd(struct store *store)
{
	(void)store;
	return 0;
}

static bool simulated_woken(struct store *store)
{
	struct session *session = session_of(store);
	bool news = session->news;

	session->news = false;
	return news;
}

const struct store_driver simulated_store = {
	.name = "simulated",
	.lock = simulated_lock,
	.unlock = simulated_unlock,
	.claim = simulated_claim,
	.settle = simulated_settle,
	.accept = simulated_accept,
	.wake_fd = simulated_wake_fd,
	.woken = simulated_woken,
	.heartbeat_seconds = 1,
};

const struct store_driver simulated_overlapping_store = {
	.name = "simulated",
	.lock = simulated_lock,
	.unlock = simulated_unlock,
	.claim = simulated_claim,
	.settle = simulated_settle,
	.settle_begin = simulated_settle_begin,
	.settle_end = simulated_settle_end,
	.accept = simulated_accept,
	.accept_begin = simulated_accept_begin,
	.accept_end = simulated_accept_end,
	.ready = simulated_ready,
	.wake_fd = simulated_wake_fd,
	.woken = simulated_woken,
	.heartbeat_seconds = 1,
};
