/* SPDX-License-Identifier: Apache-2.0
 * Live streams on real sockets: handshakes, frames that are wrong in every way, close codes, slow
 * readers, heartbeats, draining, and clients that vanish. */
#include "base/testing.h"

#include "http/test_server.h"

#include "base/check.h"
#include "base/clock.h"
#include "http/internal.h"
#include "http/live.h"
#include "http/ws_frame.h"
#include "metrics/metrics.h"

#include <stdlib.h>
#include <sys/socket.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HANDSHAKE(path)                                                              \
	"GET " path " HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\n" \
	"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n"

/* ---- what is served ---- */

/* The last stream that was opened; used on the loop's thread only. */
static struct live *the_stream;
static sem_t opened;
static sem_t ended;
static sem_t waited; /* tasks that waited for a reader */
static enum live_end ended_why;

static void on_message(void *owner, struct str message)
{
	(void)owner;
	live_send(the_stream, STR("7"), message);
}

static void on_ended(void *owner, enum live_end why)
{
	(void)owner;
	the_stream = NULL;
	ended_why = why;
	sem_post(&ended);
}

static enum fault open_stream(struct task *t, const struct request *request, struct reply *reply,
	enum live_kind kind, int64_t for_us)
{
	const struct live_config config = {
		.kind = kind,
		.until_us = for_us < INT64_MAX ? loop_now_us(t->loop) + for_us : INT64_MAX,
		.message = on_message,
		.ended = on_ended,
	};

	TRY(live_open(&t->scope, request, reply, &config, &the_stream));
	sem_post(&opened);
	return OK;
}

static enum fault ws(struct task *t, const struct request *request, struct reply *reply)
{
	return open_stream(t, request, reply, LIVE_WEBSOCKET, INT64_MAX);
}

static enum fault events(struct task *t, const struct request *request, struct reply *reply)
{
	return open_stream(t, request, reply, LIVE_EVENTS, INT64_MAX);
}

static enum fault short_ws(struct task *t, const struct request *request, struct reply *reply)
{
	return open_stream(t, request, reply, LIVE_WEBSOCKET, 50000);
}

static enum fault short_events(struct task *t, const struct request *request, struct reply *reply)
{
	return open_stream(t, request, reply, LIVE_EVENTS, 50000);
}

static enum fault changes_its_mind(
	struct task *t, const struct request *request, struct reply *reply)
{
	TRY(open_stream(t, request, reply, LIVE_WEBSOCKET, INT64_MAX));
	return fail(&t->scope, FAULT_FORBIDDEN, "on second thoughts");
}

/* Greets, and goes on when that is sent: the task outlives the client that has left. */
static void wait_sent(struct task *t, void *arg)
{
	struct live *l = the_stream;
	const char *const big = arg;

	live_send(l, STR_NONE, str_from(big));
	if (live_wait_sent(t, l) == OK)
		live_send(l, STR_NONE, STR("\"sent\""));
}

#define ROUTE(path_, handler_)                                                         \
	{                                                                              \
		.method = "GET", .path = (path_), .handler = (handler_), .who = ANYONE \
	}

static const struct route routes[] = {
	ROUTE("/ws", ws),
	ROUTE("/events", events),
	ROUTE("/short/ws", short_ws),
	ROUTE("/short/events", short_events),
	ROUTE("/changes_its_mind", changes_its_mind),
};

static struct test_server ts;

static int set_up_only(void **state)
{
	(void)state;
	test_server_init(&ts, routes, COUNT(routes), 1);
	sem_init(&opened, 0, 0);
	sem_init(&ended, 0, 0);
	sem_init(&waited, 0, 0);
	return 0;
}

static int set_up(void **state)
{
	set_up_only(state);
	test_server_start(&ts);
	return 0;
}

/* Heartbeats every 25 ms, so a tick is 1 ms. */
static int set_up_fast(void **state)
{
	set_up_only(state);
	ts.config.heartbeat_us = 25000;
	test_server_start(&ts);
	return 0;
}

