/* SPDX-License-Identifier: Apache-2.0
 * How connections are ended that are idle or old: told first, with nothing lost. */
#include "base/testing.h"

#include "http/test_server.h"

#include "http/internal.h"

#include <poll.h>

#define SECOND INT64_C(1000000)
#define NEVER (1000000 * SECOND)

enum { WINDOW = 65535, NO_LIMIT = INT32_MAX, THE_END = 255 };

static enum fault hello(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request;
	return reply_json(reply, 200, STR("\"hello\""));
}

static enum fault echo(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t;
	return reply_json(reply, 200, request->body);
}

static char large[1 << 20];

static enum fault get_large(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request;
	reply->status = 200;
	reply->body = str_of(large, sizeof large);
	return OK;
}

static const struct route routes[] = {
	{.method = "GET", .path = "/hello", .handler = hello, .who = ANYONE},
	{.method = "GET", .path = "/large", .handler = get_large, .who = ANYONE},
	{.method = "POST", .path = "/echo", .handler = echo, .who = ANYONE},
};

static struct test_server ts;

static int set_up(void **state)
{
	(void)state;
	test_server_init(&ts, routes, sizeof routes / sizeof *routes, 1);
	ts.config.idle_timeout_us = NEVER;
	ts.config.head_timeout_us = NEVER;
	ts.config.stall_timeout_us = NEVER;
	ts.config.admin_routes = routes;
	ts.config.admin_route_count = 1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_server_stop(&ts);
	return 0;
}

static void start(int64_t idle_us, int64_t age_us)
{
	ts.config.idle_timeout_us = idle_us;
	ts.config.connection_age_us = age_us;
	test_server_start(&ts);
}

static struct client http2_open(void)
{
	struct client c = client_open(ts.config.port);

	http2_begin(&c, WINDOW);
	return c;
}

static void assert_hello(struct client *c, unsigned stream)
{
	struct answer a;

	http2_request(c, stream, "GET", "/hello", false);
	a = http2_read(c, stream);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "\"hello\"");
	answer_free(&a);
}

static void assert_goaway(struct client *c, unsigned last_stream)
{
	const struct frame f = http2_next(c);
	unsigned last;

	assert_int_equal(f.type, FRAME_GOAWAY);
	last = (unsigned)(f.payload[0] << 24 | f.payload[1] << 16 | f.payload[2] << 8 |
			  f.payload[3]);
	assert_int_equal(last, last_stream);
	assert_int_equal(f.payload[7], 0); /* it is no error */
}

static bool has_news(struct client *c)
{
	return c->len > 0 || poll(&(struct pollfd){.fd = c->fd, .events = POLLIN}, 1, 0) != 0;
}

/* What has crossed the first GOAWAY on its way is answered; what crosses the second one the client
 * knows to be unread. */
static void test_http2_is_told_twice(void **state)
{
	struct client c;

	(void)state;
	start(NEVER, 100 * SECOND);
	c = http2_open();
	assert_hello(&c, 1);
	test_server_pass(&ts, 89 * SECOND);
	assert_hello(&c, 3); /* not yet: and no GOAWAY before its answer */
	test_server_pass(&ts, 22 * SECOND);
	assert_goaway(&c, NO_LIMIT);
	assert_hello(&c, 5);
	test_server_pass(&ts, SECOND);
	assert_goaway(&c, 5);
	assert_int_equal(http2_next(&c).type, THE_END);
	client_close(&c);
	test_server_wait_connections(&ts, 0);
}

/* The oldest are told, as many as are to go, and no others; who is told counts no more. */
static void test_some_are_shed(void **state)
{
	struct client c[3];

	(void)state;
	start(NEVER, NEVER);
	for (unsigned i = 0; i < 3; i++) {
		c[i] = http2_open();
		assert_hello(&c[i], 1);
	}
	assert_int_equal(server_connections(ts.server), 3);
	server_shed(ts.server, 2);
	test_server_pass(&ts, SECOND);
	for (unsigned i = 0; i < 2; i++)
		assert_goaway(&c[i], NO_LIMIT);
	assert_int_equal(server_connections(ts.server), 1);
	test_server_pass(&ts, SECOND);
	assert_hello(&c[2], 3); /* and no GOAWAY before its answer */
	for (unsigned i = 0; i < 3; i++)
		client_close(&c[i]);
	test_server_wait_connections(&ts, 0);
	assert_int_equal(server_connections(ts.server), 0);
}

