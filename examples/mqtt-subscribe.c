/* SPDX-License-Identifier: MIT */
/* mqtt-subscribe URL FILTER: prints what arrives, for ever. */
#include <postbus/mqtt.h>
#include <stdio.h>

static void granted(struct postbus_mqtt *client, int status, unsigned qos,
		    void *user)
{
	(void)user;
	if (status == POSTBUS_OK)
		fprintf(stderr, "subscribed with QoS %u\n", qos);
	else
		postbus_mqtt_disconnect(client);
}

static void connected(struct postbus_mqtt *client, bool resumed, void *filter)
{
	if (!resumed)
		postbus_mqtt_subscribe(client, filter, 2, granted, NULL);
}

/* Acknowledged when this returns: what is printed has been received. */
static void arrived(struct postbus_mqtt *client,
		    const struct postbus_mqtt_message *message, void *user)
{
	size_t size;
	const char *payload = postbus_mqtt_message_payload(message, &size);

	(void)client, (void)user;
	printf("%s %.*s\n", postbus_mqtt_message_topic(message), (int)size,
	       payload);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	struct postbus_mqtt *client = postbus_mqtt_create(argv[1]);
	postbus_mqtt_on_connected(client, connected, argv[2]);
	postbus_mqtt_on_message(client, arrived, NULL);
	if (postbus_mqtt_connect(client) == POSTBUS_OK)
		postbus_mqtt_run(client);
	fprintf(stderr, "%s\n", postbus_mqtt_error(client));
	postbus_mqtt_destroy(client);
	return 1;
}
