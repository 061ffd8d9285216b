/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include <poll.h>

#include "base/clock.h"
#include "metrics/metrics.h"
#include "upstream/testing.h"
#include "upstream/upstream.h"

#define SECOND INT64_C(1000000)
enum { BODY_MAX = 100000, PIPES = 8 };

/* ---- calls from a test's own stack ---- */

struct probe {
	struct upstream *u;
	const char *method;
	const char *target;
	struct str body;
	struct task *task;
	bool streamed;
	bool idempotent;
	/* what came of it */
	bool done;
	enum fault fault;
	int status;
	int order; /* in which calls ended */
	char got[64];
	struct stream *stream;
	char detail[128];
	int64_t took_us;
};

static struct loop *loop;
static int ended;

static void probe_run(struct task *t, void *arg)
{
	struct probe *p = arg;
	struct upstream_request request = {.method = str_from(p->method),
		.target = str_from(p->target),
		.body = p->body,
		.idempotent = p->idempotent};
	struct upstream_reply reply;
	const int64_t began_us = clock_monotonic_us();

	t->request_id = STR("r-1");
	t->traceparent = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
	p->fault = p->streamed ? upstream_open(t, p->u, &request, &reply, &p->stream)
	                       : upstream_call(t, p->u, &request, &reply);
	p->took_us = clock_monotonic_us() - began_us;
	p->status = reply.status;
	snprintf(p->got, sizeof p->got, "%.*s", STR_ARG(reply.body));
	snprintf(p->detail, sizeof p->detail, "%.*s", STR_ARG(t->scope.detail));
}

static void probe_done(struct task *t, void *arg)
{
	struct probe *p = arg;

	(void)t;
	p->order = ended++;
	p->done = true;
}

static void probe_start(struct probe *p, int64_t deadline_us)
{
	p->method = p->method != NULL ? p->method : "GET";
	p->target = p->target != NULL ? p->target : "/";
	assert_int_equal(task_start(loop, loop_now_us(loop) + deadline_us, probe_run, probe_done, p,
				 &p->task),
		OK);
}

static void probe_wait(struct probe *p)
{
	while (!p->done)
		loop_turn(loop, 100);
}

static struct probe call(struct upstream *u, const char *method)
{
	struct probe p = {.u = u, .method = method};

	probe_start(&p, 5 * SECOND);
	probe_wait(&p);
	return p;
}

static struct upstream *upstream_to(const struct str *addresses, size_t count, unsigned connections)
{
	return upstream_new(loop, &(struct upstream_config){.name = "peer",
					  .addresses = addresses,
					  .address_count = count,
					  .connections_max = connections,
					  .queue_max = 2,
					  .body_bytes_max = BODY_MAX});
}

static struct upstream *upstream_at(const struct raw_server *s)
{
	const struct str address = str_from(s->address);

	return upstream_to(&address, 1, 4);
}

static int64_t connections(void)
{
	return gauge_value(gauge_get("bodega_upstream_connections",
		"Open connections to other services", LABELS({"peer", STR("peer")})));
}

static void assert_outcome(const struct probe *p, enum fault fault, int status, const char *body)
{
	if (p->fault != fault ||
		(fault == OK && (p->status != status || strcmp(p->got, body) != 0)))
		fail_msg("fault %s, status %d, \"%s\", \"%s\"", fault_info(p->fault)->name,
			p->status, p->got, p->detail);
}

/* ---- peers ---- */

/* Answers every request with the text in arg. */
static void serve_text(struct raw_connection *c)
{
	while (raw_read(c))
		raw_write(c, str_from(c->server->arg));
}

/* Answers one request with the text in arg, then closes. */
static void serve_once(struct raw_connection *c)
{
	if (raw_read(c))
		raw_write(c, str_from(c->server->arg));
}

static void serve_silence(struct raw_connection *c)
{
	if (raw_read(c))
		raw_wait_closed(c);
}

static void serve_drip(struct raw_connection *c)
{
	struct str text = str_from(c->server->arg);

	if (!raw_read(c))
		return;
	for (size_t i = 0; i < text.len; i++) {
		raw_write(c, str_of(text.at + i, 1));
		usleep(100); /* so that most bytes arrive alone; nothing depends on it */
	}
}

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ---- what peers may say ---- */

