/* SPDX-License-Identifier: Apache-2.0
 * Two workers under load: draining without a failed request, and running out of descriptors. */
#include "base/testing.h"

#include "http/test_server.h"

#include "base/check.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static sem_t entered;
static atomic_bool released; /* lets /wait go on */

static enum fault hello(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request;
	return reply_json(reply, 200, STR("\"hello\""));
}

static enum fault wait_for_release(
	struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	sem_post(&entered);
	while (!atomic_load(&released))
		TRY(task_sleep(t, 2000));
	return reply_json(reply, 200, STR("\"waited\""));
}

#define ROUTE(path_, handler_)                                                         \
	{                                                                              \
		.method = "GET", .path = (path_), .handler = (handler_), .who = ANYONE \
	}

static const struct route routes[] = {
	ROUTE("/hello", hello),
	ROUTE("/wait", wait_for_release),
};

static struct test_server ts;

static int set_up(void **state)
{
	(void)state;
	test_server_init(&ts, routes, sizeof routes / sizeof routes[0], 2);
	sem_init(&entered, 0, 0);
	atomic_store(&released, false);
	test_server_start(&ts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_server_stop(&ts);
	sem_destroy(&entered);
	return 0;
}

static void announce(struct server_worker *w, void *arg)
{
	(void)arg;
	server_worker_announce(w);
}

static void begin_close(struct server_worker *w, void *arg)
{
	(void)arg;
	server_worker_close(w);
}

static void turn_again(struct server_worker *w, void *arg)
{
	(void)w, (void)arg;
}

static struct answer ask(struct client *c, const char *path)
{
	client_say(c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
	return client_read(c, false);
}

/* ---- the steps ---- */

static void test_announced_answers_end_their_connection(void **state)
{
	struct client idle = client_open(ts.config.port);
	struct client running = client_open(ts.config.port);
	struct client fresh;
	struct answer a = ask(&idle, "/hello");

	(void)state;
	answer_free(&a);
	client_say(&running, "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&entered);
	test_server_call(&ts, announce, NULL);
	atomic_store(&released, true);
	a = client_read(&running, false);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "connection"), "close");
	assert_true(client_is_closed(&running));
	answer_free(&a);
	a = ask(&idle, "/hello"); /* not closed yet, and served */
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "connection"), "close");
	answer_free(&a);
	fresh = client_open(ts.config.port); /* new ones still come in */
	a = ask(&fresh, "/hello");
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&idle);
	client_close(&running);
	client_close(&fresh);
}

static void test_closing(void **state)
{
	struct client idle = client_open(ts.config.port);
	struct client running = client_open(ts.config.port);
	struct client h2 = client_open(ts.config.port);
	struct answer a = ask(&idle, "/hello");
	struct frame f;

	(void)state;
	answer_free(&a);
	http2_begin(&h2, 65535);
	http2_request(&h2, 1, "GET", "/wait", false);
	client_say(&running, "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&entered);
	test_wait(&entered);
	test_server_call(&ts, begin_close, NULL);
	assert_true(client_is_closed(&idle));
	do /* GOAWAY at once, the running stream to its end, a last GOAWAY, the end */
		f = http2_next(&h2);
	while (f.type != FRAME_GOAWAY && f.type != 255);
	assert_int_equal(f.type, FRAME_GOAWAY);
	atomic_store(&released, true);
	a = http2_read(&h2, 1);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "\"waited\"");
	answer_free(&a);
	a = client_read(&running, false);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	do
		f = http2_next(&h2);
	while (f.type != 255);
	test_server_wait_connections(&ts, 0);
	client_close(&idle);
	client_close(&running);
	client_close(&h2);
}

/* Who has just connected and has not asked yet is still waited for. */
static void test_closing_spares_the_new(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	test_server_wait_connections(&ts, 1);
	test_server_call(&ts, begin_close, NULL);
	test_server_call(&ts, turn_again, NULL); /* the first sweep is over */
	a = ask(&c, "/hello");
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "connection"), "close");
	answer_free(&a);
	client_close(&c);
}

static void is_drained(struct server_worker *w, void *arg)
{
	*(int *)arg += server_worker_is_drained(w);
}

