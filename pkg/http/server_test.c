/* SPDX-License-Identifier: Apache-2.0
 * A real server and a blocking client: HTTP/1 and what holds for every request. */
#include "base/testing.h"

#include "http/test_server.h"

#include "base/check.h"
#include "http/head.h"
#include "http/target.h"
#include "metrics/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <openssl/pem.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static atomic_int served; /* by a handler */
static sem_t entered;

static enum fault hello(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request;
	atomic_fetch_add(&served, 1);
	reply->status = 200;
	reply->content_type = STR("text/plain");
	reply->body = STR("hello");
	return OK;
}

static enum fault echo(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t;
	reply->status = 200;
	reply->body = request->body;
	return OK;
}

/* What the request looks like from inside. */
static enum fault look(struct task *t, const struct request *request, struct reply *reply)
{
	return reply_json(reply, 200,
		scope_format(&t->scope,
			"path=%.*s query=%.*s a=%.*s b=%.*s peer=%.*s scheme=%.*s authority=%.*s "
			"version=%x id=%.*s trace=%.*s",
			STR_ARG(request->path), STR_ARG(request->query),
			STR_ARG(request->params[0]), STR_ARG(request->params[1]),
			STR_ARG(request->peer), STR_ARG(request->scheme),
			STR_ARG(request->authority), (unsigned)request->version,
			STR_ARG(request->id), STR_ARG(t->traceparent)));
}

static enum fault versioned(struct task *t, const struct request *request, struct reply *reply)
{
	if (str_eq(request->method, STR("PUT")))
		TRY(request_precondition(&t->scope, request, STR("3")));
	reply_version(reply, 3);
	return reply_json(reply, 200, STR("{}"));
}

static enum fault fail_with(struct task *t, const struct request *request, struct reply *reply)
{
	int64_t fault;

	(void)reply;
	CHECK(str_to_int64(request->params[0], &fault));
	return fail(&t->scope, (enum fault)fault, "because of secret %d", 7);
}

static enum fault nothing(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request, (void)reply;
	return OK;
}

/* Waits as long as it is let. */
static enum fault wait_long(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	sem_post(&entered);
	TRY(task_sleep(t, 60000000));
	return reply_empty(reply);
}

static enum fault left(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	return reply_json(
		reply, 200, scope_format(&t->scope, "%lld", (long long)(task_left_us(t) / 1000)));
}

static enum fault three_waits(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	for (int i = 0; i < 3; i++)
		TRY(task_yield(t));
	return reply_empty(reply);
}

static enum fault who(struct task *t, const struct request *request, struct reply *reply)
{
	return reply_json(reply, 200,
		scope_format(&t->scope, "role=%d service=%.*s", request->caller.role,
			STR_ARG(request->caller.service)));
}

static enum fault read_number(struct task *t, const struct request *request, struct reply *reply)
{
	struct number {
		int64_t number;
	} body = {0}, query = {0};
	const struct field fields[] = {FIELD(struct number, number, INT64, REQUIRED, .max = 9)};
	const struct field_table table = FIELD_TABLE(struct number, fields);

	TRY(request_json(&t->scope, request, &table, &body));
	TRY(request_query(&t->scope, request, &table, &query));
	return reply_json(reply, 200, STR("{}"));
}

/* "Bearer admin", "Bearer customer"; "Bodega-Mac: orders". Suspends, as the real one may. */
static enum fault authenticate(struct task *t, const struct request *request, struct caller *caller)
{
	const struct str token = request_header(request, STR("authorization"));

	TRY(task_yield(t));
	caller->service = request_header(request, STR("bodega-mac"));
	if (token.at == NULL)
		return OK;
	if (str_eq(token, STR("Bearer admin")))
		caller->role = ROLE_ADMIN;
	else if (str_eq(token, STR("Bearer customer")))
		caller->role = ROLE_CUSTOMER;
	else
		return fail(&t->scope, FAULT_UNAUTHORIZED, "the token is not ours");
	return OK;
}

#define ROUTE(method_, path_, handler_, who_, ...)                                          \
	{                                                                                   \
		.method = (method_), .path = (path_), .handler = (handler_), .who = (who_), \
		__VA_ARGS__                                                                 \
	}

