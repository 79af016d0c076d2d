/* SPDX-License-Identifier: MIT */
/* Basic properties in and out. */
#include "amqp/properties.h"

#include "amqp/fields.h"
#include "amqp/frame.h"
#include "amqp/reader.h"
#include "base/quote.h"

enum { PERSISTENT = 2, SHORT_STRING_MAX = 255 };

/* Bytes that the fixed properties take at most: short strings, flags, time. */
enum { FIXED_ROOM = 8 * (1 + SHORT_STRING_MAX) };
/* Around a header's name and value. */
enum { ENTRY_OVERHEAD = 1 + 1 + 4 };

int properties_read(struct properties *properties, struct span encoded,
		    struct arena *arena, struct error *err)
{
	struct reader reader = {.left = encoded};
	uint64_t flags = read_uint(&reader, 2);
	struct properties found = {0};
	struct span table = SPAN_NONE;

	if (flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
		found.content_type = read_short_string(&reader);
	if (flags & AMQP_BASIC_CONTENT_ENCODING_FLAG)
		read_short_string(&reader);
	if (flags & AMQP_BASIC_HEADERS_FLAG)
		table = read_long_string(&reader);
	if (flags & AMQP_BASIC_DELIVERY_MODE_FLAG)
		read_uint(&reader, 1);
	if (flags & AMQP_BASIC_PRIORITY_FLAG)
		read_uint(&reader, 1);
	if (flags & AMQP_BASIC_CORRELATION_ID_FLAG)
		found.correlation_id = read_short_string(&reader);
	if (flags & AMQP_BASIC_REPLY_TO_FLAG)
		found.reply_to = read_short_string(&reader);
	if (flags & AMQP_BASIC_EXPIRATION_FLAG)
		read_short_string(&reader);
	if (flags & AMQP_BASIC_MESSAGE_ID_FLAG)
		found.message_id = read_short_string(&reader);
	if (flags & AMQP_BASIC_TIMESTAMP_FLAG)
		found.timestamp = read_uint(&reader, 8);
	if (flags & AMQP_BASIC_TYPE_FLAG)
		found.type = read_short_string(&reader);
	if (flags & AMQP_BASIC_USER_ID_FLAG)
		read_short_string(&reader);
	if (flags & AMQP_BASIC_APP_ID_FLAG)
		found.app_id = read_short_string(&reader);
	if (reader.failed)
		return error_set(err, STATUS_PROTOCOL,
				 "a message's properties are malformed");
	*properties = found;
	return span_present(table)
		       ? fields_read(&properties->headers, table, arena, err)
		       : 0;
}

static int check_short(const char *name, struct span value, struct error *err)
{
	if (value.len <= SHORT_STRING_MAX)
		return 0;
	return error_set(err, STATUS_INVALID,
			 "%s has %zu bytes, AMQP carries %d at most", name,
			 value.len, SHORT_STRING_MAX);
}

static int check_strings(const struct properties *from, struct error *err)
{
	const struct {
		const char *name;
		struct span value;
	} strings[] = {
		{"content_type", from->content_type},
		{"correlation_id", from->correlation_id},
		{"reply_to", from->reply_to},
		{"message_id", from->message_id},
		{"type", from->type},
		{"app_id", from->app_id},
	};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (check_short(strings[i].name, strings[i].value, err) < 0)
			return STATUS_INVALID;
	return 0;
}

/* Bytes the header table takes, or STATUS_INVALID when it fits no frame. */
static int measure_headers(const struct headers *headers, size_t frame_max,
			   size_t *size, struct error *err)
{
	size_t total = 4;

	for (size_t i = 0; i < headers->count; i++) {
		const struct header *header = &headers->at[i];

		if (header->name.len > SHORT_STRING_MAX)
			return error_set(err, STATUS_INVALID,
					 "the name of header %s is too long: "
					 "AMQP carries %d bytes at most",
					 quote(header->name).text,
					 SHORT_STRING_MAX);
		total += ENTRY_OVERHEAD + header->name.len + header->value.len;
		if (total > frame_max - FIXED_ROOM - 2 * FRAME_OVERHEAD)
			return error_set(err, STATUS_INVALID,
					 "the headers take more than the %zu "
					 "bytes of a frame",
					 frame_max);
	}
	*size = total;
	return 0;
}

static int fill_table(amqp_table_t *table, const struct headers *headers,
		      struct arena *scratch, struct error *err)
{
	table->num_entries = (int)headers->count;
	table->entries =
		arena_alloc(scratch, headers->count * sizeof(*table->entries));
	if (table->entries == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < headers->count; i++)
		table->entries[i] = (amqp_table_entry_t){
			.key = bytes_of(headers->at[i].name),
			.value.kind = AMQP_FIELD_KIND_UTF8,
			.value.value.bytes = bytes_of(headers->at[i].value),
		};
	return 0;
}

static void set(amqp_basic_properties_t *to, amqp_bytes_t *field,
		amqp_flags_t flag, struct span value)
{
	if (!span_present(value))
		return;
	*field = bytes_of(value);
	to->_flags |= flag;
}

static void fill_fixed(amqp_basic_properties_t *to,
		       const struct properties *from)
{
	to->_flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
	to->delivery_mode = PERSISTENT;
	set(to, &to->content_type, AMQP_BASIC_CONTENT_TYPE_FLAG,
	    from->content_type);
	set(to, &to->correlation_id, AMQP_BASIC_CORRELATION_ID_FLAG,
	    from->correlation_id);
	set(to, &to->reply_to, AMQP_BASIC_REPLY_TO_FLAG, from->reply_to);
	set(to, &to->message_id, AMQP_BASIC_MESSAGE_ID_FLAG, from->message_id);
	set(to, &to->type, AMQP_BASIC_TYPE_FLAG, from->type);
	set(to, &to->app_id, AMQP_BASIC_APP_ID_FLAG, from->app_id);
	if (from->timestamp != 0) {
		to->timestamp = from->timestamp;
		to->_flags |= AMQP_BASIC_TIMESTAMP_FLAG;
	}
}

int properties_write(const struct properties *properties, struct buffer *out,
		     uint16_t channel, uint64_t body_size, size_t frame_max,
		     struct arena *scratch, struct error *err)
{
	const struct headers *headers = &properties->headers;
	amqp_basic_properties_t encoded = {0};
	size_t room = 0;
	int status = check_strings(properties, err);

	if (status < 0)
		return status;
	fill_fixed(&encoded, properties);
	if (headers->count > 0) {
		status = measure_headers(headers, frame_max, &room, err);
		if (status == 0)
			status = fill_table(&encoded.headers, headers, scratch,
					    err);
		encoded._flags |= AMQP_BASIC_HEADERS_FLAG;
	}
	if (status < 0)
		return status;
	return frame_write_header(out, channel, &encoded, body_size,
				  FIXED_ROOM + room, err);
}
