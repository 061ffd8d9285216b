/* SPDX-License-Identifier: Apache-2.0
 * Two workers under load: draining without a failed request, and running out of descriptors. */
#include "base/testing.h"

#include "http/test_server.h"

#include "base/check.h"
#include "base/clock.h"
#include "http/internal.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOKS_MAX = 100000 };

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

static int set_up_workers(size_t workers)
{
	test_server_init(&ts, routes, sizeof routes / sizeof routes[0], workers);
	ts.config.admin_routes = routes;
	ts.config.admin_route_count = 1;
	sem_init(&entered, 0, 0);
	atomic_store(&released, false);
	test_server_start(&ts);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	return set_up_workers(2);
}

static int set_up_one(void **state)
{
	(void)state;
	return set_up_workers(1);
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
	server_worker_announce(w, 0);
}

static void begin_close(struct server_worker *w, void *arg)
{
	(void)arg;
	server_worker_close(w, false);
}

static void begin_patient_close(struct server_worker *w, void *arg)
{
	(void)arg;
	server_worker_close(w, true);
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
	test_server_pass(&ts, 0); /* the first sweep is over */
	a = ask(&c, "/hello");
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "connection"), "close");
	answer_free(&a);
	client_close(&c);
}

/* As a kernel does that has finished a handshake: the client waits in the queue of a listener which
 * nobody looks at for this moment. */
struct waiting {
	struct client client;
	bool drained;
};

static void connect_and_drain(struct server_worker *w, void *arg)
{
	struct waiting *waiting = arg;

	server_worker_close(w, false);
	waiting->client = client_open(ts.config.port);
	waiting->drained = server_worker_drain(w);
}

static void count_drained(struct server_worker *w, void *arg)
{
	*(int *)arg += server_worker_drain(w);
}

/* Until that many workers are. */
static void wait_drained(int workers)
{
	int drained = 0;

	for (int i = 0; i < LOOKS_MAX && drained != workers; i++) {
		drained = 0;
		test_server_call(&ts, count_drained, &drained);
	}
	assert_int_equal(drained, workers);
}

static void test_who_waits_in_a_queue_is_served(void **state)
{
	struct waiting waiting = {.drained = true};
	struct answer a;

	(void)state;
	test_server_call(&ts, connect_and_drain, &waiting);
	assert_false(waiting.drained);
	a = ask(&waiting.client, "/hello");
	assert_int_equal(a.status, 200);
	assert_true(client_is_closed(&waiting.client));
	answer_free(&a);
	client_close(&waiting.client);
	wait_drained(1);
}

static bool is_refused(uint16_t port)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	const bool refused = connect(fd, (const struct sockaddr *)&address, sizeof address) != 0;

	close(fd);
	return refused;
}

/* Once quiet, nobody listens any more, whatever still runs: with our own sockets still bound, a
 * connect is refused. */
static void test_listeners_close_when_quiet(void **state)
{
	struct client running = client_open(ts.config.port);
	struct answer a;

	(void)state;
	client_say(&running, "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&entered);
	test_server_call(&ts, begin_close, NULL);
	a = client_get(ts.config.port, "/hello"); /* not yet */
	assert_int_equal(a.status, 200);
	answer_free(&a);
	test_server_pass(&ts, 2 * SERVER_QUIET_US);
	assert_true(is_refused(ts.config.port));
	atomic_store(&released, true);
	a = client_read(&running, false);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&running);
	wait_drained(2);
}

/* Behind a load balancer the last connection's end does not mean that no other comes. */
static void test_patience(void **state)
{
	struct answer a;
	int drained = 0;

	(void)state;
	a = client_get(ts.config.port, "/hello");
	answer_free(&a);
	test_server_wait_connections(&ts, 0);
	test_server_call(&ts, begin_patient_close, NULL);
	test_server_call(&ts, count_drained, &drained);
	assert_int_equal(drained, 0);
	a = client_get(ts.config.port, "/hello");
	assert_int_equal(a.status, 200);
	answer_free(&a);
	test_server_wait_connections(&ts, 0);
	test_server_pass(&ts, 2 * SERVER_QUIET_US);
	wait_drained(1);
	assert_true(is_refused(ts.config.port));
}

/* Who asks how the process is gets an answer to the end. */
static void test_admin_port_outlives(void **state)
{
	int drained = 0;
	struct answer a;

	(void)state;
	test_server_call(&ts, begin_close, NULL);
	test_server_call(&ts, count_drained, &drained);
	assert_int_equal(drained, 1);
	assert_true(is_refused(ts.config.port));
	a = client_get(ts.config.admin_port, "/hello");
	assert_int_equal(a.status, 200);
	answer_free(&a);
}

/* ---- load ---- */

enum { CLIENTS = 8, ROUNDS = 20, STREAMS = 10, ENDED = 255 };

struct load {
	pthread_t thread;
	atomic_bool *stop;
	sem_t answered; /* posted for each request */
	size_t failed;
	size_t unread; /* streams that a GOAWAY says were not read: they are sent again */
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

			load->failed += a.status != 200;
			sem_post(&load->answered);
			open = a.status == 200 && strstr(a.head, "onnection: close") == NULL;
			answer_free(&a);
		}
		client_close(&c);
	}
	return NULL;
}

/* The streams of one HTTP/2 connection. */
struct streams {
	struct client client;
	unsigned next;
	unsigned last; /* that the server reads */
	unsigned open[STREAMS];
	size_t count;
	bool told; /* there was a GOAWAY: no new streams */
};