static const struct route routes[] = {
	ROUTE("GET", "/hello", hello, ANYONE, .cache_control = "public, max-age=5"),
	ROUTE("POST", "/echo", echo, ANYONE),
	ROUTE("POST", "/small", echo, ANYONE, .body_bytes_max = 1000),
	ROUTE("GET", "/look/{a}", look, ANYONE),
	ROUTE("GET", "/look/{a}/at/{b}", look, ANYONE),
	ROUTE("GET", "/versioned", versioned, ANYONE),
	ROUTE("PUT", "/versioned", versioned, ANYONE),
	ROUTE("GET", "/fail/{fault}", fail_with, ANYONE),
	ROUTE("GET", "/nothing", nothing, ANYONE),
	ROUTE("GET", "/wait", wait_long, ANYONE),
	ROUTE("GET", "/short", wait_long, ANYONE, .deadline_ms = 50),
	ROUTE("GET", "/left", left, ANYONE | SERVICE, .deadline_ms = 5000),
	ROUTE("GET", "/waits", three_waits, ANYONE),
	ROUTE("GET", "/who/anyone", who, ANYONE),
	ROUTE("GET", "/who/user", who, USER),
	ROUTE("GET", "/who/admin", who, ADMIN),
	ROUTE("GET", "/who/service", who, SERVICE),
	ROUTE("GET", "/who/loopback", who, LOOPBACK),
	ROUTE("POST", "/number", read_number, ANYONE | SERVICE),
	ROUTE("POST", "/number/inside", read_number, SERVICE),
};

static const struct route admin_routes[] = {
	ROUTE("GET", "/livez", hello, ANYONE),
};

static struct test_server ts;

static void begin(void)
{
	test_server_init(&ts, routes, COUNT(routes), 1);
	ts.config.authenticate = authenticate;
	ts.config.admin_routes = admin_routes;
	ts.config.admin_route_count = COUNT(admin_routes);
	sem_init(&entered, 0, 0);
	atomic_store(&served, 0);
}

static int set_up(void **state)
{
	(void)state;
	begin();
	test_server_start(&ts);
	return 0;
}

/* For tests that set something before they start it. */
static int set_up_only(void **state)
{
	(void)state;
	begin();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_server_stop(&ts);
	sem_destroy(&entered);
	return 0;
}

/* Sends the lines of a head with Host and reads the answer. */
static struct answer ask(const char *request_line, const char *headers)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	client_say(&c, "%s HTTP/1.1\r\nHost: test\r\n%s\r\n", request_line, headers);
	a = client_read(&c, strncmp(request_line, "HEAD", 4) == 0);
	client_close(&c);
	return a;
}

static void assert_problem(const struct answer *a, int status, const char *code)
{
	char member[80];

	assert_int_equal(a->status, status);
	assert_string_equal(answer_header(a, "content-type"), "application/problem+json");
	snprintf(member, sizeof member, "\"code\":\"%s\"", code);
	if (strstr(a->body, member) == NULL)
		fail_msg("no %s in %s", member, a->body);
}

/* ---- HTTP/1 ---- */

static void test_keep_alive(void **state)
{
	struct client c = client_open(ts.config.port);

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct answer a;

		client_say(&c, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
		a = client_read(&c, false);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, "hello");
		assert_string_equal(answer_header(&a, "connection"), "keep-alive");
		assert_string_equal(answer_header(&a, "cache-control"), "public, max-age=5");
		assert_string_equal(answer_header(&a, "x-content-type-options"), "nosniff");
		assert_int_equal(strlen(answer_header(&a, "x-request-id")), 32);
		assert_non_null(answer_header(&a, "date"));
		assert_null(answer_header(&a, "server"));
		answer_free(&a);
	}
	client_close(&c);
}

static void test_pipelining(void **state)
{
	enum { REQUESTS = 100 };
	struct client c = client_open(ts.config.port);

	(void)state;
	for (int i = 0; i < REQUESTS; i++)
		client_say(&c, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n%03d",
			i);
	for (int i = 0; i < REQUESTS; i++) {
		struct answer a = client_read(&c, false);

		assert_int_equal(a.status, 200);
		assert_int_equal(atoi(a.body), i);
		answer_free(&a);
	}
	client_close(&c);
}

static void test_bytewise(void **state)
{
	static const char request[] = "POST /echo HTTP/1.1\r\nHost: test\r\n"
				      "Transfer-Encoding: chunked\r\n\r\n"
				      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	for (size_t i = 0; i < sizeof request - 1; i++)
		client_send(&c, request + i, 1);
	a = client_read(&c, false);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "abcde");
	answer_free(&a);
	client_close(&c);
}

static void test_http_1_0(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	client_say(&c, "GET /hello HTTP/1.0\r\n\r\n");
	a = client_read(&c, false);
	assert_int_equal(a.status, 200);
	assert_true(client_is_closed(&c));
	answer_free(&a);
	client_close(&c);
}

