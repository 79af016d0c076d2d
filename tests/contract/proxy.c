/* SPDX-License-Identifier: MIT */
/* A thread that copies bytes between pairs of sockets. */
#include "proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PAIRS = 8 };

struct pair {
	int client; /* -1: gone without a word to the server */
	int server; /* -1: free */
	bool losing;
};

struct proxy {
	pthread_t thread;
	int listener;
	uint16_t port;
	uint16_t server_port;
	atomic_bool stop;
	_Atomic(const char *) trigger;
	struct pair pairs[PAIRS];
};

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void close_pair(struct pair *pair)
{
	close(pair->client);
	close(pair->server);
	*pair = (struct pair){.client = -1, .server = -1};
}

static void take_client(struct proxy *proxy)
{
	int client = accept(proxy->listener, NULL, NULL);
	int server = connect_to(proxy->server_port);

	for (int i = 0; i < PAIRS && client >= 0 && server >= 0; i++)
		if (proxy->pairs[i].server < 0) {
			proxy->pairs[i] = (struct pair){client, server, false};
			return;
		}
	close(client);
	close(server);
}

/* Copies what there is; the pair ends when either side does, but a server
 * whose answers are lost does not hear of its client's end. */
static void copy(struct proxy *proxy, struct pair *pair, bool from_client)
{
	const char *trigger = proxy->trigger;
	char bytes[65536];
	ssize_t len = read(from_client ? pair->client : pair->server, bytes,
			   sizeof(bytes));

	if (len <= 0 && from_client && pair->losing) {
		close(pair->client);
		pair->client = -1;
		return;
	}
	if (len <= 0) {
		close_pair(pair);
		return;
	}
	if (from_client && trigger != NULL &&
	    memmem(bytes, (size_t)len, trigger, strlen(trigger)) != NULL)
		pair->losing = true;
	if (!from_client && pair->losing)
		return;
	if (send(from_client ? pair->server : pair->client, bytes, (size_t)len,
		 MSG_NOSIGNAL) != len)
		close_pair(pair);
}

static void *run(void *context)
{
	struct proxy *proxy = context;

	while (!proxy->stop) {
		struct pollfd fds[1 + 2 * PAIRS];

		fds[0] = (struct pollfd){proxy->listener, POLLIN, 0};
		for (int i = 0; i < PAIRS; i++) {
			fds[1 + 2 * i] = (struct pollfd){proxy->pairs[i].client,
							 POLLIN, 0};
			fds[2 + 2 * i] = (struct pollfd){proxy->pairs[i].server,
							 POLLIN, 0};
		}
		poll(fds, 1 + 2 * PAIRS, 20);
		if (fds[0].revents != 0)
			take_client(proxy);
		for (int i = 0; i < 2 * PAIRS; i++)
			if (fds[1 + i].revents != 0 &&
			    proxy->pairs[i / 2].server >= 0)
				copy(proxy, &proxy->pairs[i / 2], i % 2 == 0);
	}
	return NULL;
}

struct proxy *proxy_start(uint16_t server_port)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof(address);

	assert_non_null(proxy);
	proxy->server_port = server_port;
	for (int i = 0; i < PAIRS; i++)
		proxy->pairs[i].client = proxy->pairs[i].server = -1;
	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(proxy->listener, (struct sockaddr *)&address,
			      sizeof(address)),
			 0);
	assert_int_equal(listen(proxy->listener, PAIRS), 0);
	assert_int_equal(getsockname(proxy->listener,
				     (struct sockaddr *)&address, &size),
			 0);
	proxy->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&proxy->thread, NULL, run, proxy), 0);
	return proxy;
}

void proxy_stop(struct proxy *proxy)
{
	proxy->stop = true;
	pthread_join(proxy->thread, NULL);
	for (int i = 0; i < PAIRS; i++)
		if (proxy->pairs[i].server >= 0)
			close_pair(&proxy->pairs[i]);
	close(proxy->listener);
	free(proxy);
}

uint16_t proxy_port(const struct proxy *proxy)
{
	return proxy->port;
}

void proxy_lose_answers_to(struct proxy *proxy, const char *text)
{
	proxy->trigger = text;
}
