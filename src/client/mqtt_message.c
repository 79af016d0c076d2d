/* SPDX-License-Identifier: MIT */
/* The public MQTT client's messages. */
#include <stdlib.h>

#include "client/mqtt_client.h"

/* ---- making ---- */

/* Empty is not absent: what is empty is still sent. */
static int copy(struct postbus_mqtt_message *message, struct span *to,
		const void *from, size_t size)
{
	struct span copied =
		arena_copy(&message->memory,
			   (struct span){from == NULL ? "" : from, size});

	if (!span_present(copied))
		return STATUS_NO_MEMORY;
	*to = copied;
	return 0;
}

struct postbus_mqtt_message *
postbus_mqtt_message_create(const char *topic, const void *payload, size_t size)
{
	struct postbus_mqtt_message *message = calloc(1, sizeof(*message));

	if (message == NULL)
		return NULL;
	if (copy(message, &message->content.topic, topic, strlen(topic)) < 0 ||
	    copy(message, &message->content.payload, payload, size) < 0) {
		postbus_mqtt_message_destroy(message);
		return NULL;
	}
	return message;
}

void postbus_mqtt_message_destroy(struct postbus_mqtt_message *message)
{
	if (message == NULL)
		return;
	arena_finish(&message->memory);
	free(message);
}

void postbus_mqtt_message_set_qos(struct postbus_mqtt_message *message,
				  unsigned qos)
{
	message->content.qos = (uint8_t)(qos < 2 ? qos : 2);
}

void postbus_mqtt_message_set_retain(struct postbus_mqtt_message *message,
				     bool retain)
{
	message->content.retain = retain;
}

void postbus_mqtt_message_set_expiry(struct postbus_mqtt_message *message,
				     uint32_t seconds)
{
	message->content.properties.message_expiry = seconds;
}

void postbus_mqtt_message_set_text(struct postbus_mqtt_message *message,
				   bool text)
{
	message->content.properties.payload_format = text;
}

/* NULL: there is no such property. */
static struct span *find(struct mqtt_properties *properties,
			 enum postbus_mqtt_property property)
{
	switch (property) {
	case POSTBUS_MQTT_CONTENT_TYPE:
		return &properties->content_type;
	case POSTBUS_MQTT_RESPONSE_TOPIC:
		return &properties->response_topic;
	case POSTBUS_MQTT_CORRELATION_DATA:
		return &properties->correlation_data;
	}
	return NULL;
}

int postbus_mqtt_message_set_property(struct postbus_mqtt_message *message,
				      enum postbus_mqtt_property property,
				      const void *value, size_t size)
{
	struct span *found = find(&message->content.properties, property);

	if (found == NULL)
		return STATUS_INVALID;
	return copy(message, found, value, size);
}

int postbus_mqtt_message_add_user(struct postbus_mqtt_message *message,
				  const char *name, const char *value)
{
	struct headers *user = &message->content.properties.user;
	struct header *bigger = arena_alloc(
		&message->memory, (user->count + 1) * sizeof(*bigger));
	struct header pair;

	if (bigger == NULL ||
	    copy(message, &pair.name, name, strlen(name)) < 0 ||
	    copy(message, &pair.value, value, strlen(value)) < 0)
		return STATUS_NO_MEMORY;
	if (user->count > 0)
		memcpy(bigger, user->at, user->count * sizeof(*bigger));
	bigger[user->count++] = pair;
	user->at = bigger;
	return 0;
}

/* ---- reading ---- */

const char *
postbus_mqtt_message_topic(const struct postbus_mqtt_message *message)
{
	return message->content.topic.at;
}

const void *
postbus_mqtt_message_payload(const struct postbus_mqtt_message *message,
			     size_t *size)
{
	*size = message->content.payload.len;
	return message->content.payload.at;
}

unsigned postbus_mqtt_message_qos(const struct postbus_mqtt_message *message)
{
	return message->content.qos;
}

bool postbus_mqtt_message_retain(const struct postbus_mqtt_message *message)
{
	return message->content.retain;
}

bool postbus_mqtt_message_dup(const struct postbus_mqtt_message *message)
{
	return message->content.dup;
}

uint32_t postbus_mqtt_message_expiry(const struct postbus_mqtt_message *message)
{
	return message->content.properties.message_expiry;
}

bool postbus_mqtt_message_text(const struct postbus_mqtt_message *message)
{
	return message->content.properties.payload_format == 1;
}

const void *
postbus_mqtt_message_property(const struct postbus_mqtt_message *message,
			      enum postbus_mqtt_property property, size_t *size)
{
	struct mqtt_properties properties = message->content.properties;
	const struct span *found = find(&properties, property);

	*size = found == NULL ? 0 : found->len;
	return found == NULL ? NULL : found->at;
}

bool postbus_mqtt_message_user(const struct postbus_mqtt_message *message,
			       size_t index, const char **name,
			       const char **value)
{
	const struct headers *user = &message->content.properties.user;

	if (index >= user->count)
		return false;
	*name = user->at[index].name.at;
	*value = user->at[index].value.at;
	return true;
}

uint64_t
postbus_mqtt_message_delivery(const struct postbus_mqtt_message *message)
{
	return message->delivery;
}
