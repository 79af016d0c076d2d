/* SPDX-License-Identifier: MIT */
/* Any bytes as a packet of either version; what can be read of a PUBLISH can be
 * written, and reads the same again. */
#include "fuzz.h"

#include "base/buffer.h"
#include "mqtt/packet.h"

/* What a client may not pass on is left out, or cannot be written. */
static void write_again(const struct packet_reader *reader,
			const struct publish *publish)
{
	struct buffer out = {0};
	struct packet packet;
	struct publish again;

	if (packet_write_publish(&out, reader->version, publish->id,
				 &publish->message, NULL) == 0) {
		MUST(packet_read(buffer_span(&out), &packet, NULL) == 1);
		MUST(packet.size == buffer_length(&out));
		MUST(packet_read_publish(reader, &packet, &again, NULL) == 0);
		MUST(again.id == publish->id);
		MUST(span_equal(again.message.topic, publish->message.topic));
		MUST(span_equal(again.message.payload,
				publish->message.payload));
		MUST(again.message.properties.user.count ==
		     publish->message.properties.user.count);
	}
	buffer_finish(&out);
}

static void read_body(const struct packet_reader *reader,
		      const struct packet *packet)
{
	struct publish publish;
	struct connack connack;
	struct answer answer;
	struct grant grant;

	switch (packet->type) {
	case PACKET_PUBLISH:
		if (packet_read_publish(reader, packet, &publish, NULL) == 0)
			write_again(reader, &publish);
		break;
	case PACKET_CONNACK:
		(void)packet_read_connack(reader, packet, &connack, NULL);
		break;
	case PACKET_SUBACK:
	case PACKET_UNSUBACK:
		(void)packet_read_grant(reader, packet, &grant, NULL);
		break;
	case PACKET_PINGRESP:
	case PACKET_AUTH:
		break;
	default:
		(void)packet_read_answer(reader, packet, &answer, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = {(const char *)data, size};
	struct arena arena = {0};
	struct packet packet;

	for (int version = MQTT_VERSION_3; version <= MQTT_VERSION_5;
	     version++) {
		const struct packet_reader reader = {(uint8_t)version, &arena};
		int status = packet_read(bytes, &packet, NULL);

		if (status > 0)
			MUST(packet.size <= size);
		if (status >= 0 && packet.size > 0)
			read_body(&reader, &packet);
		/* Properties of a few bytes do not grow to many. */
		MUST(arena.used <= 64 * size + 1024);
		arena_reset(&arena);
	}
	arena_finish(&arena);
	return 0;
}
