/* SPDX-License-Identifier: MIT */
/*
 * libpostbus's MQTT client at the end of a pipe, in an event loop of its own.
 *
 *	mqtt-driver URL
 *
 * A line of standard input is a command, a line of standard output what came of
 * it; the words are split by blanks, a payload has none. Ends with its input.
 */
#include <poll.h>
#include <postbus/mqtt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_WORDS = 16 };

static void connected(struct postbus_mqtt *client, bool present, void *user)
{
	(void)client, (void)user;
	printf("connected %d\n", present);
}

static void disconnected(struct postbus_mqtt *client, int status,
			 const char *error, void *user)
{
	(void)client, (void)user;
	printf("disconnected %d %s\n", status, error);
}

static void done(struct postbus_mqtt *client, int status, unsigned reason,
		 void *user)
{
	(void)client;
	printf("done %s %d %u\n", (char *)user, status, reason);
	free(user);
}

static void granted(struct postbus_mqtt *client, int status, unsigned qos,
		    void *user)
{
	(void)client;
	printf("granted %s %d %u\n", (char *)user, status, qos);
	free(user);
}

static void print_property(const struct postbus_mqtt_message *message,
			   const char *name,
			   enum postbus_mqtt_property property)
{
	size_t size;
	const char *value =
		postbus_mqtt_message_property(message, property, &size);

	if (value != NULL)
		printf(" %s=%.*s", name, (int)size, value);
}

static void arrived(struct postbus_mqtt *client,
		    const struct postbus_mqtt_message *message, void *user)
{
	size_t size;
	const char *payload = postbus_mqtt_message_payload(message, &size);
	const char *name;
	const char *value;

	(void)client, (void)user;
	printf("message %s %.*s qos=%u", postbus_mqtt_message_topic(message),
	       (int)size, payload, postbus_mqtt_message_qos(message));
	printf(" retain=%d dup=%d", postbus_mqtt_message_retain(message),
	       postbus_mqtt_message_dup(message));
	printf(" delivery=%llu expiry=%u text=%d",
	       (unsigned long long)postbus_mqtt_message_delivery(message),
	       (unsigned)postbus_mqtt_message_expiry(message),
	       postbus_mqtt_message_text(message));
	print_property(message, "content_type", POSTBUS_MQTT_CONTENT_TYPE);
	print_property(message, "response_topic", POSTBUS_MQTT_RESPONSE_TOPIC);
	print_property(message, "correlation_data",
		       POSTBUS_MQTT_CORRELATION_DATA);
	for (size_t i = 0; postbus_mqtt_message_user(message, i, &name, &value);
	     i++)
		printf(" %s:%s", name, value);
	printf("\n");
}

/* ---- commands ---- */

static const char *const properties[] = {
	[POSTBUS_MQTT_CONTENT_TYPE] = "content_type",
	[POSTBUS_MQTT_RESPONSE_TOPIC] = "response_topic",
	[POSTBUS_MQTT_CORRELATION_DATA] = "correlation_data",
};

/* "name=value": a property; "name:value": a user property. */
static void decorate(struct postbus_mqtt_message *message, char *word)
{
	char *value = word + strcspn(word, "=:");
	char kind = *value;

	*value++ = '\0';
	if (kind == ':')
		postbus_mqtt_message_add_user(message, word, value);
	else if (strcmp(word, "retain") == 0)
		postbus_mqtt_message_set_retain(message, *value == '1');
	else if (strcmp(word, "text") == 0)
		postbus_mqtt_message_set_text(message, *value == '1');
	else if (strcmp(word, "expiry") == 0)
		postbus_mqtt_message_set_expiry(message, (uint32_t)atol(value));
	else
		for (unsigned i = 0; i < 3; i++)
			if (strcmp(word, properties[i]) == 0)
				postbus_mqtt_message_set_property(
					message, (enum postbus_mqtt_property)i,
					value, strlen(value));
}

