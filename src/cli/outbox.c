/* SPDX-License-Identifier: MIT */
/* `postbus outbox`: what is to be sent, was sent, or could not be. */
#include "cli/browse.h"

static const struct option status_option[] = {
	{"status", "pending|published|invalid|error", OPTION_CHOICE,
	 offsetof(struct browse_options, filter.status), false,
	 "rows with this status"},
	{0},
};

static const char *const columns[] = {
	"seq", "status", "topic", "created_at", "last_error", NULL,
};

static const struct browse_table table = {
	.table = TABLE_OUTBOX,
	.name = "outbox",
	.columns = columns,
	.empty = "No such row is in the outbox. `postbus publish` writes one.",
};

static const struct command list = {
	.name = "list",
	.summary = "List messages to be sent, newest first",
	.options = {status_option, browse_filters, browse_list_options},
	.options_size = sizeof(struct browse_options),
	.subject = &table,
	.run = browse_list,
};

static const struct command show = {
	.name = "show",
	.operands = "ID",
	.least = 1,
	.most = 1,
	.summary = "Show one message whole, by its seq or id",
	.options = {json_options},
	.options_size = sizeof(struct json_options),
	.subject = &table,
	.run = browse_show,
};

static const struct command retry = {
	.name = "retry",
	.operands = "[ID]...",
	.most = SIZE_MAX,
	.summary = "Put invalid and failed messages back to pending",
	.options = {status_option, browse_filters, browse_change_options},
	.options_size = sizeof(struct browse_options),
	.subject = &table,
	.run = browse_retry,
};

static const struct command purge = {
	.name = "purge",
	.operands = "[ID]...",
	.most = SIZE_MAX,
	.summary = "Delete messages that are not pending",
	.options = {status_option, browse_filters, browse_change_options},
	.options_size = sizeof(struct browse_options),
	.subject = &table,
	.run = browse_purge,
};

static const struct command *const actions[] = {
	&list, &show, &retry, &purge, NULL,
};

const struct command command_outbox = {
	.name = "outbox",
	.summary = "Look at, retry and clean up what is sent",
	.actions = actions,
};
