/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include <linux/filter.h>

#include "upstream/probe.h"

enum { PIPES = 8 };

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

#define CLOSING "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

/* An answer that says so comes from a program that drains: it gets no calls while there is another,
 * for 10 s. */
static void closing_addresses_are_left(void **state)
{
	struct upstream_address_state *states;
	static struct raw_server s[2];
	struct scope scope;

	(void)state;
	raw_server_start(&s[0], serve_text, CLOSING);
	raw_server_start(&s[1], serve_text, GOOD);
	struct str addresses[] = {str_from(s[0].address), str_from(s[1].address)};
	struct upstream *u = upstream_to(addresses, 2, 4);
	for (int i = 0; i < 6; i++) {
		const struct probe p = call(u, "POST");
		assert_outcome(&p, OK, 200, "ok");
	}
	assert_int_equal(atomic_load(&s[0].requests), 1);
	scope_begin(&scope);
	assert_int_equal(upstream_states(u, &scope, &states), 2);
	assert_true(states[0].closing && !states[0].refused && !states[1].closing);
	scope_end(&scope);
	clock_advance_us(10 * SECOND);
	loop_turn(loop, 0);
	for (int i = 0; i < 2; i++) {
		const struct probe p = call(u, "POST");
		assert_outcome(&p, OK, 200, "ok");
	}
	assert_int_equal(atomic_load(&s[0].requests), 2);
	upstream_free(u);
	raw_server_stop(&s[0]);
	raw_server_stop(&s[1]);
}

/* One that drains still serves. */
static void closing_is_better_than_refusing(void **state)
{
	const struct counter *failed = counter_get("bodega_upstream_connects_failed_total",
		"Connections that an address did not take", LABELS({"peer", STR("peer")}));
	const uint64_t before = counter_value(failed);
	struct raw_server s;
	char closed[64];

	(void)state;
	raw_server_start(&s, serve_text, CLOSING);
	struct str addresses[] = {closed_address(closed), str_from(s.address)};
	struct upstream *u = upstream_to(addresses, 2, 4);
	for (int i = 0; i < 6; i++) {
		const struct probe p = call(u, "POST");
		assert_outcome(&p, OK, 200, "ok");
	}
	assert_int_equal(counter_value(failed), before + 1);
	upstream_free(u);
	raw_server_stop(&s);
}

static void serve_last_closing(struct raw_connection *c)
{
	char byte;

	if (raw_read(c) && read(gate[0], &byte, 1) == 1)
		raw_write(c, c->nth == 1 ? STR(CLOSING) : STR(GOOD));
	raw_wait_closed(c);
}

/* What is idle there is closed as well, for it would be closed under the next call, and so is what
 * becomes idle: nothing keeps the program from ending. */
static void nothing_is_kept_to_closing_addresses(void **state)
{
	struct raw_server s;
	struct probe p[3];

	(void)state;
	gate_make();
	raw_server_start(&s, serve_last_closing, NULL);
	struct upstream *u = upstream_at(&s);
	for (size_t i = 0; i < 3; i++) {
		p[i] = (struct probe){.u = u};
		probe_start(&p[i], 5 * SECOND);
		turn_until(&s.requests, (int)i + 1);
	}
	for (size_t ended_before = 0; ended_before < 3; ended_before++) {
		gate_open(1);
		while (p[0].done + p[1].done + p[2].done <= (int)ended_before)
			loop_turn(loop, 100);
	}
	for (size_t i = 0; i < 3; i++)
		assert_outcome(&p[i], OK, 200, "ok");
	assert_int_equal(connections(), 0);
	upstream_free(u);
	raw_server_stop(&s);
	gate_close();
}

/* Reset before a byte was sent: for every method as good as refused. */
static void reset_connects_go_elsewhere(void **state)
{
	char dying[64];
	const int listener = raw_listen(dying);
	struct raw_server s;

	(void)state;
	raw_server_start(&s, serve_text, GOOD);
	struct str addresses[] = {str_from(dying), str_from(s.address)};
	struct upstream *u = upstream_to(addresses, 2, 4);
	struct probe p = {.u = u, .method = "POST"};
	probe_start(&p, 5 * SECOND);
	while (connections() == 0)
		loop_turn(loop, 0); /* the connect has begun; nobody accepts it */
	close(listener);
	probe_wait(&p);
	assert_outcome(&p, OK, 200, "ok");
	upstream_free(u);
	raw_server_stop(&s);
}