/* TOPIC QOS PAYLOAD DECORATION... */
static struct postbus_mqtt_message *make_message(char **words)
{
	struct postbus_mqtt_message *message = postbus_mqtt_message_create(
		words[0], words[2], strlen(words[2]));

	postbus_mqtt_message_set_qos(message, (unsigned)atoi(words[1]));
	for (words += 3; *words != NULL; words++)
		decorate(message, *words);
	return message;
}

static int publish(struct postbus_mqtt *client, char **words)
{
	struct postbus_mqtt_message *message = make_message(words + 1);
	char *name = strdup(words[0]);
	int status = postbus_mqtt_publish(client, message, done, name);

	if (status < 0)
		free(name);
	postbus_mqtt_message_destroy(message);
	return status;
}

static int subscribe(struct postbus_mqtt *client, char **words)
{
	char *name = strdup(words[0]);
	int status = postbus_mqtt_subscribe(
		client, words[1], (unsigned)atoi(words[2]), granted, name);

	if (status < 0)
		free(name);
	return status;
}

static int unsubscribe(struct postbus_mqtt *client, char **words)
{
	char *name = strdup(words[0]);
	int status = postbus_mqtt_unsubscribe(client, words[1], done, name);

	if (status < 0)
		free(name);
	return status;
}

static int obey(struct postbus_mqtt *client, const char *command, char **words)
{
	if (strcmp(command, "set") == 0)
		return postbus_mqtt_set(client, words[0], words[1]);
	if (strcmp(command, "will") == 0)
		return postbus_mqtt_set_will(client, make_message(words), 0);
	if (strcmp(command, "connect") == 0)
		return postbus_mqtt_connect(client);
	if (strcmp(command, "publish") == 0)
		return publish(client, words);
	if (strcmp(command, "subscribe") == 0)
		return subscribe(client, words);
	if (strcmp(command, "unsubscribe") == 0)
		return unsubscribe(client, words);
	if (strcmp(command, "acknowledge") == 0)
		postbus_mqtt_acknowledge(client, strtoull(words[0], NULL, 10));
	else
		postbus_mqtt_disconnect(client);
	return 0;
}

static void take_line(struct postbus_mqtt *client, char *line)
{
	char *words[MAX_WORDS + 1] = {NULL};
	char *rest = NULL;
	int status;

	for (int i = 0; i < MAX_WORDS; i++) {
		words[i] = strtok_r(i == 0 ? line : NULL, " \n", &rest);
		if (words[i] == NULL)
			break;
	}
	status = obey(client, words[0], words + 1);
	if (status < 0)
		printf("failed %s %d %s\n", words[0], status,
		       postbus_mqtt_error(client));
}

/* False when the input has ended. */
static bool take_lines(struct postbus_mqtt *client)
{
	static char input[65536];
	static size_t used;
	ssize_t got = read(0, input + used, sizeof(input) - 1 - used);
	char *newline;

	if (got <= 0)
		return false;
	used += (size_t)got;
	input[used] = '\0';
	while ((newline = strchr(input, '\n')) != NULL) {
		*newline = '\0';
		take_line(client, input);
		used -= (size_t)(newline + 1 - input);
		memmove(input, newline + 1, used + 1);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct postbus_mqtt *client = postbus_mqtt_create(argv[argc - 1]);
	bool more = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	postbus_mqtt_on_connected(client, connected, NULL);
	postbus_mqtt_on_disconnected(client, disconnected, NULL);
	postbus_mqtt_on_message(client, arrived, NULL);
	while (more) {
		struct pollfd fds[] = {
			{.fd = 0, .events = POLLIN},
			{.fd = postbus_mqtt_fd(client),
			 .events = postbus_mqtt_events(client)},
		};

		poll(fds, 2, postbus_mqtt_timeout(client));
		if (fds[0].revents != 0)
			more = take_lines(client);
		postbus_mqtt_process(client);
	}
	postbus_mqtt_destroy(client);
	return 0;
}
