/* SPDX-License-Identifier: Apache-2.0
 * Replies that take long to send: large bodies for slow readers (the arena has to live until the
 * last byte is gone, and no longer), and streams with their back-pressure. What is proved about
 * memory is proved by AddressSanitizer. */
#include "base/testing.h"

#include "http/test_server.h"

#include "base/check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { LARGE = 8 << 20, PIECE = 10000 };

static sem_t ended; /* handlers that returned */
static sem_t closed; /* streams */

/* ---- what is served ---- */

static char byte_at(size_t i)
{
	return (char)('a' + i % 23);
}

static void post_ended(void *arg)
{
	(void)arg;
	sem_post(&ended);
}

static enum fault large(struct task *t, const struct request *request, struct reply *reply)
{
	char *body = arena_bytes(reply->arena, LARGE);

	(void)request;
	for (size_t i = 0; i < LARGE; i++)
		body[i] = byte_at(i);
	(void)scope_defer(&t->scope, post_ended, NULL);
	reply->status = 200;
	reply->body = str_of(body, LARGE);
	return OK;
}

enum ending { ENDS, ENDS_EMPTY, FAILS, NEVER_ENDS };

struct producer {
	struct stream stream;
	struct loop_timer timer; /* for pieces that come later */
	struct loop *loop;
	char *piece;
	size_t pieces; /* left */
	size_t at; /* of all bytes */
	bool later;
	bool gaps; /* every other piece is empty */
	bool gap_next;
	enum ending ending;
};

static void give(struct producer *p)
{
	enum stream_state state = STREAM_MORE;

	if (p->gaps && (p->gap_next = !p->gap_next)) {
		p->stream.give(&p->stream, STR_NONE, STREAM_MORE);
		return;
	}
	if (p->pieces == 0) {
		p->stream.give(
			&p->stream, STR_NONE, p->ending == FAILS ? STREAM_ERROR : STREAM_END);
		return;
	}
	for (size_t i = 0; i < PIECE; i++)
		p->piece[i] = byte_at(p->at + i);
	p->at += PIECE;
	if (--p->pieces == 0 && p->ending == ENDS)
		state = STREAM_END;
	p->stream.give(&p->stream, str_of(p->piece, PIECE), state);
}

static void on_timer(struct loop_timer *timer)
{
	give(CONTAINER_OF(timer, struct producer, timer));
}

static void pull(struct stream *stream)
{
	struct producer *p = CONTAINER_OF(stream, struct producer, stream);

	if (p->pieces == 0 && p->ending == NEVER_ENDS)
		return;
	if (p->later)
		loop_timer_set(p->loop, &p->timer, loop_now_us(p->loop));
	else
		give(p);
}

static void close_stream(struct stream *stream)
{
	struct producer *p = CONTAINER_OF(stream, struct producer, stream);

	loop_timer_clear(p->loop, &p->timer);
	free(p->piece);
	free(p);
	sem_post(&closed);
}

static const struct stream_ops producer_ops = {.pull = pull, .close = close_stream};

static struct producer *producer_new(struct task *t, struct reply *reply, size_t pieces)
{
	struct producer *p = calloc(1, sizeof *p);

	CHECK(p != NULL);
	p->stream.ops = &producer_ops;
	p->timer.fire = on_timer;
	p->loop = t->loop;
	p->piece = malloc(PIECE);
	p->pieces = pieces;
	reply->status = 200;
	reply->stream = &p->stream;
	return p;
}

static enum fault known(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 100);
	reply->stream_bytes = 100 * PIECE;
	return OK;
}

static enum fault unknown(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 100)->ending = ENDS_EMPTY;
	return OK;
}

static enum fault later(struct task *t, const struct request *request, struct reply *reply)
{
	struct producer *p = producer_new(t, reply, 100);

	(void)request;
	p->later = p->gaps = true;
	return OK;
}

static enum fault gaps(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 100)->gaps = true;
	return OK;
}

static enum fault empty(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 0);
	return OK;
}

static enum fault breaks(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 3)->ending = FAILS;
	return OK;
}

static enum fault breaks_known(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 3)->ending = FAILS;
	reply->stream_bytes = 100 * PIECE;
	return OK;
}

static enum fault too_short(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 3);
	reply->stream_bytes = 4 * PIECE;
	return OK;
}

static enum fault too_long(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 5);
	reply->stream_bytes = 4 * PIECE;
	return OK;
}

static enum fault fails_first(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 0)->ending = FAILS;
	return OK;
}

static enum fault endless(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, SIZE_MAX);
	return OK;
}

static enum fault silent(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 1)->ending = NEVER_ENDS;
	return OK;
}

static enum fault changes_its_mind(
	struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	producer_new(t, reply, 3);
	return fail(&t->scope, FAULT_CONFLICT, "on second thoughts");
}

#define ROUTE(path_, handler_)                                                         \
	{                                                                              \
		.method = "GET", .path = (path_), .handler = (handler_), .who = ANYONE \
	}