/* A farewell has 0.3 s, an unanswered ping at least 2.5 s. */
static int set_up_quick(void **state)
{
	set_up_only(state);
	ts.config.heartbeat_us = 2500000;
	test_server_start(&ts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_server_stop(&ts);
	sem_destroy(&opened);
	sem_destroy(&ended);
	sem_destroy(&waited);
	return 0;
}

static void send_now(struct server_worker *w, void *arg)
{
	(void)w;
	live_send(the_stream, STR("o:1,p:2"), str_from(arg));
}

static void send_all(const char *json)
{
	test_server_call(&ts, send_now, (void *)(uintptr_t)json);
}

static void end_now(struct server_worker *w, void *arg)
{
	(void)w;
	live_end(the_stream, *(const enum live_end *)arg);
}

static void end_all(enum live_end why)
{
	test_server_call(&ts, end_now, &why);
}

/* ---- a client of WebSockets ---- */

static struct client ws_open(const char *handshake)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	client_say(&c, "%s", handshake);
	a = client_read(&c, true);
	assert_int_equal(a.status, 101);
	assert_string_equal(answer_header(&a, "upgrade"), "websocket");
	assert_string_equal(
		answer_header(&a, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	answer_free(&a);
	test_wait(&opened);
	return c;
}

/* A frame of a client, masked by "mask". */
static void ws_say(struct client *c, unsigned first, const char *payload, size_t len)
{
	char *frame = malloc(len + WS_HEAD_MAX);
	size_t head;

	head = ws_head_write(frame, WS_TEXT, len);
	frame[0] = (char)first;
	frame[1] = (char)(frame[1] | 0x80);
	memcpy(frame + head, "mask", 4);
	if (len > 0)
		memcpy(frame + head + 4, payload, len);
	ws_unmask(frame + head + 4, len, (const uint8_t *)"mask");
	client_send(c, frame, head + 4 + len);
	free(frame);
}

struct ws_got {
	unsigned first; /* 0: the connection has ended */
	char payload[512];
	size_t len;
};

/* The next frame; of long ones the beginning. */
static struct ws_got ws_next(struct client *c)
{
	struct ws_got got = {0};
	size_t head = 2, len;

	if (!client_fill(c, 2))
		return got;
	assert_false((c->data[1] & 0x80) != 0); /* a server masks nothing */
	len = (unsigned char)c->data[1];
	if (len >= 126) {
		const size_t more = len == 126 ? 2 : 8;

		assert_true(client_fill(c, 2 + more));
		len = 0;
		for (size_t i = 0; i < more; i++)
			len = len << 8 | (unsigned char)c->data[2 + i];
		head += more;
	}
	if (!client_fill(c, head + len))
		return got;
	got.first = (unsigned char)c->data[0];
	got.len = len;
	memcpy(got.payload, c->data + head,
		len < sizeof got.payload ? len : sizeof got.payload - 1);
	client_take(c, head + len);
	return got;
}

enum { FIN_TEXT = 0x81, FIN_BINARY = 0x82, FIN_CLOSE = 0x88, FIN_PING = 0x89, FIN_PONG = 0x8a };

static void assert_text(struct client *c, const char *text)
{
	const struct ws_got got = ws_next(c);

	assert_int_equal(got.first, FIN_TEXT);
	assert_string_equal(got.payload, text);
}

/* Skips texts and pings; 0: the connection ended without a Close. */
static unsigned next_close(struct client *c)
{
	struct ws_got got;

	do
		got = ws_next(c);
	while (got.first == FIN_TEXT || got.first == FIN_PING || got.first == FIN_PONG);
	if (got.first != FIN_CLOSE)
		return 0;
	return got.len < 2 ? 1005
	                   : (unsigned)((unsigned char)got.payload[0] << 8 |
					(unsigned char)got.payload[1]);
}

static void assert_ended(enum live_end why)
{
	test_wait(&ended);
	assert_int_equal(ended_why, why);
	assert_null(the_stream);
}

static void reset(struct client *c)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	client_close(c);
}

/* ---- WebSockets ---- */

static void test_no_handshakes(void **state)
{
#define HEAD(version, upgrade, ws_version, key) \
	"GET /ws HTTP/" version                 \
	"\r\nHost: test\r\nConnection: Upgrade, close\r\n" upgrade ws_version key "\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define THE_KEY "Sec-WebSocket-Key: " KEY "\r\n"
	static const struct {
		const char *head;
		int status;
	} rows[] = {
		{HEAD("1.1", UPGRADE, VERSION, THE_KEY), 101},
		{HEAD("1.1", "", VERSION, THE_KEY), 426},
		{HEAD("1.1", "Upgrade: h2c\r\n", VERSION, THE_KEY), 426},
		{HEAD("1.0", UPGRADE, VERSION, THE_KEY), 426},
		{HEAD("1.1", UPGRADE, "", THE_KEY), 426},
		{HEAD("1.1", UPGRADE, "Sec-WebSocket-Version: 8\r\n", THE_KEY), 426},
		{HEAD("1.1", UPGRADE, VERSION, ""), 400},
		{HEAD("1.1", UPGRADE, VERSION, "Sec-WebSocket-Key: short\r\n"), 400},
		{"GET /ws HTTP/1.1\r\nHost: test\r\nConnection: close\r\n" UPGRADE VERSION THE_KEY
		 "\r\n",
			426},
		{"HEAD /ws HTTP/1.1\r\nHost: test\r\nConnection: close, "
		 "upgrade\r\n" UPGRADE VERSION THE_KEY "\r\n",
			400},
		{"GET /changes_its_mind HTTP/1.1\r\nHost: test\r\nConnection: close, "
		 "upgrade\r\n" UPGRADE VERSION THE_KEY "\r\n",
			403},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c = client_open(ts.config.port);
		struct answer a;

		client_say(&c, "%s", rows[i].head);
		a = client_read(&c, rows[i].status == 101 || rows[i].head[0] == 'H');
		if (a.status != rows[i].status)
			fail_row(i, "%d", a.status);
		if (a.status == 426)
			assert_string_equal(answer_header(&a, "sec-websocket-version"), "13");
		if (a.status == 101 || a.status == 403) { /* both opened a stream */
			client_close(&c);
			test_wait(&ended);
		} else {
			client_close(&c);
		}
		answer_free(&a);
	}
}

static void test_no_websocket_on_http2(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	http2_begin(&c, 65535);
	http2_request(&c, 1, "GET", "/ws", false);
	a = http2_read(&c, 1);
	assert_int_equal(a.status, 426);
	answer_free(&a);
	client_close(&c);
}

static void test_messages(void **state)
{
	struct client c = ws_open(HANDSHAKE("/ws"));
	char long_text[400];

	(void)state;
	memset(long_text, 'x', sizeof long_text);
	long_text[sizeof long_text - 1] = '\0';
	ws_say(&c, FIN_TEXT, "\"one\"", 5);
	assert_text(&c, "\"one\"");
	ws_say(&c, FIN_TEXT, long_text, strlen(long_text));
	assert_text(&c, long_text);
	ws_say(&c, FIN_TEXT, "", 0);
	assert_text(&c, "");
	ws_say(&c, FIN_BINARY, "\xff", 1);
	assert_text(&c, "\xff");
	/* in fragments, with a ping between them */
	ws_say(&c, WS_TEXT, "\xe2\x82", 2);
	ws_say(&c, FIN_PING, "?", 1);
	ws_say(&c, WS_CONTINUATION, "\xac", 1);
	ws_say(&c, 0x80 | WS_CONTINUATION, "!", 1);
	assert_int_equal(ws_next(&c).first, FIN_PONG);
	assert_text(&c, "\xe2\x82\xac!");
	/* byte by byte */
	for (const char *at = "\x81\x82mask\x05\x08"; *at != '\0'; at++)
		client_send(&c, at, 1);
	assert_text(&c, "hi");
	send_all("{\"id\":1}");
	assert_text(&c, "{\"id\":1}");
	client_close(&c);
	assert_ended(LIVE_LEFT);
	test_server_wait_connections(&ts, 0);
}

static void test_pings(void **state)
{
	struct client c = ws_open(HANDSHAKE("/ws"));
	struct ws_got got;

	(void)state;
	ws_say(&c, FIN_PING, "are you there?", 14);
	got = ws_next(&c);
	assert_int_equal(got.first, FIN_PONG);
	assert_string_equal(got.payload, "are you there?");
	ws_say(&c, FIN_PONG, "unasked", 7);
	ws_say(&c, FIN_TEXT, "\"on\"", 4);
	assert_text(&c, "\"on\"");
	client_close(&c);
	assert_ended(LIVE_LEFT);
}

/* Each is answered with its code, and the connection ends. */
static void test_violations(void **state)
{
	static char large[LIVE_MESSAGE_BYTES_MAX + 1];
	static const struct {
		const char *what;
		unsigned first;
		const char *payload;
		size_t len;
		unsigned second; /* of an empty frame behind it; 0: none */
		unsigned code;
		enum live_end why;
	} rows[] = {
		{"RSV1", 0xc1, "a", 1, 0, 1002, LIVE_MALFORMED},
		{"opcode 3", 0x83, "a", 1, 0, 1002, LIVE_MALFORMED},
		{"a continuation of nothing", 0x80, "a", 1, 0, 1002, LIVE_MALFORMED},
		{"a text within a message", WS_TEXT, "a", 1, FIN_TEXT, 1002, LIVE_MALFORMED},
		{"a ping in fragments", WS_PING, "a", 1, 0, 1002, LIVE_MALFORMED},
		{"too large a ping", FIN_PING, large, 126, 0, 1002, LIVE_MALFORMED},
		{"half a close code", FIN_CLOSE, "\x03", 1, 0, 1002, LIVE_MALFORMED},
		{"a close code nobody sends", FIN_CLOSE, "\x03\xed", 2, 0, 1002, LIVE_MALFORMED},
		{"a reason that is no text", FIN_CLOSE, "\x03\xe8\xff", 3, 0, 1007, LIVE_BAD_DATA},
		{"no UTF-8", FIN_TEXT, "\xc0\x80", 2, 0, 1007, LIVE_BAD_DATA},
		{"too large a message", FIN_TEXT, large, sizeof large, 0, 1009, LIVE_TOO_LARGE},
	};

	(void)state;
	memset(large, 'x', sizeof large);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c = ws_open(HANDSHAKE("/ws"));
		unsigned code;

		ws_say(&c, rows[i].first, rows[i].payload, rows[i].len);
		if (rows[i].second != 0)
			ws_say(&c, rows[i].second, "", 0);
		code = next_close(&c);
		if (code != rows[i].code)
			fail_row(i, "%s: %u", rows[i].what, code);
		assert_true(client_is_closed(&c));
		client_close(&c);
		assert_ended(rows[i].why);
	}
	test_server_wait_connections(&ts, 0);
}

