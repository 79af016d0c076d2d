/* SPDX-License-Identifier: MIT */
/* A ring of requests, indexed by tag. */
#include "mqtt/requests.h"

#include <stdlib.h>

enum { IDS = 65535, FIRST_CAP = 16 };

struct request *requests_get(const struct requests *requests, uint64_t tag)
{
	return &requests->at[tag & (requests->cap - 1)];
}

void requests_finish(struct requests *requests)
{
	uint64_t tag = requests->answered;

	while (tag++ < requests->newest)
		free((char *)requests_get(requests, tag)->copy.at);
	free(requests->at);
	*requests = (struct requests){0};
}

bool requests_has_id(const struct requests *requests)
{
	return requests->newest - requests->answered < IDS;
}

bool requests_reserve(struct requests *requests)
{
	struct requests bigger = *requests;

	if (requests->newest - requests->answered < requests->cap)
		return true;
	bigger.cap = requests->cap == 0 ? FIRST_CAP : requests->cap * 2;
	bigger.at = malloc(bigger.cap * sizeof(*bigger.at));
	if (bigger.at == NULL)
		return false;
	for (uint64_t tag = requests->answered + 1; tag <= requests->newest;
	     tag++)
		*requests_get(&bigger, tag) = *requests_get(requests, tag);
	free(requests->at);
	*requests = bigger;
	return true;
}

static bool is_to_be_told(enum request_state state)
{
	return state == REQUEST_QUEUED || state == REQUEST_LOST;
}

uint64_t requests_add(struct requests *requests, struct request request)
{
	uint64_t tag = ++requests->newest;

	*requests_get(requests, tag) = request;
	if (is_to_be_told(request.state) && requests->untold++ == 0)
		requests->look = tag;
	return tag;
}

uint16_t requests_id(uint64_t tag)
{
	return (uint16_t)((tag - 1) % IDS + 1);
}

uint64_t requests_find(const struct requests *requests, uint16_t id)
{
	unsigned first = requests_id(requests->answered + 1);
	uint64_t tag =
		requests->answered + 1 + (id + IDS - first) % (unsigned)IDS;

	if (id == 0 || tag > requests->newest ||
	    requests_get(requests, tag)->state == REQUEST_DONE)
		return 0;
	return tag;
}

void requests_move(struct requests *requests, uint64_t tag,
		   enum request_state state)
{
	struct request *request = requests_get(requests, tag);

	requests->untold -= is_to_be_told(request->state);
	request->state = state;
	free((char *)request->copy.at);
	request->copy = SPAN_NONE;
	if (is_to_be_told(state) &&
	    (requests->untold++ == 0 || tag < requests->look))
		requests->look = tag;
	while (requests->answered < requests->newest &&
	       requests_get(requests, requests->answered + 1)->state ==
		       REQUEST_DONE)
		requests->answered++;
}

uint64_t requests_untold(struct requests *requests)
{
	if (requests->untold == 0)
		return 0;
	while (!is_to_be_told(requests_get(requests, requests->look)->state))
		requests->look++;
	return requests->look;
}