static void answers_of_every_kind(void **state)
{
	static char large[BODY_MAX + 200], huge_head[40000], endless[40000];
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const struct {
		const char *text;
		enum fault fault;
		int status;
		const char *body;
	} rows[] = {
		{GOOD, OK, 200, "ok"},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx", OK, 404, "x"},
		{"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", OK, 500, ""},
		{"HTTP/1.1 204 No Content\r\n\r\n", OK, 204, ""},
		{"HTTP/1.1 200 OK\r\n\r\nuntil the end", OK, 200, "until the end"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OK,
			200, "ok"},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n" GOOD, OK, 200,
			"ok"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than was said", OK, 200,
			"ok"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\ntoo short", FAULT_UNAVAILABLE, 0,
			""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", FAULT_UNAVAILABLE,
			0, ""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n",
			FAULT_BAD_GATEWAY, 0, ""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", FAULT_BAD_GATEWAY,
			0, ""},
		{"HTTP/1.1 200 OK\r\nContent-Le", FAULT_UNAVAILABLE, 0, ""},
		{"", FAULT_UNAVAILABLE, 0, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
			FAULT_BAD_GATEWAY, 0, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
			FAULT_BAD_GATEWAY, 0, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", FAULT_BAD_GATEWAY, 0, ""},
		{"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n", FAULT_BAD_GATEWAY, 0, ""},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", FAULT_BAD_GATEWAY, 0, ""},
		{"HTTP/1.1 999 What\r\n\r\n", FAULT_BAD_GATEWAY, 0, ""},
		{"\x16\x03\x01\x02", FAULT_UNAVAILABLE, 0, ""},
		{"\x16\x03\x01\x02 and so on", FAULT_BAD_GATEWAY, 0, ""},
		{"<html><body>", FAULT_BAD_GATEWAY, 0, ""},
		{large, FAULT_BAD_GATEWAY, 0, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", FAULT_BAD_GATEWAY, 0, ""},
		{huge_head, FAULT_BAD_GATEWAY, 0, ""},
		{endless, FAULT_BAD_GATEWAY, 0, ""},
	};

	(void)state;
	const int begun = snprintf(large, sizeof large, "HTTP/1.1 200 OK\r\n\r\n");
	memset(large + begun, 'a', BODY_MAX + 1);
	memset(huge_head + snprintf(huge_head, sizeof huge_head, "HTTP/1.1 200 OK\r\nX: "), 'a',
		30000);
	for (size_t i = 0; i < 9; i++)
		memcpy(endless + i * (sizeof interim - 1), interim, sizeof interim);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct raw_server s;

		raw_server_start(&s, serve_once, rows[i].text);
		struct upstream *u = upstream_at(&s);
		const struct probe p = call(u, "GET");
		if (p.fault != rows[i].fault || (p.fault == OK && p.status != rows[i].status) ||
			strcmp(p.got, rows[i].body) != 0)
			fail_row(i, "fault %s, status %d, \"%s\", \"%s\"",
				fault_info(p.fault)->name, p.status, p.got, p.detail);
		upstream_free(u);
		raw_server_stop(&s);
	}
	assert_int_equal(connections(), 0);
}

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
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct raw_server s;
		struct consumer c = {0};

		raw_server_start(&s, serve_drip, rows[i].text);
		struct upstream *u = upstream_at(&s);
		const struct probe p = open_stream(u, &c, 5 * SECOND);
		assert_outcome(&p, OK, 200, "");
		assert_non_null(p.stream);
		while (c.state == STREAM_MORE)
			pull(p.stream, &c);
		if (c.state != rows[i].end || strcmp(c.got, rows[i].body) != 0)
			fail_row(i, "state %d, \"%s\"", c.state, c.got);
		p.stream->ops->close(p.stream);
		upstream_free(u);
		raw_server_stop(&s);
	}
	assert_int_equal(connections(), 0);
}

static void dribbled_answers(void **state)
{
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_drip, "HTTP/1.1 103 Early\r\n\r\n" GOOD);
	struct upstream *u = upstream_at(&s);
	const struct probe p = call(u, "POST");
	assert_outcome(&p, OK, 200, "ok");
	upstream_free(u);
	raw_server_stop(&s);
}

/* ---- what we send ---- */

