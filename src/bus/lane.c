/* SPDX-License-Identifier: MIT */
/* The states of a lane: their names, and the one place that changes them. */
#include "bus/lane.h"

#include <string.h>

const char *lane_state_name(enum lane_state state)
{
	static const char *const names[] = {
		[LANE_STANDBY] = "standby",	  [LANE_AWAY] = "away",
		[LANE_CONNECTING] = "connecting", [LANE_RUNNING] = "running",
		[LANE_BLOCKED] = "blocked",	  [LANE_STALLED] = "stalled",
		[LANE_DRAINING] = "draining",	  [LANE_STOPPED] = "stopped",
	};

	return names[state];
}

void lane_set_state(struct lane_report *report, enum lane_state state,
		    const struct error *why)
{
	static const struct error nothing;

	report->state = state;
	if (state == LANE_CONNECTING)
		return;
	if (why == NULL)
		why = &nothing;
	if (state == report->told && strcmp(why->text, report->error.text) == 0)
		return;
	report->told = state;
	report->error = *why;
	report->changes++;
}

bool lane_is_troubled(const struct lane_report *report)
{
	return report->error.text[0] != '\0' && report->told != LANE_STANDBY;
}

usec_t lane_pause(bool was_up, usec_t up_at, usec_t now, usec_t retry_interval)
{
	const usec_t glimpse = USEC_PER_SEC / 10;

	if (!was_up || now - up_at < 2 * retry_interval)
		return retry_interval;
	return retry_interval < glimpse ? retry_interval : glimpse;
}
