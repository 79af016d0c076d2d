/* SPDX-License-Identifier: MIT */
/* Passwords by reference: environment, file, systemd credential. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/config.h"

enum { SECRET_MAX = 64 * 1024 };

static int keep(struct span value, struct arena *arena, struct span *secret,
		struct error *err)
{
	if (value.len > 0 && value.at[value.len - 1] == '\n')
		value.len--;
	value = arena_copy(arena, value);
	if (!span_present(value))
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a password");
	*secret = value;
	return 0;
}

static int from_environment(const char *name, struct arena *arena,
			    struct span *secret, struct error *err)
{
	const char *value = getenv(name);

	if (value == NULL)
		return error_set(err, STATUS_NOT_FOUND,
				 "the password is env:%s, but the environment "
				 "has no such variable",
				 name);
	return keep(span_of(value), arena, secret, err);
}

static int from_file(const char *reference, const char *path,
		     struct arena *arena, struct span *secret,
		     struct error *err)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t len;
	int status;

	if (file == NULL)
		return error_set(
			err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_DENIED,
			"the password is %s, but the file cannot be "
			"read: %s",
			reference, strerror(errno));
	text = arena_alloc(arena, SECRET_MAX + 1);
	if (text == NULL) {
		status = error_set(err, STATUS_NO_MEMORY,
				   "no memory for a password");
		goto out;
	}
	len = fread(text, 1, SECRET_MAX + 1, file);
	if (ferror(file) || len > SECRET_MAX)
		status = error_set(err, STATUS_FAILED,
				   "the password is %s, but the file cannot be "
				   "read or is over %d bytes",
				   reference, SECRET_MAX);
	else
		status = keep((struct span){text, len}, arena, secret, err);
out:
	fclose(file);
	return status;
}

static int from_credential(const char *reference, const char *name,
			   struct arena *arena, struct span *secret,
			   struct error *err)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	char path[4096];
	int len;

	if (directory == NULL)
		return error_set(err, STATUS_NOT_FOUND,
				 "the password is %s, but systemd gave no "
				 "credentials; add LoadCredential=%s:PATH to "
				 "the unit",
				 reference, name);
	if (*name == '\0' || *name == '.' || strchr(name, '/') != NULL)
		return error_set(
			err, STATUS_INVALID,
			"the password is %s, which names no credential",
			reference);
	len = snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (len < 0 || (size_t)len >= sizeof(path))
		return error_set(err, STATUS_INVALID,
				 "the password is %s, which is too long",
				 reference);
	return from_file(reference, path, arena, secret, err);
}

int secret_resolve(const char *reference, struct arena *arena,
		   struct span *secret, struct error *err)
{
	if (strncmp(reference, "env:", 4) == 0)
		return from_environment(reference + 4, arena, secret, err);
	if (strncmp(reference, "file:", 5) == 0)
		return from_file(reference, reference + 5, arena, secret, err);
	if (strncmp(reference, "cred:", 5) == 0)
		return from_credential(reference, reference + 5, arena, secret,
				       err);
	return keep(span_of(reference), arena, secret, err);
}

bool secret_is_reference(const char *password)
{
	return strncmp(password, "env:", 4) == 0 ||
	       strncmp(password, "file:", 5) == 0 ||
	       strncmp(password, "cred:", 5) == 0;
}
