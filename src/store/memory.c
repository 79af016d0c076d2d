/* SPDX-License-Identifier: MIT */
/* SQLite in memory: shared by name, on a clock of its own, failing to order. */
#include "store/memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/testing.h"
#include "store/sqlite.h"

#define VFS_NAME "postbus-memory"

enum { FAULTS = MEMORY_REPLY_LOST + 1 };

struct memory_store {
	struct sqlite_store base;
	struct memory_store *next; /* of the same database */
	struct memory_database *database;
	char *held; /* "lane/config_key", NULL: no lock */
	int wake_fd;
};

struct memory_database {
	struct memory_database *next;
	char *path;	 /* "/NAME" */
	sqlite3 *keeper; /* without a connection it would vanish */
	struct memory_store *stores;
	unsigned faults[FAULTS]; /* how many times more */
};

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct memory_database *databases;
static _Atomic usec_t set_clock;

static struct memory_store *memory_of(struct sqlite_store *store)
{
	return (struct memory_store *)store;
}

/* ---- SQLite's memory, with our clock ---- */

static int tell_time(sqlite3_vfs *vfs, sqlite3_int64 *julian_ms)
{
	static const sqlite3_int64 unix_epoch = 210866760000000;
	usec_t wall = set_clock;

	(void)vfs;
	if (wall == 0)
		wall = clock_wall();
	*julian_ms = unix_epoch + wall / USEC_PER_MSEC;
	return SQLITE_OK;
}

static void register_vfs(void)
{
	static sqlite3_vfs vfs;

	vfs = *sqlite3_vfs_find("memdb");
	vfs.zName = VFS_NAME;
	vfs.pNext = NULL;
	vfs.xCurrentTimeInt64 = tell_time;
	sqlite3_vfs_register(&vfs, 0);
}

static int open_memory(const char *path, sqlite3 **db)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_vfs);
	return sqlite3_open_v2(path, db,
			       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				       SQLITE_OPEN_NOMUTEX,
			       VFS_NAME);
}

void memory_set_clock(usec_t wall)
{
	set_clock = wall;
}

/* ---- the registry; each of these runs with it locked ---- */

static struct memory_database *find_database(const char *name)
{
	struct memory_database *database = databases;

	while (database != NULL && strcmp(database->path + 1, name) != 0)
		database = database->next;
	return database;
}

static void free_database(struct memory_database *database)
{
	sqlite3_close(database->keeper);
	free(database->path);
	free(database);
}

static struct memory_database *create_database(const char *name)
{
	struct memory_database *database = calloc(1, sizeof(*database));

	if (database == NULL)
		return NULL;
	if (asprintf(&database->path, "/%s", name) < 0)
		database->path = NULL;
	if (database->path == NULL ||
	    open_memory(database->path, &database->keeper) != SQLITE_OK) {
		free_database(database);
		return NULL;
	}
	database->next = databases;
	databases = database;
	return database;
}

static void join(struct memory_store *store, struct memory_database *database)
{
	store->database = database;
	store->next = database->stores;
	database->stores = store;
}

static void part(struct memory_store *store)
{
	struct memory_store **link;

	if (store->database == NULL)
		return;
	link = &store->database->stores;
	while (*link != store)
		link = &(*link)->next;
	*link = store->next;
}

/* True if the fault was ordered; uses one up. */
static bool take_fault(struct memory_store *store, enum memory_fault fault)
{
	unsigned *left = &store->database->faults[fault];
	bool taken;

	pthread_mutex_lock(&registry);
	taken = *left > 0;
	*left -= taken;
	pthread_mutex_unlock(&registry);
	return taken;
}

void memory_fail(const char *name, enum memory_fault fault, unsigned times)
{
	struct memory_database *database;

	pthread_mutex_lock(&registry);
	database = find_database(name);
	if (database != NULL)
		database->faults[fault] = times;
	pthread_mutex_unlock(&registry);
}

void memory_drop(const char *name)
{
	struct memory_database *database;
	struct memory_database **link = &databases;

	pthread_mutex_lock(&registry);
	database = find_database(name);
	if (database != NULL) {
		assert(database->stores == NULL);
		while (*link != database)
			link = &(*link)->next;
		*link = database->next;
		free_database(database);
	}
	pthread_mutex_unlock(&registry);
}

/* ---- the session ---- */

static int memory_connect(struct sqlite_store *store, bool create,
			  struct error *err)
{
	struct memory_store *memory = memory_of(store);
	int rc = open_memory(memory->database->path, &store->db);

	(void)create;
	if (rc != SQLITE_OK)
		return sqlite_failure(store, rc, err);
	sqlite_set_patience(store);
	return sqlite_exec(store, "PRAGMA synchronous=NORMAL", err);
}

