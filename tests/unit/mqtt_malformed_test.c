/* SPDX-License-Identifier: MIT */
/* Packets that break the rules end the connection and nothing else. */
#include "unit.h"

#include "base/random.h"
#include "mqtt/wire.h"
#include "mqtt_peer.h"

struct fault {
	const char *packet;
	const char *words;
};

static void expect_faults(const struct session_options *options,
			  const char *connack, const struct fault *faults,
			  size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct peer peer;

		peer_open(&peer, options, connack);
		peer_say(&peer, faults[i].packet);
		peer_expect_closed(&peer, STATUS_PROTOCOL, faults[i].words);
		peer_end(&peer);
	}
}

#define EXPECT_FAULTS(options, connack, faults)       \
	expect_faults((options), (connack), (faults), \
		      sizeof(faults) / sizeof((faults)[0]))

static void malformed_packets_are_named(void **state)
{
	static const struct fault faults[] = {
		{"00 00", "0x00"},
		{"30 80808080 01", "remaining length"},
		{"30 8000", "remaining length"},
		{"36 07 0001 't' 0001 00 'a'", "flags of PUBLISH"},
		{"38 05 0001 't' 00 'a'", "flags of PUBLISH"},
		{"60 02 0001", "flags of PUBREL"},
		{"41 02 0001", "flags of PUBACK"},
		{"30 00", "PUBLISH"},
		{"30 02 0001", "PUBLISH"},
		{"30 03 0000 00", "topic"},
		{"30 05 0002 'a#' 00", "topic"},
		{"30 05 0002 'a' 00 00", "PUBLISH"},
		{"30 06 0003 eda080 00", "PUBLISH"},
		{"30 05 0002 c0af 00", "PUBLISH"},
		{"32 06 0001 't' 0000 00", "PUBLISH"},
		{"32 03 0001 't'", "PUBLISH"},
		{"30 03 0001 't'", "properties"},
		{"40 00", "PUBACK"},
		{"40 02 0000", "PUBACK"},
		{"40 05 0001 00 00 00", "PUBACK"},
		{"40 04 0001 00 05", "properties"},
		{"62 01 00", "PUBREL"},
		{"90 02 0001", "properties"},
		{"90 03 0001 00", "SUBACK"},
		{"b0 03 0001 00", "UNSUBACK"},
		{"e0 02 00 ff", "DISCONNECT"},
	};

	(void)state;
	EXPECT_FAULTS(&peer_options, WELCOME, faults);
}

static void malformed_properties_are_named(void **state)
{
	static const struct fault faults[] = {
		{"30 06 0001 't' 02 04 00", "property 4 is unknown"},
		{"30 07 0001 't' 03 ff01 00", "property 255 is unknown"},
		{"30 07 0001 't' 03 8100 00", "properties"},
		{"30 06 0001 't' 02 01 02", "payload format has an"},
		{"30 08 0001 't' 04 01 01 01 01", "payload format is there "
						  "twice"},
		{"30 07 0001 't' 03 21 0001", "receive maximum does not"},
		{"30 07 0001 't' 03 23 0001", "topic alias"},
		{"30 07 0001 't' 03 23 0000", "topic alias has an"},
		{"30 06 0001 't' 02 0b 00", "subscription identifier has an"},
		{"30 08 0001 't' 04 03 0005 'x'", "properties"},
		{"30 08 0001 't' 04 03 0001 00", "properties"},
		{"30 0b 0001 't' 07 26 0001 'a' 0002 'b'", "properties"},
		{"30 08 0001 't' 04 02 000000", "properties"},
		{"e0 04 00 02 13 00", "server keep alive does not"},
	};

	(void)state;
	EXPECT_FAULTS(&peer_options, WELCOME, faults);
}

