/* SPDX-License-Identifier: MIT */
/* SQLite in a file: opening, locking beside it, waking by inotify. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/testing.h"
#include "store/sqlite.h"

/*
 * The kernel tells of a write to the log before the writer's COMMIT can be
 * seen (with synchronous=FULL an fsync lies between). So a hint is followed by
 * this many looks, each twice as late as the one before: 2, 4 ... 256 ms.
 */
enum { LOOKS = 8, FIRST_LOOK_MS = 2 };

struct file_store {
	struct sqlite_store base;
	char *path; /* real, absolute; NULL before the first connection */
	dev_t device;
	ino_t inode;
	int lock_fd; /* -1: the lock is not ours */
	int wake_fd; /* epoll over the next two; -1: not set up */
	int notify_fd;
	int timer_fd;
	int looks_left;
	bool wrote;	  /* since the last woken */
	int data_version; /* at the last woken */
};

static struct file_store *file_of(struct sqlite_store *store)
{
	return (struct file_store *)store;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- opening ---- */

static int refuse_open(struct sqlite_store *store, bool create, int number,
		       struct error *err)
{
	if (number == ENOENT && !create)
		return error_set(err, STATUS_NOT_FOUND,
				 "there is no database %s; `postbus migrate` "
				 "creates it",
				 store->name);
	if (number == ENOENT)
		return error_set(err, STATUS_NOT_FOUND,
				 "there is no directory for database %s; make "
				 "it first",
				 store->name);
	return error_set(err, number == EACCES ? STATUS_DENIED : STATUS_AWAY,
			 "database %s cannot be opened: %s", store->name,
			 number == 0 ? sqlite3_errmsg(store->db)
				     : strerror(number));
}

/* Remembers which file it is, under a name that no chdir changes. */
static int identify(struct file_store *file, struct error *err)
{
	struct stat found;

	if (file->path == NULL)
		file->path = realpath(file->base.name, NULL);
	if (file->path == NULL || stat(file->path, &found) < 0)
		return refuse_open(&file->base, false, errno, err);
	file->device = found.st_dev;
	file->inode = found.st_ino;
	return 0;
}

/* A database that is ours already is worth a change of its journal mode;
 * others are left as they are. */
static int set_up(struct sqlite_store *store, struct error *err)
{
	static const char ours[] = "SELECT 1 FROM sqlite_schema WHERE "
				   "name = 'event_bus_schema_version'";
	sqlite3_stmt *statement;
	/* An inbox batch touches most pages of the index of message_ids: with
	 * a smaller cache they go to the log more than once, with a shorter log
	 * from there to the database at every other commit. */
	int status = sqlite_exec(store,
				 "PRAGMA synchronous=NORMAL;"
				 "PRAGMA cache_size=-1024;"
				 "PRAGMA wal_autocheckpoint=4000;"
				 "PRAGMA foreign_keys=ON;",
				 err);

	if (status == 0)
		status = sqlite_prepare(store, ours, &statement, err);
	if (status == 0)
		status = sqlite_step(store, statement, err);
	if (status <= 0)
		return status;
	sqlite3_reset(statement);
	sqlite3_exec(store->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
	return 0;
}

static int file_connect(struct sqlite_store *store, bool create,
			struct error *err)
{
	struct file_store *file = file_of(store);
	const char *path = file->path == NULL ? store->name : file->path;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		    (create ? SQLITE_OPEN_CREATE : 0);
	int status;

	if (!create && access(path, F_OK) < 0)
		return refuse_open(store, create, errno, err);
	if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK)
		return refuse_open(store, create,
				   sqlite3_system_errno(store->db), err);
	sqlite_set_patience(store);
	status = identify(file, err);
	return status < 0 ? status : set_up(store, err);
}

static int file_check(struct sqlite_store *store, struct error *err)
{
	struct file_store *file = file_of(store);
	struct stat found;

	if (stat(file->path, &found) < 0) {
		store->lost = true;
		return error_set(err, STATUS_AWAY, "database %s is gone: %s",
				 store->name, strerror(errno));
	}
	if (found.st_ino != file->inode || found.st_dev != file->device) {
		store->lost = true;
		return error_set(err, STATUS_AWAY,
				 "database %s was replaced by another file; "
				 "it will be opened anew",
				 store->name);
	}
	return 0;
}

/* ---- the lock: one byte of one file beside the database for each key ---- */

/* FNV-1a. Two keys that meet exclude each other, which is safe. */
static off_t lock_offset(const char *config_key, const char *lane)
{
	const char *const texts[] = {lane, "/", config_key};
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < 3; i++)
		for (const char *at = texts[i]; *at != '\0'; at++)
			hash = (hash ^ (unsigned char)*at) *
			       UINT64_C(0x100000001b3);
	return (off_t)(hash >> 2);
}