/* Once quiet, nobody listens any more: with our own sockets still bound, a connect is refused. */
static void test_listeners_close_when_quiet(void **state)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	struct answer a;
	int refused = 0, drained = 0;

	(void)state;
	a = client_get(ts.config.port, "/hello");
	answer_free(&a);
	test_server_call(&ts, begin_close, NULL);
	a = client_get(ts.config.port, "/hello"); /* not yet */
	assert_int_equal(a.status, 200);
	answer_free(&a);
	for (int i = 0; i < TEST_WAIT_S * 50 && !refused; i++) {
		struct sockaddr_in address = {.sin_family = AF_INET,
			.sin_port = htons(ts.config.port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int fd;

		nanosleep(&(struct timespec){.tv_sec = SERVER_QUIET_US / 1000000}, NULL);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		refused = connect(fd, (struct sockaddr *)&address, sizeof address) != 0;
		close(fd);
		nanosleep(&pause, NULL);
	}
	assert_true(refused);
	test_server_wait_connections(&ts, 0);
	test_server_call(&ts, is_drained, &drained);
	assert_int_equal(drained, 2);
}

/* ---- load ---- */

enum { CLIENTS = 8 };

struct load {
	pthread_t thread;
	atomic_bool *stop;
	bool http2;
	size_t answered;
	size_t failed;
};

/* Goes on over new connections as long as it may: a connection that ends between two requests, or
 * by an answer that says so, is no failure. */
static void *load_http1(void *arg)
{
	struct load *load = arg;

	while (!atomic_load(load->stop)) {
		struct client c = client_open(ts.config.port);
		bool open = true;

		while (open && !atomic_load(load->stop)) {
			struct answer a = ask(&c, "/hello");

			if (a.status == 200)
				load->answered++;
			else
				load->failed++;
			open = a.status == 200 && strstr(a.head, "onnection: close") == NULL;
			answer_free(&a);
		}
		client_close(&c);
	}
	return NULL;
}

/* A rolling restart: the first server announces, drains and goes, the second shares its port. */
static void test_no_request_fails(void **state)
{
	static struct test_server second;
	struct load loads[CLIENTS] = {0};
	atomic_bool stop = false;
	size_t answered = 0, failed = 0;

	(void)state;
	for (size_t i = 0; i < CLIENTS; i++) {
		loads[i].stop = &stop;
		CHECK(pthread_create(&loads[i].thread, NULL, load_http1, &loads[i]) == 0);
	}
	nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* of load */
	test_server_init(&second, routes, sizeof routes / sizeof routes[0], 2);
	second.config.port = ts.config.port;
	test_server_start(&second);
	test_server_call(&ts, announce, NULL);
	nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	test_server_call(&ts, begin_close, NULL);
	nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	atomic_store(&stop, true);
	for (size_t i = 0; i < CLIENTS; i++) {
		pthread_join(loads[i].thread, NULL);
		answered += loads[i].answered;
		failed += loads[i].failed;
	}
	assert_in_range(answered, 100, SIZE_MAX);
	assert_int_equal(failed, 0);
	test_server_wait_connections(&ts, 0);
	test_server_stop(&second);
}

/* ---- descriptors ---- */

static uint64_t turns(void)
{
	return loop_turns(ts.workers[0].loop) + loop_turns(ts.workers[1].loop);
}

/* With no descriptor left the listeners rest instead of spinning, and go on when there is one. */
static void test_no_descriptor_left(void **state)
{
	struct client first = client_open(ts.config.port);
	struct client second = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(ts.config.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct rlimit before, low;
	struct answer a;
	uint64_t spent;

	(void)state;
	a = ask(&first, "/hello");
	answer_free(&a);
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = 3; /* what is open stays open */
	setrlimit(RLIMIT_NOFILE, &low);
	assert_int_equal(connect(second.fd, (const struct sockaddr *)&address, sizeof address), 0);
	spent = turns();
	nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
	spent = turns() - spent;
	a = ask(&first, "/hello"); /* who is in is served */
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(a.status, 200);
	assert_in_range(spent, 1, 100);
	answer_free(&a);
	a = ask(&second, "/hello");
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&first);
	client_close(&second);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_announced_answers_end_their_connection),
		SERVED(test_closing),
		SERVED(test_closing_spares_the_new),
		SERVED(test_listeners_close_when_quiet),
		SERVED(test_no_request_fails),
		SERVED(test_no_descriptor_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
