/* SPDX-License-Identifier: MIT */
/*
 * A library for LD_PRELOAD that lets calls of `postbus` fail.
 *
 * FAIL=KIND:FIRST:TIMES:EVERY, from the FIRST call of that kind on, TIMES of
 * them, each EVERY-th. Kinds: alloc (malloc, calloc, realloc), read and write
 * (of sockets and regular files), sync (fsync, fdatasync), step (sqlite3_step).
 * At the end it writes to stderr "failing CALLS FAILED ALIVE": how many calls
 * of the kind there were, how many have failed, how many allocations live on.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum kind { NONE, ALLOC, READ, WRITE, SYNC, STEP };
static const char *const kinds[] = {"none",  "alloc", "read",
				    "write", "sync",  "step"};

static enum kind chosen;
static unsigned first, times, every;
static atomic_uint calls, failed;
static atomic_long alive;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

/* ---- when ---- */

__attribute__((constructor)) static void start(void)
{
	const char *plan = getenv("FAIL");
	char kind[16];

	if (plan == NULL ||
	    strcmp(program_invocation_short_name, "postbus") != 0 ||
	    sscanf(plan, "%15[^:]:%u:%u:%u", kind, &first, &times, &every) != 4)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i], kind) == 0)
			chosen = (enum kind)i;
}

__attribute__((destructor)) static void tell(void)
{
	char line[80];
	int len;

	if (first == 0)
		return;
	len = snprintf(line, sizeof(line), "failing %u %u %ld\n", calls, failed,
		       alive);
	(void)!write(STDERR_FILENO, line, (size_t)len);
}

static bool fails(enum kind kind)
{
	unsigned number;

	if (kind != chosen)
		return false;
	number = ++calls;
	if (number < first || (number - first) % every != 0 || failed >= times)
		return false;
	failed++;
	return true;
}

static bool fails_on(enum kind kind, int fd, int socket_error, int file_error)
{
	struct stat found;
	bool ours;

	if (kind != chosen || fd <= STDERR_FILENO || fstat(fd, &found) < 0)
		return false;
	ours = S_ISSOCK(found.st_mode) || S_ISREG(found.st_mode);
	if (!ours || !fails(kind))
		return false;
	errno = S_ISSOCK(found.st_mode) ? socket_error : file_error;
	return true;
}

#define READ_FAILS(fd) fails_on(READ, (fd), ECONNRESET, EIO)
#define WRITE_FAILS(fd) fails_on(WRITE, (fd), EPIPE, ENOSPC)

/* The function that this one stands in front of. */
#define REAL(name) (__extension__(__typeof__(&(name))) dlsym(RTLD_NEXT, #name))

/* ---- memory ---- */

static void *count(void *memory)
{
	alive += memory != NULL;
	return memory;
}

static void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

EXPORT void *malloc(size_t size)
{
	return fails(ALLOC) ? no_memory() : count(__libc_malloc(size));
}

EXPORT void *calloc(size_t number, size_t size)
{
	return fails(ALLOC) ? no_memory() : count(__libc_calloc(number, size));
}

EXPORT void *realloc(void *memory, size_t size)
{
	if (fails(ALLOC))
		return no_memory();
	if (memory == NULL)
		return count(__libc_malloc(size));
	return __libc_realloc(memory, size);
}

EXPORT void free(void *memory)
{
	alive -= memory != NULL;
	__libc_free(memory);
}

/* ---- sockets and files ---- */

EXPORT ssize_t read(int fd, void *to, size_t size)
{
	return READ_FAILS(fd) ? -1 : REAL(read)(fd, to, size);
}

EXPORT ssize_t recv(int fd, void *to, size_t size, int flags)
{
	return READ_FAILS(fd) ? -1 : REAL(recv)(fd, to, size, flags);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	return READ_FAILS(fd) ? -1 : REAL(recvmsg)(fd, message, flags);
}

EXPORT ssize_t pread64(int fd, void *to, size_t size, off64_t at)
{
	return READ_FAILS(fd) ? -1 : REAL(pread64)(fd, to, size, at);
}

EXPORT ssize_t write(int fd, const void *from, size_t size)
{
	return WRITE_FAILS(fd) ? -1 : REAL(write)(fd, from, size);
}

EXPORT ssize_t send(int fd, const void *from, size_t size, int flags)
{
	return WRITE_FAILS(fd) ? -1 : REAL(send)(fd, from, size, flags);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	return WRITE_FAILS(fd) ? -1 : REAL(sendmsg)(fd, message, flags);
}

EXPORT ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at)
{
	return WRITE_FAILS(fd) ? -1 : REAL(pwrite64)(fd, from, size, at);
}

EXPORT int fsync(int fd)
{
	return fails_on(SYNC, fd, EIO, EIO) ? -1 : REAL(fsync)(fd);
}

EXPORT int fdatasync(int fd)
{
	return fails_on(SYNC, fd, EIO, EIO) ? -1 : REAL(fdatasync)(fd);
}

/* ---- SQL ---- */

struct sqlite3_stmt;
EXPORT int sqlite3_step(struct sqlite3_stmt *statement);

/* SQLite calls it too, for itself. */
static bool is_ours(const void *caller)
{
	Dl_info info;

	return dladdr(caller, &info) != 0 &&
	       strstr(info.dli_fname, "libsqlite3") == NULL;
}

/* Nothing is done, and the database is not to blame. */
EXPORT int sqlite3_step(struct sqlite3_stmt *statement)
{
	enum { SQLITE_IOERR = 10 };

	if (is_ours(__builtin_return_address(0)) && fails(STEP))
		return SQLITE_IOERR;
	return REAL(sqlite3_step)(statement);
}
