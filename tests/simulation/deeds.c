/* SPDX-License-Identifier: MIT */
/* What the plan has in store is done to the world. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "world.h"

/* ---- deeds: work ---- */

__attribute__((format(printf, 2, 3))) static struct span
text_of(struct world *world, const char *format, ...)
{
	char text[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert(len > 0 && (size_t)len < sizeof(text));
	return world_copy(world, (struct span){text, (size_t)len});
}

static const char *topic_of(enum content content)
{
	switch (content) {
	case CONTENT_UNROUTABLE:
		return "event.void.thing.done";
	case CONTENT_REQUEST:
		return "tester.request.thing.do";
	case CONTENT_UNROUTABLE_REQUEST:
		return "void.request.thing.do";
	case CONTENT_INVALID:
		return "no topic at all";
	case CONTENT_POISON:
		return "event.test.poison.row";
	case CONTENT_CHOKING:
		return "event.test.choking.row";
	default:
		return "event.test.thing.done";
	}
}

static bool is_request(enum content content)
{
	return content == CONTENT_REQUEST ||
	       content == CONTENT_UNROUTABLE_REQUEST;
}

static void fill_envelope(struct world *world, struct row *row, int64_t seq,
			  enum content content)
{
	struct envelope *envelope = &row->envelope;
	/* The row before it is the one it shares the message_id with. */
	long long whose = content == CONTENT_SAME || content == CONTENT_CONFLICT
				  ? seq - 1
				  : seq;

	envelope_init(envelope);
	envelope->topic = span_of(topic_of(content));
	envelope->message_type =
		is_request(content) ? SPAN_LIT("request") : SPAN_LIT("event");
	envelope->event_type =
		is_request(content) ? SPAN_NONE : SPAN_LIT("test");
	if (is_request(content)) {
		envelope->request_id = SPAN_LIT("r");
		envelope->reply_to = SPAN_LIT("tester.response.thing.done");
	}
	envelope->message_id = text_of(world, "row-%lld", whose);
	envelope->payload = text_of(world, "{\"n\":%lld}",
				    content == CONTENT_SAME ? whose : seq);
}

static void end_write(struct world *world, void *subject, uint64_t seq)
{
	(void)subject;
	if (world->checker.stories[seq].aborted)
		note(world, NULL, "rolled back", (int64_t)seq, 0);
	else
		database_commit(world, (int64_t)seq);
}

static void write_row(struct world *world, const struct deed *deed)
{
	static const char *const keys[KEYS + 1] = {NULL, "a", "b", "c"};
	int64_t seq;
	struct row *row = database_write(&world->database, &seq);
	struct story *story = &world->checker.stories[seq];

	row->key = span_of(keys[deed->key]);
	snprintf(row->id, sizeof(row->id), "00000000-0000-4000-8000-%012lld",
		 (long long)seq);
	fill_envelope(world, row, seq, deed->content);
	if (deed->content == CONTENT_SCHEDULED)
		row->next_retry_at = world->now + USEC_PER_SEC +
				     world_below(world, 5 * USEC_PER_SEC);
	if (deed->content == CONTENT_EXPIRES)
		row->expires_at =
			world->now + world_below(world, 5 * USEC_PER_SEC);
	story->content = deed->content;
	story->key = deed->key;
	story->aborted = deed->aborted;
	world_at(world, world->now + deed->lasts, end_write, NULL,
		 (uint64_t)seq);
}

static struct span stranger_body(struct world *world, bool hopeless,
				 long long number)
{
	if (hopeless)
		return text_of(world, "{\"schema\":%lld}", number);
	return text_of(world,
		       "{\"schema\":\"interservice.envelope.v1\","
		       "\"message_id\":\"stranger-%lld\","
		       "\"message_type\":\"event\","
		       "\"topic\":\"event.test.thing.done\","
		       "\"source_service\":\"stranger\","
		       "\"event_type\":\"test\",\"payload\":{\"n\":1}}",
		       number);
}

/* Strangers send what they like, and some of it again. */
static void write_letter(struct world *world, const struct deed *deed)
{
	bool hopeless = deed->content == CONTENT_INVALID;
	long long number = deed->content == CONTENT_SAME
				   ? 0
				   : (long long)world->checker.letter_count;
	struct span body = stranger_body(world, hopeless, number);
	struct letter *letter = checker_letter(world, body);

	letter->hopeless = hopeless;
	letter->keys = 1;
	letter->message_id = text_of(world, "stranger-%lld", number);
	letter->payload = SPAN_LIT("{\"n\":1}");
	note(world, NULL, "a stranger writes", number, hopeless);
	server_put(world, SPAN_LIT("event.test.thing.done"), letter->message_id,
		   body);
}

/* ---- deeds: faults ---- */

static void break_link(struct world *world, const struct lane *lane,
		       const struct deed *deed)
{
	bool half_open = deed->kind == LINK_HALF_OPEN;
	usec_t noticed = half_open ? deed->lasts
				   : world_below(world, 20 * USEC_PER_MSEC);

	if (lane != NULL)
		link_break(lane->link, noticed, half_open);
}

static void freeze(struct world *world, usec_t *until, const struct deed *deed)
{
	if (*until < world->now + deed->lasts)
		*until = world->now + deed->lasts;
}

static void do_fault(struct world *world, const struct deed *deed)
{
	struct worker *worker = &world->workers[deed->whom / LANES];
	struct lane *lane = worker->lanes[deed->whom % LANES];
	struct server *server = &world->server;

	switch (deed->kind) {
	case WORKER_KILLED:
		worker_kill(worker, deed->lasts);
		break;
	case WORKER_STOPPED:
		worker_stop(worker, deed->lasts);
		break;
	case WORKER_DRAINED:
		worker_drain(worker);
		break;
	case DATABASE_AWAY:
		database_restart(world, deed->lasts);
		break;
	case DATABASE_FROZEN:
		freeze(world, &world->database.frozen_until, deed);
		break;
	case LINK_CUT:
	case LINK_HALF_OPEN:
		break_link(world, lane, deed);
		break;
	case BROKER_AWAY:
	case BROKER_CRASHED:
		server_restart(world, deed->lasts,
			       deed->kind == BROKER_CRASHED);
		break;
	case BROKER_FROZEN:
		freeze(world, &server->frozen_until, deed);
		break;
	case BROKER_BLOCKS:
		server_block(world, deed->lasts);
		break;
	case BROKER_CANCELS:
		server_cancel(world);
		break;
	case BROKER_REFUSES:
		server->refusals += deed->nth;
		break;
	case BROKER_NACKS:
		server->nacks += deed->nth;
		break;
	case BROKER_MUTE:
		server->mutes += deed->nth;
		break;
	case BROKER_REPEATS:
		server->repeats += deed->nth;
		break;
	default:
		if (lane != NULL)
			lane->trap = (struct trap){deed->kind, deed->nth,
						   deed->lasts};
		break;
	}
}

void deed_do(struct world *world, void *subject, uint64_t number)
{
	const struct deed *deed = &world->plan->deeds[number];

	(void)subject;
	if (deed_is_fault(deed))
		note(world, NULL, deed_name(deed->kind), deed->whom,
		     deed->lasts);
	if (deed->kind == WORK_WRITE)
		write_row(world, deed);
	else if (deed->kind == WORK_LETTER)
		write_letter(world, deed);
	else
		do_fault(world, deed);
}
