/* SPDX-License-Identifier: Apache-2.0
 * The life of an exchange. libh2o's request starts a task; the fiber fills the reply; when it has
 * ended, the loop sends it (a fiber never calls libh2o). Two things end on their own time, the task
 * and libh2o's request, so each takes its pointer out of the exchange when it goes, and the later
 * one gives the exchange back. The arena is counted once for the task and once for the request,
 * because libh2o reads the reply's bytes until it disposes of the request. */
#include "http/internal.h"

#include "base/check.h"
#include "base/clock.h"

#include <stdlib.h>

enum { EXCHANGE_MAGIC = 0x45584348, SPARE_MAX = 256 };

static struct exchange *exchange_new(struct server_worker *w, const struct site *site);
static void attach(struct exchange *e, h2o_req_t *req);
static void on_request_gone(void *slot);
static enum fault start_task(struct exchange *e);
static void run(struct task *t, void *arg);
static enum fault call_handler(struct task *t, struct exchange *e);
static enum fault authorise(struct task *t, struct exchange *e);
static bool may_call(unsigned who, const struct caller *caller);
static void shorten_deadline(struct task *t, const struct exchange *e);
static void inject_faults(struct task *t, struct exchange *e);
static void on_task_done(struct task *t, void *arg);
static void refuse(struct exchange *e, enum fault fault);
static void exchange_end(struct exchange *e);
static void on_proceed(h2o_generator_t *generator, h2o_req_t *req);

int exchange_on_request(h2o_handler_t *handler, h2o_req_t *req)
{
	const struct site *site = ((struct site_handler *)(void *)handler)->site;
	struct server_worker *w = (void *)req->conn->ctx;
	struct exchange *e = exchange_new(w, site);
	enum fault fault;

	attach(e, req);
	account_start(e);
	fault = start_task(e);
	if (fault != OK)
		refuse(e, fault);
	return 0;
}

static struct exchange *exchange_new(struct server_worker *w, const struct site *site)
{
	struct list *link = list_take(&w->spare);
	struct exchange *e;

	if (link != NULL) {
		e = CONTAINER_OF(link, struct exchange, link);
		w->spare_count--;
	} else {
		e = malloc(sizeof *e);
		CHECK(e != NULL);
	}
	/* not the reply: its headers are large, and set before they are counted */
	memset(e, 0, offsetof(struct exchange, reply));
	memset((char *)e + offsetof(struct exchange, fault), 0,
		sizeof *e - offsetof(struct exchange, fault));
	e->reply.arena = NULL;
	reply_reset(&e->reply);
	e->magic = EXCHANGE_MAGIC;
	e->worker = w;
	e->site = site;
	e->generator.proceed = on_proceed;
	e->started_us = clock_monotonic_us();
	list_append(&w->exchanges, &e->link);
	w->exchange_count++;
	w->public_exchange_count += !site->admin;
	return e;
}

static void attach(struct exchange *e, h2o_req_t *req)
{
	struct exchange **slot = h2o_mem_alloc_shared(&req->pool, sizeof(*slot), on_request_gone);

	*slot = e;
	e->req = req;
	e->connection = connection_of(req);
	e->connection->exchanges++;
	e->connection->requests++;
}

/* The request's pool is being cleared: answered whole, or the client has left. */
static void on_request_gone(void *slot)
{
	struct exchange *e = *(struct exchange **)slot;
	struct arena *arena = e->arena;

	CHECK_MAGIC(e, EXCHANGE_MAGIC);
	e->bytes_sent = e->req->bytes_sent;
	if (e->req->version >= 0x200)
		upload_answered(e->connection, e->req);
	e->connection->exchanges--;
	e->connection->unsent -= e->sending;
	e->connection = NULL;
	e->req = NULL;
	if (e->task != NULL)
		task_cancel(e->task, FAULT_CANCELED);
	else
		exchange_end(e);
	arena_unref(arena);
}

static enum fault start_task(struct exchange *e)
{
	struct server_worker *w = e->worker;
	const size_t max = e->site->admin ? 0 : e->site->server->config.requests_max;
	const int64_t most_us = (int64_t)e->site->server->deadline_ms_max * 1000;
	struct task *t;

	if (max > 0 && w->public_exchange_count > max)
		return FAULT_OVERLOADED;
	TRY(task_start(w->loop, loop_now_us(w->loop) + most_us, run, on_task_done, e, &t));
	e->task = t;
	e->arena = arena_ref(t->scope.arena);
	e->reply.arena = t->scope.arena;
	e->fault = exchange_receive(e, &t->scope);
	t->request_id = e->request.id;
	t->traceparent = e->traceparent;
	return OK;
}

static void run(struct task *t, void *arg)
{
	struct exchange *e = arg;

	if (e->fault == OK && e->request.route != NULL)
		e->fault = call_handler(t, e);
}

static enum fault call_handler(struct task *t, struct exchange *e)
{
	enum fault fault;
	unsigned before;

	shorten_deadline(t, e);
	TRY(authorise(t, e));
	before = t->waits;
	inject_faults(t, e);
	fault = e->request.route->handler(t, &e->request, &e->reply);
	e->waits = t->waits - before;
	return fault;
}

