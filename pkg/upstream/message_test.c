/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include <stdlib.h>

#include "base/scope.h"
#include "upstream/message.h"

/* The whole answer in a copy of exactly its length, so that AddressSanitizer sees each byte read
 * too far. */
static enum upstream_read read_all(struct scope *s, struct str text, bool head_request,
	struct upstream_reply *reply, struct str *body, bool *keep)
{
	struct upstream_head head;
	size_t n = text.len;
	char *copy = malloc(n);
	const char *why;
	bool stray = false;

	memcpy(copy, text.at, n);
	enum upstream_read read =
		upstream_head_read(s, str_of(copy, n), 0, head_request, &head, reply, &why);
	if (read == READ_DONE && head.status >= 200) {
		n -= head.bytes;
		read = upstream_body_read(&head.body, copy + head.bytes, &n, &stray);
		*body = scope_dup(s, str_of(copy + head.bytes, n));
		*keep = head.keep && !stray && head.body.kind != BODY_UNTIL_CLOSE;
	}
	free(copy);
	return read;
}

static void answers(void **state)
{
	static const struct {
		const char *text;
		enum upstream_read read;
		int status;
		const char *body;
		bool keep;
		bool head_request;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", READ_DONE, 200, "ab", true,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", READ_DONE, 200, "", true, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", READ_MORE, 200, "ab", true,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n", READ_DONE,
			200, "ab", false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab", READ_DONE,
			200, "ab", false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\nab",
			READ_DONE, 200, "ab", false, false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", READ_DONE, 200, "ab", false,
			false},
		{"HTTP/1.1 204 No Content\r\n\r\n", READ_DONE, 204, "", true, false},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", READ_DONE, 304, "", true,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", READ_DONE, 200, "", true, true},
		{"HTTP/1.1 200 OK\r\n\r\nab", READ_MORE, 200, "ab", false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
			READ_DONE, 200, "abc", true, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1;x=y\r\na\r\n0\r\nA: "
		 "b\r\n\r\n",
			READ_DONE, 200, "a", true, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore", READ_DONE,
			200, "", false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", READ_BAD, 0, NULL,
			false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
			READ_BAD, 0, NULL, false, false},
		{"HTTP/1.1 100 Continue\r\n\r\n", READ_DONE, 0, NULL, false, false},
		{"HTTP/1.1 103 Early Hints\r\nContent-Length: x\r\n\r\n", READ_DONE, 0, NULL, false,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Le", READ_MORE, 0, NULL, false, false},
		/* what must not be believed */
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", READ_BAD, 0, NULL, false, false},
		{"HTTP/1.1 099 Low\r\n\r\n", READ_BAD, 0, NULL, false, false},
		{"HTTP/1.1 600 High\r\n\r\n", READ_BAD, 0, NULL, false, false},
		{"HTTP/2.0 200 OK\r\n\r\n", READ_BAD, 0, NULL, false, false},
		{"SSH-2.0-OpenSSH_9.2\r\n\r\n", READ_BAD, 0, NULL, false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", READ_BAD, 0,
			NULL, false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab", READ_BAD, 0,
			NULL, false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", READ_BAD, 0, NULL, false,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab", READ_BAD, 0, NULL, false,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nab", READ_BAD, 0, NULL, false,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nab", READ_BAD, 0, NULL, false,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nab", READ_BAD, 0, NULL, false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", READ_BAD, 0, NULL, false,
			false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
			READ_BAD, 0, NULL, false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", READ_BAD, 0, NULL, false,
			false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", READ_BAD, 0, NULL,
			false, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n",
			READ_BAD, 0, NULL, false, false},
		{"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", READ_BAD, 0, NULL,
			false, false},
		{"HTTP/1.1 200 OK\r\n: nothing\r\n\r\n", READ_BAD, 0, NULL, false, false},
		{"HTTP/1.1 200 OK\r\nA B: c\r\n\r\n", READ_BAD, 0, NULL, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct upstream_reply reply = {0};
		struct str body = STR_NONE;
		struct scope s;
		bool keep = false;

		scope_begin(&s);
		const enum upstream_read read = read_all(
			&s, str_from(rows[i].text), rows[i].head_request, &reply, &body, &keep);
		if (read != rows[i].read)
			fail_row(i, "read %d", read);
		if (rows[i].body != NULL &&
			(reply.status != rows[i].status || !str_eq(body, str_from(rows[i].body)) ||
				keep != rows[i].keep))
			fail_row(i, "status %d, body \"%.*s\", keep %d", reply.status,
				STR_ARG(body), keep);
		scope_end(&s);
	}
}

