/* SPDX-License-Identifier: MIT */
/* mqtt-publish URL TOPIC TEXT: ends when the server has the message. */
#include <postbus/mqtt.h>
#include <stdio.h>
#include <string.h>

static int outcome = POSTBUS_FAILED;

static void done(struct postbus_mqtt *client, int status, unsigned reason,
		 void *user)
{
	(void)reason, (void)user;
	outcome = status;
	postbus_mqtt_disconnect(client);
}

static void connected(struct postbus_mqtt *client, bool resumed, void *message)
{
	(void)resumed;
	if (postbus_mqtt_publish(client, message, done, NULL) < 0)
		postbus_mqtt_disconnect(client);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	struct postbus_mqtt *client = postbus_mqtt_create(argv[1]);
	struct postbus_mqtt_message *message =
		postbus_mqtt_message_create(argv[2], argv[3], strlen(argv[3]));
	postbus_mqtt_message_set_qos(message, 1);
	postbus_mqtt_on_connected(client, connected, message);
	if (postbus_mqtt_connect(client) == POSTBUS_OK)
		postbus_mqtt_run(client);
	if (outcome != POSTBUS_OK)
		fprintf(stderr, "%s\n", postbus_mqtt_error(client));
	postbus_mqtt_message_destroy(message);
	postbus_mqtt_destroy(client);
	return outcome == POSTBUS_OK ? 0 : 1;
}
