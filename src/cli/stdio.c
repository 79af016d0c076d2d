/* SPDX-License-Identifier: MIT */
/* Files and standard input in, standard output and standard error out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

enum { CHUNK = 64 * 1024 };

static int read_all(int fd, struct buffer *in)
{
	for (;;) {
		char *room = buffer_reserve(in, CHUNK);
		ssize_t got = room == NULL ? -1 : read(fd, room, CHUNK);

		if (got > 0)
			buffer_grew(in, (size_t)got);
		else if (got == 0)
			return 0;
		else if (room == NULL || errno != EINTR)
			return -1;
	}
}

int input_read(const char *path, struct buffer *in, struct error *err)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int result = 0;

	if (fd < 0 || read_all(fd, in) < 0)
		result = error_set(err, STATUS_FAILED, "%s cannot be read: %s",
				   standard ? "standard input" : path,
				   in->failed ? "memory has run out"
					      : strerror(errno));
	if (!standard && fd >= 0)
		close(fd);
	return result;
}

int output_flush(struct cli *cli, struct error *err)
{
	struct span text = buffer_span(&cli->out);
	bool failed = cli->out.failed;

	while (text.len > 0) {
		ssize_t done = write(STDOUT_FILENO, text.at, text.len);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			break;
		text = (struct span){text.at + done, text.len - (size_t)done};
	}
	buffer_reset(&cli->out);
	if (text.len > 0)
		return error_set(err, STATUS_FAILED,
				 "the output cannot be written: %s",
				 strerror(errno));
	if (failed)
		return error_set(err, STATUS_NO_MEMORY, "memory has run out");
	return 0;
}

void complain(const char *sentence)
{
	fprintf(stderr, "postbus: %s\n", sentence);
}
