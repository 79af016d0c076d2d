/* SPDX-License-Identifier: MIT */
/* From the first byte to the open channel, and who is turned away. */
#include "unit.h"

#include "amqp_peer.h"

static bool bytes_are(amqp_bytes_t bytes, const void *text, size_t size)
{
	return bytes.len == size && memcmp(bytes.bytes, text, size) == 0;
}

#define assert_bytes(bytes, literal) \
	assert_true(bytes_are((bytes), (literal), sizeof(literal) - 1))

static void the_login_is_plain_with_user_and_password(void **state)
{
	const amqp_connection_start_ok_t *start_ok;
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say_start(&peer, "AMQPLAIN PLAIN");
	peer_expect_nothing(&peer);
	start_ok = peer_hear_method(&peer, AMQP_CONNECTION_START_OK_METHOD);
	assert_bytes(start_ok->mechanism, "PLAIN");
	assert_bytes(start_ok->response, "\0guest\0secret");
	peer_hear_nothing(&peer);
	peer_end(&peer);
}

static const amqp_field_value_t *find(const amqp_table_t *table,
				      const char *key)
{
	for (int i = 0; i < table->num_entries; i++)
		if (bytes_are(table->entries[i].key, key, strlen(key)))
			return &table->entries[i].value;
	fail_msg("no %s", key);
	return NULL;
}

static void the_client_names_itself_and_what_it_can_do(void **state)
{
	static const char *const able[] = {
		"publisher_confirms",		"basic.nack",
		"consumer_cancel_notify",	"connection.blocked",
		"authentication_failure_close",
	};
	const amqp_connection_start_ok_t *start_ok;
	const amqp_table_t *capabilities;
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say_start(&peer, "PLAIN");
	peer_expect_nothing(&peer);
	start_ok = peer_hear_method(&peer, AMQP_CONNECTION_START_OK_METHOD);
	assert_bytes(find(&start_ok->client_properties, "connection_name")
			     ->value.bytes,
		     "test");
	capabilities = &find(&start_ok->client_properties, "capabilities")
				->value.table;
	for (size_t i = 0; i < sizeof(able) / sizeof(able[0]); i++)
		assert_true(find(capabilities, able[i])->value.boolean);
	peer_end(&peer);
}

static void without_a_user_the_certificate_is_the_login(void **state)
{
	struct connection_options options = peer_options;
	const amqp_connection_start_ok_t *start_ok;
	struct peer peer;

	(void)state;
	options.username = options.password = SPAN_NONE;
	peer_begin(&peer, &options);
	peer_say_start(&peer, "PLAIN EXTERNAL");
	peer_expect_nothing(&peer);
	start_ok = peer_hear_method(&peer, AMQP_CONNECTION_START_OK_METHOD);
	assert_bytes(start_ok->mechanism, "EXTERNAL");
	assert_int_equal(start_ok->response.len, 0);
	peer_end(&peer);
}

static void a_server_without_our_mechanism_gets_no_password(void **state)
{
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say_start(&peer, "PLAINER EXTERNAL");
	peer_expect_closed(&peer, STATUS_DENIED, "PLAINER EXTERNAL");
	peer_hear_nothing(&peer);
	peer_end(&peer);
}