static void test_expect(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	client_say(&c, "POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
		       "Content-Length: 2\r\n\r\n");
	a = client_read(&c, true);
	assert_int_equal(a.status, 100);
	answer_free(&a);
	client_say(&c, "ok");
	a = client_read(&c, false);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "ok");
	answer_free(&a);
	client_close(&c);
}

/* Each is refused, the connection is closed, and what was pipelined behind it is never served. */
static void test_bad_heads(void **state)
{
	static const char *const heads[] = {
		"GET /hello HTTP/1.1\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
		"GET /hello HTTP/1.1\nHost: a\n\n",
		"GET /hello HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
		"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a/hello HTTP/1.1\r\nHost: a\r\n\r\n",
		"G\xc3\xa9T /hello HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 0\r\n\r\nx",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
		"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: a\r\nX: b\x01\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"NOT HTTP\r\n\r\n",
		"\x16\x03\x01\x02", /* TLS at the wrong port */
		"PRI * HTTP/2.1\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(heads); i++) {
		struct client c = client_open(ts.config.port);
		struct answer a;

		client_say(&c, "%sGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", heads[i]);
		a = client_read(&c, false);
		if (a.status != 400)
			fail_row(i, "%s\nis answered %d", heads[i], a.status);
		assert_problem(&a, 400, "bad_request");
		assert_string_equal(answer_header(&a, "connection"), "close");
		if (!client_is_closed(&c))
			fail_row(i, "%s\nleaves the connection open", heads[i]);
		answer_free(&a);
		client_close(&c);
	}
	assert_int_equal(atomic_load(&served), 0);
}

static void test_large_heads(void **state)
{
	static char value[HEAD_BYTES_MAX];
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	memset(value, 'a', sizeof value);
	client_say(&c, "GET /hello HTTP/1.1\r\nHost: test\r\nX: ");
	client_send(&c, value, sizeof value);
	client_say(&c, "\r\n\r\n");
	a = client_read(&c, false);
	assert_problem(&a, 431, "head_too_large");
	assert_true(client_is_closed(&c));
	answer_free(&a);
	client_close(&c);

	c = client_open(ts.config.port);
	client_say(&c, "GET /");
	client_send(&c, value, TARGET_BYTES_MAX);
	client_say(&c, " HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&c, false);
	assert_problem(&a, 414, "uri_too_long");
	answer_free(&a);
	client_close(&c);
}

/* ---- bodies ---- */

static struct answer post(const char *path, size_t len)
{
	struct client c = client_open(ts.config.port);
	char *body = calloc(1, len + 1);
	struct answer a;

	memset(body, 'b', len);
	client_say(&c, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n", path, len);
	client_send(&c, body, len);
	a = client_read(&c, false);
	client_close(&c);
	free(body);
	return a;
}

static void test_body_bounds(void **state)
{
	static const struct {
		const char *path;
		size_t len;
		int status;
	} rows[] = {
		{"/small", 1000, 200}, {"/small", 1001, 413}, {"/echo", BODY_BYTES_DEFAULT, 200},
		{"/echo", BODY_BYTES_DEFAULT + 1, 413},
		{"/echo", 8 << 20, 413}, /* by libh2o, before it is read */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct answer a = post(rows[i].path, rows[i].len);

		if (a.status != rows[i].status)
			fail_row(i, "%zu bytes: %d", rows[i].len, a.status);
		if (a.status == 200)
			assert_int_equal(a.body_len, rows[i].len);
		else
			assert_problem(&a, 413, "body_too_large");
		answer_free(&a);
	}
}

/* Bytes that nobody reads any more must not turn the end of the connection into a reset, or the
 * client may lose the answer that says why. */
static void test_refusal_ends_in_order(void **state)
{
	static const char *const requests[] = {
		"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999\r\n\r\n",
		"GET /hello HTTP/1.1\r\n\r\n",
	};
	static const char more[1 << 20];

	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		struct client c = client_open(ts.config.port);
		struct answer a;
		char byte;

		client_say(&c, "%s", requests[i]);
		client_send(&c, more, sizeof more);
		a = client_read(&c, false);
		assert_in_range(a.status, 400, 413);
		if (recv(c.fd, &byte, 1, 0) != 0)
			fail_row(i, "ends in %s", strerror(errno));
		answer_free(&a);
		client_close(&c);
	}
}

/* ---- routes, conditions, methods ---- */

static void test_request_from_inside(void **state)
{
	struct answer a = ask("GET /look/x%20y/at/2/?q=%41",
		"X-Request-Id: abc-1\r\n"
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");

	(void)state;
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.body,
		"path=/look/x y/at/2 query=q=%41 a=x y b=2 peer=127.0.0.1 scheme=http "
		"authority=test version=101 id=abc-1 trace=00-0af7651916cd43dd8448eb211c80319c-"));
	assert_null(strstr(a.body, "b7ad6b7169203331"));
	assert_string_equal(answer_header(&a, "x-request-id"), "abc-1");
	answer_free(&a);
	a = ask("GET /look/x", "X-Request-Id: has space\r\n");
	assert_int_equal(strlen(answer_header(&a, "x-request-id")), 32);
	answer_free(&a);
}