static void requests_carry_what_a_peer_needs(void **state)
{
	char last[RAW_REQUEST_MAX];
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_text, GOOD);
	struct upstream *u = upstream_at(&s);
	struct probe p = {.u = u, .method = "POST", .target = "/a?b=c", .body = STR("{\"x\":1}")};
	probe_start(&p, 2 * SECOND);
	probe_wait(&p);
	assert_outcome(&p, OK, 200, "ok");
	raw_last(&s, last);
	assert_ptr_equal(strstr(last, "POST /a?b=c HTTP/1.1\r\n"), last);
	assert_non_null(strstr(last, "\r\nx-request-id: r-1\r\n"));
	assert_non_null(strstr(last, "\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
	assert_non_null(strstr(last, "\r\ncontent-length: 7\r\n"));
	assert_non_null(strstr(last, "\r\nhost: 127.0.0.1:"));
	assert_non_null(strstr(last, "\r\n\r\n{\"x\":1}"));
	const char *deadline = strstr(last, "\r\nbodega-deadline-ms: ");
	assert_non_null(deadline);
	assert_in_range(strtoul(deadline + 22, NULL, 10), 1000, 1800);
	upstream_free(u);
	raw_server_stop(&s);
}

static void sign_for_test(
	struct task *t, const struct upstream_config *config, struct upstream_request *request)
{
	unsigned *count = config->sign_key;

	upstream_header(request, STR("bodega-mac"), scope_format(&t->scope, "mac-%u", ++*count));
}

static void serve_second_connection_only(struct raw_connection *c)
{
	if (c->nth == 0) { /* answers once, and leaves with the second request */
		if (raw_read(c))
			raw_write(c, STR(GOOD));
		(void)raw_read(c);
		return;
	}
	serve_text(c);
}

/* A nonce is good for one use, so each attempt is signed anew, and carries one MAC only. */
static void each_attempt_is_signed(void **state)
{
	char last[RAW_REQUEST_MAX];
	unsigned count = 0;
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_second_connection_only, GOOD);
	const struct str address = str_from(s.address);
	struct upstream *u = upstream_new(loop, &(struct upstream_config){.name = "peer",
							.addresses = &address,
							.address_count = 1,
							.connections_max = 4,
							.queue_max = 2,
							.body_bytes_max = BODY_MAX,
							.sign = sign_for_test,
							.sign_key = &count});
	struct probe p = call(u, "GET");
	assert_outcome(&p, OK, 200, "ok");
	p = call(u, "GET");
	assert_outcome(&p, OK, 200, "ok");
	assert_int_equal(count, 3);
	raw_last(&s, last);
	const char *mac = strstr(last, "bodega-mac: mac-3\r\n");
	assert_non_null(mac);
	assert_null(strstr(last, "mac-2"));
	upstream_free(u);
	raw_server_stop(&s);
}

static void targets_cannot_inject(void **state)
{
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_text, GOOD);
	struct upstream *u = upstream_at(&s);
	struct probe p = {.u = u, .target = "/a HTTP/1.1\r\nx: y"};
	probe_start(&p, SECOND);
	probe_wait(&p);
	assert_outcome(&p, FAULT_BAD_REQUEST, 0, "");
	assert_int_equal(atomic_load(&s.accepted), 0);
	upstream_free(u);
	raw_server_stop(&s);
}

/* ---- connections ---- */

static void connections_are_kept(void **state)
{
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_text, GOOD);
	struct upstream *u = upstream_at(&s);
	for (int i = 0; i < 5; i++) {
		const struct probe p = call(u, i % 2 == 0 ? "GET" : "POST");
		assert_outcome(&p, OK, 200, "ok");
	}
	assert_int_equal(atomic_load(&s.accepted), 1);
	assert_int_equal(connections(), 1);
	upstream_free(u);
	raw_server_stop(&s);
	assert_int_equal(connections(), 0);
}

/* Bytes after the answer, at once or later, and a close: the connection is not used again. */
static void idle_connections_are_watched(void **state)
{
	static const char *const texts[] = {GOOD "x",
		GOOD "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct raw_server s;

		raw_server_start(&s, serve_text, texts[i]);
		struct upstream *u = upstream_at(&s);
		for (int n = 0; n < 2; n++) {
			const struct probe p = call(u, "POST");
			assert_outcome(&p, OK, 200, "ok");
			while (connections() != 0)
				loop_turn(loop, 100);
		}
		assert_int_equal(atomic_load(&s.accepted), 2);
		upstream_free(u);
		raw_server_stop(&s);
	}
	struct raw_server s;
	raw_server_start(&s, serve_once, GOOD);
	struct upstream *u = upstream_at(&s);
	const struct probe p = call(u, "POST");
	assert_outcome(&p, OK, 200, "ok");
	while (connections() != 0) /* its close is noticed without any call */
		loop_turn(loop, 100);
	upstream_free(u);
	raw_server_stop(&s);
}

