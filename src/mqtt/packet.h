/* SPDX-License-Identifier: MIT */
/*
 * MQTT's packets, both versions: what a server sends is read, what a client
 * sends is written.
 */
#ifndef MQTT_PACKET_H
#define MQTT_PACKET_H

#include "mqtt/session.h"

struct packet {
	enum packet_type type;
	uint8_t flags;	  /* the lower half of the first byte */
	struct span body; /* what follows the remaining length, or as much of
			   * it as is there */
	size_t size;	  /* of the whole packet */
	bool cut;	  /* the body is not all there */
};

/*
 * Looks at the packet that begins the bytes: 1 when it is complete, 0 when more
 * is needed; `size` is then 0, or known already. STATUS_PROTOCOL: these bytes
 * are no packet that a server sends.
 */
int packet_read(struct span bytes, struct packet *packet, struct error *err);

/* "CONNACK" */
const char *packet_name(enum packet_type type);

/* ---- from the server; spans point into the body ---- */

/* Properties are read if the version has them. Failures name the packet. */
struct packet_reader {
	uint8_t version;
	struct arena *arena;
};

struct connack {
	bool session_present;
	uint8_t reason; /* of version 5 */
	struct mqtt_properties properties;
};
int packet_read_connack(const struct packet_reader *reader,
			const struct packet *packet, struct connack *connack,
			struct error *err);

struct publish {
	uint16_t id; /* 0 with QoS 0 */
	struct mqtt_message message;
};
/* Of a packet that is cut, the topic must be there; properties that are not are
 * left out, with the payload. */
int packet_read_publish(const struct packet_reader *reader,
			const struct packet *packet, struct publish *publish,
			struct error *err);

/* PUBACK, PUBREC, PUBREL, PUBCOMP; DISCONNECT has no id. */
struct answer {
	uint16_t id;
	uint8_t reason;
	struct mqtt_properties properties;
};
int packet_read_answer(const struct packet_reader *reader,
		       const struct packet *packet, struct answer *answer,
		       struct error *err);

/* SUBACK, UNSUBACK. */
struct grant {
	uint16_t id;
	struct span codes;
	struct mqtt_properties properties;
};
int packet_read_grant(const struct packet_reader *reader,
		      const struct packet *packet, struct grant *grant,
		      struct error *err);

/* ---- to the server; on failure nothing is appended ---- */

int packet_write_connect(struct buffer *out,
			 const struct session_options *options, bool clean,
			 struct error *err);
int packet_write_publish(struct buffer *out, uint8_t version, uint16_t id,
			 const struct mqtt_message *message, struct error *err);
int packet_write_subscribe(struct buffer *out, uint8_t version, uint16_t id,
			   const struct mqtt_filter *filters, size_t count,
			   struct error *err);
int packet_write_unsubscribe(struct buffer *out, uint8_t version, uint16_t id,
			     const struct span *filters, size_t count,
			     struct error *err);
void packet_write_answer(struct buffer *out, uint8_t version,
			 enum packet_type type, uint16_t id, uint8_t reason);
void packet_write_ping(struct buffer *out);
void packet_write_disconnect(struct buffer *out, uint8_t version,
			     uint8_t reason);

/* The flag that says a PUBLISH was sent before, in a packet already written. */
void packet_mark_dup(char *first_byte);

#endif