static const struct route routes[] = {
	ROUTE("/large", large),
	ROUTE("/known", known),
	ROUTE("/unknown", unknown),
	ROUTE("/later", later),
	ROUTE("/gaps", gaps),
	ROUTE("/empty", empty),
	ROUTE("/breaks", breaks),
	ROUTE("/breaks_known", breaks_known),
	ROUTE("/too_short", too_short),
	ROUTE("/too_long", too_long),
	ROUTE("/fails_first", fails_first),
	ROUTE("/endless", endless),
	ROUTE("/silent", silent),
	ROUTE("/changes_its_mind", changes_its_mind),
};

static struct test_server ts;

static int set_up_only(void **state)
{
	(void)state;
	test_server_init(&ts, routes, COUNT(routes), 1);
	sem_init(&ended, 0, 0);
	sem_init(&closed, 0, 0);
	return 0;
}

static int set_up(void **state)
{
	set_up_only(state);
	test_server_start(&ts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_server_stop(&ts);
	sem_destroy(&ended);
	sem_destroy(&closed);
	return 0;
}

/* A client that takes in little at a time. */
static struct client open_slow(void)
{
	struct client c = client_open(ts.config.port);
	const int small = 32 << 10;

	setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	return c;
}

/* Leaves without a word. */
static void reset(struct client *c)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	client_close(c);
}

static void assert_pattern(const struct answer *a, size_t len)
{
	assert_int_equal(a->status, 200);
	assert_false(a->broken);
	assert_int_equal(a->body_len, len);
	for (size_t i = 0; i < len; i++)
		if (a->body[i] != byte_at(i))
			fail_msg("byte %zu is wrong", i);
}

/* ---- large bodies ---- */

