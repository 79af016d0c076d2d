/* SPDX-License-Identifier: MIT */
/* A TCP stream against sockets of this process. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"

struct listener {
	int fd;
	uint16_t port;
};

static struct listener listen_anywhere(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);
	struct listener listener = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
	struct sockaddr *any = (struct sockaddr *)&address;

	assert_int_equal(bind(listener.fd, any, size), 0);
	assert_int_equal(listen(listener.fd, 8), 0);
	assert_int_equal(getsockname(listener.fd, any, &size), 0);
	listener.port = ntohs(address.sin_port);
	return listener;
}

static int begin(struct stream **stream, const char *host, uint16_t port,
		 struct error *err)
{
	const struct stream_target target = {
		.host = host,
		.port = port,
		.deadline = clock_monotonic() + 30 * USEC_PER_SEC,
		.quick_ack = true,
	};

	return stream_open(stream, &target, clock_monotonic(), err);
}

static void sleep_for(struct stream *stream, bool read, bool write)
{
	struct wait wait;

	wait_init(&wait);
	stream_wait(stream, read, write, &wait);
	assert_int_equal(wait.count, 1);
	poll(wait.fds, wait.count, 1000);
}

/* Steps until the stream is ready or has failed. */
static int finish(struct stream *stream, struct error *err)
{
	int status;

	while ((status = stream_step(stream, clock_monotonic(), err)) == 0)
		sleep_for(stream, false, false);
	return status;
}

/* A ready stream; returns the other end. */
static int pair(struct stream **stream)
{
	struct listener listener = listen_anywhere();
	int peer;

	assert_int_equal(begin(stream, "127.0.0.1", listener.port, NULL), 0);
	assert_int_equal(finish(*stream, NULL), 1);
	peer = accept(listener.fd, NULL, NULL);
	assert_true(peer >= 0);
	close(listener.fd);
	return peer;
}

static int read_some(struct stream *stream, struct buffer *in, size_t limit,
		     struct error *err)
{
	int got;

	while ((got = stream_read(stream, in, limit, err)) == 0)
		sleep_for(stream, true, false);
	return got;
}

static void bytes_cross_both_ways(void **state)
{
	struct buffer out = {0};
	struct buffer in = {0};
	struct stream *stream;
	char text[5];
	int peer = pair(&stream);

	(void)state;
	buffer_append_text(&out, "hello");
	assert_int_equal(stream_write(stream, &out, NULL), 0);
	assert_int_equal(buffer_length(&out), 0);
	assert_int_equal(recv(peer, text, 5, MSG_WAITALL), 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(send(peer, "you", 3, 0), 3);
	assert_int_equal(read_some(stream, &in, 100, NULL), 3);
	assert_span(buffer_span(&in), "you");
	stream_close(stream);
	close(peer);
	buffer_finish(&out);
	buffer_finish(&in);
}

/* What the kernel at this end has sent and not yet heard to have arrived. */
static unsigned unacknowledged(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size),
			 0);
	return info.tcpi_unacked;
}

static void ask(int peer, struct stream *stream, struct buffer *in)
{
	assert_int_equal(send(peer, "?", 1, 0), 1);
	assert_int_equal(read_some(stream, in, SIZE_MAX, NULL), 1);
}

/* Once there was an answer to a few questions, the kernel waits for the next
 * answer to acknowledge a question with. Where a busy machine lets the
 * acknowledgement lag, that of a later question does not. */
static void what_gets_no_answer_is_acknowledged_at_once(void **state)
{
	struct buffer out = {0};
	struct buffer in = {0};
	struct stream *stream;
	bool at_once = false;
	char answer;
	int peer = pair(&stream);

	(void)state;
	for (int i = 0; i < 50; i++) {
		ask(peer, stream, &in);
		buffer_append_text(&out, "!");
		assert_int_equal(stream_write(stream, &out, NULL), 0);
		assert_int_equal(recv(peer, &answer, 1, 0), 1);
	}
	for (int i = 0; i < 10 && !at_once; i++) {
		ask(peer, stream, &in);
		assert_int_equal(stream_write(stream, &out, NULL), 0);
		at_once = unacknowledged(peer) == 0;
	}
	assert_true(at_once);
	stream_close(stream);
	close(peer);
	buffer_finish(&out);
	buffer_finish(&in);
}

static void a_refused_connection_says_so(void **state)
{
	struct listener listener = listen_anywhere();
	struct stream *stream = NULL;
	struct error err;
	int status;

	(void)state;
	close(listener.fd);
	status = begin(&stream, "127.0.0.1", listener.port, &err);
	if (status == 0)
		status = finish(stream, &err);
	assert_int_equal(status, STATUS_AWAY);
	assert_string_equal(err.text, "Connection refused");
	stream_close(stream);
}

static void a_name_that_does_not_resolve_says_so(void **state)
{
	struct stream *stream = NULL;
	struct error err;

	(void)state;
	assert_int_equal(begin(&stream, "no-such-host.invalid", 1, &err),
			 STATUS_AWAY);
	assert_non_null(strstr(err.text, "does not resolve"));
	assert_null(stream);
}