/* However a body is cut into reads, it is the same body. */
static void bodies_in_pieces(void **state)
{
	static const char text[] =
		"3\r\nabc\r\n10;ext=\"v\"\r\n0123456789abcdef\r\n0\r\nT: x\r\n\r\n";

	(void)state;
	for (size_t cut = 1; cut < sizeof text - 1; cut++) {
		struct upstream_body body = {.kind = BODY_CHUNKED, .decoder.consume_trailer = 1};
		char got[sizeof text] = "", piece[sizeof text];
		enum upstream_read read = READ_MORE;
		size_t len = 0;
		bool stray = false;

		for (size_t at = 0; at < sizeof text - 1; at += cut) {
			size_t n = sizeof text - 1 - at < cut ? sizeof text - 1 - at : cut;

			memcpy(piece, text + at, n);
			read = upstream_body_read(&body, piece, &n, &stray);
			memcpy(got + len, piece, n);
			len += n;
		}
		if (read != READ_DONE || stray || strcmp(got, "abc0123456789abcdef") != 0)
			fail_row(cut, "read %d, got \"%s\"", read, got);
	}
}

static void headers_of_answers(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\n"
				   "Content-Type:  text/plain \r\n"
				   "Connection: close, X-Hop\r\n"
				   "X-Hop: gone\r\n"
				   "Keep-Alive: timeout=5\r\n"
				   "Upgrade: h2c\r\n"
				   "Trailer: x\r\n"
				   "ETag: \"3\"\r\n"
				   "Set-Cookie: a=1\r\n"
				   "Set-Cookie: b=2\r\n"
				   "Content-Length: 0\r\n\r\n";
	static const char *const expected[][2] = {{"content-type", "text/plain"}, {"etag", "\"3\""},
		{"set-cookie", "a=1"}, {"set-cookie", "b=2"}};
	struct upstream_reply reply;
	struct str body;
	struct scope s;
	bool keep;

	(void)state;
	scope_begin(&s);
	assert_int_equal(read_all(&s, str_from(text), false, &reply, &body, &keep), READ_DONE);
	assert_int_equal(reply.header_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_str_equal(reply.headers[i].name, str_from(expected[i][0]));
		assert_str_equal(reply.headers[i].value, str_from(expected[i][1]));
	}
	assert_int_equal(reply.body_bytes, 0);
	scope_end(&s);
}

static void heads_have_a_limit(void **state)
{
	static char text[UPSTREAM_HEAD_BYTES_MAX] = "HTTP/1.1 200 OK\r\nX: ";
	const size_t begun = strlen(text);
	struct upstream_reply reply;
	struct upstream_head head;
	struct scope s;
	const char *why;

	(void)state;
	memset(text + begun, 'a', sizeof text - begun);
	scope_begin(&s);
	assert_int_equal(upstream_head_read(
				 &s, str_of(text, sizeof text - 1), 0, false, &head, &reply, &why),
		READ_MORE);
	assert_int_equal(upstream_head_read(&s, str_of(text, sizeof text), sizeof text - 1, false,
				 &head, &reply, &why),
		READ_BAD);
	scope_end(&s);
}

static void requests(void **state)
{
	struct upstream_request request = {
		.method = STR("POST"), .target = STR("/a?b=c"), .body = STR("{}")};
	struct scope s;

	(void)state;
	scope_begin(&s);
	upstream_header(&request, STR("content-type"), STR("application/json"));
	assert_int_equal(upstream_request_check(&s, &request), OK);
	assert_str_equal(upstream_head_write(&s, &request, STR("here:1")),
		STR("POST /a?b=c HTTP/1.1\r\ncontent-type: application/json\r\nhost: here:1\r\n"
		    "content-length: 2\r\n\r\n"));
	upstream_header(&request, STR("host"), STR("shop.example"));
	request.body = STR_NONE;
	assert_str_equal(upstream_head_write(&s, &request, STR("here:1")),
		STR("POST /a?b=c HTTP/1.1\r\ncontent-type: application/json\r\n"
		    "host: shop.example\r\ncontent-length: 0\r\n\r\n"));
	request = (struct upstream_request){.method = STR("GET"), .target = STR("/")};
	assert_str_equal(upstream_head_write(&s, &request, STR("here:1")),
		STR("GET / HTTP/1.1\r\nhost: here:1\r\n\r\n"));
	scope_end(&s);
}