static void test_slow_reader(void **state)
{
	struct client c = open_slow();
	struct answer a;

	(void)state;
	client_say(&c, "GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&ended); /* long before the last byte is sent */
	a = client_read(&c, false);
	assert_pattern(&a, LARGE);
	answer_free(&a);
	client_say(&c, "GET /known HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&c, false);
	assert_pattern(&a, 100 * PIECE);
	answer_free(&a);
	client_close(&c);
}

static void test_slow_reader_leaves(void **state)
{
	struct client c = open_slow();

	(void)state;
	client_say(&c, "GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&ended);
	assert_true(client_fill(&c, 200000));
	reset(&c);
	test_server_wait_connections(&ts, 0);
}

static void test_slow_tls_reader(void **state)
{
	struct client c = client_open_tls(ts.config.tls_port, "http/1.1");
	struct answer a;

	(void)state;
	client_say(&c, "GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&ended);
	a = client_read(&c, false);
	assert_pattern(&a, LARGE);
	answer_free(&a);
	client_close(&c);
}

/* Reads the stream's DATA, giving window for what was read; stops after `max` bytes. */
static struct answer http2_read_slowly(struct client *c, unsigned stream, size_t max)
{
	struct answer a = {.body = malloc(LARGE + (1 << 17))};
	struct frame f;

	do {
		f = http2_next(c);
		if (f.type == FRAME_HEADERS && f.stream == stream)
			a.status = 200;
		if (f.type == FRAME_DATA && f.len > 0) {
			const unsigned char by[] = {0, (unsigned char)(f.len >> 16),
				(unsigned char)(f.len >> 8), (unsigned char)f.len};

			/* of a stream that was reset, too: it used the connection's window */
			http2_frame(c, FRAME_WINDOW_UPDATE, 0, 0, by, sizeof by);
			if (f.stream == stream) {
				http2_frame(c, FRAME_WINDOW_UPDATE, 0, stream, by, sizeof by);
				memcpy(a.body + a.body_len, f.payload, f.len);
				a.body_len += f.len;
			}
		}
		a.broken = f.type == 255 || f.type == FRAME_RST_STREAM;
	} while (!a.broken && !(f.stream == stream && (f.flags & 1) != 0) && a.body_len < max);
	return a;
}

static struct client http2_get(const char *path)
{
	struct client c = open_slow();

	http2_begin(&c, 65535);
	http2_request(&c, 1, "GET", path, false);
	return c;
}

static void test_slow_http2_reader(void **state)
{
	struct client c = http2_get("/large");
	struct answer a;

	(void)state;
	test_wait(&ended);
	a = http2_read_slowly(&c, 1, SIZE_MAX);
	assert_pattern(&a, LARGE);
	answer_free(&a);
	client_close(&c);
}

static void test_http2_reader_resets_the_stream(void **state)
{
	static const unsigned char cancel[] = {0, 0, 0, 8};
	struct client c = http2_get("/large");
	struct answer a;

	(void)state;
	test_wait(&ended);
	a = http2_read_slowly(&c, 1, 300000);
	answer_free(&a);
	http2_frame(&c, FRAME_RST_STREAM, 0, 1, cancel, sizeof cancel);
	http2_request(&c, 3, "GET", "/known", false);
	a = http2_read_slowly(&c, 3, SIZE_MAX);
	assert_pattern(&a, 100 * PIECE);
	answer_free(&a);
	client_close(&c);
}

static void test_http2_reader_leaves(void **state)
{
	struct client c = http2_get("/large");
	struct answer a;

	(void)state;
	test_wait(&ended);
	a = http2_read_slowly(&c, 1, 300000);
	answer_free(&a);
	reset(&c);
	test_server_wait_connections(&ts, 0);
}

/* One that takes nothing any more is cut off, one that takes a little all the time is not. */
static void test_reader_that_stalls(void **state)
{
	struct client c;

	(void)state;
	ts.config.stall_timeout_us = 200000;
	test_server_start(&ts);
	c = open_slow();
	client_say(&c, "GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
	test_server_wait_connections(&ts, 0);
	client_close(&c);
}

/* ---- streams ---- */

static void test_streams(void **state)
{
	static const struct {
		const char *path;
		size_t len;
	} rows[] = {
		{"/known", 100 * PIECE},
		{"/unknown", 100 * PIECE},
		{"/later", 100 * PIECE},
		{"/gaps", 100 * PIECE},
		{"/empty", 0},
	};
	struct client c = client_open(ts.config.port);
	struct client h2 = open_slow();

	(void)state;
	http2_begin(&h2, 65535);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct answer a;

		client_say(&c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", rows[i].path);
		a = client_read(&c, false);
		assert_pattern(&a, rows[i].len);
		answer_free(&a);
		test_wait(&closed);
		http2_request(&h2, (unsigned)(2 * i + 1), "GET", rows[i].path, false);
		a = http2_read_slowly(&h2, (unsigned)(2 * i + 1), SIZE_MAX);
		assert_pattern(&a, rows[i].len);
		answer_free(&a);
		test_wait(&closed);
	}
	client_close(&c);
	client_close(&h2);
}

static void test_stream_for_http_1_0(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	client_say(&c, "GET /unknown HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	a = client_read(&c, false);
	assert_pattern(&a, 100 * PIECE);
	assert_true(client_is_closed(&c));
	answer_free(&a);
	client_close(&c);
}

static void test_head_of_a_stream(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	client_say(&c, "HEAD /known HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&c, true);
	assert_int_equal(a.status, 200);
	assert_int_equal(atoi(answer_header(&a, "content-length")), 100 * PIECE);
	answer_free(&a);
	test_wait(&closed);
	client_say(&c, "GET /known HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&c, false);
	assert_pattern(&a, 100 * PIECE);
	answer_free(&a);
	test_wait(&closed);
	client_close(&c);
}

/* What ends before its time must not look whole. */
static void test_broken_streams(void **state)
{
	static const char *const paths[] = {"/breaks", "/breaks_known", "/too_short", "/too_long"};

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		struct client c = client_open(ts.config.port);
		struct answer a;

		client_say(&c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", paths[i]);
		a = client_read(&c, false);
		/* one that is too long is found out after its last allowed byte */
		if (a.status != 200 || a.broken == (strcmp(paths[i], "/too_long") == 0))
			fail_row(i, "%s: %d, %zu bytes", paths[i], a.status, a.body_len);
		assert_true(client_is_closed(&c));
		answer_free(&a);
		client_close(&c);
		test_wait(&closed);
		c = http2_get(paths[i]);
		a = http2_read_slowly(&c, 1, SIZE_MAX);
		if (a.status != 200 || !a.broken)
			fail_row(i, "%s on HTTP/2: %zu bytes", paths[i], a.body_len);
		answer_free(&a);
		client_close(&c);
		test_wait(&closed);
	}
}

static void test_stream_that_fails_first(void **state)
{
	struct answer a = client_get(ts.config.port, "/fails_first");

	(void)state;
	assert_int_equal(a.status, 502);
	assert_non_null(strstr(a.body, "\"code\":\"bad_gateway\""));
	answer_free(&a);
	test_wait(&closed);
	a = client_get(ts.config.port, "/changes_its_mind");
	assert_int_equal(a.status, 409);
	answer_free(&a);
	test_wait(&closed);
}

static void test_reader_leaves_a_stream(void **state)
{
	static const char *const paths[] = {"/endless", "/silent"};

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		struct client c = open_slow();

		client_say(&c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", paths[i]);
		assert_true(client_fill(&c, PIECE));
		if (i == 0) { /* one that is silent notices on HTTP/1 only when it writes */
			reset(&c);
			test_wait(&closed);
		} else
			client_close(&c);
		c = http2_get(paths[i]);
		(void)http2_next(&c);
		reset(&c);
		test_wait(&closed);
	}
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define STARTING(test) cmocka_unit_test_setup_teardown(test, set_up_only, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_slow_reader),
		SERVED(test_slow_reader_leaves),
		SERVED(test_slow_tls_reader),
		SERVED(test_slow_http2_reader),
		SERVED(test_http2_reader_resets_the_stream),
		SERVED(test_http2_reader_leaves),
		STARTING(test_reader_that_stalls),
		SERVED(test_streams),
		SERVED(test_stream_for_http_1_0),
		SERVED(test_head_of_a_stream),
		SERVED(test_broken_streams),
		SERVED(test_stream_that_fails_first),
		SERVED(test_reader_leaves_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
