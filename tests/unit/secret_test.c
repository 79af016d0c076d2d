/* SPDX-License-Identifier: MIT */
/* Passwords by reference, and what their errors do not say. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/config.h"
#include "unit.h"

static struct arena arena;
static char directory[64];
static char path[128];

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/postbus-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/secret", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	rmdir(directory);
	unsetenv("CREDENTIALS_DIRECTORY");
	unsetenv("POSTBUS_TEST_SECRET");
	arena_finish(&arena);
	return 0;
}

static void write_secret(const char *text, size_t times)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	while (times-- > 0)
		fputs(text, file);
	fclose(file);
}

static struct span resolve(const char *reference)
{
	struct span secret = SPAN_NONE;
	struct error err = {.text = ""};

	if (secret_resolve(reference, &arena, &secret, &err) < 0)
		fail_msg("%s", err.text);
	return secret;
}

static void assert_unresolved(const char *reference, int status,
			      const char *words)
{
	struct span secret = SPAN_LIT("untouched");
	struct error err = {.text = ""};

	assert_int_equal(secret_resolve(reference, &arena, &secret, &err),
			 status);
	if (strstr(err.text, words) == NULL)
		fail_msg("%s", err.text);
	assert_null(strstr(err.text, "canary"));
	assert_span(secret, "untouched");
}

static void a_literal_is_itself(void **state)
{
	(void)state;
	assert_span(resolve("pass:word"), "pass:word");
	assert_false(secret_is_reference("pass:word"));
	assert_false(secret_is_reference("environment"));
}

static void a_variable_is_taken_from_the_environment(void **state)
{
	(void)state;
	setenv("POSTBUS_TEST_SECRET", "s3 cret\n", 1);
	assert_span(resolve("env:POSTBUS_TEST_SECRET"), "s3 cret");
	setenv("POSTBUS_TEST_SECRET", "", 1);
	assert_span(resolve("env:POSTBUS_TEST_SECRET"), "");
	unsetenv("POSTBUS_TEST_SECRET");
	assert_unresolved("env:POSTBUS_TEST_SECRET", STATUS_NOT_FOUND,
			  "env:POSTBUS_TEST_SECRET");
	assert_true(secret_is_reference("env:X"));
}

static void a_file_gives_its_text_without_the_last_newline(void **state)
{
	char reference[160];

	(void)state;
	snprintf(reference, sizeof(reference), "file:%s", path);
	assert_true(secret_is_reference(reference));
	assert_unresolved(reference, STATUS_NOT_FOUND, path);
	write_secret("line\n\n", 1);
	assert_span(resolve(reference), "line\n");
	write_secret("canary", 20000);
	assert_unresolved(reference, STATUS_FAILED, "over 65536 bytes");
}

static void a_directory_is_no_secret(void **state)
{
	char reference[160];

	(void)state;
	snprintf(reference, sizeof(reference), "file:%s", directory);
	assert_unresolved(reference, STATUS_FAILED, directory);
}

static void a_credential_lies_where_systemd_put_it(void **state)
{
	(void)state;
	assert_true(secret_is_reference("cred:secret"));
	assert_unresolved("cred:secret", STATUS_NOT_FOUND,
			  "LoadCredential=secret:PATH");
	setenv("CREDENTIALS_DIRECTORY", directory, 1);
	write_secret("s3cret\n", 1);
	assert_span(resolve("cred:secret"), "s3cret");
	assert_unresolved("cred:other", STATUS_NOT_FOUND, "cred:other");
}

static void a_credential_is_no_path(void **state)
{
	(void)state;
	setenv("CREDENTIALS_DIRECTORY", directory, 1);
	assert_unresolved("cred:../secret", STATUS_INVALID, "no credential");
	assert_unresolved("cred:a/b", STATUS_INVALID, "no credential");
	assert_unresolved("cred:", STATUS_INVALID, "no credential");
}

static void without_memory_there_is_no_secret(void **state)
{
	struct span secret;

	(void)state;
	memory_ends_at(1);
	assert_int_equal(secret_resolve("literal", &arena, &secret, NULL),
			 STATUS_NO_MEMORY);
	memory_ends_at(0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_literal_is_itself),
		TEST(a_variable_is_taken_from_the_environment),
		TEST(a_file_gives_its_text_without_the_last_newline),
		TEST(a_directory_is_no_secret),
		TEST(a_credential_lies_where_systemd_put_it),
		TEST(a_credential_is_no_path),
		TEST(without_memory_there_is_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
