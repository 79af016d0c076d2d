/* SPDX-License-Identifier: MIT */
/* SIGTERM and SIGINT ask the process to end, SIGHUP to look at its config. */
#ifndef WORKER_SIGNALS_H
#define WORKER_SIGNALS_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Once in a process. From then on SIGPIPE is ignored, and a process that is
 * asked to end has done so six seconds later, with exit code 0, whatever call
 * of it has not come back: as after a kill, nothing is lost.
 */
int signals_watch(struct error *err);

/* Readable once there is something new. */
int signals_fd(void);

/* Reads the descriptor. Whether the process is to end, and whether there was a
 * SIGHUP since the last time. */
void signals_read(bool *stop, bool *hangup);

#endif
