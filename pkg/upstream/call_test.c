/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "upstream/probe.h"

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

/* The peer leaves with the second request unanswered: a GET is sent once more, a POST never. */
static void one_safe_retry(void **state)
{
	static const struct {
		const char *method;
		bool idempotent;
		bool keyed;
		enum fault fault;
		int requests;
	} rows[] = {
		{"GET", false, false, OK, 3},
		{"PUT", false, false, OK, 3},
		{"DELETE", false, false, OK, 3},
		{"POST", true, false, OK, 3},
		{"POST", false, true, OK, 3},
		{"POST", false, false, FAULT_UNKNOWN, 2},
		{"PATCH", false, false, FAULT_UNKNOWN, 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct raw_server s;

		raw_server_start(&s, serve_second_connection_only, GOOD);
		struct upstream *u = upstream_at(&s);
		struct probe p = call(u, "POST");
		assert_outcome(&p, OK, 200, "ok");
		p = (struct probe){.u = u,
			.method = rows[i].method,
			.idempotent = rows[i].idempotent,
			.keyed = rows[i].keyed};
		probe_start(&p, 5 * SECOND);
		probe_wait(&p);
		if (p.fault != rows[i].fault || atomic_load(&s.requests) != rows[i].requests ||
			p.repeated != (rows[i].requests == 3))
			fail_row(i, "%s: fault %s after %d requests", rows[i].method,
				fault_info(p.fault)->name, atomic_load(&s.requests));
		upstream_free(u);
		raw_server_stop(&s);
	}
}

static void serve_two_stale_connections(struct raw_connection *c)
{
	char byte;

	if (c->nth >= 2) {
		serve_text(c);
		return;
	}
	if (raw_read(c) && read(gate[0], &byte, 1) == 1)
		raw_write(c, STR(GOOD));
	(void)raw_read(c);
}

/* Where one kept connection has proved dead, its like are not tried. */
static void the_retry_is_on_a_fresh_connection(void **state)
{
	struct raw_server s;
	struct probe p[2];

	(void)state;
	gate_make();
	raw_server_start(&s, serve_two_stale_connections, GOOD);
	struct upstream *u = upstream_at(&s);
	for (size_t i = 0; i < 2; i++) {
		p[i] = (struct probe){.u = u};
		probe_start(&p[i], 5 * SECOND);
	}
	turn_until(&s.requests, 2);
	gate_open(2);
	probe_wait(&p[0]);
	probe_wait(&p[1]);
	const struct probe third = call(u, "GET");
	assert_outcome(&third, OK, 200, "ok");
	assert_int_equal(atomic_load(&s.requests), 4);
	upstream_free(u);
	raw_server_stop(&s);
	gate_close();
}

/* The peer closed the connection, and the loop has not looked since: what must not be sent twice is
 * not sent there. */
static void run_twice(struct task *t, void *arg)
{
	struct probe *p = arg;
	struct raw_server *s = p->arg;
	struct upstream_request request = {.method = STR("POST"), .target = STR("/")};
	struct upstream_reply reply;

	p->fault = upstream_call(t, p->u, &request, &reply);
	while (sem_wait(&s->closed) != 0) /* and with us the loop */
		continue;
	request = (struct upstream_request){.method = STR("POST"), .target = STR("/")};
	if (p->fault == OK)
		p->fault = upstream_call(t, p->u, &request, &reply);
}

static void closed_connections_are_noticed_at_the_last_moment(void **state)
{
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_once, GOOD);
	struct upstream *u = upstream_at(&s);
	struct probe p = {.u = u, .arg = &s};
	assert_int_equal(task_start(loop, loop_now_us(loop) + 5 * SECOND, run_twice, probe_done, &p,
				 &p.task),
		OK);
	probe_wait(&p);
	assert_outcome(&p, OK, 0, "");
	assert_int_equal(atomic_load(&s.accepted), 2);
	upstream_free(u);
	raw_server_stop(&s);
}