static void test_methods(void **state)
{
	struct answer a = ask("HEAD /hello", "");

	(void)state;
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "content-length"), "5");
	answer_free(&a);
	a = ask("OPTIONS /versioned", "");
	assert_int_equal(a.status, 204);
	assert_string_equal(answer_header(&a, "allow"), "GET, HEAD, PUT, OPTIONS");
	answer_free(&a);
	a = ask("DELETE /versioned", "");
	assert_problem(&a, 405, "method_not_allowed");
	assert_string_equal(answer_header(&a, "allow"), "GET, HEAD, PUT, OPTIONS");
	answer_free(&a);
	a = ask("GET /nowhere", "");
	assert_problem(&a, 404, "not_found");
	assert_string_equal(answer_header(&a, "cache-control"), "no-store");
	answer_free(&a);
	a = ask("GET /a/%2e%2e/b", "");
	assert_problem(&a, 400, "bad_request");
	answer_free(&a);
}

/* A bodiless answer must leave the connection in step. */
static void test_bodiless_answers_keep_the_connection(void **state)
{
	static const struct {
		const char *request;
		int status;
	} rows[] = {
		{"HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n", 200},
		{"HEAD /nowhere HTTP/1.1\r\nHost: test\r\n\r\n", 404},
		{"OPTIONS /hello HTTP/1.1\r\nHost: test\r\n\r\n", 204},
		{"GET /versioned HTTP/1.1\r\nHost: test\r\nIf-None-Match: \"3\"\r\n\r\n", 304},
		{"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n", 200},
	};
	struct client c = client_open(ts.config.port);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct answer a;

		client_say(&c, "%s", rows[i].request);
		a = client_read(&c, strncmp(rows[i].request, "HEAD", 4) == 0);
		if (a.status != rows[i].status)
			fail_row(i, "%s: %d", rows[i].request, a.status);
		answer_free(&a);
	}
	client_close(&c);
}

static void test_conditions(void **state)
{
	struct answer a = ask("GET /versioned", "");

	(void)state;
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "etag"), "\"3\"");
	answer_free(&a);
	a = ask("GET /versioned", "If-None-Match: \"1\", W/\"3\"\r\n");
	assert_int_equal(a.status, 304);
	assert_string_equal(answer_header(&a, "etag"), "\"3\"");
	assert_null(answer_header(&a, "content-length"));
	answer_free(&a);
	a = ask("GET /versioned", "If-None-Match: \"2\"\r\n");
	assert_int_equal(a.status, 200);
	answer_free(&a);
	a = ask("PUT /versioned", "If-Match: \"2\"\r\n");
	assert_problem(&a, 412, "precondition_failed");
	answer_free(&a);
	a = ask("PUT /versioned", "If-Match: \"3\"\r\nIf-None-Match: \"3\"\r\n");
	assert_int_equal(a.status, 200);
	answer_free(&a);
}

/* ---- who may call ---- */

/* A release ahead: services may say what we do not know, people may not. */
static void test_what_is_not_known(void **state)
{
	static const struct {
		const char *target;
		const char *body;
		int status;
	} rows[] = {
		{"/number?number=1", "{\"number\":1}", 200},
		{"/number?number=1", "{\"number\":1,\"new\":1}", 422},
		{"/number?number=1&new=1", "{\"number\":1}", 422},
		{"/number/inside?number=1&new=1", "{\"number\":1,\"new\":1}", 200},
		{"/number/inside?number=1", "{\"number\":10,\"new\":1}", 422},
		{"/number/inside?number=10&new=1", "{\"number\":1}", 422},
		{"/number/inside?number=1", "{\"new\":1}", 422},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c = client_open(ts.config.port);
		struct answer a;

		client_say(&c,
			"POST %s HTTP/1.1\r\nHost: test\r\nBodega-Mac: orders\r\n"
			"Content-Length: %zu\r\n\r\n%s",
			rows[i].target, strlen(rows[i].body), rows[i].body);
		a = client_read(&c, false);
		if (a.status != rows[i].status)
			fail_row(i, "%d: %s", a.status, a.body);
		answer_free(&a);
		client_close(&c);
	}
}

