/* SPDX-License-Identifier: Apache-2.0
 * HTTP/2, by prior knowledge and by ALPN, with frames made by hand. */
#include "base/testing.h"

#include "http/test_server.h"

#include "base/check.h"

#include <stdatomic.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { WINDOW = 1 << 20 };

static sem_t entered;
static sem_t left;
static atomic_int left_with; /* the fault of a handler that waited */
static atomic_bool released; /* lets /shielded go on */

static enum fault look(struct task *t, const struct request *request, struct reply *reply)
{
	reply_version(reply, 3);
	return reply_json(reply, 200,
		scope_format(&t->scope, "scheme=%.*s authority=%.*s version=%x a=%.*s",
			STR_ARG(request->scheme), STR_ARG(request->authority),
			(unsigned)request->version, STR_ARG(request->params[0])));
}

static enum fault echo(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t;
	reply->status = 201;
	reply->body = request->body;
	return OK;
}

static enum fault wait_long(struct task *t, const struct request *request, struct reply *reply)
{
	enum fault fault;

	(void)request;
	sem_post(&entered);
	fault = task_sleep(t, 60000000);
	atomic_store(&left_with, (int)fault);
	sem_post(&left);
	TRY(fault);
	return reply_empty(reply);
}

/* Finishes what it has begun although its client has gone. */
static enum fault wait_shielded(struct task *t, const struct request *request, struct reply *reply)
{
	enum fault fault = OK;

	(void)request;
	sem_post(&entered);
	task_shield(t);
	while (fault == OK && !atomic_load(&released))
		fault = task_sleep(t, 1000);
	task_unshield(t);
	atomic_store(&left_with, (int)fault);
	sem_post(&left);
	return reply_json(reply, 200, STR("\"done\""));
}

#define ROUTE(method_, path_, handler_)                                                    \
	{                                                                                  \
		.method = (method_), .path = (path_), .handler = (handler_), .who = ANYONE \
	}

static const struct route routes[] = {
	ROUTE("GET", "/look/{a}", look),
	ROUTE("POST", "/echo", echo),
	ROUTE("GET", "/wait", wait_long),
	ROUTE("GET", "/shielded", wait_shielded),
};

static struct test_server ts;

static int set_up_only(void **state)
{
	(void)state;
	test_server_init(&ts, routes, COUNT(routes), 1);
	sem_init(&entered, 0, 0);
	sem_init(&left, 0, 0);
	atomic_store(&left_with, -1);
	atomic_store(&released, false);
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
	sem_destroy(&entered);
	sem_destroy(&left);
	return 0;
}

static void test_prior_knowledge(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	http2_begin(&c, WINDOW);
	for (unsigned stream = 1; stream < 9; stream += 2) {
		http2_request(&c, stream, "GET", "/look/x", false);
		a = http2_read(&c, stream);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, "scheme=http authority=test version=200 a=x");
		answer_free(&a);
	}
	client_close(&c);
}

static void test_preface_in_pieces(void **state)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	for (size_t i = 0; i < sizeof preface - 1; i++)
		client_send(&c, preface + i, 1);
	http2_frame(&c, FRAME_SETTINGS, 0, 0, NULL, 0);
	http2_request(&c, 1, "GET", "/look/x", false);
	a = http2_read(&c, 1);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&c);
}

static void test_alpn(void **state)
{
	struct client c = client_open_tls(ts.config.tls_port, "h2");
	struct answer a;

	(void)state;
	http2_begin(&c, WINDOW);
	http2_request(&c, 1, "GET", "/look/x", false);
	a = http2_read(&c, 1);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "scheme=https authority=test version=200 a=x");
	answer_free(&a);
	client_close(&c);
}

