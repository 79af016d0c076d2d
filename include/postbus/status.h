/* SPDX-License-Identifier: MIT */
/* What the calls of libpostbus return: 0, or one of these. */
#ifndef POSTBUS_STATUS_H
#define POSTBUS_STATUS_H

#if defined(__GNUC__)
#define POSTBUS_API __attribute__((visibility("default")))
#else
#define POSTBUS_API
#endif

enum postbus_status {
	POSTBUS_OK = 0,
	POSTBUS_INVALID = -1,	/* the data breaks a rule; it always will */
	POSTBUS_NOT_FOUND = -2, /* what was named does not exist */
	POSTBUS_DENIED = -3,	/* credentials or permissions were refused */
	POSTBUS_MISMATCH = -4,	/* the other side is set up otherwise */
	POSTBUS_PROTOCOL = -5,	/* the peer broke its protocol */
	POSTBUS_AWAY = -6,	/* unreachable, or no answer in time */
	POSTBUS_UNKNOWN = -7,	/* may have happened */
	POSTBUS_BUSY = -8,	/* not now: wait and try again */
	POSTBUS_NO_MEMORY = -9,
	POSTBUS_FAILED = -10, /* the system refused */
};

#endif
