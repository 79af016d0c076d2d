/* SPDX-License-Identifier: MIT */
/* mqtt-publish URL TOPIC TEXT: ends when the server has the message. */
#include <postbus/mqtt.h>
#include <stdio.h>
#include <string.h>

static struct postbus_mqtt_message *message;
static int outcome = 1;

static void done(struct postbus_mqtt *client, int status, unsigned reason,
		 void *user)
{
	(void)user;
	if (status == POSTBUS_OK)
		outcome = 0;
	else
		fprintf(stderr, "reason %u: %s\n", reason,
			postbus_mqtt_error(client));
	postbus_mqtt_disconnect(client);
}

static void connected(struct postbus_mqtt *client, bool session_present,
		      void *user)
{
	(void)session_present;
	if (postbus_mqtt_publish(client, message, done, user) < 0)
		done(client, POSTBUS_INVALID, 0, user);
}

int main(int argc, char **argv)
{
	struct postbus_mqtt *client;

	if (argc != 4)
		return 2;
	client = postbus_mqtt_create(argv[1]);
	message =
		postbus_mqtt_message_create(argv[2], argv[3], strlen(argv[3]));
	postbus_mqtt_message_set_qos(message, 1);
	postbus_mqtt_on_connected(client, connected, NULL);
	if (postbus_mqtt_connect(client) < 0)
		fprintf(stderr, "%s\n", postbus_mqtt_error(client));
	else
		postbus_mqtt_run(client);
	postbus_mqtt_message_destroy(message);
	postbus_mqtt_destroy(client);
	return outcome;
}
