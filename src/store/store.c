/* SPDX-License-Identifier: MIT */
/* From a URL to the driver that serves it. */
#include "store/store.h"

#include "base/quote.h"

/* Every scheme and its driver; more than one name may lead to the same. */
static const struct {
	const char *scheme;
	const struct store_driver *driver;
} schemes[] = {
	{"sqlite", &store_sqlite},
	{"postgresql", &store_postgres},
	{"postgres", &store_postgres},
	{"memory", &store_memory},
};

int store_driver_find(const struct store_driver **out, const char *url,
		      struct error *err)
{
	size_t len = strcspn(url, ":");

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		if (url[len] == ':' &&
		    span_is((struct span){url, len}, schemes[i].scheme)) {
			*out = schemes[i].driver;
			return 0;
		}
	/* Only the scheme is shown: the rest may hold a password. */
	return error_set(err, STATUS_INVALID,
			 "no database URL begins with %s; the forms are "
			 "sqlite:///absolute/path.db, sqlite:relative.db, "
			 "postgresql://user@host/database",
			 quote((struct span){url, len}).text);
}

int store_open(struct store **out, const char *url, bool create,
	       struct error *err)
{
	const struct store_driver *driver;
	int status = store_driver_find(&driver, url, err);

	return status < 0 ? status : driver->open(out, url, create, err);
}

int store_check_schema(struct store *store, struct error *err)
{
	int have, want;
	int status = store->driver->schema(store, &have, &want, err);

	if (status < 0)
		return status;
	if (have < want)
		return error_set(err, STATUS_MISMATCH,
				 "the database is at version %d, this program "
				 "needs %d: run `postbus migrate`",
				 have, want);
	if (have > want)
		return error_set(err, STATUS_MISMATCH,
				 "the database is at version %d, this program "
				 "knows only %d: install the newer postbus",
				 have, want);
	return 0;
}