static void test_unmasked(void **state)
{
	struct client c = ws_open(HANDSHAKE("/ws"));

	(void)state;
	client_send(&c, "\x81\x05hello", 7);
	assert_int_equal(next_close(&c), 1002);
	assert_true(client_is_closed(&c));
	client_close(&c);
	assert_ended(LIVE_MALFORMED);
}

/* Fragments add up to the bound as well. */
static void test_large_in_fragments(void **state)
{
	static char half[LIVE_MESSAGE_BYTES_MAX / 2 + 1];
	struct client c = ws_open(HANDSHAKE("/ws"));

	(void)state;
	memset(half, 'x', sizeof half);
	ws_say(&c, WS_TEXT, half, sizeof half);
	ws_say(&c, WS_CONTINUATION, half, sizeof half);
	assert_int_equal(next_close(&c), 1009);
	client_close(&c);
	assert_ended(LIVE_TOO_LARGE);
}

static void test_flood(void **state)
{
	struct client c = ws_open(HANDSHAKE("/ws"));

	(void)state;
	for (int i = 0; i < 3 * LIVE_FRAMES_MAX; i++)
		ws_say(&c, FIN_PONG, "", 0);
	assert_int_equal(next_close(&c), 1008);
	client_close(&c);
	assert_ended(LIVE_FLOODED);
}

