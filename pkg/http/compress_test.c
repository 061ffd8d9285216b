/* SPDX-License-Identifier: Apache-2.0
 * Answers in gzip: which, for whom, and what becomes of tags, HEAD and conditions. */
#include "base/testing.h"

#include "http/test_server.h"

#include <semaphore.h>
#include <stdlib.h>
#include <zlib.h>

enum { LARGE = 20000, OVER = (128 << 10) + 1 };

/* JSON of as many bytes as the path says, the same each time. */
static enum fault text(struct task *t, const struct request *request, struct reply *reply)
{
	int64_t len = atoll(scope_format(&t->scope, "%.*s", STR_ARG(request->params[0])).at);
	char *json = arena_bytes(t->scope.arena, (size_t)len);

	for (int64_t i = 0; i < len; i++)
		json[i] = (char)('a' + i * i % 23);
	json[0] = json[len - 1] = '"';
	reply_version(reply, 3);
	return reply_json(reply, 200, str_of(json, (size_t)len));
}

static enum fault picture(struct task *t, const struct request *request, struct reply *reply)
{
	TRY(text(t, request, reply));
	reply->content_type = STR("image/png");
	return OK;
}

static enum fault made(struct task *t, const struct request *request, struct reply *reply)
{
	TRY(text(t, request, reply));
	reply->status = 201;
	return OK;
}

/* As the gateway hands an answer on that a service has compressed. */
static enum fault encoded(struct task *t, const struct request *request, struct reply *reply)
{
	TRY(text(t, request, reply));
	reply_header(reply, "content-encoding", STR("br"));
	return OK;
}

static enum fault changed(struct task *t, const struct request *request, struct reply *reply)
{
	TRY(request_precondition(&t->scope, request, STR("3")));
	return reply_empty(reply);
}

#define ROUTE(method_, path_, handler_)                                                    \
	{                                                                                  \
		.method = (method_), .path = (path_), .handler = (handler_), .who = ANYONE \
	}

static const struct route routes[] = {
	ROUTE("GET", "/text/{len}", text),
	ROUTE("POST", "/text/{len}", text),
	ROUTE("PUT", "/text/{len}", changed),
	ROUTE("GET", "/picture/{len}", picture),
	ROUTE("GET", "/made/{len}", made),
	ROUTE("GET", "/encoded/{len}", encoded),
};

static struct test_server ts;

