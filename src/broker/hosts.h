/* SPDX-License-Identifier: MIT */
/* The broker addresses of a config: "a", "a:5672,b:5672", "[::1]:5672". */
#ifndef BROKER_HOSTS_H
#define BROKER_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct host {
	const char *name; /* or an address, without brackets */
	uint16_t port;
};

struct hosts {
	struct host *at; /* at least one */
	size_t count;
	size_t next;
	size_t tried; /* since one was up, or since all had been tried */
};

/* Reads the list into the arena. STATUS_INVALID names the entry that is none.
 */
int hosts_parse(struct hosts *hosts, const char *text, uint16_t default_port,
		struct arena *arena, struct error *err);

/* The host to try now: each in turn. */
const struct host *hosts_next(struct hosts *hosts);

/* The host tried last is up: when it goes, all may be tried again. */
void hosts_reached(struct hosts *hosts);

/* True if one of several has not had its turn: no need to pause before. */
bool hosts_left(const struct hosts *hosts);

#endif