/* A length without a body is no body that is too large. */
static void heads_tell_of_large_bodies(void **state)
{
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_text, "HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n");
	struct upstream *u = upstream_at(&s);
	for (int i = 0; i < 2; i++) {
		const struct probe p = call(u, "HEAD");
		assert_outcome(&p, OK, 200, "");
	}
	assert_int_equal(atomic_load(&s.accepted), 1); /* kept */
	upstream_free(u);
	raw_server_stop(&s);
}

static void serve_without_listening(struct raw_connection *c)
{
	char byte;

	if (read(c->fd, &byte, 1) == 1)
		raw_write(c, STR(GOOD));
	CHECK(read(gate[0], &byte, 1) >= 0);
}

/* An answer before the request was sent to its end: the rest of it would be taken for the next
 * one. */
static void early_answers_end_the_connection(void **state)
{
	static char large[16 << 20];
	struct raw_server s;

	(void)state;
	gate_make();
	raw_server_start(&s, serve_without_listening, NULL);
	struct upstream *u = upstream_at(&s);
	struct probe p = {.u = u, .method = "POST", .body = str_of(large, sizeof large)};
	probe_start(&p, 5 * SECOND);
	probe_wait(&p);
	assert_outcome(&p, OK, 200, "ok");
	assert_int_equal(connections(), 0);
	gate_open(1);
	upstream_free(u);
	raw_server_stop(&s);
	gate_close();
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
		bool keyed;
		enum fault fault;
	} rows[] = {{"GET", false, FAULT_UNAVAILABLE}, {"POST", false, FAULT_UNKNOWN},
		{"POST", true, FAULT_UNKNOWN}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct raw_server s;

		raw_server_start(&s, serve_close_each, NULL);
		struct upstream *u = upstream_at(&s);
		struct probe p = {.u = u, .method = rows[i].method, .keyed = rows[i].keyed};
		probe_start(&p, 5 * SECOND);
		probe_wait(&p);
		assert_outcome(&p, rows[i].fault, 0, "");
		assert_int_equal(atomic_load(&s.requests), 1);
		upstream_free(u);
		raw_server_stop(&s);
	}
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

/* The Nth wait fails or is cancelled, for every N up to 5 that a call comes to (at least the
 * connect and the answer): nothing stays open but idle connections. */
static void every_wait_may_fail(void **state)
{
	static const enum fault faults[] = {FAULT_UNAVAILABLE, FAULT_CANCELED};
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_drip, GOOD);
	for (size_t i = 0; i < 2; i++) {
		struct probe p;
		unsigned n = 0;

		do {
			struct upstream *u = upstream_at(&s);

			p = (struct probe){.u = u};
			probe_start(&p, 5 * SECOND);
			task_inject(p.task, ++n, faults[i]);
			probe_wait(&p);
			assert_true(p.fault == faults[i] || (p.fault == OK && n > 2));
			upstream_free(u); /* checks that no slot is taken */
			assert_int_equal(connections(), 0);
		} while (p.fault != OK && n < 5);
	}
	raw_server_stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_of_every_kind),
		cmocka_unit_test(dribbled_answers),
		cmocka_unit_test(requests_carry_what_a_peer_needs),
		cmocka_unit_test(each_attempt_is_signed),
		cmocka_unit_test(targets_cannot_inject),
		cmocka_unit_test(one_safe_retry),
		cmocka_unit_test(the_retry_is_on_a_fresh_connection),
		cmocka_unit_test(closed_connections_are_noticed_at_the_last_moment),
		cmocka_unit_test(heads_tell_of_large_bodies),
		cmocka_unit_test(early_answers_end_the_connection),
		cmocka_unit_test(fresh_connections_are_not_retried),
		cmocka_unit_test(deadlines_end_calls),
		cmocka_unit_test(every_wait_may_fail),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
