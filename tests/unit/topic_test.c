/* SPDX-License-Identifier: MIT */
/* Topics and the message types they stand for. */
#include "unit.h"

#include "message/topic.h"

static void the_three_types_have_their_names(void **state)
{
	static const char *const names[] = {"request", "response", "event"};
	enum message_type type;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_true(message_type_parse(span_of(names[i]), &type));
		assert_string_equal(message_type_name(type), names[i]);
	}
}

static void no_other_name_is_a_type(void **state)
{
	static const char *const names[] = {"",	    "Event",  "events",
					    "even", "event ", "reply"};
	enum message_type type = MESSAGE_RESPONSE;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_false(message_type_parse(span_of(names[i]), &type));
	assert_false(message_type_parse(SPAN_NONE, &type));
	assert_int_equal(type, MESSAGE_RESPONSE);
}

static bool fits(const char *topic, enum message_type type)
{
	struct span copy = exact_copy(span_of(topic));
	int rc = topic_check(copy, type, "topic", NULL);

	free((void *)copy.at);
	assert_true(rc == 0 || rc == STATUS_INVALID);
	return rc == 0;
}

static void a_topic_fits_the_type_its_form_tells(void **state)
{
	static const struct {
		const char *topic;
		bool request, response, event;
	} topics[] = {
		{"billing.request.invoice.create", true, false, false},
		{"billing.request.invoice.create.draft.x", true, false, false},
		{"shop.response.invoice.create", false, true, false},
		{"event.shop.order.created", false, false, true},
		{"event.shop.order.created.late", false, false, true},
		{"event.request.a.b", true, false, true},
		{"event.response.a.b", false, true, true},
		{"request.request.a.b", true, false, false},
		{"A-Z_0.request.9.-", true, false, false},
		{"billing.request.invoice", false, false, false},
		{"event.shop.order", false, false, false},
		{"billing.requests.invoice.create", false, false, false},
		{"a.b.request.c", false, false, false},
		{"events.a.b.c", false, false, false},
		{"EVENT.a.b.c", false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
		assert_int_equal(fits(topics[i].topic, MESSAGE_REQUEST),
				 topics[i].request);
		assert_int_equal(fits(topics[i].topic, MESSAGE_RESPONSE),
				 topics[i].response);
		assert_int_equal(fits(topics[i].topic, MESSAGE_EVENT),
				 topics[i].event);
	}
}

/* Of all bytes only these may stand in a segment, and a dot between two. */
static void segments_are_letters_digits_underscore_and_dash(void **state)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-.";
	char topic[] = "event.a.b.cXd";

	(void)state;
	for (int byte = 1; byte < 256; byte++) {
		topic[11] = (char)byte;
		assert_int_equal(fits(topic, MESSAGE_EVENT),
				 strchr(allowed, byte) != NULL);
	}
	assert_int_equal(topic_check(SPAN_LIT("event.a.b.c\0d"), MESSAGE_EVENT,
				     "topic", NULL),
			 STATUS_INVALID);
}

static void no_segment_is_empty(void **state)
{
	static const char *const topics[] = {"",
					     ".",
					     "...",
					     ".event.a.b.c",
					     "event.a.b.c.",
					     "event..a.b.c",
					     "event.a.b..c"};

	(void)state;
	for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++)
		assert_false(fits(topics[i], MESSAGE_EVENT));
}

static void the_sentence_names_field_found_and_form(void **state)
{
	struct error err;

	(void)state;
	topic_check(SPAN_LIT("a.b"), MESSAGE_RESPONSE, "reply_to", &err);
	assert_string_equal(err.text,
			    "reply_to: found \"a.b\", the form of a response "
			    "topic is <requesting_service>.response.<entity>."
			    "<action>[...]");
	topic_check(SPAN_NONE, MESSAGE_REQUEST, "topic", &err);
	assert_string_equal(err.text, "topic: absent, required is "
				      "<target_service>.request.<entity>."
				      "<action>[...]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_three_types_have_their_names),
		cmocka_unit_test(no_other_name_is_a_type),
		cmocka_unit_test(a_topic_fits_the_type_its_form_tells),
		cmocka_unit_test(
			segments_are_letters_digits_underscore_and_dash),
		cmocka_unit_test(no_segment_is_empty),
		cmocka_unit_test(the_sentence_names_field_found_and_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
