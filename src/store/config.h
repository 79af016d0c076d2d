/* SPDX-License-Identifier: MIT */
/*
 * The runtime config: what one config key says about its worker.
 *
 * One table describes every setting: name, type, default, bounds. Stores
 * generate their SQL from it, the command line its parsing and its help.
 */
#ifndef STORE_CONFIG_H
#define STORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

/* The columns of event_bus_runtime_config and its two settings tables, in
 * types that C likes. Strings are NULL where the column is null and has no
 * default; lists are JSON arrays of strings, as text. Times are in seconds. */
struct runtime_config {
	/* event_bus_runtime_config */
	const char *config_key;
	bool is_active;
	const char *broker_type; /* "rabbitmq", "mqtt"; tests: "memory" */
	const char *host;	 /* "a", "a:5672", or several, by commas */
	int64_t port;		 /* 0: the broker's default */
	const char *username;
	const char *password; /* literal or env:, file:, cred: reference */
	double connect_timeout;
	double retry_interval_seconds;
	int64_t max_retry_count;
	double retry_base_seconds;
	double retry_max_seconds;
	const char *source_service;
	bool relay_enabled;
	bool intake_enabled;
	bool tls;
	const char *tls_ca_file;
	const char *tls_cert_file;
	const char *tls_key_file;
	int64_t max_message_bytes;
	int64_t max_chain_depth;
	int64_t window;
	double heartbeat_interval_seconds; /* 0: the store's default */
	int64_t version;

	struct {
		const char *virtual_host;
		const char *exchange;
		const char *exchange_type;
		const char
			*queue; /* resolved: never NULL after config_finish */
		const char *queue_type;
		const char *binding_keys; /* resolved likewise */
		int64_t prefetch_count;
		double heartbeat_seconds;
		const char *topology;
		const char *mandatory;
		const char *dead_letter_exchange; /* resolved likewise */
		bool exchange_per_source;
	} rabbitmq;

	struct {
		const char *client_id; /* resolved likewise */
		int64_t protocol_version;
		int64_t keepalive_seconds;
		bool clean_start;
		int64_t session_expiry_seconds;
		int64_t qos;
		const char *subscribe_topics;
		const char *former_topics;
		const char *share_group;
		const char *topic_prefix;
		const char *topic_style;
		int64_t receive_maximum;
		bool retain;
		const char *payload_format;
		const char *will_topic;
		const char *will_payload;
	} mqtt;

	struct arena memory; /* owns every string */
};

enum config_section { CONFIG_COMMON, CONFIG_RABBITMQ, CONFIG_MQTT };
enum config_type {
	CONFIG_STRING,
	CONFIG_CHOICE,
	CONFIG_LIST,
	CONFIG_INTEGER,
	CONFIG_SECONDS,
	CONFIG_BOOLEAN,
	CONFIG_SECRET,
};

struct config_field {
	const char *name; /* the column's */
	enum config_section section;
	enum config_type type;
	size_t offset;	     /* in struct runtime_config */
	const char *initial; /* default as text, NULL: null */
	const char *choices; /* CONFIG_CHOICE: "a|b|c" */
	double min, max;     /* CONFIG_INTEGER and CONFIG_SECONDS */
	const char *help;    /* one line */
};

/* All settings that people set, CONFIG_COMMON first; is_active is one,
 * config_key and version are not. */
extern const struct config_field config_fields[];
extern const size_t config_field_count;

/* By column name, or "section.name"; NULL when there is none. Names are
 * unique across the sections. */
const struct config_field *config_field_find(struct span name);

/*
 * Checks a value as typed by a person and gives its canonical column text in
 * the arena: booleans "0" or "1", lists as a JSON array (also from "a,b"),
 * numbers in range. An absent or empty value means null (back to the default).
 * STATUS_INVALID names the field, what was found and what is allowed.
 */
int config_field_canonical(const struct config_field *field, struct span value,
			   struct arena *arena, struct span *canonical,
			   struct error *err);

/* Every default in place; strings in config->memory. */
int config_init(struct runtime_config *config, const char *config_key,
		struct error *err);
void config_destroy(struct runtime_config *config);

/* Puts one column's canonical text into its member; absent: the default. */
int config_put(struct runtime_config *config, const struct config_field *field,
	       struct span canonical, struct error *err);

/* A field's current value as canonical text, absent for null. The password
 * is given as it is: hiding it is for who shows it. */
struct span config_get(const struct runtime_config *config,
		       const struct config_field *field, struct arena *arena);

/*
 * Fills what depends on other fields (queue, binding_keys,
 * dead_letter_exchange, client_id, port) and checks that the whole makes sense
 * for a worker: an active broker's required fields are there and agree.
 */
int config_finish(struct runtime_config *config, struct error *err);

/* One setting to be changed. value absent: back to null. */
struct config_change {
	const struct config_field *field;
	struct span value; /* canonical */
};

/*
 * What a reference means: the literal itself, or for env:NAME, file:PATH,
 * cred:NAME ($CREDENTIALS_DIRECTORY/NAME) the secret, one trailing newline
 * dropped, in the arena. Errors name the reference, never the secret.
 */
int secret_resolve(const char *reference, struct arena *arena,
		   struct span *secret, struct error *err);

/* True for env:NAME, file:PATH and cred:NAME: what may be shown. */
bool secret_is_reference(const char *password);

#endif
