/* SPDX-License-Identifier: MIT */
/* A whole config: its defaults, and whether it makes sense. */
#include "store/config.h"

#include <stdio.h>

#include "base/quote.h"

int config_init(struct runtime_config *config, const char *config_key,
		struct error *err)
{
	struct span key;
	int status = 0;

	*config = (struct runtime_config){0};
	arena_init(&config->memory);
	key = arena_copy(&config->memory, span_of(config_key));
	if (!span_present(key))
		status = error_set(err, STATUS_NO_MEMORY,
				   "no memory for a config");
	config->config_key = key.at;
	for (size_t i = 0; status == 0 && i < config_field_count; i++)
		status = config_put(config, &config_fields[i], SPAN_NONE, err);
	if (status < 0)
		config_destroy(config);
	return status;
}

void config_destroy(struct runtime_config *config)
{
	if (config != NULL)
		arena_finish(&config->memory);
}

static bool is_mqtt(const struct runtime_config *config)
{
	return strcmp(config->broker_type, "mqtt") == 0;
}

/* Puts "<before><middle><after>" where nothing is set. */
static int fill(struct runtime_config *config, const char **member,
		const char *before, const char *middle, const char *after,
		struct error *err)
{
	size_t size = strlen(before) + strlen(middle) + strlen(after) + 1;
	char *text;

	if (*member != NULL)
		return 0;
	text = arena_alloc(&config->memory, size);
	if (text == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a config");
	snprintf(text, size, "%s%s%s", before, middle, after);
	*member = text;
	return 0;
}

/* ["<service>.request.#","<service>.response.#"] */
static int fill_binding_keys(struct runtime_config *config, struct error *err)
{
	const char *requests = NULL;
	int status;

	if (config->rabbitmq.binding_keys != NULL)
		return 0;
	status = fill(config, &requests, "[\"", config->source_service,
		      ".request.#\",\"", err);
	if (status < 0)
		return status;
	return fill(config, &config->rabbitmq.binding_keys, requests,
		    config->source_service, ".response.#\"]", err);
}

static int finish_rabbitmq(struct runtime_config *config, struct error *err)
{
	const char *service = config->source_service;
	int status;

	if (service == NULL && (config->rabbitmq.queue == NULL ||
				config->rabbitmq.binding_keys == NULL))
		return error_set(err, STATUS_INVALID,
				 "source_service is not set; set it, as queue "
				 "and binding_keys follow from it, or set both "
				 "of these");
	if (service != NULL && strpbrk(service, "\"\\*#") != NULL)
		return error_set(err, STATUS_INVALID,
				 "source_service is %s; it must be without "
				 "quotes, backslashes and wildcards",
				 quote(span_of(service)).text);
	if (config->port == 0)
		config->port = config->tls ? 5671 : 5672;
	status = fill(config, &config->rabbitmq.queue, "",
		      service == NULL ? "" : service, "", err);
	if (status == 0)
		status = fill_binding_keys(config, err);
	if (status == 0)
		status = fill(config, &config->rabbitmq.dead_letter_exchange,
			      "", config->rabbitmq.queue, ".dlx", err);
	return status;
}

static int finish_mqtt(struct runtime_config *config, struct error *err)
{
	const char *topics = config->mqtt.subscribe_topics;

	if (config->intake_enabled &&
	    (topics == NULL || strcmp(topics, "[]") == 0))
		return error_set(err, STATUS_INVALID,
				 "subscribe_topics is not set; the intake "
				 "needs at least one topic filter, or "
				 "intake_enabled=false");
	if (config->mqtt.share_group != NULL &&
	    strpbrk(config->mqtt.share_group, "/+#") != NULL)
		return error_set(err, STATUS_INVALID,
				 "share_group is %s; it must be without /, + "
				 "and #",
				 quote(span_of(config->mqtt.share_group)).text);
	if (config->mqtt.will_payload != NULL &&
	    config->mqtt.will_topic == NULL)
		return error_set(err, STATUS_INVALID,
				 "will_payload is set without will_topic; set "
				 "both or neither");
	if (config->port == 0)
		config->port = config->tls ? 8883 : 1883;
	return fill(config, &config->mqtt.client_id, "postbus-",
		    config->config_key, "", err);
}

static bool valid_port(const char *text, size_t len)
{
	long port = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = port * 10 + (text[i] - '0');
	}
	return port >= 1 && port <= 65535;
}

/* "name", "name:port", "[v6]" or "[v6]:port". */
static bool valid_host(const char *text, size_t len)
{
	const char *name_end = text;
	const char *end = text + len;

	if (len > 0 && *text == '[')
		name_end = memchr(text, ']', len);
	else
		while (name_end < end && *name_end != ':' && *name_end > ' ' &&
		       strchr("/@[]", *name_end) == NULL)
			name_end++;
	if (name_end == NULL || name_end == text)
		return false;
	if (*text == '[')
		name_end++;
	return name_end == end ||
	       (*name_end == ':' &&
		valid_port(name_end + 1, (size_t)(end - name_end) - 1));
}

static int check_hosts(const char *hosts, struct error *err)
{
	for (const char *at = hosts;; at++) {
		size_t len = strcspn(at, ",");

		if (!valid_host(at, len))
			return error_set(err, STATUS_INVALID,
					 "host is %s; it must be a name or "
					 "name:port, or several by commas "
					 "without blanks",
					 quote(span_of(hosts)).text);
		at += len;
		if (*at == '\0')
			return 0;
	}
}

static int check_common(const struct runtime_config *config, struct error *err)
{
	if (!config->relay_enabled && !config->intake_enabled)
		return error_set(err, STATUS_INVALID,
				 "relay_enabled and intake_enabled are both "
				 "false; a worker needs one of them, or "
				 "is_active=false");
	if (config->retry_base_seconds > config->retry_max_seconds)
		return error_set(err, STATUS_INVALID,
				 "retry_base_seconds is %g; it must be at most "
				 "retry_max_seconds, which is %g",
				 config->retry_base_seconds,
				 config->retry_max_seconds);
	if ((config->tls_cert_file == NULL) != (config->tls_key_file == NULL))
		return error_set(err, STATUS_INVALID,
				 "tls_cert_file and tls_key_file must be set "
				 "both or neither");
	return check_hosts(config->host, err);
}

int config_finish(struct runtime_config *config, struct error *err)
{
	int status = check_common(config, err);

	if (status < 0)
		return status;
	return is_mqtt(config) ? finish_mqtt(config, err)
			       : finish_rabbitmq(config, err);
}