static int set_up(void **state)
{
	(void)state;
	test_server_init(&ts, routes, sizeof routes / sizeof routes[0], 1);
	test_server_start(&ts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_server_stop(&ts);
	return 0;
}

static struct answer ask(struct client *c, const char *request_line, const char *headers)
{
	client_say(c, "%s HTTP/1.1\r\nHost: test\r\n%s\r\n", request_line, headers);
	return client_read(c, strncmp(request_line, "HEAD", 4) == 0);
}

static void assert_header(const struct answer *a, const char *name, const char *value)
{
	const char *found = answer_header(a, name);

	if (found == NULL || value == NULL ? found != value : strcmp(found, value) != 0)
		fail_msg("%s is %s, not %s", name, found != NULL ? found : "not there",
			value != NULL ? value : "absent");
}

static void assert_unzips_to(const struct answer *a, const struct answer *plain)
{
	static unsigned char out[2 * LARGE];
	z_stream z = {.next_in = (Bytef *)a->body,
		.avail_in = (uInt)a->body_len,
		.next_out = out,
		.avail_out = sizeof out};

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	assert_int_equal(z.total_out, plain->body_len);
	assert_memory_equal(out, plain->body, plain->body_len);
	inflateEnd(&z);
}

static void test_gzip_for_who_asks(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer plain = ask(&c, "GET /text/20000", "");

	(void)state;
	assert_header(&plain, "content-encoding", NULL);
	assert_header(&plain, "vary", "accept-encoding");
	assert_header(&plain, "etag", "\"3\"");
	assert_int_equal(plain.body_len, LARGE);
	for (int i = 0; i < 3; i++) { /* nothing of one is left for the next */
		struct answer a = ask(&c, "GET /text/20000", "Accept-Encoding: br, gzip\r\n");

		assert_int_equal(a.status, 200);
		assert_header(&a, "content-encoding", "gzip");
		assert_header(&a, "content-type", "application/json");
		assert_header(&a, "vary", "accept-encoding");
		assert_header(&a, "etag", "\"3-gz\"");
		assert_true(a.body_len < LARGE / 2);
		assert_unzips_to(&a, &plain);
		answer_free(&a);
	}
	answer_free(&plain);
	client_close(&c);
}

static void test_over_http2(void **state)
{
	/* GET, http, :path, :authority, "accept-encoding: gzip, deflate" of HPACK's table */
	static const char block[] = "\x82\x86\x04\x0b/text/20000\x01\x04test\x90";
	struct client c = client_open(ts.config.port);
	struct answer plain = ask(&c, "GET /text/20000", "");
	struct client h2 = client_open(ts.config.port);
	struct answer a;

	(void)state;
	http2_begin(&h2, 1 << 20);
	http2_frame(&h2, FRAME_HEADERS, 5, 1, block, sizeof block - 1);
	a = http2_read(&h2, 1);
	assert_int_equal(a.status, 200);
	assert_unzips_to(&a, &plain);
	answer_free(&a);
	answer_free(&plain);
	client_close(&h2);
	client_close(&c);
}

static void test_what_is_left_as_it_is(void **state)
{
	static const struct {
		const char *request;
		const char *encoding; /* NULL: none */
		const char *vary;
	} rows[] = {
		{"GET /text/1024", "gzip", "accept-encoding"},
		{"GET /text/1023", NULL, NULL},
		{"GET /text/131073", NULL, NULL},
		{"GET /picture/20000", NULL, NULL},
		{"GET /made/20000", NULL, NULL},
		{"GET /encoded/20000", "br", NULL},
		{"POST /text/20000", NULL, NULL},
	};

	(void)state;
	assert_int_equal(OVER, 131073);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct client c = client_open(ts.config.port);
		struct answer a = ask(&c, rows[i].request, "Accept-Encoding: gzip\r\n");

		assert_header(&a, "content-encoding", rows[i].encoding);
		assert_header(&a, "vary", rows[i].vary);
		answer_free(&a);
		client_close(&c);
	}
}

static void test_head_is_that_of_get(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer get = ask(&c, "GET /text/20000", "Accept-Encoding: gzip\r\n");
	struct answer head = ask(&c, "HEAD /text/20000", "Accept-Encoding: gzip\r\n");

	(void)state;
	assert_header(&head, "content-encoding", "gzip");
	assert_header(&head, "etag", "\"3-gz\"");
	assert_int_equal(atoll(answer_header(&head, "content-length")), get.body_len);
	answer_free(&get);
	answer_free(&head);
	client_close(&c);
}

static void test_conditions(void **state)
{
	static const struct {
		const char *request;
		const char *headers;
		int status;
		const char *tag;
	} rows[] = {
		{"GET /text/20000", "Accept-Encoding: gzip\r\nIf-None-Match: \"3-gz\"\r\n", 304,
			"\"3-gz\""},
		{"GET /text/20000", "Accept-Encoding: gzip\r\nIf-None-Match: \"3\"\r\n", 200,
			"\"3-gz\""},
		{"GET /text/20000", "If-None-Match: \"3\"\r\n", 304, "\"3\""},
		{"GET /text/20000", "If-None-Match: \"3-gz\"\r\n", 200, "\"3\""},
		{"PUT /text/1", "If-Match: \"3-gz\"\r\n", 204, NULL},
		{"PUT /text/1", "If-Match: \"2-gz\"\r\n", 412, NULL},
	};
	struct client c = client_open(ts.config.port);

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct answer a = ask(&c, rows[i].request, rows[i].headers);

		if (a.status != rows[i].status)
			fail_row(i, "%s %s: %d", rows[i].request, rows[i].headers, a.status);
		assert_header(&a, "etag", rows[i].tag);
		if (rows[i].status == 304)
			assert_header(&a, "vary", "accept-encoding");
		answer_free(&a);
	}
	client_close(&c);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_gzip_for_who_asks),
		SERVED(test_over_http2),
		SERVED(test_what_is_left_as_it_is),
		SERVED(test_head_is_that_of_get),
		SERVED(test_conditions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