/* The peer leaves with the second request unanswered: a GET is sent once more, a POST never. */
static void one_safe_retry(void **state)
{
	static const struct {
		const char *method;
		bool idempotent;
		enum fault fault;
		int requests;
	} rows[] = {
		{"GET", false, OK, 3},
		{"PUT", false, OK, 3},
		{"DELETE", false, OK, 3},
		{"POST", true, OK, 3},
		{"POST", false, FAULT_UNKNOWN, 2},
		{"PATCH", false, FAULT_UNKNOWN, 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct raw_server s;

		raw_server_start(&s, serve_second_connection_only, GOOD);
		struct upstream *u = upstream_at(&s);
		struct probe p = call(u, "POST");
		assert_outcome(&p, OK, 200, "ok");
		p = (struct probe){
			.u = u, .method = rows[i].method, .idempotent = rows[i].idempotent};
		probe_start(&p, 5 * SECOND);
		probe_wait(&p);
		if (p.fault != rows[i].fault || atomic_load(&s.requests) != rows[i].requests)
			fail_row(i, "%s: fault %s after %d requests", rows[i].method,
				fault_info(p.fault)->name, atomic_load(&s.requests));
		upstream_free(u);
		raw_server_stop(&s);
	}
}

static void serve_close_each(struct raw_connection *c)
{
	(void)raw_read(c);
}

/* A fresh connection that closes without an answer is no stale one: nothing is sent twice. */
static void fresh_connections_are_not_retried(void **state)
{
	static const struct {
		const char *method;
		enum fault fault;
	} rows[] = {{"GET", FAULT_UNAVAILABLE}, {"POST", FAULT_UNKNOWN}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct raw_server s;

		raw_server_start(&s, serve_close_each, NULL);
		struct upstream *u = upstream_at(&s);
		const struct probe p = call(u, rows[i].method);
		assert_outcome(&p, rows[i].fault, 0, "");
		assert_int_equal(atomic_load(&s.requests), 1);
		upstream_free(u);
		raw_server_stop(&s);
	}
}

/* An address at which nobody listens. */
static struct str closed_address(char text[64])
{
	close(raw_listen(text));
	return str_from(text);
}

static void refused_connects_go_elsewhere(void **state)
{
	char closed[64];
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_text, GOOD);
	struct str addresses[] = {closed_address(closed), str_from(s.address)};
	const struct counter *failed = counter_get("bodega_upstream_connects_failed_total",
		"Connections that an address did not take", LABELS({"peer", STR("peer")}));
	const uint64_t before = counter_value(failed);
	struct upstream *u = upstream_to(addresses, 2, 4);
	for (int i = 0; i < 6; i++) {
		const struct probe p = call(u, "POST");
		assert_outcome(&p, OK, 200, "ok");
	}
	assert_int_equal(counter_value(failed), before + 1); /* then left alone for a while */
	struct upstream_address_state *states;
	struct scope scope;
	scope_begin(&scope);
	assert_int_equal(upstream_states(u, &scope, &states), 2);
	assert_str_equal(states[1].address, addresses[1]);
	assert_true(states[0].refused && states[0].idle == 0);
	assert_true(!states[1].refused && states[1].idle == 1 && states[1].calls == 0);
	scope_end(&scope);
	upstream_free(u);
	u = upstream_to(addresses, 1, 4);
	const struct probe p = call(u, "POST");
	assert_outcome(&p, FAULT_UNAVAILABLE, 0, "");
	assert_string_equal(p.detail, "peer is away");
	upstream_free(u);
	raw_server_stop(&s);
}

/* A peer that comes back is found again although its address is still marked. */
static void the_only_address_is_tried_always(void **state)
{
	char last[RAW_REQUEST_MAX];
	char folder[] = "/tmp/bodega-upstream-XXXXXX";
	struct raw_server s = {.mutex = PTHREAD_MUTEX_INITIALIZER};

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(s.address, sizeof s.address, "unix:%s/socket", folder);
	const struct str address = str_from(s.address);
	struct upstream *u = upstream_to(&address, 1, 4);
	struct probe p = call(u, "GET");
	assert_outcome(&p, FAULT_UNAVAILABLE, 0, "");
	raw_server_start_there(&s, serve_text, GOOD);
	p = call(u, "GET");
	assert_outcome(&p, OK, 200, "ok");
	assert_non_null(strstr(raw_last(&s, last), "host: localhost\r\n"));
	upstream_free(u);
	raw_server_stop(&s);
	unlink(s.address + strlen("unix:"));
	rmdir(folder);
}

/* ---- bounds ---- */

