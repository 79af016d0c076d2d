/* SPDX-License-Identifier: MIT */
/* Handlers that note, and wake whoever polls. */
#include "worker/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Longer than a drain takes when every call comes back. A lookup of a name, in
 * libpq or for a broker, is one that may not. */
enum { PATIENCE_SECONDS = 6 };

static int wake_fd = -1;
static volatile sig_atomic_t stop_asked, hangup_asked;

static void note(int number)
{
	const uint64_t one = 1;
	int saved = errno;
	ssize_t done;

	if (number == SIGHUP) {
		hangup_asked = 1;
	} else if (!stop_asked) {
		stop_asked = 1;
		alarm(PATIENCE_SECONDS);
	}
	done = write(wake_fd, &one, sizeof(one));
	(void)done; /* full: it is readable already */
	errno = saved;
}

static void give_up(int number)
{
	(void)number;
	_exit(0);
}

static void handle(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_flags = SA_RESTART};

	action.sa_handler = handler;
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

int signals_watch(struct error *err)
{
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return error_set(err, STATUS_FAILED,
				 "cannot watch for signals: %s",
				 strerror(errno));
	handle(SIGPIPE, SIG_IGN);
	handle(SIGALRM, give_up);
	handle(SIGTERM, note);
	handle(SIGINT, note);
	handle(SIGHUP, note);
	return 0;
}

int signals_fd(void)
{
	return wake_fd;
}

void signals_read(bool *stop, bool *hangup)
{
	eventfd_t count;

	eventfd_read(wake_fd, &count);
	*stop = stop_asked;
	*hangup = hangup_asked;
	if (*hangup)
		hangup_asked = 0;
}
