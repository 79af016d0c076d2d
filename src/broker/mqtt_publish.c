/* SPDX-License-Identifier: MIT */
/* An envelope as an MQTT message. */
#include <assert.h>

#include "broker/mqtt.h"

static void add(struct headers *headers, const char *name, struct span value)
{
	if (span_present(value))
		headers->at[headers->count++] =
			(struct header){span_of(name), value};
}

/* What version 5 says beside the payload: who, what, and the row's headers. */
static int make_user_properties(struct mqtt *mqtt,
				const struct publication *message,
				struct headers *user, struct error *err)
{
	const struct envelope *envelope = message->envelope;
	size_t room = message->headers.count + 3;

	user->count = 0;
	user->at = arena_alloc(&mqtt->scratch, room * sizeof(*user->at));
	if (user->at == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	add(user, "message_id", envelope->message_id);
	add(user, "type", span_of(message_type_name(message->type)));
	add(user, "source", envelope->source_service);
	for (size_t i = 0; i < message->headers.count; i++)
		user->at[user->count++] = message->headers.at[i];
	return 0;
}

static int make_topic(struct mqtt *mqtt, struct span *topic, struct span from,
		      struct error *err)
{
	*topic = mqtt_topic_of(&mqtt->topics, from, &mqtt->scratch);
	if (!span_present(*topic))
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	return 0;
}

/* What is longer than MQTT can say is as good as for ever. */
static uint32_t expiry_of(const struct publication *message)
{
	return message->expires_in <= UINT32_MAX ? (uint32_t)message->expires_in
						 : 0;
}

static int make_message(struct mqtt *mqtt, const struct publication *from,
			struct mqtt_message *message, struct error *err)
{
	const struct envelope *envelope = from->envelope;
	struct mqtt_properties *properties = &message->properties;
	bool bare = span_is(span_of(mqtt->config->mqtt.payload_format), "bare");
	int status;

	*message = (struct mqtt_message){
		.payload = bare ? envelope->payload : from->body,
		.qos = (uint8_t)mqtt->config->mqtt.qos,
		.retain = mqtt->config->mqtt.retain,
	};
	properties->payload_format = 1;
	properties->message_expiry = expiry_of(from);
	properties->content_type = SPAN_LIT("application/json");
	properties->correlation_data = envelope->request_id;
	status = make_topic(mqtt, &message->topic, envelope->topic, err);
	if (status == 0 && span_present(envelope->reply_to))
		status = make_topic(mqtt, &properties->response_topic,
				    envelope->reply_to, err);
	if (status == 0)
		status = make_user_properties(mqtt, from, &properties->user,
					      err);
	return status;
}

int mqtt_publish(struct broker *broker, const struct publication *message,
		 uint64_t *tag, struct error *err)
{
	struct mqtt *mqtt = mqtt_of(broker);
	struct mqtt_message made;
	int status;

	assert(mqtt->state == MQTT_UP);
	arena_reset(&mqtt->scratch);
	status = make_message(mqtt, message, &made, err);
	return status < 0 ? status
			  : session_publish(mqtt->session, &made, tag, err);
}