/* Never deleted: whoever opened it would go on holding what nobody sees. */
static int open_lock_file(struct file_store *file)
{
	char path[4096];
	int len = snprintf(path, sizeof(path), "%s-postbus-lock", file->path);
	struct stat database;

	if (len < 0 || (size_t)len >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (stat(file->path, &database) < 0)
		return -1;
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    database.st_mode & 0666);
}

static int file_lock(struct sqlite_store *store, const char *config_key,
		     const char *lane, struct error *err)
{
	struct file_store *file = file_of(store);
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = lock_offset(config_key, lane),
			     .l_len = 1};
	int number;

	close_fd(&file->lock_fd);
	file->lock_fd = open_lock_file(file);
	if (file->lock_fd >= 0 &&
	    (fcntl(file->lock_fd, F_OFD_SETLK, &lock) == 0 ||
	     testing_bug("two-relays")))
		return 0;
	number = errno;
	close_fd(&file->lock_fd);
	if (number == EAGAIN)
		return error_set(err, STATUS_BUSY,
				 "another worker holds the %s of config key %s",
				 lane, config_key);
	return error_set(err, number == EACCES ? STATUS_DENIED : STATUS_FAILED,
			 "the lock file %s-postbus-lock cannot be locked: %s",
			 store->name, strerror(number));
}

static void file_unlock(struct sqlite_store *store)
{
	close_fd(&file_of(store)->lock_fd);
}

static bool file_holds(struct sqlite_store *store)
{
	struct stat found;

	return file_of(store)->lock_fd >= 0 &&
	       fstat(file_of(store)->lock_fd, &found) == 0 &&
	       found.st_nlink > 0;
}

/* ---- waking ---- */

static int file_committed(struct sqlite_store *store, struct error *err)
{
	(void)err;
	file_of(store)->wrote = true;
	return 0;
}

static void close_wake(struct file_store *file)
{
	close_fd(&file->wake_fd);
	close_fd(&file->notify_fd);
	close_fd(&file->timer_fd);
	file->looks_left = 0;
}

/* The log stays while we are connected, so it can be watched by itself;
 * without one (another journal mode) the database file is what changes. */
static bool watch(struct file_store *file)
{
	char log[4096];
	int len = snprintf(log, sizeof(log), "%s-wal", file->path);
	int database;

	if (len < 0 || (size_t)len >= sizeof(log))
		return false;
	database = inotify_add_watch(file->notify_fd, file->path, IN_MODIFY);
	inotify_add_watch(file->notify_fd, log, IN_MODIFY);
	return database >= 0;
}

static bool open_wake(struct file_store *file)
{
	struct epoll_event in = {.events = EPOLLIN};

	file->wake_fd = epoll_create1(EPOLL_CLOEXEC);
	file->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	file->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return file->wake_fd >= 0 && file->notify_fd >= 0 &&
	       file->timer_fd >= 0 && watch(file) &&
	       epoll_ctl(file->wake_fd, EPOLL_CTL_ADD, file->notify_fd, &in) ==
		       0 &&
	       epoll_ctl(file->wake_fd, EPOLL_CTL_ADD, file->timer_fd, &in) ==
		       0;
}