static int memory_check(struct sqlite_store *store, struct error *err)
{
	struct memory_store *memory = memory_of(store);
	bool dies = take_fault(memory, MEMORY_SESSION_DIES);

	if (!dies && !take_fault(memory, MEMORY_CALL_FAILS))
		return 0;
	store->lost = dies;
	return error_set(err, STATUS_AWAY, "database %s: no answer",
			 store->name);
}

static void wake_all(struct memory_database *database)
{
	pthread_mutex_lock(&registry);
	for (struct memory_store *at = database->stores; at != NULL;
	     at = at->next)
		eventfd_write(at->wake_fd, 1);
	pthread_mutex_unlock(&registry);
}

static int memory_committed(struct sqlite_store *store, struct error *err)
{
	struct memory_store *memory = memory_of(store);

	wake_all(memory->database);
	if (!take_fault(memory, MEMORY_REPLY_LOST))
		return 0;
	store->lost = true;
	return error_set(err, STATUS_UNKNOWN,
			 "database %s: the connection was lost in a commit",
			 store->name);
}

/* ---- lock and wake ---- */

static bool is_held(const struct memory_database *database, const char *lock)
{
	for (const struct memory_store *at = database->stores; at != NULL;
	     at = at->next)
		if (at->held != NULL && strcmp(at->held, lock) == 0)
			return true;
	return false;
}

static int memory_lock(struct sqlite_store *store, const char *config_key,
		       const char *lane, struct error *err)
{
	struct memory_store *memory = memory_of(store);
	char *lock;
	bool held;

	if (asprintf(&lock, "%s/%s", lane, config_key) < 0)
		return error_set(err, STATUS_NO_MEMORY, "no memory for a lock");
	pthread_mutex_lock(&registry);
	held = is_held(memory->database, lock) && !testing_bug("two-relays");
	if (!held)
		memory->held = lock;
	pthread_mutex_unlock(&registry);
	if (!held)
		return 0;
	free(lock);
	return error_set(err, STATUS_BUSY,
			 "another worker holds the %s of config key %s", lane,
			 config_key);
}

static void memory_unlock(struct sqlite_store *store)
{
	struct memory_store *memory = memory_of(store);

	pthread_mutex_lock(&registry);
	free(memory->held);
	memory->held = NULL;
	pthread_mutex_unlock(&registry);
}

static bool memory_holds(struct sqlite_store *store)
{
	return memory_of(store)->held != NULL;
}

static int memory_wake_fd(struct sqlite_store *store)
{
	return memory_of(store)->wake_fd;
}

static bool memory_woken(struct sqlite_store *store)
{
	eventfd_t writes;

	return eventfd_read(memory_of(store)->wake_fd, &writes) == 0;
}

/* ---- life ---- */

static void memory_destroy(struct sqlite_store *store)
{
	struct memory_store *memory = memory_of(store);

	pthread_mutex_lock(&registry);
	part(memory);
	pthread_mutex_unlock(&registry);
	if (memory->wake_fd >= 0)
		close(memory->wake_fd);
}

static const struct sqlite_place memory_place = {
	.connect = memory_connect,
	.check = memory_check,
	.committed = memory_committed,
	.disconnected = memory_unlock,
	.destroy = memory_destroy,
	.lock = memory_lock,
	.unlock = memory_unlock,
	.holds = memory_holds,
	.wake_fd = memory_wake_fd,
	.woken = memory_woken,
};

static int find_or_create(struct memory_store *memory, const char *name,
			  bool create, struct error *err)
{
	struct memory_database *database;

	pthread_mutex_lock(&registry);
	database = find_database(name);
	if (database == NULL && create)
		database = create_database(name);
	if (database != NULL)
		join(memory, database);
	pthread_mutex_unlock(&registry);
	if (database != NULL)
		return 0;
	return error_set(err, create ? STATUS_NO_MEMORY : STATUS_NOT_FOUND,
			 "there is no database memory:%s", name);
}

static int memory_open(struct store **out, const char *url, bool create,
		       struct error *err)
{
	struct memory_store *memory = calloc(1, sizeof(*memory));
	int status = 0;

	if (memory == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "no memory for a store");
	memory->base.base.driver = &store_memory;
	memory->base.place = &memory_place;
	memory->base.name = strdup(url);
	memory->wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (memory->base.name == NULL || memory->wake_fd < 0)
		status = error_set(err, STATUS_NO_MEMORY,
				   "no memory for a store");
	if (status == 0)
		status = find_or_create(memory, url + strlen("memory:"), create,
					err);
	if (status == 0)
		status = sqlite_connect(&memory->base, create, err);
	if (status < 0) {
		sqlite_close(&memory->base.base);
		return status;
	}
	*out = &memory->base.base;
	return 0;
}

const struct store_driver store_memory = {
	.name = "memory",
	.open = memory_open,
	.heartbeat_seconds = 5,
	SQLITE_OPERATIONS,
};
