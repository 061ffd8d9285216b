/* SPDX-License-Identifier: Apache-2.0
 * Calls: a connection is taken, the request sent, the answer read, the connection kept or closed.
 * On every way out the connection has been kept, closed, or handed to a stream. */
#include "upstream/upstream.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "upstream/connection.h"

#define HOP_MS INT64_C(200) /* what we keep of the deadline for ourselves */

enum { INTERIM_MAX = 8 }; /* 1xx answers before the final one */

struct call {
	struct upstream *u;
	struct upstream_request *request;
	struct upstream_reply *reply;
	struct upstream_head head;
	struct upstream_connection *c;
	bool sent; /* something of it has reached a peer, perhaps */
	int64_t began_us;
};

static struct call begin(
	struct upstream *u, struct upstream_request *request, struct upstream_reply *reply);
static enum fault exchange(struct task *t, struct call *call);
static enum fault converse(struct task *t, struct call *call);
static enum fault read_head(struct task *t, struct call *call);
static enum fault read_whole(struct task *t, struct call *call);
static enum fault read_begin(
	struct task *t, struct call *call, int64_t piece_us, struct stream **body);
static enum fault finish(struct call *call, enum fault fault);
static enum fault lost(struct scope *s, const struct call *call);
static enum fault malformed(struct scope *s, const struct call *call, const char *why);
static bool is_idempotent(const struct upstream_request *request);

struct upstream *upstream_new(struct loop *l, const struct upstream_config *config)
{
	struct upstream *u = calloc(1, sizeof *u);

	CHECK(u != NULL && config->address_count > 0);
	CHECK(config->address_count <= UPSTREAM_ADDRESSES_MAX);
	CHECK(config->connections_max > 0);
	*u = (struct upstream){.loop = l, .config = *config, .arena = arena_new()};
	list_init(&u->addresses);
	list_init(&u->gone);
	list_init(&u->waiters);
	upstream_metrics_init(&u->metrics, config->name);
	u->names = arena_alloc_array(u->arena, config->address_count, sizeof u->names[0]);
	for (size_t i = 0; i < config->address_count; i++) {
		const struct str text = arena_dup(u->arena, config->addresses[i]);
		struct upstream_target target;

		CHECK(upstream_target_parse(text, &target));
		if (target.name.len > 0)
			upstream_name_start(u, &u->names[u->name_count++], &target);
		else
			upstream_address_add(
				u, NULL, &target, target.port > 0 ? target.host : text);
	}
	return u;
}

void upstream_free(struct upstream *u)
{
	CHECK(list_is_empty(&u->waiters) && list_is_empty(&u->gone));
	for (size_t i = 0; i < u->name_count; i++)
		upstream_name_stop(&u->names[i]);
	while (!list_is_empty(&u->addresses)) {
		struct upstream_address *a =
			CONTAINER_OF(u->addresses.next, struct upstream_address, link);

		CHECK(a->taken == 0);
		upstream_address_retire(a);
	}
	arena_unref(u->arena);
	free(u);
}

size_t upstream_states(
	const struct upstream *u, struct scope *s, struct upstream_address_state **states)
{
	const int64_t now_us = loop_now_us(u->loop);
	size_t count = 0;

	*states = arena_alloc_array(
		s->arena, u->address_count > 0 ? u->address_count : 1, sizeof **states);
	for (const struct list *l = u->addresses.next; l != &u->addresses; l = l->next) {
		const struct upstream_address *a = CONTAINER_OF(l, struct upstream_address, link);
		struct upstream_address_state *state = &(*states)[count++];

		state->address = scope_dup(s, str_from(a->text));
		state->calls = (int32_t)a->taken;
		for (const struct list *idle = a->idle.next; idle != &a->idle; idle = idle->next)
			state->idle++;
		state->refused = a->refused_until_us > now_us;
		state->closing = upstream_address_is_closing(a);
	}
	return count;
}

void upstream_header(struct upstream_request *request, struct str name, struct str value)
{
	CHECK(request->header_count < UPSTREAM_HEADERS_MAX);
	request->headers[request->header_count++] = (struct header){.name = name, .value = value};
}

enum fault upstream_call(struct task *t, struct upstream *u, struct upstream_request *request,
	struct upstream_reply *reply)
{
	struct call call = begin(u, request, reply);
	enum fault fault = exchange(t, &call);

	if (fault == OK)
		fault = read_whole(t, &call);
	return finish(&call, fault);
}

enum fault upstream_open(struct task *t, struct upstream *u, struct upstream_request *request,
	struct upstream_reply *reply, struct stream **body)
{
	struct call call = begin(u, request, reply);
	const int64_t piece_us = task_left_us(t);
	enum fault fault = exchange(t, &call);

	*body = NULL;
	if (fault == OK)
		fault = read_begin(t, &call, piece_us, body);
	return finish(&call, fault);
}

static struct call begin(
	struct upstream *u, struct upstream_request *request, struct upstream_reply *reply)
{
	*reply = (struct upstream_reply){0};
	return (struct call){
		.u = u, .request = request, .reply = reply, .began_us = clock_monotonic_us()};
}

/* What is left of the connection is closed; what was sent and not answered is unknown. */
static enum fault finish(struct call *call, enum fault fault)
{
	upstream_connection_drop(&call->c);
	if (fault == FAULT_UNAVAILABLE && call->sent && !is_idempotent(call->request))
		fault = FAULT_UNKNOWN;
	upstream_metrics_call(call->u, fault, call->reply->status, call->began_us);
	return fault;
}

/* Sends the request and reads the answer's head; the body begins in call->c->in. */
static enum fault exchange(struct task *t, struct call *call)
{
	struct upstream_request *request = call->request;