/* Answers once; from then on its kernel takes nothing from the wire. */
static void serve_then_vanish(struct raw_connection *c)
{
	struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = {.len = 1, .filter = &drop_all};
	char byte;

	CHECK(raw_read(c));
	raw_write(c, STR(GOOD));
	CHECK(setsockopt(c->fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0);
	sem_post(&c->server->closed);
	CHECK(read(gate[0], &byte, 1) == 1);
}

/* Nothing is acknowledged any more: no call waits for its deadline, and the address is left. */
static void machines_that_vanish_are_left(void **state)
{
	struct upstream_address_state *states;
	static struct raw_server s[2];
	struct scope scope;
	struct probe p;

	(void)state;
	gate_make();
	raw_server_start(&s[0], serve_then_vanish, NULL);
	raw_server_start(&s[1], serve_text, GOOD);
	struct str addresses[] = {str_from(s[0].address), str_from(s[1].address)};
	struct upstream *u = upstream_to(addresses, 2, 4);
	for (int i = 0; i < 2; i++) {
		p = call(u, "GET");
		assert_outcome(&p, OK, 200, "ok");
	}
	sem_wait(&s[0].closed);
	p = (struct probe){.u = u};
	probe_start(&p, 30 * SECOND);
	probe_wait(&p);
	assert_outcome(&p, OK, 200, "ok");
	assert_true(p.repeated);
	scope_begin(&scope);
	assert_int_equal(upstream_states(u, &scope, &states), 2);
	assert_true(states[0].refused && states[0].idle == 0 && !states[1].refused);
	scope_end(&scope);
	upstream_free(u);
	gate_open(1);
	raw_server_stop(&s[0]);
	raw_server_stop(&s[1]);
	gate_close();
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
	assert_in_range(p[1].took_us, SECOND / 10, INT64_MAX); /* not FAULT_DEADLINE: before it */
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
	assert_in_range(
		p.took_us, SECOND / 10 - 5000, INT64_MAX); /* not FAULT_DEADLINE: before it */
	upstream_free(u);
	for (size_t i = 0; i < PIPES; i++)
		close(fillers[i]);
	close(listener);
}

/* As long as one address is busy, the other one gets the calls. */
static void the_idle_address_is_chosen(void **state)
{
	static struct raw_server s[2];
	struct probe first, p;

	(void)state;
	gate_make();
	raw_server_start(&s[0], serve_gated, NULL);
	raw_server_start(&s[1], serve_text, GOOD);
	struct str addresses[] = {str_from(s[0].address), str_from(s[1].address)};
	struct upstream *u = upstream_to(addresses, 2, 4);
	do {
		first = (struct probe){.u = u};
		probe_start(&first, 5 * SECOND);
		while (!first.done && atomic_load(&s[0].requests) == 0)
			loop_turn(loop, 1);
	} while (first.done);
	for (int i = 0; i < 5; i++) {
		p = call(u, "GET");
		assert_outcome(&p, OK, 200, "ok");
	}
	assert_int_equal(atomic_load(&s[0].requests), 1);
	gate_open(1);
	probe_wait(&first);
	upstream_free(u);
	raw_server_stop(&s[0]);
	raw_server_stop(&s[1]);
	gate_close();
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

/* An address that takes calls again gets them although there are some that wait for another one:
 * under load there always are. */
static void an_address_that_is_back_is_used(void **state)
{
	char folder[] = "/tmp/bodega-upstream-XXXXXX";
	static struct raw_server s[2] = {{.mutex = PTHREAD_MUTEX_INITIALIZER}};
	const struct gauge *waiting = gauge_get("bodega_upstream_waiting",
		"Calls that wait for a connection", LABELS({"peer", STR("peer")}));
	struct probe held[2], p;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(s[0].address, sizeof s[0].address, "unix:%s/socket", folder);
	gate_make();
	raw_server_start(&s[1], serve_gated, NULL);
	struct str addresses[] = {str_from(s[0].address), str_from(s[1].address)};
	struct upstream *u = upstream_to(addresses, 2, 1);
	for (int i = 0; i < 2; i++) { /* one runs, one waits, whichever was tried first */
		held[i] = (struct probe){.u = u};
		probe_start(&held[i], 60 * SECOND);
	}
	turn_until(&s[1].requests, 1);
	while (gauge_value(waiting) == 0)
		loop_turn(loop, 1);
	raw_server_start_there(&s[0], serve_text, GOOD);
	clock_advance_us(11 * SECOND); /* past the time for which it was the last choice */
	loop_turn(loop, 0); /* which looks at the clock again */
	p = call(u, "GET");
	assert_outcome(&p, OK, 200, "ok");
	assert_false(held[0].done);
	gate_open(2);
	for (int i = 0; i < 2; i++) {
		probe_wait(&held[i]);
		assert_outcome(&held[i], OK, 200, "ok");
	}
	upstream_free(u);
	raw_server_stop(&s[0]);
	raw_server_stop(&s[1]);
	gate_close();
	unlink(s[0].address + strlen("unix:"));
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_kept),
		cmocka_unit_test(idle_connections_are_watched),
		cmocka_unit_test(refused_connects_go_elsewhere),
		cmocka_unit_test(closing_addresses_are_left),
		cmocka_unit_test(closing_is_better_than_refusing),
		cmocka_unit_test(nothing_is_kept_to_closing_addresses),
		cmocka_unit_test(reset_connects_go_elsewhere),
		cmocka_unit_test(machines_that_vanish_are_left),
		cmocka_unit_test(the_only_address_is_tried_always),
		cmocka_unit_test(the_queue_is_fair_and_bounded),
		cmocka_unit_test(waiters_give_up_in_time),
		cmocka_unit_test(a_cancelled_waiter_hands_its_slot_on),
		cmocka_unit_test(connects_have_a_limit),
		cmocka_unit_test(the_idle_address_is_chosen),
		cmocka_unit_test(the_least_busy_address_is_chosen),
		cmocka_unit_test(an_address_that_is_back_is_used),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