/* Neither HTTP/1's Upgrade nor a preface as a second request leads there. */
static void test_no_side_door(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	client_say(&c,
		"GET /look/x HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\n"
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n");
	a = client_read(&c, false);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&c);

	c = client_open(ts.config.port);
	client_say(
		&c, "GET /look/x HTTP/1.1\r\nHost: test\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	a = client_read(&c, false);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	a = client_read(&c, false);
	assert_int_equal(a.status, 400);
	assert_true(client_is_closed(&c));
	answer_free(&a);
	client_close(&c);
}

static void test_many_streams_at_once(void **state)
{
	enum { STREAMS = 90 };
	struct client c = client_open(ts.config.port);
	bool answered[2 * STREAMS] = {false};
	unsigned ended = 0;

	(void)state;
	http2_begin(&c, WINDOW);
	for (unsigned i = 0; i < STREAMS; i++)
		http2_request(&c, 2 * i + 1, "GET", "/look/x", false);
	while (ended < STREAMS) {
		const struct frame f = http2_next(&c);

		assert_int_not_equal(f.type, 255);
		if (f.type == FRAME_DATA && (f.flags & 1) != 0) {
			assert_false(answered[f.stream]);
			answered[f.stream] = true;
			ended++;
		}
	}
	client_close(&c);
}

static struct answer post(struct client *c, unsigned stream, size_t len)
{
	enum { PIECE = 16000 };
	static const char piece[PIECE];

	http2_request(c, stream, "POST", "/echo", true);
	while (len > PIECE) {
		http2_frame(c, FRAME_DATA, 0, stream, piece, PIECE);
		len -= PIECE;
	}
	http2_frame(c, FRAME_DATA, 1, stream, piece, len);
	return http2_read(c, stream);
}

static void test_bodies(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	http2_begin(&c, WINDOW);
	a = post(&c, 1, BODY_BYTES_DEFAULT);
	assert_int_equal(a.status, 201);
	assert_int_equal(a.body_len, BODY_BYTES_DEFAULT);
	answer_free(&a);
	a = post(&c, 3, BODY_BYTES_DEFAULT + 1);
	assert_int_equal(a.status, 413);
	assert_non_null(strstr(a.body, "body_too_large"));
	answer_free(&a);
	client_close(&c);
}

/* However large it is and whatever the client has announced: 413 and the sign to stop, never a
 * REFUSED_STREAM that would make it send all that again; the connection is good for more. */
static void test_bodies_beyond_all_bounds(void **state)
{
	enum { PIECE = 16384, PIECES = 200, ROUNDS = 8 };
	static const char piece[PIECE];
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	http2_begin(&c, WINDOW);
	for (unsigned round = 0; round < ROUNDS; round++) {
		const unsigned stream = 1 + 4 * round;
		struct frame f;

		http2_request(&c, stream, "POST", "/echo", true);
		for (int i = 0; i < PIECES; i++)
			http2_frame(&c, FRAME_DATA, 0, stream, piece, PIECE);
		a = http2_read(&c, stream);
		assert_int_equal(a.status, 413);
		assert_false(a.broken);
		assert_non_null(strstr(a.body, "body_too_large"));
		answer_free(&a);
		f = http2_next(&c);
		assert_int_equal(f.type, FRAME_RST_STREAM);
		assert_int_equal(f.stream, stream);
		assert_int_equal(f.payload[3], 0); /* NO_ERROR */
		http2_frame(&c, FRAME_DATA, 1, stream, piece, PIECE); /* was on its way */
		a = post(&c, stream + 2, 1000);
		assert_int_equal(a.status, 201);
		answer_free(&a);
	}
	assert_true(c.credit > ROUNDS * PIECES * PIECE); /* what was dropped counts, too */
	client_close(&c);
}

/* All of it in one piece, so that libh2o sees the head and the end at once. */
static void test_a_large_body_at_once(void **state)
{
	enum { PIECE = 16384, PIECES = 60, ROOM = (PIECE + 9) * (PIECES + 1) + 1000 };
	struct client c = client_open(ts.config.port);
	char *const all = calloc(1, ROOM);
	struct answer a;
	size_t len = 0;

	(void)state;
	http2_begin(&c, WINDOW);
	a = post(&c, 1, 100000); /* opens the connection's window */
	answer_free(&a);
	len = http2_head(all, 3, "POST", "/echo", PIECES * PIECE);
	for (int i = 0; i < PIECES; i++) {
		const unsigned char head[9] = {0, 0x40, 0, FRAME_DATA, i == PIECES - 1, 0, 0, 0, 3};

		memcpy(all + len, head, sizeof head);
		len += sizeof head + PIECE;
	}
	client_send(&c, all, len);
	a = http2_read(&c, 3);
	assert_int_equal(a.status, 413);
	answer_free(&a);
	a = post(&c, 5, 1000);
	assert_int_equal(a.status, 201);
	answer_free(&a);
	free(all);
	client_close(&c);
}

static void test_bad_requests(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	http2_begin(&c, WINDOW);
	http2_request(&c, 1, "GET", "nonsense", false);
	a = http2_read(&c, 1);
	assert_int_equal(a.status, 400);
	assert_non_null(strstr(a.body, "\"code\":\"bad_request\""));
	answer_free(&a);
	http2_request(&c, 3, "GET", "/nowhere", false);
	a = http2_read(&c, 3);
	assert_int_equal(a.status, 404);
	answer_free(&a);
	http2_request(&c, 5, "HEAD", "/nowhere", false);
	a = http2_read(&c, 5);
	assert_int_equal(a.status, 404);
	assert_int_equal(a.body_len, 0);
	answer_free(&a);
	http2_request(&c, 7, "GET", "/look/\x01", false); /* libh2o answers this itself */
	a = http2_read(&c, 7);
	assert_int_equal(a.status, 400);
	answer_free(&a);
	client_close(&c);
}

/* ---- the client leaves ---- */

static void reset_stream(struct client *c)
{
	static const unsigned char cancel[] = {0, 0, 0, 8};

	http2_frame(c, FRAME_RST_STREAM, 0, 1, cancel, sizeof cancel);
}

static void test_reset_cancels_the_task(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	http2_begin(&c, WINDOW);
	http2_request(&c, 1, "GET", "/wait", false);
	test_wait(&entered);
	reset_stream(&c);
	test_wait(&left);
	assert_int_equal(atomic_load(&left_with), FAULT_CANCELED);
	http2_request(&c, 3, "GET", "/look/x", false);
	a = http2_read(&c, 3);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&c);
}

