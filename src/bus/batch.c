/* SPDX-License-Identifier: MIT */
/* A batch of deliveries, and how it gets into the store. */
#include "bus/batch.h"

#include <stdlib.h>

#include "base/testing.h"

/* A third of what a broker sends ahead, so that it goes on sending while one
 * batch is filled and another is committed. */
enum { BATCH_ROWS = 320, BATCH_BYTES = 1024 * 1024 };

int batch_init(struct batch *batch, struct error *err)
{
	*batch = (struct batch){0};
	arena_init(&batch->arena);
	batch->rows = calloc(BATCH_ROWS, sizeof(*batch->rows));
	if (batch->rows == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a batch");
	return 0;
}

void batch_finish(struct batch *batch)
{
	arena_finish(&batch->arena);
	free(batch->rows);
	*batch = (struct batch){0};
}

void batch_forget(struct batch *batch)
{
	batch->count = 0;
	arena_reset(&batch->arena);
}

bool batch_is_full(const struct batch *batch)
{
	return batch->count == BATCH_ROWS || batch->arena.used >= BATCH_BYTES;
}

/* ---- into the store ---- */

static struct inbox_batch part(struct batch *batch,
			       const struct runtime_config *config, size_t from,
			       size_t count)
{
	return (struct inbox_batch){
		.config_key = config->config_key,
		.broker_type = config->broker_type,
		.rows = batch->rows + from,
		.count = count,
	};
}

static int accept_rows(struct batch *batch, struct store *store,
		       const struct runtime_config *config, size_t from,
		       size_t count, struct error *err)
{
	struct inbox_batch rows = part(batch, config, from, count);

	return store->driver->accept(store, &rows, err);
}

/* The database will never take this row as it is: keep it as rejected. */
static int reject_row(struct batch *batch, struct store *store,
		      const struct runtime_config *config, size_t at,
		      struct error *err)
{
	struct inbox_row *row = &batch->rows[at];

	if (span_present(row->rejected))
		return err->status;
	row->rejected = arena_copy(&batch->arena, span_of(err->text));
	if (!span_present(row->rejected))
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a reason");
	return accept_rows(batch, store, config, at, 1, err);
}

static int accept_range(struct batch *batch, struct store *store,
			const struct runtime_config *config, size_t from,
			size_t count, struct error *err)
{
	int status = accept_rows(batch, store, config, from, count, err);

	if (status == STATUS_UNKNOWN && testing_bug("unknown-acknowledged"))
		return 0;
	if (status != STATUS_INVALID || testing_bug("batch-poisoned"))
		return status;
	if (count == 1)
		return reject_row(batch, store, config, from, err);
	status = accept_range(batch, store, config, from, count / 2, err);
	if (status < 0)
		return status;
	return accept_range(batch, store, config, from + count / 2,
			    count - count / 2, err);
}

int batch_accept(struct batch *batch, struct store *store,
		 const struct runtime_config *config, struct error *err)
{
	return accept_range(batch, store, config, 0, batch->count, err);
}

int batch_accept_begin(struct batch *batch, struct store *store,
		       const struct runtime_config *config, struct error *err)
{
	struct inbox_batch rows = part(batch, config, 0, batch->count);

	if (store->driver->accept_begin == NULL)
		return STATUS_BUSY;
	return store->driver->accept_begin(store, &rows, err);
}

int batch_accept_end(struct batch *batch, struct store *store,
		     const struct runtime_config *config, struct error *err)
{
	struct inbox_batch rows = part(batch, config, 0, batch->count);
	int status = store->driver->accept_end(store, &rows, err);

	if (status == STATUS_UNKNOWN && testing_bug("unknown-acknowledged"))
		return 0;
	/* Whoever is to blame is found step by step. */
	if (status == STATUS_INVALID && !testing_bug("batch-poisoned"))
		return batch_accept(batch, store, config, err);
	return status;
}
