/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests: calls made from the test's own stack, and peers to make them to. Included after
 * base/testing.h. */
#include "base/clock.h"
#include "metrics/metrics.h"
#include "upstream/testing.h"
#include "upstream/upstream.h"

#define SECOND INT64_C(1000000)
enum { BODY_MAX = 100000 };

/* ---- calls from a test's own stack ---- */

struct probe {
	struct upstream *u;
	const char *method;
	const char *target;
	struct str body;
	struct task *task;
	void *arg; /* a test's own */
	bool streamed;
	bool idempotent;
	bool keyed;
	/* what came of it */
	bool done;
	enum fault fault;
	bool repeated;
	int status;
	int order; /* in which calls ended */
	char got[64];
	struct stream *stream;
	char detail[128];
	int64_t took_us;
};

static struct loop *loop;
static int ended;

static inline void probe_run(struct task *t, void *arg)
{
	struct probe *p = arg;
	struct upstream_request request = {.method = str_from(p->method),
		.target = str_from(p->target),
		.body = p->body,
		.idempotent = p->idempotent,
		.keyed = p->keyed};
	struct upstream_reply reply;
	const int64_t began_us = clock_monotonic_us();

	t->request_id = STR("r-1");
	t->traceparent = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
	p->fault = p->streamed ? upstream_open(t, p->u, &request, &reply, &p->stream)
	                       : upstream_call(t, p->u, &request, &reply);
	p->took_us = clock_monotonic_us() - began_us;
	p->status = reply.status;
	p->repeated = reply.repeated;
	snprintf(p->got, sizeof p->got, "%.*s", STR_ARG(reply.body));
	snprintf(p->detail, sizeof p->detail, "%.*s", STR_ARG(t->scope.detail));
}

static inline void probe_done(struct task *t, void *arg)
{
	struct probe *p = arg;

	(void)t;
	p->order = ended++;
	p->done = true;
}

static inline void probe_start(struct probe *p, int64_t deadline_us)
{
	p->method = p->method != NULL ? p->method : "GET";
	p->target = p->target != NULL ? p->target : "/";
	assert_int_equal(task_start(loop, loop_now_us(loop) + deadline_us, probe_run, probe_done, p,
				 &p->task),
		OK);
}

static inline void probe_wait(struct probe *p)
{
	while (!p->done)
		loop_turn(loop, 100);
}

static inline struct probe call(struct upstream *u, const char *method)
{
	struct probe p = {.u = u, .method = method};

	probe_start(&p, 5 * SECOND);
	probe_wait(&p);
	return p;
}

static inline struct upstream *upstream_to(
	const struct str *addresses, size_t count, unsigned connections)
{
	return upstream_new(loop, &(struct upstream_config){.name = "peer",
					  .addresses = addresses,
					  .address_count = count,
					  .first = true,
					  .connections_max = connections,
					  .queue_max = 2,
					  .body_bytes_max = BODY_MAX});
}

static inline struct upstream *upstream_at(const struct raw_server *s)
{
	const struct str address = str_from(s->address);

	return upstream_to(&address, 1, 4);
}

static inline int64_t connections(void)
{
	return gauge_value(gauge_get("bodega_upstream_connections",
		"Open connections to other services", LABELS({"peer", STR("peer")})));
}

static inline void assert_outcome(
	const struct probe *p, enum fault fault, int status, const char *body)
{
	if (p->fault != fault ||
		(fault == OK && (p->status != status || strcmp(p->got, body) != 0)))
		fail_msg("fault %s, status %d, \"%s\", \"%s\"", fault_info(p->fault)->name,
			p->status, p->got, p->detail);
}

/* ---- peers ---- */

/* Answers every request with the text in arg. */
static inline void serve_text(struct raw_connection *c)
{
	while (raw_read(c))
		raw_write(c, str_from(c->server->arg));
}

/* Answers one request with the text in arg, then closes. */
static inline void serve_once(struct raw_connection *c)
{
	if (raw_read(c))
		raw_write(c, str_from(c->server->arg));
}

static inline void serve_silence(struct raw_connection *c)
{
	if (raw_read(c))
		raw_wait_closed(c);
}

static inline void drip(struct raw_connection *c, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		raw_write(c, str_of(text.at + i, 1));
		usleep(100); /* so that most bytes arrive alone; nothing depends on it */
	}
}

static inline void serve_drip(struct raw_connection *c)
{
	if (raw_read(c))
		drip(c, str_from(c->server->arg));
}

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ---- peers that wait for the test ---- */

/* Answers when the test says so: a request waits for its turn at a pipe. */
static int gate[2];

static inline void gate_make(void)
{
	assert_int_equal(pipe(gate), 0);
}

/* After the servers that wait at it have stopped. */
static inline void gate_close(void)
{
	close(gate[0]);
	close(gate[1]);
}

static inline void gate_open(int count)
{
	for (int i = 0; i < count; i++)
		CHECK(write(gate[1], "x", 1) == 1);
}

static inline void turn_until(const atomic_int *value, int wanted)
{
	while (atomic_load(value) < wanted)
		loop_turn(loop, 1);
}

static inline void serve_gated(struct raw_connection *c)
{
	char byte;

	while (raw_read(c) && read(gate[0], &byte, 1) == 1)
		raw_write(c, STR(GOOD));
}

/* ---- the group's loop ---- */

static inline int start(void **state)
{
	(void)state;
	loop = loop_new(LOOP_LIMITS_DEFAULT);
	return 0;
}

static inline int stop(void **state)
{
	(void)state;
	loop_free(loop);
	arena_trim();
	return 0;
}