static int file_wake_fd(struct sqlite_store *store)
{
	struct file_store *file = file_of(store);

	if (file->wake_fd < 0 && !open_wake(file))
		close_wake(file);
	return file->wake_fd;
}

/* True if there was something to read. */
static bool drain(int fd)
{
	char bytes[4096];
	bool any = false;

	while (read(fd, bytes, sizeof(bytes)) > 0)
		any = true;
	return any;
}

static void look_again(struct file_store *file, bool hint)
{
	long ms;
	struct itimerspec when = {0};

	if (hint)
		file->looks_left = LOOKS;
	if (file->looks_left == 0)
		return;
	ms = FIRST_LOOK_MS << (LOOKS - file->looks_left--);
	when.it_value.tv_nsec = ms * 1000000;
	timerfd_settime(file->timer_fd, 0, &when, NULL);
}

static bool file_woken(struct sqlite_store *store)
{
	struct file_store *file = file_of(store);
	int before = file->data_version;
	bool wrote = file->wrote;
	bool hint, due;
	sqlite3_stmt *statement;

	file->wrote = false;
	if (file->wake_fd >= 0) {
		hint = drain(file->notify_fd);
		due = drain(file->timer_fd);
		if (hint || due)
			look_again(file, hint);
	}
	store->deadline = clock_monotonic() + USEC_PER_SEC;
	if (sqlite_prepare(store, "PRAGMA data_version", &statement, NULL) <
		    0 ||
	    sqlite_step(store, statement, NULL) <= 0)
		return true;
	file->data_version = sqlite3_column_int(statement, 0);
	sqlite3_reset(statement);
	return wrote || file->data_version != before;
}

/* ---- life ---- */

static void file_disconnected(struct sqlite_store *store)
{
	struct file_store *file = file_of(store);

	close_fd(&file->lock_fd);
	close_wake(file);
	file->data_version = -1;
}

static void file_destroy(struct sqlite_store *store)
{
	free(file_of(store)->path);
}

static const struct sqlite_place file_place = {
	.connect = file_connect,
	.check = file_check,
	.committed = file_committed,
	.disconnected = file_disconnected,
	.destroy = file_destroy,
	.lock = file_lock,
	.unlock = file_unlock,
	.holds = file_holds,
	.wake_fd = file_wake_fd,
	.woken = file_woken,
};

/* "sqlite:relative", "sqlite:/absolute", "sqlite:///absolute". */
static const char *path_of(const char *url)
{
	const char *path = url + strlen("sqlite:");

	if (strncmp(path, "//", 2) == 0)
		path = path[2] == '/' ? path + 2 : "";
	return path;
}

static int file_open(struct store **out, const char *url, bool create,
		     struct error *err)
{
	const char *path = path_of(url);
	struct file_store *file;
	int status;

	if (*path == '\0')
		return error_set(err, STATUS_INVALID,
				 "%s names no file; the forms are "
				 "sqlite:///absolute/path.db and "
				 "sqlite:relative.db",
				 url);
	file = calloc(1, sizeof(*file));
	if (file == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a store");
	file->base.base.driver = &store_sqlite;
	file->base.place = &file_place;
	file->lock_fd = file->wake_fd = file->notify_fd = file->timer_fd = -1;
	file->base.name = strdup(path);
	status = file->base.name == NULL
			 ? error_set(err, STATUS_NO_MEMORY,
				     "no memory for a store")
			 : sqlite_connect(&file->base, create, err);
	if (status < 0) {
		sqlite_close(&file->base.base);
		return status;
	}
	*out = &file->base.base;
	return 0;
}

const struct store_driver store_sqlite = {
	.name = "sqlite",
	.open = file_open,
	.heartbeat_seconds = 5,
	SQLITE_OPERATIONS,
};
