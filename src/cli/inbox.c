/* SPDX-License-Identifier: MIT */
/* `postbus inbox`: what came and is to be processed, was, or could not be. */
#include "cli/browse.h"

static const struct option status_option[] = {
	{"status", "pending|processed|error", OPTION_CHOICE,
	 offsetof(struct browse_options, filter.status), false,
	 "rows with this status"},
	{0},
};

static const char *const columns[] = {
	"id",	       "status",     "topic", "source_service",
	"received_at", "last_error", NULL,
};

static const struct browse_table table = {
	.table = TABLE_INBOX,
	.name = "inbox",
	.columns = columns,
	.empty = "No such row is in the inbox. `postbus status` shows whether "
		 "a worker listens.",
};

static const struct command list = {
	.name = "list",
	.summary = "List messages that came, newest first",
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
	.summary = "Show one message whole",
	.options = {json_options},
	.options_size = sizeof(struct json_options),
	.subject = &table,
	.run = browse_show,
};

static const struct command retry = {
	.name = "retry",
	.operands = "[ID]...",
	.most = SIZE_MAX,
	.summary = "Put messages whose handling failed back to pending",
	.options = {status_option, browse_filters, browse_change_options},
	.options_size = sizeof(struct browse_options),
	.subject = &table,
	.run = browse_retry,
};

static const struct command purge = {
	.name = "purge",
	.operands = "[ID]...",
	.most = SIZE_MAX,
	.summary = "Delete messages that are processed or failed",
	.options = {status_option, browse_filters, browse_change_options},
	.options_size = sizeof(struct browse_options),
	.subject = &table,
	.run = browse_purge,
};

static const struct command *const actions[] = {
	&list, &show, &retry, &purge, NULL,
};

const struct command command_inbox = {
	.name = "inbox",
	.summary = "Look at, retry and clean up what came",
	.actions = actions,
};