/* The second GOAWAY waits for the end of a request that is being received. */
static void test_an_upload_is_finished(void **state)
{
	struct client c;
	struct answer a;

	(void)state;
	start(NEVER, 10 * SECOND);
	c = http2_open();
	http2_request(&c, 1, "POST", "/echo", true);
	http2_frame(&c, FRAME_DATA, 0, 1, "\"be", 3);
	assert_hello(&c, 3); /* so both are there */
	test_server_pass(&ts, 11 * SECOND);
	assert_goaway(&c, NO_LIMIT);
	test_server_pass(&ts, 5 * SECOND);
	test_server_pass(&ts, 5 * SECOND);
	http2_frame(&c, FRAME_DATA, 1, 1, "gin\"", 4);
	a = http2_read(&c, 1);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "\"begin\"");
	answer_free(&a);
	test_server_pass(&ts, SECOND);
	assert_goaway(&c, 3);
	assert_int_equal(http2_next(&c).type, THE_END);
	client_close(&c);
}

/* Pings keep nothing alive. */
static void test_idle_http2(void **state)
{
	struct client c;

	(void)state;
	start(75 * SECOND, 0);
	c = http2_open();
	assert_hello(&c, 1);
	test_server_pass(&ts, SECOND); /* the sweep that finds it idle */
	test_server_pass(&ts, 70 * SECOND);
	assert_hello(&c, 3);
	test_server_pass(&ts, SECOND);
	test_server_pass(&ts, 70 * SECOND);
	http2_frame(&c, FRAME_PING, 0, 0, "12345678", 8);
	test_server_pass(&ts, 6 * SECOND);
	assert_goaway(&c, NO_LIMIT);
	test_server_pass(&ts, SECOND);
	assert_goaway(&c, 3);
	assert_int_equal(http2_next(&c).type, THE_END);
	client_close(&c);
}

static struct answer ask(struct client *c)
{
	client_say(c, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
	return client_read(c, false);
}

static void assert_stays(struct client *c, bool stays)
{
	struct answer a = ask(c);

	assert_int_equal(a.status, 200);
	assert_int_equal(strstr(a.head, "onnection: close") == NULL, stays);
	answer_free(&a);
}

static void test_http1_is_told_by_its_answer(void **state)
{
	struct client c, tls, admin;

	(void)state;
	start(NEVER, 100 * SECOND);
	c = client_open(ts.config.port);
	tls = client_open_tls(ts.config.tls_port, "http/1.1");
	admin = client_open(ts.config.admin_port);
	assert_stays(&c, true);
	assert_stays(&tls, true);
	test_server_pass(&ts, 89 * SECOND);
	assert_stays(&c, true);
	test_server_pass(&ts, 22 * SECOND);
	assert_false(has_news(&c));
	assert_stays(&c, false);
	assert_stays(&tls, false);
	assert_stays(&admin, true);
	assert_true(client_is_closed(&c));
	assert_true(client_is_closed(&tls));
	client_close(&c);
	client_close(&tls);
	client_close(&admin);
}

/* A client that does not wait for answers gets the last one whole, though there is more to read
 * when we close. */
static void test_the_last_answer_is_not_reset(void **state)
{
	struct client c;
	struct answer a;

	(void)state;
	start(NEVER, 10 * SECOND);
	c = client_open(ts.config.port);
	assert_stays(&c, true);
	test_server_pass(&ts, 12 * SECOND);
	client_say(&c, "GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
	for (int i = 0; i < 2000; i++)
		client_say(&c, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
	test_server_wait_connections(&ts, 0);
	a = client_read(&c, false);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "connection"), "close");
	assert_false(a.broken);
	assert_true(client_is_closed(&c));
	answer_free(&a);
	client_close(&c);
}

/* They do not go together who came together. */
static void test_ages_differ(void **state)
{
	enum { CLIENTS = 40 };
	struct client clients[CLIENTS];
	int gone = 0;

	(void)state;
	start(NEVER, 100 * SECOND);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = http2_open();
		assert_hello(&clients[i], 1);
	}
	test_server_pass(&ts, 100 * SECOND);
	test_server_pass(&ts, 0); /* what was written at that turn's end has gone out */
	test_server_pass(&ts, 0);
	for (int i = 0; i < CLIENTS; i++) {
		gone += has_news(&clients[i]);
		client_close(&clients[i]);
	}
	assert_in_range(gone, 4, CLIENTS - 4);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_http2_is_told_twice),
		TEST(test_some_are_shed),
		TEST(test_an_upload_is_finished),
		TEST(test_idle_http2),
		TEST(test_http1_is_told_by_its_answer),
		TEST(test_the_last_answer_is_not_reset),
		TEST(test_ages_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