static void test_client_closes(void **state)
{
	static const struct {
		const char *payload;
		size_t len;
		unsigned code;
	} rows[] = {{"", 0, 1005}, {"\x03\xe8 bye", 6, 1000}, {"\x0f\xa1", 2, 4001}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c = ws_open(HANDSHAKE("/ws"));
		unsigned code;

		ws_say(&c, FIN_CLOSE, rows[i].payload, rows[i].len);
		ws_say(&c, FIN_TEXT, "\"too late\"", 10);
		code = next_close(&c);
		if (code != rows[i].code)
			fail_row(i, "%u", code);
		assert_true(client_is_closed(&c));
		client_close(&c);
		assert_ended(LIVE_LEFT);
	}
}

static void test_server_closes(void **state)
{
	static const struct {
		enum live_end why;
		unsigned code;
	} rows[] = {{LIVE_REFUSED, 4401}, {LIVE_STOPPING, 1001}, {LIVE_OVERLOADED, 1013}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c = ws_open(HANDSHAKE("/ws"));

		send_all("\"first this\"");
		end_all(rows[i].why);
		assert_text(&c, "\"first this\"");
		assert_int_equal(next_close(&c), rows[i].code);
		ws_say(&c, FIN_TEXT, "\"still talking\"", 15);
		ws_say(&c, FIN_CLOSE, "\x03\xe8", 2);
		assert_true(client_is_closed(&c));
		client_close(&c);
		assert_ended(rows[i].why);
	}
}