/* Nothing that a client sent may end a line of ours. */
static void injection(void **state)
{
	static const struct {
		const char *method, *target, *name, *value;
		bool good;
	} rows[] = {
		{"GET", "/a%20b?c=%0d%0a", "x-y", "v \t\xc3\xa4", true},
		{"GET", "/a b", "x", "v", false},
		{"GET", "/a\r\nx: y", "x", "v", false},
		{"GET", "/a\nb", "x", "v", false},
		{"GET", "/a\tb", "x", "v", false},
		{"GET", "/a\x7f", "x", "v", false},
		{"GET", "a", "x", "v", false},
		{"GET", "", "x", "v", false},
		{"GET", "http://other/", "x", "v", false},
		{"G ET", "/", "x", "v", false},
		{"GET\r\n", "/", "x", "v", false},
		{"", "/", "x", "v", false},
		{"GET", "/", "x", "v\r\ny: z", false},
		{"GET", "/", "x", "v\n", false},
		{"GET", "/", "x", "v\x01", false},
		{"GET", "/", "x\r\ny", "v", false},
		{"GET", "/", "x y", "v", false},
		{"GET", "/", "x:", "v", false},
		{"GET", "/", "", "v", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct upstream_request request = {
			.method = str_from(rows[i].method), .target = str_from(rows[i].target)};
		struct scope s;

		scope_begin(&s);
		upstream_header(&request, str_from(rows[i].name), str_from(rows[i].value));
		const enum fault fault = upstream_request_check(&s, &request);
		if (fault != (rows[i].good ? OK : FAULT_BAD_REQUEST))
			fail_row(i, "fault %d", fault);
		scope_end(&s);
	}
}

static void addresses(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {{"127.0.0.1:8082", true}, {"http://127.0.0.1:8082", true},
		{"http://127.0.0.1:8082/", true}, {"[::1]:8082", true}, {"unix:/tmp/x", true},
		{"127.0.0.1", false}, {"127.0.0.1:", false}, {"127.0.0.1:0", false},
		{"127.0.0.1:65536", false}, {"127.0.0.1:80x", false}, {"localhost:80", true},
		{"http://bodega-orders-headless.shop.svc:8083/", true}, {"orders", false},
		{"or ders:80", false}, {"user@orders:80", false}, {"[orders]:80", false},
		{"[127.0.0.1]:80", false}, {"::1:80", false}, {"http://:80", false},
		{"127.0.0.256:80", false}, {"[::1:80", false}, {"[zz]:80", false}, {"", false},
		{":", false}, {"unix:", false}, {"unix:relative", false},
		{"https://127.0.0.1:1", false}, {"http://127.0.0.1:1/path", false}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (upstream_address_valid(str_from(rows[i].text)) != rows[i].good)
			fail_row(i, "%s", rows[i].text);
	assert_false(upstream_address_valid(STR_NONE));
}

/* A peer's refusal keeps its meaning; its bugs become a bad gateway. */
static void problems(void **state)
{
	static const struct {
		int status;
		enum fault fault;
		const char *body;
		const char *detail;
	} rows[] = {
		{409, FAULT_INSUFFICIENT_STOCK,
			"{\"code\":\"insufficient_stock\",\"detail\":\"x is "
			"short\",\"status\":409}",
			"x is short"},
		{409, FAULT_RELEASED, "{\"code\":\"released\"}",
			"the service behind this one answered 409"},
		{409, FAULT_CONFLICT, "{\"code\":\"unheard_of\",\"detail\":\"d\"}", "d"},
		{409, FAULT_CONFLICT, "not json", "the service behind this one answered 409"},
		{404, FAULT_NOT_FOUND, "", "the service behind this one answered 404"},
		{422, FAULT_INVALID, "{\"code\":\"invalid\",\"errors\":[]}",
			"the service behind this one answered 422"},
		{503, FAULT_OVERLOADED, "{\"code\":\"overloaded\"}",
			"the service behind this one answered 503"},
		{503, FAULT_UNAVAILABLE, "{\"code\":5}",
			"the service behind this one answered 503"},
		{504, FAULT_DEADLINE, "", "the service behind this one answered 504"},
		{500, FAULT_BAD_GATEWAY, "{\"code\":\"internal\"}",
			"the service behind this one answered 500"},
		{418, FAULT_BAD_GATEWAY, "{\"code\":\"teapot\"}",
			"the service behind this one answered 418"},
		/* the code of another status is not believed */
		{404, FAULT_NOT_FOUND, "{\"code\":\"conflict\"}",
			"the service behind this one answered 404"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct upstream_reply reply = {
			.status = rows[i].status, .body = str_from(rows[i].body)};
		struct scope s;

		scope_begin(&s);
		const enum fault fault = upstream_fault(&s, &reply);
		if (fault != rows[i].fault || !str_eq(s.detail, str_from(rows[i].detail)))
			fail_row(i, "%s: \"%.*s\"", fault_info(fault)->code, STR_ARG(s.detail));
		scope_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(bodies_in_pieces),
		cmocka_unit_test(headers_of_answers),
		cmocka_unit_test(heads_have_a_limit),
		cmocka_unit_test(requests),
		cmocka_unit_test(injection),
		cmocka_unit_test(addresses),
		cmocka_unit_test(problems),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
