/* SPDX-License-Identifier: MIT */
/* Log lines as they reach stderr. */
#include "unit.h"

#include <regex.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

static FILE *captured;
static int real_stderr;
static char text[4096];

static int capture(void **state)
{
	(void)state;
	captured = tmpfile();
	real_stderr = dup(STDERR_FILENO);
	if (captured == NULL || real_stderr < 0)
		return -1;
	log_set_level(LOG_LEVEL_INFO);
	return dup2(fileno(captured), STDERR_FILENO) < 0 ? -1 : 0;
}

static int release(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	return fclose(captured);
}

/* What was logged so far. */
static const char *logged(void)
{
	ssize_t len = pread(fileno(captured), text, sizeof(text) - 1, 0);

	assert_true(len >= 0);
	text[len] = '\0';
	return text;
}

static void a_line_is_time_level_event_and_pairs(void **state)
{
	regex_t line;

	(void)state;
	log_event(LOG_LEVEL_INFO, "lane", "name", "relay", "state", "running",
		  NULL);
	assert_int_equal(
		regcomp(&line,
			"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]"
			"{2}\\.[0-9]{3}Z info lane name=relay state=running\n$",
			REG_EXTENDED | REG_NOSUB),
		0);
	assert_int_equal(regexec(&line, logged(), 0, NULL, 0), 0);
	regfree(&line);
}

static void assert_logs_value(const char *value, const char *expected)
{
	log_event(LOG_LEVEL_ERROR, "e", "key", value, NULL);
	assert_string_equal(strstr(logged(), " error e"), expected);
}

static void a_plain_value_stands_bare(void **state)
{
	(void)state;
	assert_logs_value("caf\xc3\xa9/1.5", " error e key=caf\xc3\xa9/1.5\n");
}

static void a_value_cannot_forge_another_line_or_pair(void **state)
{
	(void)state;
	assert_logs_value("x\n\x1b[2J\x7f user=\"root\"\\",
			  " error e key=\"x\\x0a\\x1b[2J\\x7f "
			  "user=\\\"root\\\"\\\\\"\n");
}

static void an_empty_value_is_seen(void **state)
{
	(void)state;
	assert_logs_value("", " error e key=\"\"\n");
}

static void an_absent_value_is_left_out(void **state)
{
	(void)state;
	assert_logs_value(NULL, " error e\n");
}

static void lines_above_the_level_are_dropped(void **state)
{
	(void)state;
	log_event(LOG_LEVEL_DEBUG, "dropped", NULL);
	log_set_level(LOG_LEVEL_ERROR);
	log_event(LOG_LEVEL_WARNING, "dropped", NULL);
	assert_string_equal(logged(), "");
	log_set_level(LOG_LEVEL_DEBUG);
	log_event(LOG_LEVEL_DEBUG, "kept", NULL);
	assert_non_null(strstr(logged(), " debug kept\n"));
}

static void a_line_without_memory_is_dropped_whole(void **state)
{
	static char value[2000];

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	for (unsigned nth = 1; nth <= 2; nth++) {
		memory_ends_at(nth);
		log_event(LOG_LEVEL_ERROR, "e", "key", value, NULL);
		assert_true(memory_ended());
		memory_ends_at(0);
	}
	assert_string_equal(logged(), "");
}

static void a_reader_that_has_stopped_holds_up_nobody(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	for (int i = 0; i < 4096; i++)
		log_event(LOG_LEVEL_INFO, "more than a pipe of 64 KiB holds",
			  NULL);
	close(ends[0]);
	close(ends[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, capture, release)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_is_time_level_event_and_pairs),
		TEST(a_plain_value_stands_bare),
		TEST(a_value_cannot_forge_another_line_or_pair),
		TEST(an_empty_value_is_seen),
		TEST(an_absent_value_is_left_out),
		TEST(lines_above_the_level_are_dropped),
		TEST(a_line_without_memory_is_dropped_whole),
		TEST(a_reader_that_has_stopped_holds_up_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
