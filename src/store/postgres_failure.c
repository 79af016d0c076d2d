/* SPDX-License-Identifier: MIT */
/* What PostgreSQL says, as a status and a sentence. */
#include <ctype.h>

#include "store/postgres.h"

#define MIGRATE                                                         \
	"the tables are missing or from another version; run `postbus " \
	"migrate`"

/* The first entry whose code begins an SQLSTATE is what that means. */
static const struct failure {
	const char *code;
	enum status status;
	bool lost;  /* the connection is of no more use */
	bool again; /* the same transaction may pass at once */
	bool row;   /* it may lie in one row that cannot be read */
	const char *text;
} failures[] = {
	{"08", STATUS_AWAY, true, false, false, "the connection broke"},
	{"0A000", STATUS_AWAY, true, false, false,
	 "a table was changed meanwhile"},
	{"22", STATUS_INVALID, false, false, false, "the data was refused"},
	{"23", STATUS_INVALID, false, false, false, "the data was refused"},
	{"25006", STATUS_AWAY, true, false, false,
	 "it may only be read; is it a standby?"},
	{"25P03", STATUS_AWAY, true, false, false, "the connection was cut"},
	{"26", STATUS_AWAY, true, false, false,
	 "a prepared statement is gone; is this a pooler that shares "
	 "sessions?"},
	{"28", STATUS_DENIED, true, false, false, "the login was refused"},
	{"3D", STATUS_NOT_FOUND, true, false, false,
	 "there is no such database"},
	{"3F", STATUS_MISMATCH, false, false, false, MIGRATE},
	{"40", STATUS_AWAY, false, true, false,
	 "another transaction was in the way"},
	{"42501", STATUS_DENIED, false, false, false,
	 "the role may not do this"},
	{"42P01", STATUS_MISMATCH, false, false, false, MIGRATE},
	{"42703", STATUS_MISMATCH, false, false, false, MIGRATE},
	{"42883", STATUS_MISMATCH, false, false, false, MIGRATE},
	{"42P10", STATUS_MISMATCH, false, false, false, MIGRATE},
	{"53100", STATUS_FAILED, false, false, false,
	 "the server's disk is full"},
	{"53200", STATUS_FAILED, false, false, true,
	 "the server is out of memory"},
	{"53300", STATUS_AWAY, true, false, false, "too many connections"},
	{"54", STATUS_INVALID, false, false, false, "the data was refused"},
	{"55P03", STATUS_AWAY, false, false, false,
	 "another session has kept a table or row locked"},
	{"57014", STATUS_AWAY, false, false, true, "no answer in time"},
	{"57", STATUS_AWAY, true, false, false, "the server is not available"},
	{"58", STATUS_FAILED, false, false, true, "the server's disk failed"},
	{"", STATUS_FAILED, false, false, true, "PostgreSQL refused"},
};

static const struct failure *failure_find(struct span code)
{
	const struct failure *failure = failures;

	while (code.len < strlen(failure->code) ||
	       memcmp(code.at, failure->code, strlen(failure->code)) != 0)
		failure++;
	return failure;
}

/* One line without the blanks at its ends. */
static struct span line_of(const char *text)
{
	struct span line = {text, strcspn(text, "\n")};

	while (line.len > 0 && isspace((unsigned char)line.at[line.len - 1]))
		line.len--;
	while (line.len > 0 && isspace((unsigned char)*line.at))
		line = (struct span){line.at + 1, line.len - 1};
	return line;
}

static int fail(struct postgres_store *store, struct span code,
		struct span detail, struct error *err)
{
	const struct failure *failure = failure_find(code);

	store->lost = store->lost || failure->lost;
	store->again = failure->again;
	store->row_fault = failure->row;
	return error_set(err, failure->status, "database %s: %s%s%.*s",
			 store->name, failure->text, detail.len > 0 ? ": " : "",
			 SPAN_ARG(detail));
}

int postgres_failure(struct postgres_store *store, const PGresult *result,
		     struct error *err)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (code == NULL)
		return postgres_broken(store, err);
	return fail(store, span_of(code), line_of(text == NULL ? "" : text),
		    err);
}

int postgres_broken(struct postgres_store *store, struct error *err)
{
	return fail(store, SPAN_LIT("08"), line_of(PQerrorMessage(store->conn)),
		    err);
}

int postgres_late(struct postgres_store *store, struct error *err)
{
	store->lost = true;
	return fail(store, SPAN_LIT("57014"), SPAN_NONE, err);
}

/* Takes "SEVERITY:  CODE: " off a line; absent if it does not begin so. */
static struct span take_code(struct span *line)
{
	enum { CODE = 5 };
	const char *colon = memchr(line->at, ':', line->len);
	size_t rest =
		colon == NULL ? 0 : line->len - (size_t)(colon - line->at);
	struct span code;

	if (rest < CODE + 5 || memcmp(colon, ":  ", 3) != 0 ||
	    memcmp(colon + 3 + CODE, ": ", 2) != 0)
		return SPAN_NONE;
	code = (struct span){colon + 3, CODE};
	*line = (struct span){code.at + CODE + 2, rest - CODE - 5};
	return code;
}

/*
 * libpq keeps the SQLSTATE of a refused login to itself, but shows it in a
 * verbose message, which ends in what the last host tried had to say:
 *	connection to server at "h" (::1), port 1 failed: FATAL:  28P01: ...
 */
int postgres_refused(struct postgres_store *store, struct error *err)
{
	static const char mark[] = " failed: ";
	const char *text = PQerrorMessage(store->conn);
	const char *next;
	struct span line, code;

	while ((next = strstr(text, mark)) != NULL)
		text = next + strlen(mark);
	line = line_of(text);
	code = take_code(&line);
	store->lost = true;
	if (span_present(code))
		return fail(store, code, line, err);
	return error_set(err, STATUS_AWAY,
			 "database %s cannot be reached: %.*s", store->name,
			 SPAN_ARG(line));
}