/* One that does not answer our Close is cut off. */
static void test_no_answer_to_a_close(void **state)
{
	struct client c = ws_open(HANDSHAKE("/ws"));

	(void)state;
	end_all(LIVE_REFUSED);
	assert_int_equal(next_close(&c), 4401);
	assert_true(client_is_closed(&c));
	client_close(&c);
	assert_ended(LIVE_REFUSED);
}

static void test_time_is_over(void **state)
{
	struct client c = ws_open(HANDSHAKE("/short/ws"));

	(void)state;
	assert_int_equal(next_close(&c), 4401);
	ws_say(&c, FIN_CLOSE, "\x03\xe8", 2);
	assert_true(client_is_closed(&c));
	client_close(&c);
	assert_ended(LIVE_EXPIRED);
}

static void test_heartbeats(void **state)
{
	struct client c = ws_open(HANDSHAKE("/ws"));

	(void)state;
	for (int i = 0; i < 4; i++) {
		const struct ws_got got = ws_next(&c);

		assert_int_equal(got.first, FIN_PING);
		ws_say(&c, FIN_PONG, got.payload, got.len);
	}
	/* and now not a word */
	while (ws_next(&c).first == FIN_PING)
		;
	client_close(&c);
	assert_ended(LIVE_SILENT);
}

/* ---- slow readers ---- */

static char *big_message(void)
{
	enum { BIG = 32 << 10 };
	char *text = malloc(BIG + 1);

	CHECK(text != NULL);
	memset(text, 'x', BIG);
	text[BIG] = '\0';
	return text;
}

static struct client open_slow(void)
{
	struct client c = client_open(ts.config.port);
	const int small = 16 << 10;

	setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	return c;
}

static void flood_until_it_ends(struct server_worker *w, void *arg)
{
	(void)w;
	if (the_stream != NULL)
		live_send(the_stream, STR_NONE, str_from(arg));
}

/* A reader that comes back gets what was under way and then the code. */
static void test_slow_reader(void **state)
{
	char *big = big_message();
	struct client c = open_slow();
	struct answer a;

	(void)state;
	client_say(&c, HANDSHAKE("/ws"));
	a = client_read(&c, true);
	assert_int_equal(a.status, 101);
	answer_free(&a);
	for (int i = 0; i < 40; i++)
		test_server_call(&ts, flood_until_it_ends, big);
	assert_int_equal(next_close(&c), 4408);
	ws_say(&c, FIN_CLOSE, "\x11\x38", 2);
	assert_true(client_is_closed(&c));
	client_close(&c);
	assert_ended(LIVE_SLOW);
	free(big);
}

/* One that never does is cut off. */
static void test_reader_that_never_reads(void **state)
{
	char *big = big_message();

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		struct client c = open_slow();

		if (kind == 0)
			client_say(&c, HANDSHAKE("/ws"));
		else
			client_say(&c, "GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
		test_wait(&opened);
		for (int i = 0; i < 40; i++)
			test_server_call(&ts, flood_until_it_ends, big);
		assert_ended(LIVE_SLOW);
		client_close(&c);
	}
	free(big);
}

static void send_many(struct server_worker *w, void *arg)
{
	(void)w;
	for (int i = 0; i < *(int *)arg; i++)
		live_send(the_stream, STR_NONE, STR("1"));
}

static void test_bound_of_messages(void **state)
{
	int count = LIVE_QUEUE_MESSAGES_MAX;
	struct client c = ws_open(HANDSHAKE("/ws"));

	(void)state;
	test_server_call(&ts, send_many, &count);
	for (int i = 0; i < count; i++)
		assert_text(&c, "1");
	count++;
	test_server_call(&ts, send_many, &count);
	assert_int_equal(next_close(&c), 4408);
	client_close(&c);
	assert_ended(LIVE_SLOW);
}