	if (t->request_id.len > 0)
		upstream_header(request, STR("x-request-id"), t->request_id);
	if (t->traceparent.len > 0)
		upstream_header(request, STR("traceparent"), t->traceparent);
	TRY(upstream_request_check(&t->scope, request));

	const size_t header_count = request->header_count;
	struct upstream_search search = {0};
	bool is_repeat = false;
	for (;;) {
		TRY(upstream_connection_take(t, call->u, &search, &call->c));
		request->header_count = header_count;
		const enum fault fault = converse(t, call);
		call->sent = call->sent || call->c->written;
		if (fault == OK) {
			call->reply->repeated = is_repeat;
			if (call->head.closing)
				upstream_address_closing(call->c->address);
			return OK;
		}
		is_repeat = call->sent;
		const bool stale = call->c->reused && call->c->ended && !call->c->answered;
		if (!stale || (call->sent && !is_idempotent(request) && !request->keyed))
			return fault;
		upstream_connection_drop(&call->c);
		scope_forgive(&t->scope);
		counter_inc(call->u->metrics.retries);
		search.fresh = true;
	}
}

static enum fault converse(struct task *t, struct call *call)
{
	const struct upstream_config *config = &call->u->config;
	const int64_t left_ms = task_left_us(t) / 1000;
	const int64_t theirs_ms = left_ms > 2 * HOP_MS ? left_ms - HOP_MS : left_ms / 2;

	struct buf deadline = buf_new(t->scope.arena);

	buf_int64(&deadline, theirs_ms); /* printf would take another page of the stack */
	upstream_header(call->request, STR("bodega-deadline-ms"), buf_str(&deadline));
	if (config->sign != NULL)
		config->sign(t, config, call->request);
	const struct str host = call->c->address->target.host;
	upstream_connection_send(
		call->c, upstream_head_write(&t->scope, call->request, host), call->request->body);
	return read_head(t, call);
}

static enum fault read_head(struct task *t, struct call *call)
{
	struct upstream_connection *c = call->c;
	const bool of_head_request = str_eq(call->request->method, STR("HEAD"));
	unsigned interims = 0;
	size_t seen = 0;

	for (;;) {
		const char *why;

		TRY(upstream_connection_more(t, c, seen));
		if (c->in_len == seen)
			return lost(&t->scope, call);
		switch (upstream_head_read(&t->scope, str_of(c->in, c->in_len), seen,
			of_head_request, &call->head, call->reply, &why)) {
		case READ_MORE:
			seen = c->in_len;
			continue;
		case READ_BAD:
			return malformed(&t->scope, call, why);
		case READ_DONE:
			break;
		}
		upstream_connection_consume(c, call->head.bytes);
		if (call->head.status >= 200)
			return OK;
		if (++interims > INTERIM_MAX)
			return malformed(&t->scope, call, "there are too many interim answers");
		seen = 0;
	}
}

static enum fault read_whole(struct task *t, struct call *call)
{
	struct upstream_connection *c = call->c;
	struct upstream_body *body = &call->head.body;
	struct buf whole = buf_new(t->scope.arena);

	if (body->kind == BODY_LENGTH && body->left > (int64_t)call->u->config.body_bytes_max)
		return malformed(&t->scope, call, "the answer is too large");
	for (;;) {
		size_t n = c->in_len;
		bool stray;
		const enum upstream_read read = upstream_body_read(body, c->in, &n, &stray);

		if (read == READ_BAD)
			return malformed(&t->scope, call, "a chunk is malformed");
		if (whole.len + n > call->u->config.body_bytes_max)
			return malformed(&t->scope, call, "the answer is too large");
		buf_add(&whole, str_of(c->in, n));
		upstream_connection_consume(c, c->in_len);
		if (read == READ_DONE || (c->ended && body->kind == BODY_UNTIL_CLOSE)) {
			call->reply->body = buf_str(&whole);
			if (call->head.keep && !stray)
				upstream_connection_keep(&call->c);
			return OK;
		}
		if (c->ended)
			return lost(&t->scope, call);
		TRY(upstream_connection_more(t, c, 0));
	}
}

/* *body stays NULL when all of it came with the head. */
static enum fault read_begin(
	struct task *t, struct call *call, int64_t piece_us, struct stream **body)
{
	struct upstream_connection *c = call->c;
	struct upstream_rest rest = {
		.body = call->head.body, .keep = call->head.keep, .piece_us = piece_us};
	size_t n = c->in_len;
	bool stray;

	switch (upstream_body_read(&rest.body, c->in, &n, &stray)) {
	case READ_DONE:
		call->reply->body = scope_dup(&t->scope, str_of(c->in, n));
		if (rest.keep && !stray)
			upstream_connection_keep(&call->c);
		return OK;
	case READ_BAD:
		return malformed(&t->scope, call, "a chunk is malformed");
	case READ_MORE:
		break;
	}
	c->in_len = n;
	*body = upstream_stream_new(&call->c, &rest);
	return OK;
}

static enum fault lost(struct scope *s, const struct call *call)
{
	return fail(s, FAULT_UNAVAILABLE, "%s closed the connection before its answer was whole",
		call->u->config.name);
}

static enum fault malformed(struct scope *s, const struct call *call, const char *why)
{
	return fail(s, FAULT_BAD_GATEWAY, "the answer of %s was not usable: %s",
		call->u->config.name, why);
}

static bool is_idempotent(const struct upstream_request *request)
{
	return request->idempotent || str_eq(request->method, STR("GET")) ||
	       str_eq(request->method, STR("HEAD")) || str_eq(request->method, STR("PUT")) ||
	       str_eq(request->method, STR("DELETE"));
}
