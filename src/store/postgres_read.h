/* SPDX-License-Identifier: MIT */
/* Reading claimed rows, whatever an application has put there. */
#ifndef STORE_POSTGRES_READ_H
#define STORE_POSTGRES_READ_H

#include "store/postgres.h"

/* A row to be read, and what it was picked by. */
struct postgres_pick {
	int64_t seq;
	int64_t holder; /* 0: none */
	size_t size;	/* of its payload as it is stored */
};

/*
 * Reads rows into the batch, in the order of the picks, until they are enough
 * for the claim. A row whose content cannot be read comes with `broken` set;
 * one that is no longer pending does not come. Fewer than all is success.
 */
int postgres_read_rows(struct postgres_store *store,
		       const struct outbox_claim *claim,
		       const struct postgres_pick *picks, size_t count,
		       struct outbox_batch *batch, struct error *err);

#endif