static bool take_goaway(struct streams *s, const struct frame *f)
{
	size_t kept = 0;

	s->told = true;
	s->last = (unsigned)(f->payload[0] << 24 | f->payload[1] << 16 | f->payload[2] << 8 |
			     f->payload[3]);
	for (size_t i = 0; i < s->count; i++)
		if (s->open[i] <= s->last)
			s->open[kept++] = s->open[i];
	const bool some = kept < s->count;
	s->count = kept;
	return some;
}

static void take_end(struct load *load, struct streams *s, const struct frame *f)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->open[i] != f->stream)
			continue;
		s->open[i] = s->open[--s->count];
		load->failed += f->type == FRAME_RST_STREAM;
		sem_post(&load->answered);
		return;
	}
}

/* Several at a time on a connection; what GOAWAY says was not read may be sent again, everything
 * else is to be answered. */
static void *load_http2(void *arg)
{
	struct load *load = arg;

	while (!atomic_load(load->stop)) {
		struct streams s = {.client = client_open(ts.config.port), .next = 1};

		http2_begin(&s.client, 65535);
		for (;;) {
			struct frame f;

			while (!s.told && s.count < STREAMS && !atomic_load(load->stop)) {
				http2_request(&s.client, s.next, "GET", "/hello", false);
				s.open[s.count++] = s.next;
				s.next += 2;
			}
			if (s.count == 0)
				break;
			f = http2_next(&s.client);
			if (f.type == ENDED)
				break;
			if (f.type == FRAME_GOAWAY)
				load->unread += take_goaway(&s, &f);
			else if (f.type == FRAME_RST_STREAM || (f.flags & 1) != 0)
				take_end(load, &s, &f);
		}
		load->failed += s.count;
		client_close(&s.client);
	}
	return NULL;
}

/* Until each of them has got so many answers more that it has met what was done before this: the
 * first may have been on its way then. */
static void wait_rounds(struct load *loads, int count)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		while (sem_trywait(&loads[i].answered) == 0)
			continue;
		for (int n = 0; n < count; n++)
			test_wait(&loads[i].answered);
	}
}

/* A rolling restart: the first server announces, drains and goes, the second shares its port. */
static void restart_under_load(void *(*run)(void *load))
{
	static struct test_server second;
	struct load loads[CLIENTS] = {0};
	atomic_bool stop = false;
	size_t failed = 0;

	for (size_t i = 0; i < CLIENTS; i++) {
		loads[i].stop = &stop;
		sem_init(&loads[i].answered, 0, 0);
		CHECK(pthread_create(&loads[i].thread, NULL, run, &loads[i]) == 0);
	}
	wait_rounds(loads, ROUNDS);
	test_server_init(&second, routes, sizeof routes / sizeof routes[0], 2);
	second.config.port = ts.config.port;
	test_server_start(&second);
	test_server_call(&ts, announce, NULL);
	wait_rounds(loads, ROUNDS);
	test_server_call(&ts, begin_close, NULL);
	wait_rounds(loads, ROUNDS);
	clock_advance_us(SERVER_QUIET_US); /* the rest of what takes its time */
	wait_rounds(loads, ROUNDS);
	atomic_store(&stop, true);
	for (size_t i = 0; i < CLIENTS; i++) {
		pthread_join(loads[i].thread, NULL);
		failed += loads[i].failed;
		sem_destroy(&loads[i].answered);
	}
	assert_int_equal(failed, 0);
	test_server_wait_connections(&ts, 0);
	test_server_stop(&second);
}

static void test_no_request_fails(void **state)
{
	(void)state;
	restart_under_load(load_http1);
}

static void test_no_stream_fails(void **state)
{
	(void)state;
	restart_under_load(load_http2);
}

/* ---- descriptors ---- */

static void count_resting(struct server_worker *w, void *arg)
{
	*(int *)arg += !h2o_socket_is_reading(w->listeners[0].socket);
}

/* With no descriptor left the listener that has a client in its queue rests instead of spinning
 * (whose queue it is, the kernel decides), and goes on when there is one. */
static void test_no_descriptor_left(void **state)
{
	struct client first = client_open(ts.config.port);
	struct client second = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(ts.config.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct rlimit before, low;
	struct answer a;
	int resting = 0;

	(void)state;
	a = ask(&first, "/hello");
	answer_free(&a);
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = 3; /* what is open stays open */
	setrlimit(RLIMIT_NOFILE, &low);
	assert_int_equal(connect(second.fd, (const struct sockaddr *)&address, sizeof address), 0);
	for (int i = 0; i < LOOKS_MAX && resting == 0; i++)
		test_server_call(&ts, count_resting, &resting);
	a = ask(&first, "/hello"); /* who is in is served */
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(resting, 1);
	assert_int_equal(a.status, 200);
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
		cmocka_unit_test_setup_teardown(
			test_who_waits_in_a_queue_is_served, set_up_one, tear_down),
		SERVED(test_listeners_close_when_quiet),
		cmocka_unit_test_setup_teardown(test_patience, set_up_one, tear_down),
		cmocka_unit_test_setup_teardown(test_admin_port_outlives, set_up_one, tear_down),
		SERVED(test_no_request_fails),
		SERVED(test_no_stream_fails),
		SERVED(test_no_descriptor_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