static void test_lost_connection_cancels_the_task(void **state)
{
	struct client c = client_open(ts.config.port);

	(void)state;
	http2_begin(&c, WINDOW);
	http2_request(&c, 1, "GET", "/wait", false);
	http2_request(&c, 3, "GET", "/wait", false);
	test_wait(&entered);
	test_wait(&entered);
	client_close(&c);
	test_wait(&left);
	test_wait(&left);
	assert_int_equal(atomic_load(&left_with), FAULT_CANCELED);
	test_server_wait_connections(&ts, 0);
}

static void test_shielded_work_is_finished(void **state)
{
	struct client c = client_open(ts.config.port);

	(void)state;
	http2_begin(&c, WINDOW);
	http2_request(&c, 1, "GET", "/shielded", false);
	test_wait(&entered);
	client_close(&c);
	test_server_wait_connections(&ts, 0);
	atomic_store(&released, true);
	test_wait(&left);
	assert_int_equal(atomic_load(&left_with), OK);
}

/* ---- times ---- */

static void test_idle_connection_gets_goaway(void **state)
{
	struct client c;
	struct frame f;

	(void)state;
	ts.config.idle_timeout_us = 500000;
	test_server_start(&ts);
	c = client_open(ts.config.port);
	http2_begin(&c, WINDOW);
	f = http2_next(&c);
	assert_int_equal(f.type, FRAME_GOAWAY);
	while (f.type == FRAME_GOAWAY)
		f = http2_next(&c);
	assert_int_equal(f.type, 255);
	client_close(&c);
}

static void test_half_a_frame_stalls(void **state)
{
	struct client c;

	(void)state;
	ts.config.stall_timeout_us = 100000;
	test_server_start(&ts);
	c = client_open(ts.config.port);
	http2_begin(&c, WINDOW);
	client_send(&c, "\0\0\x20\1\5\0\0", 7);
	while (http2_next(&c).type != 255)
		;
	client_close(&c);
}

/* Our answer cannot leave because the peer gives no window: it is not waited for for ever. */
static void test_no_window_stalls(void **state)
{
	struct client c;
	struct frame f;

	(void)state;
	ts.config.stall_timeout_us = 100000;
	test_server_start(&ts);
	c = client_open(ts.config.port);
	http2_begin(&c, 0);
	http2_request(&c, 1, "GET", "/look/x", false);
	do
		f = http2_next(&c);
	while (f.type != 255);
	client_close(&c);
	test_server_wait_connections(&ts, 0);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define STARTING(test) cmocka_unit_test_setup_teardown(test, set_up_only, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_prior_knowledge),
		SERVED(test_preface_in_pieces),
		SERVED(test_alpn),
		SERVED(test_no_side_door),
		SERVED(test_many_streams_at_once),
		SERVED(test_bodies),
		SERVED(test_bodies_beyond_all_bounds),
		SERVED(test_a_large_body_at_once),
		SERVED(test_bad_requests),
		SERVED(test_reset_cancels_the_task),
		SERVED(test_lost_connection_cancels_the_task),
		SERVED(test_shielded_work_is_finished),
		STARTING(test_idle_connection_gets_goaway),
		STARTING(test_half_a_frame_stalls),
		STARTING(test_no_window_stalls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
