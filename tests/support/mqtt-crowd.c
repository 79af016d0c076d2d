/* SPDX-License-Identifier: MIT */
/* mqtt-crowd URL COUNT: connects so many clients and tells what memory one of
 * them holds once all are idle. */
#include <malloc.h>
#include <poll.h>
#include <postbus/mqtt.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned subscribed;

static void granted(struct postbus_mqtt *client, int status, unsigned qos,
		    void *user)
{
	(void)client, (void)qos, (void)user;
	if (status == POSTBUS_OK)
		subscribed++;
}

static void connected(struct postbus_mqtt *client, bool present, void *user)
{
	(void)present;
	postbus_mqtt_subscribe(client, "#", 1, granted, user);
}

/* One turn of each: not how a program would do it, but enough to count. */
static void turn(struct postbus_mqtt **clients, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		postbus_mqtt_process(clients[i]);
	poll(NULL, 0, 1);
}

int main(int argc, char **argv)
{
	unsigned count = (unsigned)atoi(argv[argc - 1]);
	struct postbus_mqtt **clients =
		calloc(count, sizeof(struct postbus_mqtt *));
	size_t before = mallinfo2().uordblks;

	for (unsigned i = 0; i < count; i++) {
		clients[i] = postbus_mqtt_create(argv[1]);
		postbus_mqtt_on_connected(clients[i], connected, NULL);
		postbus_mqtt_connect(clients[i]);
	}
	while (subscribed < count)
		turn(clients, count);
	printf("%zu bytes each\n", (mallinfo2().uordblks - before) / count);
	fflush(stdout);
	for (unsigned i = 0; i < count; i++)
		postbus_mqtt_destroy(clients[i]);
	free(clients);
	return 0;
}