static void a_handshake_may_come_byte_by_byte(void **state)
{
	amqp_connection_tune_t tune = {.frame_max = 8192, .heartbeat = 5};
	amqp_connection_open_ok_t open_ok = {0};
	amqp_channel_open_ok_t channel_ok = {0};
	struct buffer script;
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say_start(&peer, "PLAIN");
	peer_say(&peer, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	peer_say(&peer, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
	peer_say(&peer, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &channel_ok);
	script = peer.out;
	buffer_init(&peer.out);
	while (buffer_length(&script) > 1) {
		peer_say_bytes(&peer, buffer_span(&script).at, 1);
		buffer_consume(&script, 1);
		peer_expect_nothing(&peer);
	}
	peer_say_bytes(&peer, buffer_span(&script).at, 1);
	peer_expect(&peer, CONNECTION_OPENED);
	buffer_finish(&script);
	peer_end(&peer);
}

/* ---- tuning ---- */

static const amqp_connection_tune_ok_t *
tuned(struct peer *peer, uint32_t frame_max, uint16_t heartbeat)
{
	amqp_connection_tune_t tune = {
		.channel_max = 2047,
		.frame_max = frame_max,
		.heartbeat = heartbeat,
	};

	peer_begin(peer, &peer_options);
	peer_say_start(peer, "PLAIN");
	peer_expect_nothing(peer);
	peer_hear_method(peer, AMQP_CONNECTION_START_OK_METHOD);
	peer_say(peer, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	peer_expect_nothing(peer);
	return peer_hear_method(peer, AMQP_CONNECTION_TUNE_OK_METHOD);
}

static void the_smaller_of_both_offers_is_agreed_upon(void **state)
{
	static const struct {
		uint32_t frame_max;
		uint16_t heartbeat;
		uint32_t agreed_frame_max;
		uint16_t agreed_heartbeat;
	} offers[] = {
		{0, 0, 131072, 10},
		{UINT32_MAX, UINT16_MAX, 131072, 10},
		{131072, 60, 131072, 10},
		{4096, 3, 4096, 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		struct peer peer;
		const amqp_connection_tune_ok_t *ok =
			tuned(&peer, offers[i].frame_max, offers[i].heartbeat);

		assert_int_equal(ok->channel_max, 1);
		assert_int_equal(ok->frame_max, offers[i].agreed_frame_max);
		assert_int_equal(ok->heartbeat, offers[i].agreed_heartbeat);
		peer_end(&peer);
	}
}

static void frames_too_small_for_amqp_are_refused(void **state)
{
	amqp_connection_tune_t tune = {.frame_max = 4095};
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say_start(&peer, "PLAIN");
	peer_say(&peer, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "4095");
	peer_end(&peer);
}

/* ---- who is turned away ---- */

static void a_stranger_is_named(void **state)
{
	static const struct {
		const char *says;
		size_t size;
		const char *words;
	} strangers[] = {
		{"HTTP/1.1 400 Bad Request\r\n", 12, "HTTP"},
		{"AMQP\0\1\0\0", 8, "does not speak AMQP 0-9-1"},
		{"\x15\x03\x03\0\x02\x02\x46", 7, "TLS"},
		{"220 mail.example ESMTP", 22, "220 mail"},
		{"\0\0\0\0", 4, "\\x00"},
		{"AH", 2, NULL},
		{"HTTPS", 5, "HTTPS"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		struct peer peer;

		peer_begin(&peer, &peer_options);
		peer_say_bytes(&peer, strangers[i].says, strangers[i].size);
		if (strangers[i].words == NULL)
			peer_expect_nothing(&peer);
		else
			peer_expect_closed(&peer, STATUS_PROTOCOL,
					   strangers[i].words);
		peer_hear_nothing(&peer);
		peer_end(&peer);
	}
}

static void a_peer_that_hangs_up_before_the_greeting_is_doubted(void **state)
{
	const struct error gone = {STATUS_AWAY, "gone"};
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	connection_lost(peer.connection, &gone);
	peer_expect_closed(&peer, STATUS_AWAY, "is this RabbitMQ's AMQP port?");
	peer_end(&peer);
}

static void say_close(struct peer *peer, uint16_t code, const char *text)
{
	amqp_connection_close_t close = {
		.reply_code = code,
		.reply_text = amqp_cstring_bytes(text),
	};

	peer_say(peer, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
}

static void a_refused_password_is_told_with_its_user(void **state)
{
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say_start(&peer, "PLAIN");
	peer_expect_nothing(&peer);
	peer_hear_method(&peer, AMQP_CONNECTION_START_OK_METHOD);
	say_close(&peer, 403, "ACCESS_REFUSED - Login was refused");
	peer_expect_closed(&peer, STATUS_DENIED,
			   "user \"guest\" or the password is refused: "
			   "ACCESS_REFUSED");
	assert_null(strstr(peer.event.error.text, "secret"));
	peer_hear_method(&peer, AMQP_CONNECTION_CLOSE_OK_METHOD);
	peer_end(&peer);
}

static void a_missing_virtual_host_is_told_with_its_name(void **state)
{
	struct peer peer;

	(void)state;
	tuned(&peer, 0, 0);
	say_close(&peer, 530, "NOT_ALLOWED - vhost / not found");
	peer_expect_closed(&peer, STATUS_NOT_FOUND,
			   "there is no virtual host \"/\"");
	peer_end(&peer);
}

static void a_refused_virtual_host_is_told_with_its_name(void **state)
{
	struct peer peer;

	(void)state;
	tuned(&peer, 0, 0);
	say_close(&peer, 530, "NOT_ALLOWED - access to vhost '/' refused");
	peer_expect_closed(&peer, STATUS_DENIED,
			   "the virtual host \"/\" is refused");
	peer_end(&peer);
}

static void a_broker_may_block_before_the_channel_is_open(void **state)
{
	amqp_connection_tune_t tune = {0};
	amqp_connection_open_ok_t open_ok = {0};
	amqp_channel_open_ok_t channel_ok = {0};
	amqp_connection_blocked_t blocked = {
		.reason = amqp_cstring_bytes("low on disk")};
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say_start(&peer, "PLAIN");
	peer_say(&peer, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	peer_say(&peer, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
	peer_say(&peer, 0, AMQP_CONNECTION_BLOCKED_METHOD, &blocked);
	peer_expect(&peer, CONNECTION_BLOCKED);
	peer_say(&peer, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &channel_ok);
	peer_expect(&peer, CONNECTION_OPENED);
	peer_end(&peer);
}

static void methods_out_of_turn_end_the_handshake(void **state)
{
	amqp_connection_open_ok_t open_ok = {0};
	amqp_connection_secure_t secure = {0};
	struct peer peer;

	(void)state;
	peer_begin(&peer, &peer_options);
	peer_say(&peer, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "OPEN_OK");
	peer_end(&peer);

	peer_begin(&peer, &peer_options);
	peer_say_start(&peer, "PLAIN");
	peer_say(&peer, 0, AMQP_CONNECTION_SECURE_METHOD, &secure);
	peer_expect_closed(&peer, STATUS_DENIED, "password");
	peer_end(&peer);
}

/* Its server properties nest ten thousand tables deep. */
static void a_greeting_that_nests_without_end_is_read_all_the_same(void **state)
{
	enum { LEVELS = 10000, LEVEL = 7 };
	static const char tail[] = "\0\0\0\5PLAIN\0\0\0\5en_US";
	struct buffer payload = {0};
	char sizes[4];
	struct peer peer;
	size_t size = 0;

	(void)state;
	buffer_append(&payload, "\0\x0a\0\x0a\0\x09", 6);
	for (size_t left = LEVELS * LEVEL; left > 0; left -= LEVEL) {
		size = left;
		memcpy(sizes,
		       (char[4]){(char)(size >> 24), (char)(size >> 16),
				 (char)(size >> 8), (char)size},
		       4);
		buffer_append(&payload, sizes, 4);
		buffer_append(&payload, "\1aF", 3);
	}
	buffer_append(&payload, "\0\0\0\0", 4);
	buffer_append(&payload, tail, sizeof(tail) - 1);
	size = buffer_length(&payload);
	peer_begin(&peer, &peer_options);
	peer_say_bytes(&peer, "\1\0\0", 3);
	memcpy(sizes,
	       (char[4]){(char)(size >> 24), (char)(size >> 16),
			 (char)(size >> 8), (char)size},
	       4);
	peer_say_bytes(&peer, sizes, 4);
	peer_say_bytes(&peer, buffer_span(&payload).at, size);
	peer_say_bytes(&peer, "\xce", 1);
	peer_expect_nothing(&peer);
	peer_hear_method(&peer, AMQP_CONNECTION_START_OK_METHOD);
	peer_end(&peer);
	buffer_finish(&payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_login_is_plain_with_user_and_password),
		cmocka_unit_test(the_client_names_itself_and_what_it_can_do),
		cmocka_unit_test(without_a_user_the_certificate_is_the_login),
		cmocka_unit_test(
			a_server_without_our_mechanism_gets_no_password),
		cmocka_unit_test(a_handshake_may_come_byte_by_byte),
		cmocka_unit_test(the_smaller_of_both_offers_is_agreed_upon),
		cmocka_unit_test(frames_too_small_for_amqp_are_refused),
		cmocka_unit_test(a_stranger_is_named),
		cmocka_unit_test(
			a_peer_that_hangs_up_before_the_greeting_is_doubted),
		cmocka_unit_test(a_refused_password_is_told_with_its_user),
		cmocka_unit_test(a_missing_virtual_host_is_told_with_its_name),
		cmocka_unit_test(a_refused_virtual_host_is_told_with_its_name),
		cmocka_unit_test(a_broker_may_block_before_the_channel_is_open),
		cmocka_unit_test(methods_out_of_turn_end_the_handshake),
		cmocka_unit_test(
			a_greeting_that_nests_without_end_is_read_all_the_same),
	};

	return cmocka_run_group_tests_name("amqp handshake", tests, NULL, NULL);
}