/* An address of this machine that is not of its loopback; false when it has none. */
static bool other_address(struct sockaddr_in *at)
{
	struct ifaddrs *all;
	bool found = false;

	assert_int_equal(getifaddrs(&all), 0);
	for (struct ifaddrs *a = all; a != NULL && !found; a = a->ifa_next) {
		found = a->ifa_addr != NULL && a->ifa_addr->sa_family == AF_INET &&
		        (a->ifa_flags & IFF_LOOPBACK) == 0 && (a->ifa_flags & IFF_UP) != 0;
		if (found)
			memcpy(at, a->ifa_addr, sizeof *at);
	}
	freeifaddrs(all);
	return found;
}

static void test_loopback_only(void **state)
{
	struct sockaddr_in at;
	struct client c;
	struct answer a;

	(void)state;
	if (!other_address(&at))
		skip();
	ts.config.address = STR("0.0.0.0");
	test_server_start(&ts);
	at.sin_port = htons(ts.config.port);
	c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
	assert_int_equal(connect(c.fd, (struct sockaddr *)&at, sizeof at), 0);
	client_say(&c, "GET /who/loopback HTTP/1.1\r\nHost: test\r\n"
		       "X-Forwarded-For: 127.0.0.1\r\n\r\n");
	a = client_read(&c, false);
	assert_problem(&a, 403, "forbidden");
	answer_free(&a);
	client_close(&c);
}

static void test_who(void **state)
{
	static const struct {
		const char *target;
		const char *headers;
		int status;
		const char *body;
	} rows[] = {
		{"GET /who/anyone", "", 200, "role=0 service="},
		{"GET /who/anyone", "Authorization: Bearer admin\r\n", 200, "role=4 service="},
		{"GET /who/anyone", "Authorization: Bearer bad\r\n", 401, "unauthorized"},
		{"GET /who/anyone", "Bodega-Mac: orders\r\n", 200, "role=0 service=orders"},
		{"GET /who/user", "", 401, "unauthorized"},
		{"GET /who/user", "Authorization: Bearer customer\r\n", 200, "role=1 service="},
		{"GET /who/user", "Bodega-Mac: orders\r\n", 403, "forbidden"},
		{"GET /who/admin", "Authorization: Bearer customer\r\n", 403, "forbidden"},
		{"GET /who/admin", "Authorization: Bearer admin\r\n", 200, "role=4 service="},
		{"GET /who/service", "Bodega-Mac: orders\r\n", 200, "role=0 service=orders"},
		{"GET /who/service", "Authorization: Bearer admin\r\n", 403, "forbidden"},
		{"GET /who/service", "", 401, "unauthorized"},
		{"GET /who/loopback", "", 200, "role=0 service="},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct answer a = ask(rows[i].target, rows[i].headers);

		if (a.status != rows[i].status || strstr(a.body, rows[i].body) == NULL)
			fail_row(i, "%s %s: %d %s", rows[i].target, rows[i].headers, a.status,
				a.body);
		if (a.status == 401)
			assert_memory_equal(answer_header(&a, "www-authenticate"), "Bearer", 6);
		answer_free(&a);
	}
}

/* ---- faults ---- */

static void test_faults(void **state)
{
	(void)state;
	for (int fault = OK + 1; fault < FAULT_COUNT; fault++) {
		const struct fault_info *info = fault_info((enum fault)fault);
		char line[40];
		struct answer a;

		snprintf(line, sizeof line, "GET /fail/%d", fault);
		a = ask(line, "");
		assert_problem(&a, info->status, info->code);
		assert_int_equal(answer_header(&a, "retry-after") != NULL, info->retry);
		assert_int_equal(strstr(a.body, "secret") != NULL, fault != FAULT_INTERNAL);
		assert_non_null(strstr(a.body, "\"instance\":\"/fail/"));
		assert_non_null(strstr(a.body, "\"trace_id\":\""));
		answer_free(&a);
	}
	{
		struct answer a = ask("GET /nothing", "");

		assert_problem(&a, 500, "internal");
		answer_free(&a);
	}
}

static void test_deadlines(void **state)
{
	struct answer a = ask("GET /short", "");

	(void)state;
	assert_problem(&a, 504, "deadline_passed");
	answer_free(&a);
	a = ask("GET /left", "");
	assert_in_range(atoi(a.body), 3001, 5000);
	answer_free(&a);
	a = ask("GET /left", "Bodega-Deadline-Ms: 3000\r\n"); /* whoever says so */
	assert_in_range(atoi(a.body), 1, 3000);
	answer_free(&a);
	a = ask("GET /left", "Bodega-Deadline-Ms: 99999\r\n");
	assert_in_range(atoi(a.body), 3001, 5000);
	answer_free(&a);
}

