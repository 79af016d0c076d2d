/* SPDX-License-Identifier: MIT */
/* A TCP proxy on loopback that can lose what a server answers. */
#ifndef CONTRACT_PROXY_H
#define CONTRACT_PROXY_H

#include <stdint.h>

struct proxy;

/* Passes connections on to a server on loopback. */
struct proxy *proxy_start(uint16_t server_port);
void proxy_stop(struct proxy *proxy);
uint16_t proxy_port(const struct proxy *proxy);

/* Once a client has said `text`, the server gets it, but nothing comes back on
 * that connection any more, and its end is not passed on: as if the network
 * had failed. NULL: no longer. */
void proxy_lose_answers_to(struct proxy *proxy, const char *text);

#endif
