/* SPDX-License-Identifier: MIT */
/*
 * `postbus rejected`: what came and could never be an inbox row. Retrying
 * judges the body anew, for what is allowed may have changed since.
 */
#include "bus/intake.h"
#include "cli/browse.h"
#include "cli/rows.h"

static const char *const columns[] = {
	"id", "topic", "received_at", "reason", NULL,
};

static const struct browse_table table = {
	.table = TABLE_REJECTED,
	.name = "rejected",
	.columns = columns,
	.empty = "No such message was rejected.",
};

/* Ids are collected first, because a store does one thing at a time. */
struct candidate {
	struct candidate *next;
	const char *id;
};

struct retrial {
	struct cli *cli;
	struct store *store;
	bool dry_run;
	struct candidate *first, **last;
	int64_t accepted, refused;
};

static int add_candidate(struct retrial *retrial, struct span id)
{
	struct arena *memory = &retrial->cli->memory;
	struct candidate *candidate = arena_alloc(memory, sizeof(*candidate));

	if (candidate == NULL)
		return STATUS_NO_MEMORY;
	*candidate = (struct candidate){.id = arena_copy(memory, id).at};
	if (candidate->id == NULL)
		return STATUS_NO_MEMORY;
	*retrial->last = candidate;
	retrial->last = &candidate->next;
	return 0;
}

static int each_candidate(void *context, const struct column *given,
			  size_t count)
{
	return add_candidate(context,
			     row_get((struct row){given, count}, "id"));
}

/* A rejected message as it was delivered, as far as its row tells. */
struct retried {
	struct arena memory;
	struct delivery delivery;
	struct span config_key;
	struct span broker_type;
	bool found;
};

static int copy_row(void *context, const struct column *given, size_t count)
{
	struct retried *retried = context;
	struct arena *memory = &retried->memory;
	struct row row = {given, count};
	struct delivery *delivery = &retried->delivery;

	retried->found = true;
	delivery->topic = arena_copy(memory, row_get(row, "topic"));
	delivery->message_id = arena_copy(memory, row_get(row, "message_id"));
	delivery->body = arena_copy(memory, row_get(row, "body"));
	retried->config_key = arena_copy(memory, row_get(row, "config_key"));
	retried->broker_type = arena_copy(memory, row_get(row, "broker_type"));
	delivery->any_body = span_is(retried->broker_type, "mqtt");
	return 0;
}

static int load(struct retrial *retrial, const char *id,
		struct retried *retried, struct error *err)
{
	struct store *store = retrial->store;
	struct store_filter filter = {.id = id, .limit = 1};
	int result = store->driver->browse(store, TABLE_REJECTED, &filter,
					   copy_row, retried, err);

	if (result == 0 && !retried->found)
		result = browse_not_found(&table, id, err);
	return result;
}

/* Into the inbox first, then out of rejected: a break in between leaves a
 * message in both, which the next retry finds to be a duplicate. */
static int move_to_inbox(struct store *store, const char *id,
			 const struct retried *retried, struct inbox_row *row,
			 struct error *err)
{
	struct inbox_batch batch = {.config_key = retried->config_key.at,
				    .broker_type = retried->broker_type.at,
				    .rows = row,
				    .count = 1};
	struct store_filter filter = {.id = id};
	int64_t deleted;
	int result = store->driver->accept(store, &batch, err);

	if (result == 0)
		result = store->driver->purge(store, TABLE_REJECTED, &filter,
					      false, &deleted, err);
	return result;
}

static void refuse(struct retrial *retrial, const char *id, struct span reason)
{
	struct error why;

	error_set(&why, STATUS_INVALID, "rejected row %s stays: %.*s", id,
		  SPAN_ARG(reason));
	complain(why.text);
	retrial->refused++;
}

static int judge(struct retrial *retrial, const char *id,
		 struct retried *retried, struct error *err)
{
	struct envelope_limits limits;
	struct span source = SPAN_NONE;
	struct inbox_row row;
	int result = load(retrial, id, retried, err);