static void on_waited(struct task *t, void *arg)
{
	(void)t, (void)arg;
	sem_post(&waited);
}

static void start_waiting(struct server_worker *w, void *arg)
{
	(void)w;
	CHECK(task_start(loop_here(), INT64_MAX, wait_sent, on_waited, arg, NULL) == OK);
}

static void test_waiting_for_the_reader(void **state)
{
	char *big = big_message();
	struct client c = ws_open(HANDSHAKE("/ws"));

	(void)state;
	test_server_call(&ts, start_waiting, big);
	assert_int_equal(ws_next(&c).first, FIN_TEXT);
	assert_text(&c, "\"sent\"");
	test_wait(&waited);
	client_close(&c);
	assert_ended(LIVE_LEFT);
	/* and one that leaves while a task waits */
	c = ws_open(HANDSHAKE("/ws"));
	for (int i = 0; i < 5; i++)
		test_server_call(&ts, flood_until_it_ends, big);
	test_server_call(&ts, start_waiting, big);
	reset(&c);
	assert_ended(LIVE_LEFT);
	test_wait(&waited);
	free(big);
}

/* ---- server-sent events ---- */

/* Reads up to and with `end`; the bytes before it are forgotten. */
static void assert_events(struct client *c, const char *text)
{
	for (;;) {
		const char *at = c->len > 0 ? memmem(c->data, c->len, text, strlen(text)) : NULL;

		if (at != NULL) {
			client_take(c, (size_t)(at - c->data) + strlen(text));
			return;
		}
		if (!client_fill(c, c->len + 1))
			fail_msg("the stream ended without %s", text);
	}
}

static struct client events_open(const char *path)
{
	struct client c = client_open(ts.config.port);

	client_say(&c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
	assert_events(&c, "HTTP/1.1 200 OK\r\n");
	assert_events(&c, "content-type: text/event-stream\r\n");
	assert_events(&c, "retry: 2000\n\n");
	test_wait(&opened);
	return c;
}

static void test_events(void **state)
{
	struct client c = events_open("/events");

	(void)state;
	send_all("{\"a\":1}");
	assert_events(&c, "id: o:1,p:2\ndata: {\"a\":1}\n\n");
	send_all("{\n}");
	assert_events(&c, "id: o:1,p:2\ndata: {\ndata: }\n\n");
	end_all(LIVE_REFUSED);
	assert_events(&c, "event: end\ndata: {\"type\":\"end\",\"code\":4401,");
	assert_events(&c, "0\r\n\r\n");
	assert_ended(LIVE_REFUSED);
	/* the connection is good for more */
	client_say(&c, "GET /short/events HTTP/1.1\r\nHost: test\r\n\r\n");
	assert_events(&c, "retry: 2000\n\n");
	assert_events(&c, "\"code\":4401,");
	client_close(&c);
	assert_ended(LIVE_EXPIRED);
}

static void test_head_of_events(void **state)
{
	struct client c = client_open(ts.config.port);
	struct answer a;

	(void)state;
	client_say(&c, "HEAD /events HTTP/1.1\r\nHost: test\r\n\r\n");
	a = client_read(&c, true);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "content-type"), "text/event-stream");
	answer_free(&a);
	assert_ended(LIVE_LEFT);
	client_close(&c);
}

static void test_events_on_http2(void **state)
{
	static const unsigned char cancel[] = {0, 0, 0, 8};
	struct client c = client_open(ts.config.port);

	(void)state;
	http2_begin(&c, 65535);
	http2_request(&c, 1, "GET", "/events", false);
	test_wait(&opened);
	assert_events(&c, "retry: 2000\n\n");
	send_all("{}");
	assert_events(&c, "data: {}\n\n");
	end_all(LIVE_EXPIRED);
	assert_events(&c, "event: end\n");
	assert_ended(LIVE_EXPIRED);
	/* one that is reset while it is idle, and one in the middle of much */
	http2_request(&c, 3, "GET", "/events", false);
	test_wait(&opened);
	http2_frame(&c, FRAME_RST_STREAM, 0, 3, cancel, sizeof cancel);
	assert_ended(LIVE_LEFT);
	http2_request(&c, 5, "GET", "/events", false);
	test_wait(&opened);
	for (int i = 0; i < 5; i++) {
		char *big = big_message();

		test_server_call(&ts, flood_until_it_ends, big);
		free(big);
	}
	http2_frame(&c, FRAME_RST_STREAM, 0, 5, cancel, sizeof cancel);
	assert_ended(LIVE_LEFT);
	client_close(&c);
}

