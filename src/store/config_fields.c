/* SPDX-License-Identifier: MIT */
/* Every setting there is: the one place that knows them all. */
#include "store/config.h"

#define COMMON(type, name) \
#name, CONFIG_COMMON, type, offsetof(struct runtime_config, name)
#define RABBITMQ(type, name)          \
#name, CONFIG_RABBITMQ, type, \
		offsetof(struct runtime_config, rabbitmq.name)
#define MQTT(type, name) \
#name, CONFIG_MQTT, type, offsetof(struct runtime_config, mqtt.name)

/* clang-format off: one field reads as one entry of a glossary. */
const struct config_field config_fields[] = {
	{COMMON(CONFIG_BOOLEAN, is_active), .initial = "1",
	 .help = "whether a worker runs this config"},
	{COMMON(CONFIG_CHOICE, broker_type), .initial = "rabbitmq",
	 .choices = "rabbitmq|mqtt", .help = "the kind of broker"},
	{COMMON(CONFIG_STRING, host), .initial = "127.0.0.1",
	 .help = "the broker's host; several, as a:5672,b:5672, are tried in "
		 "turn"},
	{COMMON(CONFIG_INTEGER, port), .min = 1, .max = 65535,
	 .help = "the broker's port; by default 5672 or 1883, with tls 5671 or "
		 "8883"},
	{COMMON(CONFIG_STRING, username), .help = "the name to log in with"},
	{COMMON(CONFIG_SECRET, password),
	 .help = "env:NAME, file:PATH, cred:NAME, or the password itself"},
	{COMMON(CONFIG_SECONDS, connect_timeout), .initial = "10", .min = 0.1,
	 .max = 300, .help = "how long connecting may take"},
	{COMMON(CONFIG_SECONDS, retry_interval_seconds), .initial = "5",
	 .min = 0.01, .max = 3600,
	 .help = "the pause between tries to reach a broker or database that "
		 "is away"},
	{COMMON(CONFIG_INTEGER, max_retry_count), .initial = "10", .min = 0,
	 .max = 1000000,
	 .help = "attempts to publish a row before it ends as error"},
	{COMMON(CONFIG_SECONDS, retry_base_seconds), .initial = "1",
	 .min = 0.001, .max = 86400,
	 .help = "the pause after a row's first failed attempt; it doubles "
		 "with each"},
	{COMMON(CONFIG_SECONDS, retry_max_seconds), .initial = "300",
	 .min = 0.001, .max = 604800,
	 .help = "the longest pause between two attempts of a row"},
	{COMMON(CONFIG_STRING, source_service),
	 .help = "this service's name: source of what it sends, queue and "
		 "bindings by default"},
	{COMMON(CONFIG_BOOLEAN, relay_enabled), .initial = "1",
	 .help = "whether the outbox is sent"},
	{COMMON(CONFIG_BOOLEAN, intake_enabled), .initial = "1",
	 .help = "whether messages are received into the inbox"},
	{COMMON(CONFIG_BOOLEAN, tls), .initial = "0",
	 .help = "whether to encrypt the connection and verify the broker"},
	{COMMON(CONFIG_STRING, tls_ca_file),
	 .help = "the certificates to trust; by default the system's"},
	{COMMON(CONFIG_STRING, tls_cert_file),
	 .help = "the certificate to show to the broker"},
	{COMMON(CONFIG_STRING, tls_key_file),
	 .help = "the private key of that certificate"},
	/* At most what a database surely takes in the two seconds of a call;
	 * RabbitMQ 4 takes no more either. */
	{COMMON(CONFIG_INTEGER, max_message_bytes), .initial = "1048576",
	 .min = 256, .max = 16777216,
	 .help = "the largest message, either way"},
	{COMMON(CONFIG_INTEGER, max_chain_depth), .initial = "32", .min = 0,
	 .max = 1000000, .help = "how many requests may lead to one another"},
	{COMMON(CONFIG_INTEGER, window), .initial = "1024", .min = 1,
	 .max = 65535,
	 .help = "how many messages may await the broker's confirm"},
	{COMMON(CONFIG_SECONDS, heartbeat_interval_seconds), .min = 0.05,
	 .max = 3600,
	 .help = "how often the worker says that it lives; by default 1, on "
		 "SQLite 5"},

	{RABBITMQ(CONFIG_STRING, virtual_host), .initial = "/",
	 .help = "the virtual host"},
	{RABBITMQ(CONFIG_STRING, exchange), .initial = "interservice",
	 .help = "the exchange to publish to and to bind to"},
	{RABBITMQ(CONFIG_CHOICE, exchange_type), .initial = "topic",
	 .choices = "topic|direct|fanout|headers",
	 .help = "the exchange's type"},
	{RABBITMQ(CONFIG_STRING, queue),
	 .help = "the queue to consume; by default source_service"},
	{RABBITMQ(CONFIG_CHOICE, queue_type), .initial = "quorum",
	 .choices = "quorum|classic", .help = "the queue's type"},
	{RABBITMQ(CONFIG_LIST, binding_keys),
	 .help = "what the queue is bound to; by default the service's "
		 "requests and responses"},
	{RABBITMQ(CONFIG_INTEGER, prefetch_count), .initial = "1000", .min = 1,
	 .max = 65535, .help = "how many messages may be unacknowledged"},
	{RABBITMQ(CONFIG_SECONDS, heartbeat_seconds), .initial = "10", .min = 1,
	 .max = 3600,
	 .help = "the AMQP heartbeat; a silent broker is noticed within two"},
	{RABBITMQ(CONFIG_CHOICE, topology), .initial = "declare",
	 .choices = "declare|verify|none",
	 .help = "create exchange and queue, only check them, or leave them "
		 "alone"},
	{RABBITMQ(CONFIG_CHOICE, mandatory), .initial = "commands",
	 .choices = "commands|all|none",
	 .help = "what fails when it reaches no queue: requests and responses, "
		 "events too, nothing"},
	{RABBITMQ(CONFIG_STRING, dead_letter_exchange),
	 .help = "where RabbitMQ puts what it gives up; by default "
		 "<queue>.dlx"},
	{RABBITMQ(CONFIG_BOOLEAN, exchange_per_source), .initial = "0",
	 .help = "publish to <source_service>_exchange instead"},

	{MQTT(CONFIG_STRING, client_id),
	 .help = "the client id; by default postbus-<config_key>"},
	{MQTT(CONFIG_INTEGER, protocol_version), .initial = "5", .min = 4,
	 .max = 5, .help = "5, or 4 for MQTT 3.1.1"},
	{MQTT(CONFIG_INTEGER, keepalive_seconds), .initial = "30", .min = 1,
	 .max = 65535, .help = "the longest silence before a ping"},
	{MQTT(CONFIG_BOOLEAN, clean_start), .initial = "0",
	 .help = "whether the intake forgets its session when it connects"},
	{MQTT(CONFIG_INTEGER, session_expiry_seconds), .initial = "86400",
	 .min = 0, .max = 4294967295,
	 .help = "how long the broker keeps the session of an absent intake"},
	{MQTT(CONFIG_INTEGER, qos), .initial = "1", .min = 0, .max = 2,
	 .help = "the quality of service, both ways"},
	{MQTT(CONFIG_LIST, subscribe_topics),
	 .help = "the topic filters to receive"},
	{MQTT(CONFIG_LIST, former_topics),
	 .help = "filters taken out of subscribe_topics, which the intake "
		 "unsubscribes from; the database keeps this list itself"},
	{MQTT(CONFIG_STRING, share_group),
	 .help = "share the subscription with the intakes of this group"},
	{MQTT(CONFIG_STRING, topic_prefix),
	 .help = "what stands before every topic on the broker"},
	{MQTT(CONFIG_CHOICE, topic_style), .initial = "slashes",
	 .choices = "slashes|dots",
	 .help = "how a topic's segments are joined on the broker"},
	{MQTT(CONFIG_INTEGER, receive_maximum), .initial = "1000", .min = 1,
	 .max = 65535, .help = "how many messages may be unacknowledged"},
	{MQTT(CONFIG_BOOLEAN, retain), .initial = "0",
	 .help = "whether the broker keeps the last message of a topic"},
	{MQTT(CONFIG_CHOICE, payload_format), .initial = "envelope",
	 .choices = "envelope|bare",
	 .help = "publish the envelope, or only its payload"},
	{MQTT(CONFIG_STRING, will_topic),
	 .help = "where the broker says that the worker is gone"},
	{MQTT(CONFIG_STRING, will_payload), .help = "what it says there"},
};
/* clang-format on */

const size_t config_field_count =
	sizeof(config_fields) / sizeof(*config_fields);

static struct span without_section(struct span name, enum config_section *in,
				   bool *given)
{
	static const char *const sections[] = {"", "rabbitmq.", "mqtt."};

	for (size_t i = CONFIG_RABBITMQ; i <= CONFIG_MQTT; i++) {
		size_t len = strlen(sections[i]);

		if (name.len > len && memcmp(name.at, sections[i], len) == 0) {
			*in = (enum config_section)i;
			*given = true;
			return (struct span){name.at + len, name.len - len};
		}
	}
	return name;
}

const struct config_field *config_field_find(struct span name)
{
	enum config_section section = CONFIG_COMMON;
	bool given = false;

	name = without_section(name, &section, &given);
	for (size_t i = 0; i < config_field_count; i++)
		if (span_is(name, config_fields[i].name) &&
		    (!given || config_fields[i].section == section))
			return &config_fields[i];
	return NULL;
}
