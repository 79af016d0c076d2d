/* SPDX-License-Identifier: MIT */
/* The MQTT client's options, from one table, and its URL. */
#include <stdlib.h>

#include "base/quote.h"
#include "client/mqtt_client.h"

enum { PORT_PLAIN = 1883, PORT_TLS = 8883, LONGEST_WAIT = 1000000 };

enum option_type { OPTION_STRING, OPTION_NUMBER, OPTION_FLAG, OPTION_VERSION };

struct option {
	const char *name;
	enum option_type type;
	size_t offset; /* in struct client_options */
	uint32_t min, max;
};

#define AT(member) offsetof(struct client_options, member)
static const struct option table[] = {
	{"client_id", OPTION_STRING, AT(client_id), 0, 0},
	{"username", OPTION_STRING, AT(username), 0, 0},
	{"password", OPTION_STRING, AT(password), 0, 0},
	{"ca_file", OPTION_STRING, AT(ca_file), 0, 0},
	{"cert_file", OPTION_STRING, AT(cert_file), 0, 0},
	{"key_file", OPTION_STRING, AT(key_file), 0, 0},
	{"version", OPTION_VERSION, AT(version), 0, 0},
	{"clean_start", OPTION_FLAG, AT(clean_start), 0, 0},
	{"manual_ack", OPTION_FLAG, AT(manual_ack), 0, 0},
	{"session_expiry", OPTION_NUMBER, AT(session_expiry), 0, UINT32_MAX},
	{"keep_alive", OPTION_NUMBER, AT(keep_alive), 0, UINT16_MAX},
	{"receive_maximum", OPTION_NUMBER, AT(receive_maximum), 1, UINT16_MAX},
	{"maximum_packet", OPTION_NUMBER, AT(maximum_packet), 0, UINT32_MAX},
	{"connect_timeout", OPTION_NUMBER, AT(connect_timeout), 1,
	 LONGEST_WAIT},
	{"retry_min", OPTION_NUMBER, AT(retry_min), 0, LONGEST_WAIT},
	{"retry_max", OPTION_NUMBER, AT(retry_max), 1, LONGEST_WAIT},
};
enum { TABLE_SIZE = sizeof(table) / sizeof(table[0]) };

void client_options_init(struct client_options *options)
{
	*options = (struct client_options){
		.clean_start = true,
		.session_expiry = 300,
		.keep_alive = 30,
		.receive_maximum = 1000,
		.connect_timeout = 10,
		.retry_min = 1,
		.retry_max = 60,
	};
}

static void *member(struct client_options *options, const struct option *option)
{
	return (char *)options + option->offset;
}

void client_options_finish(struct client_options *options)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (table[i].type == OPTION_STRING)
			free(*(char **)member(options, &table[i]));
	free(options->host);
	postbus_mqtt_message_destroy(options->will);
}

/* ---- by name ---- */

static int set_string(char **string, const char *value, struct error *err)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	free(*string);
	*string = copy;
	return 0;
}

static bool read_number(const char *value, uint32_t *number)
{
	char *end;
	unsigned long long read;

	if (*value < '0' || *value > '9')
		return false;
	read = strtoull(value, &end, 10);
	if (*end != '\0' || read > UINT32_MAX)
		return false;
	*number = (uint32_t)read;
	return true;
}

static int set_number(const struct option *option, uint32_t *number,
		      const char *value, struct error *err)
{
	uint32_t read;

	if (!read_number(value, &read) || read < option->min ||
	    read > option->max)
		return error_set(err, STATUS_INVALID,
				 "%s is %s, and must be a number from %u to %u",
				 option->name, quote(span_of(value)).text,
				 option->min, option->max);
	*number = read;
	return 0;
}

static int set_flag(const struct option *option, bool *flag, const char *value,
		    struct error *err)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return error_set(err, STATUS_INVALID,
				 "%s is %s, and must be true or false",
				 option->name, quote(span_of(value)).text);
	*flag = *value == 't';
	return 0;
}

static int set_version(uint32_t *version, const char *value, struct error *err)
{
	if (strcmp(value, "5") == 0)
		*version = MQTT_VERSION_5;
	else if (strcmp(value, "3.1.1") == 0)
		*version = MQTT_VERSION_3;
	else
		return error_set(err, STATUS_INVALID,
				 "version is %s, and must be 5 or 3.1.1",
				 quote(span_of(value)).text);
	return 0;
}

static const struct option *find(const char *name)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

int client_options_set(struct client_options *options, const char *name,
		       const char *value, struct error *err)
{
	const struct option *option = find(name);

	if (option == NULL)
		return error_set(err, STATUS_INVALID,
				 "an MQTT client has no option %s",
				 quote(span_of(name)).text);
	switch (option->type) {
	case OPTION_STRING:
		return set_string(member(options, option), value, err);
	case OPTION_NUMBER:
		return set_number(option, member(options, option), value, err);
	case OPTION_FLAG:
		return set_flag(option, member(options, option), value, err);
	case OPTION_VERSION:
		return set_version(member(options, option), value, err);
	}
	return STATUS_INVALID;
}

/* ---- the URL ---- */

static int bad_url(const char *url, struct error *err)
{
	return error_set(err, STATUS_INVALID,
			 "%s is no URL of an MQTT server: mqtt://host[:port], "
			 "mqtts://host[:port] or unix:/path",
			 quote(span_of(url)).text);
}

/* What follows a prefix, NULL if the text does not begin with it. */
static const char *after(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* Cuts the port off; false if there is one that is none. */
static bool take_port(char *port, uint32_t *number)
{
	if (*port == '\0')
		return true;
	if (*port != ':' || !read_number(port + 1, number))
		return false;
	*port = '\0';
	return *number >= 1 && *number <= UINT16_MAX;
}

/* "host", "host:port", "[address]:port" becomes the host alone. */
static bool split_host(char *host, uint32_t *port)
{
	char *end;

	if (*host == '[') {
		end = strchr(host, ']');
		if (end == NULL || !take_port(end + 1, port))
			return false;
		*end = '\0';
		memmove(host, host + 1, strlen(host));
	} else if (!take_port(host + strcspn(host, ":"), port)) {
		return false;
	}
	return *host != '\0' && strpbrk(host, "/@?#") == NULL;
}

int client_options_set_url(struct client_options *options, const char *url,
			   struct error *err)
{
	const char *path = after(url, "unix:");
	const char *plain = after(url, "mqtt://");
	const char *secure = after(url, "mqtts://");
	const char *host = path != NULL ? path : plain != NULL ? plain : secure;

	if (host == NULL || (path != NULL && *path != '/'))
		return bad_url(url, err);
	if (set_string(&options->host, host, err) < 0)
		return STATUS_NO_MEMORY;
	options->tls = secure != NULL;
	options->port = secure != NULL ? PORT_TLS : PORT_PLAIN;
	if (path == NULL && !split_host(options->host, &options->port))
		return bad_url(url, err);
	return 0;
}