static void test_events_heartbeat(void **state)
{
	struct client c = events_open("/events");

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_events(&c, ":\n\n");
	reset(&c); /* found out by the next one */
	assert_ended(LIVE_LEFT);
}

/* An HTTP/1 client that leaves is missed before anything is sent to it. */
static void test_events_client_leaves(void **state)
{
	struct client c;

	(void)state;
	ts.config.head_timeout_us = 40000; /* sweeps are a quarter of it apart */
	test_server_start(&ts);
	c = events_open("/events");
	client_close(&c);
	assert_ended(LIVE_LEFT);
	test_server_wait_connections(&ts, 0);
}

/* ---- bounds and ends ---- */

static void test_streams_max(void **state)
{
	struct client c;
	struct answer a;

	(void)state;
	ts.config.streams_max = 1;
	ts.config.requests_max = 1; /* streams are no requests */
	test_server_start(&ts);
	c = events_open("/events");
	a = client_get(ts.config.port, "/events");
	assert_int_equal(a.status, 503);
	assert_non_null(strstr(a.body, "\"code\":\"overloaded\""));
	answer_free(&a);
	end_all(LIVE_REFUSED);
	assert_ended(LIVE_REFUSED);
	client_close(&c);
	c = events_open("/events");
	client_close(&c);
}

static void close_worker(struct server_worker *w, void *arg)
{
	(void)arg;
	server_worker_close(w, false);
}

static void test_drain(void **state)
{
	struct client c = ws_open(HANDSHAKE("/ws"));

	(void)state;
	test_server_call(&ts, close_worker, NULL);
	assert_int_equal(next_close(&c), 1001);
	ws_say(&c, FIN_CLOSE, "\x03\xe9", 2);
	assert_true(client_is_closed(&c));
	client_close(&c);
	assert_ended(LIVE_STOPPING);
}

static void test_drain_of_events(void **state)
{
	struct client c = events_open("/events");

	(void)state;
	test_server_call(&ts, close_worker, NULL);
	assert_events(&c, "retry: ");
	assert_events(&c, "event: end\ndata: {\"type\":\"end\",\"code\":1001,");
	assert_ended(LIVE_STOPPING);
	assert_events(&c, "0\r\n\r\n");
	assert_true(client_is_closed(&c));
	client_close(&c);
}

#define SECOND INT64_C(1000000)

static void announce(struct server_worker *w, void *arg)
{
	server_worker_announce(w, *(const int64_t *)arg);
}

static void turn_again(struct server_worker *w, void *arg)
{
	(void)w, (void)arg;
}

static void pass(int64_t us)
{
	clock_advance_us(us);
	test_server_call(&ts, turn_again, NULL);
}

static void count_streams(struct server_worker *w, void *arg)
{
	*(size_t *)arg += w->live.count;
}

/* Between the announcement and the end streams end one after the other, those too that begin
 * meanwhile. */
static void test_ends_are_spread(void **state)
{
	enum { STREAMS = 40, SECONDS = 10 };
	const int64_t over_us = SECONDS * SECOND;
	struct client clients[STREAMS + 1];
	size_t before = 0, most = 0, now;

	(void)state;
	for (size_t i = 0; i < STREAMS; i++)
		clients[i] = events_open("/events");
	test_server_call(&ts, announce, (void *)(uintptr_t)&over_us);
	clients[STREAMS] = events_open("/events");
	for (int i = 0; i < SECONDS + 3; i++) {
		now = 0;
		pass(SECOND);
		test_server_call(&ts, count_streams, &now);
		if (before > 0 && before - now > most)
			most = before - now;
		before = now;
	}
	assert_in_range(most, 1, STREAMS / 2);
	for (size_t i = 0; i <= STREAMS; i++) {
		assert_events(&clients[i], "retry: ");
		client_close(&clients[i]);
		test_wait(&ended);
	}
}