static enum fault authorise(struct task *t, struct exchange *e)
{
	const struct server_config *config = &e->site->server->config;
	struct request *request = &e->request;
	const unsigned who = request->route->who;
	const bool shows_who = request_header(request, STR("authorization")).at != NULL ||
	                       request_header(request, STR("bodega-mac")).at != NULL;

	if (who == LOOPBACK)
		return request->from_loopback
		               ? OK
		               : fail(&t->scope, FAULT_FORBIDDEN, "only from the machine itself");
	if (config->authenticate != NULL && (shows_who || (who & ANYONE) == 0))
		TRY(config->authenticate(t, request, &request->caller));
	if (may_call(who, &request->caller))
		return OK;
	if (request->caller.role == ROLE_NONE && request->caller.service.at == NULL)
		return fail(&t->scope, FAULT_UNAUTHORIZED, "this needs a caller who is logged in");
	return fail(&t->scope, FAULT_FORBIDDEN, "the caller's role may not do this");
}

static bool may_call(unsigned who, const struct caller *caller)
{
	if ((who & ANYONE) != 0)
		return true;
	if (caller->service.at != NULL && (who & SERVICE) != 0)
		return true;
	return caller->role != ROLE_NONE && (who & (1u << (caller->role + 1))) != 0;
}

/* To the route's own; and to what the caller says is left of its own time. Whoever it is: it can
 * only make its own request shorter. */
static void shorten_deadline(struct task *t, const struct exchange *e)
{
	const struct route *route = e->request.route;
	const unsigned ms = route->deadline_ms > 0 ? route->deadline_ms : DEADLINE_MS_DEFAULT;
	int64_t left_ms;

	task_deadline_within(t, (int64_t)ms * 1000);
	if (str_to_int64(request_header(&e->request, STR("bodega-deadline-ms")), &left_ms) &&
		left_ms > 0 && left_ms < INT64_MAX / 1000)
		task_deadline_within(t, left_ms * 1000);
}

#ifdef BODEGA_FAULTS

/* "Bodega-Fault: fail:3" fails the third wait of the handler, "cancel:3" cancels it there. */
static void inject_faults(struct task *t, struct exchange *e)
{
	struct str text = request_header(&e->request, STR("bodega-fault"));
	struct str kind;
	int64_t nth;

	if (!str_cut(&text, ':', &kind) || !str_to_int64(text, &nth) || nth < 1 || nth > 10000)
		return;
	e->tells_waits = true;
	task_inject(
		t, (unsigned)nth, str_eq(kind, STR("cancel")) ? FAULT_CANCELED : FAULT_UNAVAILABLE);
}

#else

static void inject_faults(struct task *t, struct exchange *e)
{
	(void)t, (void)e;
}

#endif

static void on_task_done(struct task *t, void *arg)
{
	struct exchange *e = arg;

	CHECK_MAGIC(e, EXCHANGE_MAGIC);
	e->task = NULL;
	e->detail = t->scope.detail;
	if (e->req != NULL)
		exchange_respond(e, &t->scope);
	else
		exchange_end(e);
}

/* Answers without a task: there are too many. The request is read all the same: a head that could
 * be understood in two ways must not leave its connection open, nor any answer lack its headers. */
static void refuse(struct exchange *e, enum fault fault)
{
	struct scope s;

	account_refused(REFUSED_TASKS);
	scope_begin(&s);
	e->arena = arena_ref(s.arena);
	e->reply.arena = s.arena;
	e->fault = exchange_receive(e, &s);
	if (e->fault == OK)
		e->fault = fault;
	exchange_respond(e, &s);
	scope_end(&s);
}

static void exchange_end(struct exchange *e)
{
	struct server_worker *w = e->worker;

	stream_end(e);
	if (!e->detached)
		exchange_detach(e);
	e->magic = 0;
	list_remove(&e->link);
	w->exchange_count--;
	if (w->spare_count == SPARE_MAX) {
		free(e);
		return;
	}
	list_prepend(&w->spare, &e->link);
	w->spare_count++;
}

void exchange_detach(struct exchange *e)
{
	e->detached = true;
	account_end(e);
	e->worker->public_exchange_count -= !e->site->admin;
}

void exchange_cancel_all(struct server_worker *w)
{
	for (struct list *at = w->exchanges.next; at != &w->exchanges; at = at->next) {
		struct exchange *e = CONTAINER_OF(at, struct exchange, link);

		if (e->task != NULL)
			task_cancel(e->task, FAULT_UNAVAILABLE);
		else
			stream_break(e);
	}
}

void exchange_free_spare(struct server_worker *w)
{
	struct list *link;

	while ((link = list_take(&w->spare)) != NULL)
		free(CONTAINER_OF(link, struct exchange, link));
	w->spare_count = 0;
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
	struct exchange *e = CONTAINER_OF(generator, struct exchange, generator);

	(void)req;
	CHECK_MAGIC(e, EXCHANGE_MAGIC);
	e->connection->unsent -= e->sending;
	e->sending = false;
	stream_proceed(e);
}