/* Answers when the test says so: a request waits for its turn at a pipe. */
static int gate[2];

static void gate_make(void)
{
	assert_int_equal(pipe(gate), 0);
}

/* After the servers that wait at it have stopped. */
static void gate_close(void)
{
	close(gate[0]);
	close(gate[1]);
}

static void gate_open(int count)
{
	for (int i = 0; i < count; i++)
		CHECK(write(gate[1], "x", 1) == 1);
}

static void serve_gated(struct raw_connection *c)
{
	char byte;

	while (raw_read(c) && read(gate[0], &byte, 1) == 1)
		raw_write(c, STR(GOOD));
}

static void turn_until(const atomic_int *value, int wanted)
{
	while (atomic_load(value) < wanted)
		loop_turn(loop, 1);
}

static void the_queue_is_fair_and_bounded(void **state)
{
	struct probe p[4];
	struct raw_server s;

	(void)state;
	gate_make();
	raw_server_start(&s, serve_gated, NULL);
	const struct str address = str_from(s.address);
	struct upstream *u = upstream_to(&address, 1, 1);
	for (size_t i = 0; i < 4; i++) {
		p[i] = (struct probe){.u = u};
		probe_start(&p[i], 5 * SECOND);
	}
	probe_wait(&p[3]); /* one runs, two wait, there is no place for a fourth */
	assert_outcome(&p[3], FAULT_OVERLOADED, 0, "");
	turn_until(&s.requests, 1);
	gate_open(3);
	for (size_t i = 0; i < 3; i++)
		probe_wait(&p[i]);
	for (size_t i = 0; i < 3; i++)
		assert_outcome(&p[i], OK, 200, "ok");
	assert_true(p[0].order < p[1].order && p[1].order < p[2].order);
	assert_int_equal(atomic_load(&s.accepted), 1);
	upstream_free(u);
	raw_server_stop(&s);
	gate_close();
}

/* Waiting for a connection takes at most half of a call's time, and a waiter that leaves leaves no
 * hole. */
static void waiters_give_up_in_time(void **state)
{
	struct probe p[3];
	struct raw_server s;

	(void)state;
	gate_make();
	raw_server_start(&s, serve_gated, NULL);
	const struct str address = str_from(s.address);
	struct upstream *u = upstream_to(&address, 1, 1);
	p[0] = p[1] = p[2] = (struct probe){.u = u};
	probe_start(&p[0], 5 * SECOND);
	turn_until(&s.requests, 1);
	probe_start(&p[1], SECOND / 5);
	probe_start(&p[2], 5 * SECOND);
	probe_wait(&p[1]);
	assert_outcome(&p[1], FAULT_OVERLOADED, 0, "");
	assert_in_range(p[1].took_us, SECOND / 10, SECOND / 5 - 1);
	gate_open(2);
	probe_wait(&p[0]);
	probe_wait(&p[2]);
	assert_outcome(&p[2], OK, 200, "ok");
	upstream_free(u);
	raw_server_stop(&s);
	gate_close();
}

static void a_cancelled_waiter_hands_its_slot_on(void **state)
{
	struct probe p[3];
	struct raw_server s;

	(void)state;
	gate_make();
	raw_server_start(&s, serve_gated, NULL);
	const struct str address = str_from(s.address);
	struct upstream *u = upstream_to(&address, 1, 1);
	for (size_t i = 0; i < 3; i++) {
		p[i] = (struct probe){.u = u};
		probe_start(&p[i], 5 * SECOND);
	}
	turn_until(&s.requests, 1);
	task_cancel(p[1].task, FAULT_CANCELED);
	task_cancel(p[0].task, FAULT_CANCELED); /* the one that held the slot */
	probe_wait(&p[0]);
	probe_wait(&p[1]);
	assert_outcome(&p[0], FAULT_CANCELED, 0, "");
	assert_outcome(&p[1], FAULT_CANCELED, 0, "");
	gate_open(2); /* one for the cancelled call's thread */
	probe_wait(&p[2]);
	assert_outcome(&p[2], OK, 200, "ok");
	assert_int_equal(atomic_load(&s.accepted), 2);
	upstream_free(u);
	raw_server_stop(&s);
	gate_close();
}

static void deadlines_end_calls(void **state)
{
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_silence, NULL);
	struct upstream *u = upstream_at(&s);
	struct probe p = {.u = u, .method = "POST"};
	probe_start(&p, SECOND / 10);
	probe_wait(&p);
	assert_outcome(&p, FAULT_DEADLINE, 0, "");
	assert_int_equal(connections(), 0); /* closed: its answer belongs to nobody */
	upstream_free(u);
	raw_server_stop(&s);
}