static void malformed_packets_of_version_3_are_named(void **state)
{
	static const struct fault faults[] = {
		{"30 02 0001", "PUBLISH"},   {"32 05 0001 't' 0000", "PUBLISH"},
		{"40 03 0001 00", "PUBACK"}, {"62 01 00", "PUBREL"},
		{"90 02 0001", "SUBACK"},    {"b0 03 0001 00", "UNSUBACK"},
		{"e0 00", "DISCONNECT"},     {"f0 00", "AUTH"},
	};

	(void)state;
	EXPECT_FAULTS(&peer_options_3, WELCOME_3, faults);
}

static void expect_bad_connack(const struct session_options *options,
			       const char *connack)
{
	struct peer peer;

	peer_begin(&peer, options);
	peer_say(&peer, connack);
	peer_expect_closed(&peer, STATUS_PROTOCOL, "");
	peer_end(&peer);
}

static void malformed_connack_is_no_welcome(void **state)
{
	static const char *const connacks[] = {
		"20 00",
		"20 02 00 00",
		"20 03 02 00 00",
		"20 04 00 00 00 00",
		"20 06 00 00 03 21 0000",
		"20 08 00 00 05 27 00000000",
		"20 05 00 00 02 24 02",
		"20 09 00 00 06 21 0001 21 0001",
		"21 03 00 00 00",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(connacks) / sizeof(connacks[0]); i++)
		expect_bad_connack(&peer_kept, connacks[i]);
	expect_bad_connack(&peer_kept, "20 03 01 85 00");
	expect_bad_connack(&peer_kept_3, "20 03 00 00 00");
	expect_bad_connack(&peer_kept_3, "20 02 01 01");
}

static void remaining_length_takes_one_to_four_bytes(void **state)
{
	static const uint32_t values[] = {0,	 127,	  128,	   16383,
					  16384, 2097151, 2097152, 268435455};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct buffer out = {0};
		struct wire wire;

		wire_put_length(&out, values[i]);
		assert_int_equal(buffer_length(&out), i / 2 + 1);
		wire = wire_of(buffer_span(&out));
		assert_int_equal(wire_length(&wire), values[i]);
		assert_true(wire_done(&wire));
		buffer_finish(&out);
	}
}

static void text_is_utf_8_without_nul(void **state)
{
	(void)state;
	assert_true(wire_is_text(SPAN_LIT("")));
	assert_true(wire_is_text(SPAN_LIT("\xef\xbb\xbf"
					  "a \xf4\x8f\xbf\xbf")));
	assert_false(wire_is_text(SPAN_LIT("a\0")));
	assert_false(wire_is_text(SPAN_LIT("\xed\xa0\x80")));
	assert_false(wire_is_text(SPAN_LIT("\xc0\x80")));
	assert_false(wire_is_text(SPAN_LIT("\xe2\x82")));
}

static void random_bytes_never_hang_or_grow(void **state)
{
	struct random random = {42};

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct peer peer;
		char noise[256];
		bool more = true;

		peer_open(&peer, &peer_kept, WELCOME);
		peer_publish(&peer, 2, 1);
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (char)random_next(&random);
		noise[0] = (char)((2 + random_below(&random, 14)) << 4);
		noise[1] = (char)random_below(&random, 60);
		buffer_append(session_input(peer.session), noise,
			      sizeof(noise));
		for (unsigned i = 0; more; i++) {
			assert_true(i < sizeof(noise));
			more = session_next(peer.session, &peer.arena,
					    &peer.event);
		}
		peer_end(&peer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_packets_are_named),
		cmocka_unit_test(malformed_properties_are_named),
		cmocka_unit_test(malformed_packets_of_version_3_are_named),
		cmocka_unit_test(malformed_connack_is_no_welcome),
		cmocka_unit_test(remaining_length_takes_one_to_four_bytes),
		cmocka_unit_test(text_is_utf_8_without_nul),
		cmocka_unit_test(random_bytes_never_hang_or_grow),
	};

	return peer_run(tests, sizeof(tests) / sizeof(tests[0]));
}
