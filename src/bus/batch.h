/* SPDX-License-Identifier: MIT */
/*
 * Deliveries on their way into the store: taken from the broker, judged, not
 * yet acknowledged.
 */
#ifndef BUS_BATCH_H
#define BUS_BATCH_H

#include "base/arena.h"
#include "base/clock.h"
#include "store/store.h"

struct batch {
	struct inbox_row *rows;
	size_t count;
	uint64_t last_tag;  /* the newest delivery among them */
	struct arena arena; /* owns what the rows point at */
	usec_t commit_at;   /* unless it is full before */
};

/* STATUS_NO_MEMORY. */
int batch_init(struct batch *batch, struct error *err);
void batch_finish(struct batch *batch);

/* Empty again. */
void batch_forget(struct batch *batch);
bool batch_is_full(const struct batch *batch);

/*
 * Commits every row to inbox or rejected and sets its result. What the
 * database refuses for its data is halved until each bad row stands alone, and
 * is rejected then. After a failure some rows may be committed; the same call
 * again does no harm.
 */
int batch_accept(struct batch *batch, struct store *store,
		 const struct runtime_config *config, struct error *err);

/* The same in two parts, see store.h. STATUS_BUSY from the first: batch_accept
 * has to do it. */
int batch_accept_begin(struct batch *batch, struct store *store,
		       const struct runtime_config *config, struct error *err);
int batch_accept_end(struct batch *batch, struct store *store,
		     const struct runtime_config *config, struct error *err);

#endif
