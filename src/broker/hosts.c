/* SPDX-License-Identifier: MIT */
/* Reads a comma-separated list of hosts. */
#include "broker/hosts.h"

#include "base/quote.h"
#include "base/span.h"

enum { PORT_MAX = 65535 };

static struct span trim(struct span text)
{
	while (text.len > 0 && *text.at == ' ') {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && text.at[text.len - 1] == ' ')
		text.len--;
	return text;
}

/* Takes the first entry, blanks around it dropped, off the list. */
static struct span take_entry(struct span *list)
{
	const char *comma = memchr(list->at, ',', list->len);
	size_t len = comma == NULL ? list->len : (size_t)(comma - list->at);
	struct span entry = {list->at, len};

	list->at += len + (comma != NULL);
	list->len -= len + (comma != NULL);
	return trim(entry);
}

/* Splits "name", "name:port", "address", "[address]", "[address]:port": the
 * port stays absent where there is none. */
static void split(struct span entry, struct span *name, struct span *port)
{
	const char *end = entry.at + entry.len;
	const char *bracket = memchr(entry.at, ']', entry.len);
	const char *first = memchr(entry.at, ':', entry.len);
	const char *last = memrchr(entry.at, ':', entry.len);

	*name = entry;
	*port = SPAN_NONE;
	if (entry.len > 0 && *entry.at == '[' && bracket != NULL) {
		*name = (struct span){entry.at + 1,
				      (size_t)(bracket - entry.at) - 1};
		if (bracket + 1 < end)
			*port = (struct span){bracket + 1,
					      (size_t)(end - bracket) - 1};
	} else if (first != NULL && first == last) {
		name->len = (size_t)(first - entry.at);
		*port = (struct span){first, (size_t)(end - first)};
	}
}

/* ":1" to ":65535". */
static bool parse_port(struct span text, uint16_t *port)
{
	unsigned value = 0;

	if (text.len < 2 || text.len > sizeof(":65535") - 1 || *text.at != ':')
		return false;
	for (size_t i = 1; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.at[i] - '0');
	}
	*port = (uint16_t)value;
	return value > 0 && value <= PORT_MAX;
}

static int parse_entry(struct host *host, struct span entry,
		       uint16_t default_port, struct arena *arena,
		       struct error *err)
{
	struct span name;
	struct span port;

	split(entry, &name, &port);
	host->port = default_port;
	if (name.len == 0 ||
	    (span_present(port) && !parse_port(port, &host->port)))
		return error_set(err, STATUS_INVALID,
				 "host: found %s, it must be a name or an "
				 "address, :port may follow, several are "
				 "joined by commas",
				 quote(entry).text);
	host->name = arena_copy(arena, name).at;
	if (host->name == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	return 0;
}

int hosts_parse(struct hosts *hosts, const char *text, uint16_t default_port,
		struct arena *arena, struct error *err)
{
	struct span list = span_of(text == NULL ? "" : text);
	struct hosts found = {.count = 1};

	for (size_t i = 0; i < list.len; i++)
		found.count += list.at[i] == ',';
	found.at = arena_alloc(arena, found.count * sizeof(*found.at));
	if (found.at == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < found.count; i++) {
		int status = parse_entry(&found.at[i], take_entry(&list),
					 default_port, arena, err);

		if (status < 0)
			return status;
	}
	*hosts = found;
	return 0;
}

const struct host *hosts_next(struct hosts *hosts)
{
	const struct host *host = &hosts->at[hosts->next];

	if (hosts->tried == hosts->count)
		hosts->tried = 0;
	hosts->tried++;
	hosts->next = (hosts->next + 1) % hosts->count;
	return host;
}

void hosts_reached(struct hosts *hosts)
{
	hosts->tried = 0;
}

bool hosts_left(const struct hosts *hosts)
{
	return hosts->count > 1 && hosts->tried < hosts->count;
}