#ifdef BODEGA_FAULTS
static void test_fault_injection(void **state)
{
	static const struct {
		const char *header;
		int status;
		int waits;
	} rows[] = {
		{"Bodega-Fault: fail:1\r\n", 503, 1},
		{"Bodega-Fault: fail:3\r\n", 503, 3},
		{"Bodega-Fault: cancel:2\r\n", 499, 2},
		{"Bodega-Fault: fail:4\r\n", 204, 3},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct answer a = ask("GET /waits", rows[i].header);

		if (a.status != rows[i].status)
			fail_row(i, "%s: %d", rows[i].header, a.status);
		assert_int_equal(atoi(answer_header(&a, "bodega-waits")), rows[i].waits);
		answer_free(&a);
	}
}
#endif

/* ---- bounds ---- */

static void test_tasks_max(void **state)
{
	enum { TASKS = 5 };
	struct client clients[TASKS], refused;
	struct answer a;

	(void)state;
	ts.limits.tasks_max = TASKS;
	test_server_start(&ts);
	for (size_t i = 0; i < TASKS; i++) {
		clients[i] = client_open(ts.config.port);
		client_say(&clients[i], "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
		test_wait(&entered);
	}
	a = ask("GET /hello", "");
	assert_problem(&a, 503, "overloaded");
	assert_in_range(atoi(answer_header(&a, "retry-after")), 1, 3);
	answer_free(&a);
	a = ask("HEAD /hello", "X-Request-Id: mine\r\n");
	assert_int_equal(a.status, 503);
	assert_string_equal(answer_header(&a, "x-request-id"), "mine");
	answer_free(&a);
	refused = client_open(ts.config.port);
	client_say(&refused, "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
	a = client_read(&refused, false);
	assert_problem(&a, 400, "bad_request");
	assert_true(client_is_closed(&refused));
	answer_free(&a);
	client_close(&refused);
	for (size_t i = 0; i < TASKS; i++)
		client_close(&clients[i]);
}

/* Probes are answered when the public port is full. */
static void test_requests_max(void **state)
{
	struct client c;
	struct answer a;

	(void)state;
	ts.config.requests_max = 1;
	test_server_start(&ts);
	c = client_open(ts.config.port);
	client_say(&c, "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&entered);
	a = ask("GET /hello", "");
	assert_problem(&a, 503, "overloaded");
	answer_free(&a);
	a = client_get(ts.config.admin_port, "/livez");
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&c);
}

/* Where one listener serves both families, a client of the older one has its own address. */
static void test_ipv4_at_an_ipv6_listener(void **state)
{
	const int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct answer a;

	(void)state;
	if (fd >= 0)
		ts.config.address = STR("::");
	test_server_start(&ts);
	if (fd < 0)
		skip(); /* no IPv6 here */
	close(fd);
	a = ask("GET /look/x", "");
	assert_non_null(strstr(a.body, "peer=127.0.0.1 "));
	answer_free(&a);
}

static void test_connections_max(void **state)
{
	struct client first, second;
	struct answer a;

	(void)state;
	ts.config.connections_max = 1;
	test_server_start(&ts);
	first = client_open(ts.config.port);
	client_say(&first, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&first, false);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	second = client_open(ts.config.port);
	assert_true(client_is_closed(&second));
	client_close(&second);
	a = client_get(ts.config.admin_port, "/livez");
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&first);
	test_server_wait_connections(&ts, 0);
	a = ask("GET /hello", "");
	assert_int_equal(a.status, 200);
	answer_free(&a);
}

static void test_ports_have_their_own_routes(void **state)
{
	struct answer a = client_get(ts.config.admin_port, "/livez");

	(void)state;
	assert_int_equal(a.status, 200);
	answer_free(&a);
	a = client_get(ts.config.admin_port, "/hello");
	assert_int_equal(a.status, 404);
	answer_free(&a);
	a = client_get(ts.config.port, "/livez");
	assert_int_equal(a.status, 404);
	answer_free(&a);
}

/* ---- metrics ---- */

static uint64_t answered(const char *route, const char *method, const char *status)
{
	return counter_value(counter_get("bodega_http_requests_total", "Requests answered.",
		LABELS({"route", str_from(route)}, {"method", str_from(method)},
			{"status", str_from(status)})));
}

static void test_metrics(void **state)
{
	const struct gauge *in_flight =
		gauge_get("bodega_http_requests_in_flight", "Requests being worked on.", NULL);
	const uint64_t found = answered("/look/{a}", "GET", "200");
	const uint64_t missing = answered("none", "any", "404");
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	client_say(&c, "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&entered);
	assert_int_equal(gauge_value(in_flight), 1);
	a = ask("GET /look/1", "");
	answer_free(&a);
	a = ask("GET /look/2", "");
	answer_free(&a);
	a = ask("GET /nowhere", "");
	answer_free(&a);
	client_close(&c);
	test_server_stop(&ts); /* what is counted at an exchange's end has been counted now */
	assert_int_equal(gauge_value(in_flight), 0);
	assert_int_equal(answered("/look/{a}", "GET", "200"), found + 2);
	assert_int_equal(answered("none", "any", "404"), missing + 1);
}

/* ---- times ---- */

#define SECOND INT64_C(1000000)
#define NEVER (1000000 * SECOND)

enum { LOOKS_MAX = 1000 };

/* Only one of them ends a connection. */
static void start_with_times(int64_t idle_us, int64_t head_us, int64_t stall_us)
{
	ts.config.idle_timeout_us = idle_us;
	ts.config.head_timeout_us = head_us;
	ts.config.stall_timeout_us = stall_us;
	test_server_start(&ts);
}

/* Ended by the time, that is after one look at least that has found it well. */
static void assert_is_cut(uint16_t port, const char *said, int64_t time_us)
{
	struct client c = client_open(port);
	int looks = 0;

	client_say(&c, "%s", said);
	test_server_wait_connections(&ts, 1);
	while (poll(&(struct pollfd){.fd = c.fd, .events = POLLIN}, 1, 0) == 0) {
		if (++looks > LOOKS_MAX)
			fail_msg("\"%s\" is waited for", said);
		test_server_pass(&ts, time_us / 4);
	}
	assert_in_range(looks, 4, LOOKS_MAX);
	assert_true(client_is_closed(&c));
	client_close(&c);
	test_server_wait_connections(&ts, 0);
}

static void test_idle_time(void **state)
{
	struct client c;
	struct answer a;

	(void)state;
	start_with_times(60 * SECOND, NEVER, NEVER);
	assert_is_cut(ts.config.port, "", 60 * SECOND);
	c = client_open(ts.config.port);
	client_say(&c, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&c, false);
	assert_int_equal(a.status, 200);
	test_server_pass(&ts, SECOND); /* the sweep that finds it idle */
	test_server_pass(&ts, 61 * SECOND);
	assert_true(client_is_closed(&c));
	answer_free(&a);
	client_close(&c);
}

static void test_head_time(void **state)
{
	(void)state;
	start_with_times(NEVER, 10 * SECOND, NEVER);
	assert_is_cut(ts.config.port, "P", 10 * SECOND); /* could be HTTP/2's preface */
	assert_is_cut(ts.config.port, "GET / HTTP/1.1\r\nHost: te", 10 * SECOND);
	assert_is_cut(ts.config.tls_port, "", 10 * SECOND); /* never greets */
}

static void test_stall_time(void **state)
{
	(void)state;
	start_with_times(NEVER, NEVER, 30 * SECOND);
	assert_is_cut(ts.config.port,
		"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc", 30 * SECOND);
	assert_is_cut(ts.config.port,
		"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na",
		30 * SECOND);
}

/* None of the times counts while a handler works. */
static void test_a_running_handler_is_left_alone(void **state)
{
	struct client c;
	struct answer a;

	(void)state;
	start_with_times(SECOND, SECOND, SECOND);
	c = client_open(ts.config.port);
	client_say(&c, "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
	test_wait(&entered);
	test_server_pass(&ts, 2 * SECOND);
	test_server_pass(&ts, 2 * SECOND);
	test_server_pass(&ts, 7 * SECOND); /* past the handler's own */
	a = client_read(&c, false);
	assert_problem(&a, 504, "deadline_passed");
	answer_free(&a);
	client_close(&c);
}

/* ---- TLS ---- */

static void test_tls(void **state)
{
	struct client c = client_open_tls(ts.config.tls_port, "http/1.1");
	const unsigned char *protocol;
	unsigned len;
	struct answer a;

	(void)state;
	SSL_get0_alpn_selected(c.ssl, &protocol, &len);
	assert_int_equal(len, 8);
	assert_memory_equal(protocol, "http/1.1", 8);
	client_say(&c, "GET /look/x HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&c, false);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.body, "scheme=https"));
	answer_free(&a);
	client_close(&c);
	c = client_open_tls(ts.config.tls_port, "http/1.1");
	client_say(&c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); /* ALPN said otherwise */
	a = client_read(&c, false);
	assert_problem(&a, 400, "bad_request");
	assert_true(client_is_closed(&c));
	answer_free(&a);
	client_close(&c);
}

static bool has_certificate(struct client *c, const char *file)
{
	X509 *const shown = SSL_get1_peer_certificate(c->ssl);
	FILE *const in = fopen(file, "r");
	X509 *const wanted = PEM_read_X509(in, NULL, NULL, NULL);
	const bool same = X509_cmp(shown, wanted) == 0;

	X509_free(shown);
	X509_free(wanted);
	fclose(in);
	return same;
}

static bool new_client_sees(const char *file)
{
	struct client c = client_open_tls(ts.config.tls_port, "http/1.1");
	const bool same = has_certificate(&c, file);

	client_close(&c);
	return same;
}

static void test_certificate_is_replaced(void **state)
{
	struct client before = client_open_tls(ts.config.tls_port, "http/1.1");
	struct test_server other = {0};
	struct str why;
	struct answer a;

	(void)state;
	test_server_make_certificate(&other);
	assert_int_equal(rename(other.key_file, ts.key_file), 0);
	assert_false(server_load_certificate(ts.server, &why)); /* half of the pair */
	assert_non_null(memmem(why.at, why.len, "fits the certificate", 20));
	assert_true(new_client_sees(ts.cert_file));
	assert_int_equal(rename(other.cert_file, ts.cert_file), 0);
	assert_true(server_load_certificate(ts.server, &why));
	assert_true(new_client_sees(ts.cert_file));
	assert_false(has_certificate(&before, ts.cert_file));
	client_say(&before, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&before, false);
	assert_int_equal(a.status, 200);
	answer_free(&a);
	client_close(&before);
	assert_in_range(gauge_value(gauge_get("bodega_tls_certificate_expiry_timestamp_seconds",
				"When the certificate in use ends, since 1970.", NULL)),
		time(NULL) + 3500, time(NULL) + 3700);
}

static void test_old_tls_is_refused(void **state)
{
	struct client c = client_open(ts.config.tls_port);
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	(void)state;
	SSL_CTX_set_max_proto_version(tls, TLS1_1_VERSION);
	SSL_CTX_set_min_proto_version(tls, TLS1_VERSION);
	SSL_CTX_set_cipher_list(tls, "ALL:@SECLEVEL=0");
	ssl = SSL_new(tls);
	SSL_set_fd(ssl, c.fd);
	assert_int_not_equal(SSL_connect(ssl), 1);
	SSL_free(ssl);
	SSL_CTX_free(tls);
	client_close(&c);
}

static void test_bad_configuration(void **state)
{
	struct server_config config = ts.config;
	struct str error = STR_NONE;

	(void)state;
	config.tls_cert_file = "/nonexistent";
	assert_null(server_new(&config, &error));
	assert_non_null(memmem(error.at, error.len, "/nonexistent", 12));
	config.tls_port = 0;
	config.route_count = 1;
	config.routes = &(const struct route){"BREW", "/tea", hello, ANYONE, 0, 0, NULL};
	assert_null(server_new(&config, &error));
	assert_non_null(memmem(error.at, error.len, "/tea", 4));
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define STARTING(test) cmocka_unit_test_setup_teardown(test, set_up_only, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_keep_alive),
		SERVED(test_pipelining),
		SERVED(test_bytewise),
		SERVED(test_http_1_0),
		SERVED(test_expect),
		SERVED(test_bad_heads),
		SERVED(test_large_heads),
		SERVED(test_body_bounds),
		SERVED(test_refusal_ends_in_order),
		SERVED(test_request_from_inside),
		SERVED(test_methods),
		SERVED(test_bodiless_answers_keep_the_connection),
		SERVED(test_conditions),
		SERVED(test_who),
		SERVED(test_what_is_not_known),
		STARTING(test_loopback_only),
		SERVED(test_faults),
		SERVED(test_deadlines),
#ifdef BODEGA_FAULTS
		SERVED(test_fault_injection),
#endif
		STARTING(test_tasks_max),
		STARTING(test_requests_max),
		STARTING(test_ipv4_at_an_ipv6_listener),
		STARTING(test_connections_max),
		SERVED(test_ports_have_their_own_routes),
		cmocka_unit_test_setup(test_metrics, set_up),
		STARTING(test_idle_time),
		STARTING(test_head_time),
		STARTING(test_stall_time),
		STARTING(test_a_running_handler_is_left_alone),
		SERVED(test_tls),
		SERVED(test_certificate_is_replaced),
		SERVED(test_old_tls_is_refused),
		SERVED(test_bad_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