static void the_next_address_is_tried_after_a_refusal(void **state)
{
	struct listener listener = listen_anywhere();
	struct stream *stream;

	(void)state;
	assert_int_equal(begin(&stream, "localhost", listener.port, NULL), 0);
	assert_int_equal(finish(stream, NULL), 1);
	stream_close(stream);
	close(listener.fd);
}

/* A full backlog answers nobody. */
static void a_silent_address_is_given_up_at_the_deadline(void **state)
{
	struct listener listener = listen_anywhere();
	struct stream *first, *second, *stream = NULL;
	usec_t now = clock_monotonic();
	struct error err;

	(void)state;
	assert_int_equal(listen(listener.fd, 0), 0);
	assert_int_equal(begin(&first, "127.0.0.1", listener.port, NULL), 0);
	assert_int_equal(finish(first, NULL), 1);
	assert_int_equal(begin(&second, "127.0.0.1", listener.port, NULL), 0);
	assert_int_equal(begin(&stream, "127.0.0.1", listener.port, NULL), 0);
	assert_int_equal(stream_step(stream, now, &err), 0);
	assert_int_equal(stream_step(stream, now + 31 * USEC_PER_SEC, &err),
			 STATUS_AWAY);
	assert_string_equal(err.text, "Connection timed out");
	assert_int_equal(stream_step(stream, now, NULL), STATUS_AWAY);
	stream_close(stream);
	stream_close(second);
	stream_close(first);
	close(listener.fd);
}

static void what_came_before_the_end_is_read(void **state)
{
	struct buffer in = {0};
	struct stream *stream;
	struct error err;
	int peer = pair(&stream);

	(void)state;
	assert_int_equal(send(peer, "last", 4, 0), 4);
	close(peer);
	while (read_some(stream, &in, 100, &err) > 0)
		;
	assert_span(buffer_span(&in), "last");
	assert_string_equal(err.text, "the peer closed the connection");
	assert_int_equal(stream_read(stream, &in, 100, NULL), STATUS_AWAY);
	stream_close(stream);
	buffer_finish(&in);
}

static void reading_stops_at_the_limit(void **state)
{
	static char bytes[300000];
	struct buffer in = {0};
	struct stream *stream;
	size_t held;
	int peer = pair(&stream);

	(void)state;
	assert_true(send(peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 1000);
	while (buffer_length(&in) < 1000)
		read_some(stream, &in, 1000, NULL);
	held = buffer_length(&in);
	assert_int_equal(stream_read(stream, &in, 1000, NULL), 0);
	assert_int_equal(buffer_length(&in), held);
	stream_close(stream);
	close(peer);
	buffer_finish(&in);
}

static void a_peer_that_reads_nothing_takes_what_it_can(void **state)
{
	enum { MUCH = 32 << 20 };
	struct buffer out = {0};
	struct stream *stream;
	size_t left;
	int peer = pair(&stream);

	(void)state;
	assert_non_null(buffer_reserve(&out, MUCH));
	memset(out.data, 'x', MUCH);
	buffer_grew(&out, MUCH);
	assert_int_equal(stream_write(stream, &out, NULL), 0);
	left = buffer_length(&out);
	assert_in_range(left, 1, MUCH - 1);
	assert_int_equal(stream_write(stream, &out, NULL), 0);
	stream_close(stream);
	close(peer);
	buffer_finish(&out);
}

static void
writing_to_a_broken_connection_is_an_error_and_no_signal(void **state)
{
	const struct linger at_once = {.l_onoff = 1};
	struct buffer out = {0};
	struct stream *stream;
	struct error err;
	int status = 0;
	int peer = pair(&stream);

	(void)state;
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(peer);
	while (status == 0) {
		buffer_append_text(&out, "x");
		status = stream_write(stream, &out, &err);
	}
	assert_int_equal(status, STATUS_AWAY);
	assert_non_null(strstr(err.text, "broken"));
	stream_close(stream);
	buffer_finish(&out);
}

static void a_stream_that_wants_nothing_waits_for_nothing(void **state)
{
	struct stream *stream;
	struct wait wait;
	int peer = pair(&stream);

	(void)state;
	wait_init(&wait);
	stream_wait(stream, false, false, &wait);
	assert_int_equal(wait.count, 0);
	assert_true(wait.until == USEC_NEVER);
	stream_close(stream);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_cross_both_ways),
		cmocka_unit_test(what_gets_no_answer_is_acknowledged_at_once),
		cmocka_unit_test(a_refused_connection_says_so),
		cmocka_unit_test(a_name_that_does_not_resolve_says_so),
		cmocka_unit_test(the_next_address_is_tried_after_a_refusal),
		cmocka_unit_test(a_silent_address_is_given_up_at_the_deadline),
		cmocka_unit_test(what_came_before_the_end_is_read),
		cmocka_unit_test(reading_stops_at_the_limit),
		cmocka_unit_test(a_peer_that_reads_nothing_takes_what_it_can),
		cmocka_unit_test(
			writing_to_a_broken_connection_is_an_error_and_no_signal),
		cmocka_unit_test(a_stream_that_wants_nothing_waits_for_nothing),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
