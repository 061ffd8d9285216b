/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include <poll.h>

#include "upstream/probe.h"

/* The same for streams: what is wrong with the body shows as the stream's error. */
struct consumer {
	char got[256];
	size_t len;
	size_t total;
	enum stream_state state;
	bool given;
};

static void consume(struct stream *stream, struct str bytes, enum stream_state state)
{
	struct consumer *c = stream->consumer;
	const size_t room = sizeof c->got - 1 - c->len;

	memcpy(c->got + c->len, bytes.at != NULL ? bytes.at : "",
		bytes.len < room ? bytes.len : room);
	c->len += bytes.len < room ? bytes.len : room;
	c->total += bytes.len;
	c->state = state;
	c->given = true;
}

static void pull(struct stream *stream, struct consumer *c)
{
	c->given = false;
	stream->ops->pull(stream);
	while (!c->given)
		loop_turn(loop, 100);
}

static struct probe open_stream(struct upstream *u, struct consumer *c, int64_t deadline_us)
{
	struct probe p = {.u = u, .streamed = true};

	probe_start(&p, deadline_us);
	probe_wait(&p);
	if (p.stream != NULL) {
		p.stream->give = consume;
		p.stream->consumer = c;
	}
	return p;
}

/* The body comes after the test has seen the head, or it might come whole with it. */
static void serve_head_then_drip(struct raw_connection *c)
{
	const struct str text = str_from(c->server->arg);
	const size_t head_len = (size_t)(strstr(text.at, "\r\n\r\n") + 4 - text.at);
	char byte;

	if (!raw_read(c))
		return;
	raw_write(c, str_of(text.at, head_len));
	if (read(gate[0], &byte, 1) == 1)
		drip(c, str_skip(text, head_len));
}

static void streams_of_every_kind(void **state)
{
	static const struct {
		const char *text;
		const char *body;
		enum stream_state end;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", STREAM_END},
		{"HTTP/1.1 200 OK\r\n\r\nabc", "abc", STREAM_END},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
			"abc", STREAM_END},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "abc", STREAM_ERROR},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n",
			"abc", STREAM_ERROR},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n", "a",
			STREAM_ERROR},
	};

	(void)state;
	gate_make();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct raw_server s;
		struct consumer c = {0};

		raw_server_start(&s, serve_head_then_drip, rows[i].text);
		struct upstream *u = upstream_at(&s);
		const struct probe p = open_stream(u, &c, 5 * SECOND);
		assert_outcome(&p, OK, 200, "");
		assert_non_null(p.stream);
		gate_open(1);
		while (c.state == STREAM_MORE)
			pull(p.stream, &c);
		if (c.state != rows[i].end || strcmp(c.got, rows[i].body) != 0)
			fail_row(i, "state %d, \"%s\"", c.state, c.got);
		p.stream->ops->close(p.stream);
		upstream_free(u);
		raw_server_stop(&s);
	}
	gate_close();
	assert_int_equal(connections(), 0);
}

enum { LARGE_BYTES = 64 << 20 };

/* Sends a large body as fast as the client takes it; tells at the pipe when it is held back, that
 * is when nothing went for a while. Told too early, of a client that had no CPU, it has sent less.
 */
static void serve_large(struct raw_connection *c)
{
	static char piece[64 << 10];
	char head[100];
	size_t left = LARGE_BYTES;
	bool told = false;

	if (!raw_read(c))
		return;
	snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE_BYTES);
	raw_write(c, str_from(head));
	while (left > 0) {
		struct pollfd writable = {.fd = c->fd, .events = POLLOUT};

		if (poll(&writable, 1, 100) == 0 && !told) {
			told = true;
			CHECK(write(gate[1], &left, sizeof left) == sizeof left);
		}
		const ssize_t n =
			send(c->fd, piece, left < sizeof piece ? left : sizeof piece, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		left -= (size_t)n;
	}
	raw_wait_closed(c);
}

/* A consumer that does not pull holds the peer back: what is on the way is in the kernel's buffers
 * and 64 KiB of ours. */
static void streams_hold_the_peer_back(void **state)
{
	struct consumer c = {0};
	struct raw_server s;
	struct pollfd held = {.events = POLLIN};
	size_t left = 0;

	(void)state;
	gate_make();
	held.fd = gate[0];
	raw_server_start(&s, serve_large, NULL);
	struct upstream *u = upstream_at(&s);
	const struct probe p = open_stream(u, &c, 5 * SECOND);
	assert_outcome(&p, OK, 200, "");
	while (poll(&held, 1, 0) == 0)
		loop_turn(loop, 10);
	assert_int_equal(read(gate[0], &left, sizeof left), sizeof left);
	assert_true(LARGE_BYTES - left < LARGE_BYTES / 4);
	while (c.state == STREAM_MORE)
		pull(p.stream, &c);
	assert_int_equal(c.state, STREAM_END);
	assert_int_equal(c.total, LARGE_BYTES);
	assert_int_equal(connections(), 1); /* kept */
	p.stream->ops->close(p.stream);
	upstream_free(u);
	raw_server_stop(&s);
	gate_close();
}

static void serve_in_two(struct raw_connection *c)
{
	static char rest[40000];
	char byte;

	while (raw_read(c)) {
		raw_write(c, STR("HTTP/1.1 200 OK\r\nContent-Length: 40001\r\n\r\nx"));
		if (read(gate[0], &byte, 1) == 1)
			raw_write(c, str_of(rest, sizeof rest));
	}
}

/* Nothing is pulled, and yet the connection is free for others once the body has come. */
static void slow_consumers_do_not_hold_connections(void **state)
{
	struct consumer slow = {0}, second = {0};
	struct raw_server s;

	(void)state;
	gate_make();
	raw_server_start(&s, serve_in_two, NULL);
	const struct str address = str_from(s.address);
	struct upstream *u = upstream_to(&address, 1, 1);
	const struct probe p = open_stream(u, &slow, 5 * SECOND);
	assert_outcome(&p, OK, 200, "");
	assert_non_null(p.stream);
	gate_open(1);
	const struct probe q = open_stream(u, &second, 5 * SECOND); /* waits for the only slot */
	assert_outcome(&q, OK, 200, "");
	assert_int_equal(atomic_load(&s.accepted), 1);
	while (slow.state == STREAM_MORE)
		pull(p.stream, &slow);
	assert_int_equal(slow.total, 40001);
	p.stream->ops->close(p.stream);
	q.stream->ops->close(q.stream); /* in the middle */
	assert_int_equal(connections(), 0);
	gate_open(1);
	upstream_free(u);
	raw_server_stop(&s);
	gate_close();
}

static void serve_half(struct raw_connection *c)
{
	if (raw_read(c))
		raw_write(c, STR("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"));
	raw_wait_closed(c);
}

static void late_pieces_end_streams(void **state)
{
	struct consumer c = {0};
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_half, NULL);
	struct upstream *u = upstream_at(&s);
	const struct probe p = open_stream(u, &c, SECOND / 10);
	assert_outcome(&p, OK, 200, "");
	pull(p.stream, &c);
	assert_int_equal(c.state, STREAM_MORE);
	assert_string_equal(c.got, "half");
	pull(p.stream, &c);
	assert_int_equal(c.state, STREAM_ERROR);
	assert_int_equal(connections(), 0);
	p.stream->ops->close(p.stream);
	upstream_free(u);
	raw_server_stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_of_every_kind),
		cmocka_unit_test(streams_hold_the_peer_back),
		cmocka_unit_test(slow_consumers_do_not_hold_connections),
		cmocka_unit_test(late_pieces_end_streams),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