	if (result == 0)
		result =
			database_rules(retrial->store, retried->config_key.at,
				       &limits, &source, &retried->memory, err);
	if (result == 0)
		result = intake_judge(&row, &retried->delivery, &limits,
				      &retried->memory, err);
	if (result < 0)
		return result;
	if (span_present(row.rejected)) {
		refuse(retrial, id, row.rejected);
		return 0;
	}
	if (!retrial->dry_run)
		result = move_to_inbox(retrial->store, id, retried, &row, err);
	if (result == 0 && row.result == INBOX_CONFLICT)
		refuse(retrial, id,
		       SPAN_LIT("its message_id came before with another "
				"payload"));
	else if (result == 0)
		retrial->accepted++;
	return result;
}

static int find_candidates(struct retrial *retrial,
			   const struct browse_options *wanted,
			   struct error *err)
{
	struct store *store = retrial->store;
	struct store_filter filter = browse_filter(wanted);
	const struct texts *ids = &retrial->cli->operands;
	int result = 0;

	if (wanted->filter.limit == 0)
		return 0;
	if (ids->count == 0)
		return store->driver->browse(store, TABLE_REJECTED, &filter,
					     each_candidate, retrial, err);
	for (size_t i = 0; i < ids->count && result == 0; i++)
		result = add_candidate(retrial, span_of(ids->at[i]));
	return result;
}

static int retry_all(struct retrial *retrial,
		     const struct browse_options *wanted, struct error *err)
{
	int result = find_candidates(retrial, wanted, err);

	for (const struct candidate *at = retrial->first;
	     at != NULL && result == 0; at = at->next) {
		struct retried retried = {0};

		result = judge(retrial, at->id, &retried, err);
		arena_finish(&retried.memory);
	}
	return result;
}

static int run_retry(struct cli *cli, const void *options, struct error *err)
{
	const struct browse_options *wanted = options;
	struct retrial retrial = {.cli = cli, .dry_run = wanted->dry_run};
	int result = browse_need_selection(cli, wanted, err);

	retrial.last = &retrial.first;
	if (result == 0)
		result = database_open(cli, &retrial.store, err);
	if (result == 0)
		result = retry_all(&retrial, wanted, err);
	if (result == 0)
		browse_report(cli, wanted, "moved to the inbox",
			      retrial.accepted);
	if (result == 0 && retrial.refused > 0)
		result = error_set(err, STATUS_INVALID,
				   "%lld of the messages cannot be accepted",
				   (long long)retrial.refused);
	database_close(retrial.store);
	return result;
}

static const struct command list = {
	.name = "list",
	.summary = "List rejected messages, newest first",
	.options = {browse_filters, browse_list_options},
	.options_size = sizeof(struct browse_options),
	.subject = &table,
	.run = browse_list,
};

static const struct command show = {
	.name = "show",
	.operands = "ID",
	.least = 1,
	.most = 1,
	.summary = "Show one message and its body",
	.options = {json_options},
	.options_size = sizeof(struct json_options),
	.subject = &table,
	.run = browse_show,
};

static const struct command retry = {
	.name = "retry",
	.operands = "[ID]...",
	.most = SIZE_MAX,
	.summary = "Judge messages anew; the good ones go to the inbox",
	.options = {browse_filters, browse_change_options},
	.options_size = sizeof(struct browse_options),
	.run = run_retry,
};

static const struct command purge = {
	.name = "purge",
	.operands = "[ID]...",
	.most = SIZE_MAX,
	.summary = "Delete rejected messages",
	.options = {browse_filters, browse_change_options},
	.options_size = sizeof(struct browse_options),
	.subject = &table,
	.run = browse_purge,
};

static const struct command *const actions[] = {
	&list, &show, &retry, &purge, NULL,
};

const struct command command_rejected = {
	.name = "rejected",
	.summary = "Look at, retry and clean up what could not be accepted",
	.actions = actions,
};