/* The connect itself never ends: half of the call's time goes into it, then it counts as refused.
 */
static void connects_have_a_limit(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fillers[PIPES];
	char text[32];

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	for (size_t i = 0; i < PIPES; i++) { /* fill its backlog */
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fillers[i], (struct sockaddr *)&at, len);
	}
	snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(at.sin_port));
	const struct str address = str_from(text);
	struct upstream *u = upstream_to(&address, 1, 4);
	struct probe p = {.u = u};
	probe_start(&p, SECOND / 5);
	probe_wait(&p);
	assert_outcome(&p, FAULT_UNAVAILABLE, 0, "");
	assert_in_range(p.took_us, SECOND / 10 - 5000, SECOND / 5 - 1);
	upstream_free(u);
	for (size_t i = 0; i < PIPES; i++)
		close(fillers[i]);
	close(listener);
}

static void the_least_busy_address_is_chosen(void **state)
{
	struct probe p[6];
	static struct raw_server s[2];

	(void)state;
	gate_make();
	raw_server_start(&s[0], serve_gated, NULL);
	raw_server_start(&s[1], serve_gated, NULL);
	struct str addresses[] = {str_from(s[0].address), str_from(s[1].address)};
	struct upstream *u = upstream_to(addresses, 2, 4);
	for (size_t i = 0; i < 6; i++) {
		p[i] = (struct probe){.u = u};
		probe_start(&p[i], 5 * SECOND);
	}
	turn_until(&s[0].requests, 3);
	turn_until(&s[1].requests, 3);
	gate_open(6);
	for (size_t i = 0; i < 6; i++) {
		probe_wait(&p[i]);
		assert_outcome(&p[i], OK, 200, "ok");
	}
	assert_int_equal(atomic_load(&s[0].requests), 3);
	upstream_free(u);
	raw_server_stop(&s[0]);
	raw_server_stop(&s[1]);
	gate_close();
}

/* The Nth wait fails or is cancelled, for every N: nothing stays open but idle connections. */
static void every_wait_may_fail(void **state)
{
	static const enum fault faults[] = {FAULT_UNAVAILABLE, FAULT_CANCELED};
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_drip, GOOD);
	for (size_t i = 0; i < 2; i++) {
		for (unsigned n = 1; n < 5; n++) {
			struct upstream *u = upstream_at(&s);
			struct probe p = {.u = u};

			probe_start(&p, 5 * SECOND);
			task_inject(p.task, n, faults[i]);
			probe_wait(&p);
			assert_int_equal(p.fault, faults[i]);
			upstream_free(u); /* checks that no slot is taken */
			assert_int_equal(connections(), 0);
		}
	}
	raw_server_stop(&s);
}

/* ---- streams ---- */

enum { LARGE_BYTES = 64 << 20 };

/* Sends a large body as fast as the client takes it; tells at the pipe when it is held back. */
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

static int start(void **state)
{
	(void)state;
	loop = loop_new(LOOP_LIMITS_DEFAULT);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	loop_free(loop);
	arena_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_of_every_kind),
		cmocka_unit_test(streams_of_every_kind),
		cmocka_unit_test(dribbled_answers),
		cmocka_unit_test(requests_carry_what_a_peer_needs),
		cmocka_unit_test(each_attempt_is_signed),
		cmocka_unit_test(targets_cannot_inject),
		cmocka_unit_test(connections_are_kept),
		cmocka_unit_test(idle_connections_are_watched),
		cmocka_unit_test(one_safe_retry),
		cmocka_unit_test(fresh_connections_are_not_retried),
		cmocka_unit_test(refused_connects_go_elsewhere),
		cmocka_unit_test(the_only_address_is_tried_always),
		cmocka_unit_test(the_queue_is_fair_and_bounded),
		cmocka_unit_test(waiters_give_up_in_time),
		cmocka_unit_test(a_cancelled_waiter_hands_its_slot_on),
		cmocka_unit_test(deadlines_end_calls),
		cmocka_unit_test(connects_have_a_limit),
		cmocka_unit_test(the_least_busy_address_is_chosen),
		cmocka_unit_test(every_wait_may_fail),
		cmocka_unit_test(streams_hold_the_peer_back),
		cmocka_unit_test(slow_consumers_do_not_hold_connections),
		cmocka_unit_test(late_pieces_end_streams),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