/* Neither idle times nor the connection's age concern them. */
static void test_streams_outlive_times(void **state)
{
	struct client c;

	(void)state;
	ts.config.idle_timeout_us = ts.config.stall_timeout_us = 2 * SECOND;
	ts.config.connection_age_us = 5 * SECOND;
	test_server_start(&ts);
	c = events_open("/events");
	for (int i = 0; i < 20; i++)
		pass(SECOND);
	send_all("\"still here\"");
	assert_events(&c, "data: \"still here\"\n\n");
	client_close(&c);
	test_wait(&ended);
	c = ws_open(HANDSHAKE("/ws"));
	for (int i = 0; i < 20; i++)
		pass(SECOND);
	send_all("\"still here\"");
	assert_text(&c, "\"still here\"");
	client_close(&c);
	test_wait(&ended);
}

/* The server ends with streams of both kinds open, idle and full. */
static void test_end_of_the_server(void **state)
{
	char *big = big_message();
	struct client one = ws_open(HANDSHAKE("/ws"));
	struct client two, three;

	(void)state;
	two = events_open("/events");
	three = open_slow();
	client_say(&three, HANDSHAKE("/ws"));
	test_wait(&opened);
	for (int i = 0; i < 6; i++)
		test_server_call(&ts, flood_until_it_ends, big);
	test_server_stop(&ts);
	for (int i = 0; i < 3; i++)
		test_wait(&ended);
	client_close(&one);
	client_close(&two);
	client_close(&three);
	free(big);
	test_server_init(&ts, routes, COUNT(routes), 1); /* for tear_down */
	test_server_start(&ts);
}

static void test_over_tls(void **state)
{
	struct client c = client_open_tls(ts.config.tls_port, "http/1.1");
	struct answer a;

	(void)state;
	client_say(&c, HANDSHAKE("/ws"));
	a = client_read(&c, true);
	assert_int_equal(a.status, 101);
	answer_free(&a);
	ws_say(&c, FIN_TEXT, "\"one\"", 5);
	assert_text(&c, "\"one\"");
	end_all(LIVE_EXPIRED);
	assert_int_equal(next_close(&c), 4401);
	ws_say(&c, FIN_CLOSE, "\x03\xe8", 2);
	assert_true(client_is_closed(&c));
	client_close(&c);
	assert_ended(LIVE_EXPIRED);
	test_server_wait_connections(&ts, 0);
}

static void test_reset_in_the_middle(void **state)
{
	char *big = big_message();

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct client c = ws_open(HANDSHAKE("/ws"));

		for (int k = 0; k <= i; k++)
			test_server_call(&ts, flood_until_it_ends, big);
		if (i % 2 == 0)
			ws_say(&c, WS_TEXT, "half", 4);
		reset(&c);
		assert_ended(LIVE_LEFT);
	}
	free(big);
	test_server_wait_connections(&ts, 0);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define FAST(test) cmocka_unit_test_setup_teardown(test, set_up_fast, tear_down)
#define QUICK(test) cmocka_unit_test_setup_teardown(test, set_up_quick, tear_down)
#define STARTING(test) cmocka_unit_test_setup_teardown(test, set_up_only, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_no_handshakes),
		SERVED(test_no_websocket_on_http2),
		SERVED(test_messages),
		SERVED(test_pings),
		SERVED(test_violations),
		SERVED(test_unmasked),
		SERVED(test_large_in_fragments),
		SERVED(test_flood),
		SERVED(test_client_closes),
		SERVED(test_server_closes),
		QUICK(test_no_answer_to_a_close),
		FAST(test_time_is_over),
		FAST(test_heartbeats),
		SERVED(test_slow_reader),
		QUICK(test_reader_that_never_reads),
		SERVED(test_bound_of_messages),
		SERVED(test_waiting_for_the_reader),
		SERVED(test_events),
		SERVED(test_head_of_events),
		SERVED(test_events_on_http2),
		FAST(test_events_heartbeat),
		STARTING(test_events_client_leaves),
		STARTING(test_streams_max),
		SERVED(test_drain),
		SERVED(test_drain_of_events),
		SERVED(test_ends_are_spread),
		STARTING(test_streams_outlive_times),
		SERVED(test_end_of_the_server),
		SERVED(test_over_tls),
		SERVED(test_reset_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
