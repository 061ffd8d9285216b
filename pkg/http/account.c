/* SPDX-License-Identifier: Apache-2.0
 * The one place where requests are counted and logged: a line and a few cells for each exchange
 * that has ended, whatever its route. Series are made when first needed and then found by index,
 * because making one takes a lock. */
#include "http/live_object.h"

#include "base/check.h"
#include "base/clock.h"
#include "fiber/task.h"
#include "http/method.h"
#include "log/log.h"
#include "metrics/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Those that a route may answer with; any other is counted as one of the last slot. */
static const short statuses[] = {101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400,
	401, 402, 403, 404, 405, 409, 412, 413, 414, 415, 422, 426, 429, 431, 499, 500, 502, 503,
	504};
static const struct str live_kinds[] = {{"websocket", 9}, {"events", 6}};
enum { STATUS_COUNT = sizeof statuses / sizeof statuses[0] };

/* What is known of a request that fits no route. */
#define NO_ROUTE "none"

struct route_metrics {
	struct str route;
	struct str method;
	struct histogram *duration;
	_Atomic(struct counter *) requests[STATUS_COUNT + 1];
};

static struct {
	struct gauge *in_flight;
	struct gauge *connections;
	struct counter *request_bytes;
	struct counter *response_bytes;
	struct histogram *arena_bytes;
	struct counter *refused[REFUSED_STREAMS + 1];
	struct counter *ended[ENDED_STOP + 1];
	struct gauge *live[LIVE_EVENTS + 1];
	struct counter *live_messages[LIVE_EVENTS + 1];
	struct counter *live_ended[LIVE_EVENTS + 1][LIVE_ENDS];
} shared;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_shared(void);
static void make_live(void);
static void init_route(struct route_metrics *m, struct str route, struct str method);
static struct route_metrics *metrics_of(const struct exchange *e);
static struct counter *requests_of(struct route_metrics *m, int status);
static size_t slot_of(int status);
static int64_t stack_high_water(void *arg);
static void log_exchange(const struct exchange *e, int status, int64_t took_us);
static struct str route_of(const struct request *r);
static struct str version_of(int version);

struct route_metrics *account_new(const struct site *site, const struct route *routes, size_t count)
{
	struct route_metrics *metrics = calloc(count + 2, sizeof *metrics);

	CHECK(metrics != NULL);
	pthread_once(&once, make_shared);
	for (size_t i = 0; i < count; i++)
		init_route(&metrics[i], str_from(routes[i].path), str_from(routes[i].method));
	init_route(&metrics[count], str_from(site->fallback.path), STR("any"));
	init_route(&metrics[count + 1], STR(NO_ROUTE), STR("any"));
	return metrics;
}

void account_free(struct route_metrics *metrics)
{
	free(metrics);
}

void account_start(const struct exchange *e)
{
	if (!e->site->admin)
		gauge_add(shared.in_flight, 1);
}

void account_end(const struct exchange *e)
{
	const int64_t took_us = clock_monotonic_us() - e->started_us;
	/* a client that left before any answer is counted as such, whatever the handler made of it
	 */
	const int status = e->status != 0 ? e->status : fault_info(FAULT_CANCELED)->status;
	struct route_metrics *m = metrics_of(e);

	if (!e->site->admin) {
		gauge_add(shared.in_flight, -1);
		counter_inc(requests_of(m, status));
		histogram_observe(m->duration, took_us);
		counter_add(shared.request_bytes, e->request.body.len);
		counter_add(shared.response_bytes, e->bytes_sent);
		if (e->reply.arena != NULL)
			histogram_observe(shared.arena_bytes, (int64_t)arena_size(e->reply.arena));
	}
	log_exchange(e, status, took_us);
}

void account_refused_head(const struct site *site, const char *peer, int version, enum fault fault)
{
	const bool admin = site->admin;
	const size_t none = (admin ? site->server->config.admin_route_count
				   : site->server->config.route_count) +
	                    1;

	if (!admin)
		counter_inc(requests_of(&site->metrics[none], fault_info(fault)->status));
	log_line(LEVEL_INFO, "request refused", LOG_INT("status", fault_info(fault)->status),
		LOG_FAULT("fault", fault), LOG_STR("http", version_of(version)),
		LOG_TEXT("peer", peer));
}

void account_connection(int by)
{
	gauge_add(shared.connections, by);
}

void account_refused(enum refused why)
{
	counter_inc(shared.refused[why]);
}

void account_ended(enum ended why)
{
	counter_inc(shared.ended[why]);
}

void account_live_opened(enum live_kind kind)
{
	gauge_add(shared.live[kind], 1);
}

void account_live_ended(const struct live *l)
{
	const enum live_kind kind = l->config.kind;
	const struct live_reason *reason = live_reason(l->why);
	const struct log_context context = {
		.request_id = l->request_id, .traceparent = l->traceparent};
	char user[UUID_TEXT_LEN + 1];

	gauge_add(shared.live[kind], -1);
	counter_add(shared.live_messages[kind], l->messages_sent);
	counter_inc(shared.live_ended[kind][l->why]);
	log_line_of(&context, LEVEL_INFO, "stream ended", LOG_TEXT("route", l->route->path),
		LOG_STR("kind", live_kinds[kind]), LOG_TEXT("why", reason->name),
		LOG_INT("messages", l->messages_sent), LOG_INT("bytes", l->bytes_sent),
		LOG_INT("received", l->messages_received),
		LOG_MS("ms", clock_monotonic_us() - l->opened_us), LOG_STR("peer", l->peer),
		LOG_STR("user", uuid_format(&l->config.user_id, user)));
}

/* ---- log ---- */

static void log_exchange(const struct exchange *e, int status, int64_t took_us)
{
	const struct fault_info *info = fault_info(e->fault);
	const enum level least = e->site->admin ? LEVEL_DEBUG : LEVEL_INFO;
	const enum level level = e->fault != OK && info->level > least ? info->level : least;
	const struct log_context context = {
		.request_id = e->request.id, .traceparent = e->traceparent};
	const struct caller *caller = &e->request.caller;
	char user[UUID_TEXT_LEN + 1];
	struct log_pair pairs[14];
	size_t n = 0;

	if (!log_is_on(level))
		return;
	pairs[n++] = LOG_STR("method", e->request.method);
	pairs[n++] = LOG_STR("route", route_of(&e->request));
	pairs[n++] = LOG_STR("path", e->request.path);
	pairs[n++] = LOG_INT("status", status);
	pairs[n++] = LOG_INT("bytes", e->bytes_sent);
	pairs[n++] = LOG_MS("ms", took_us);
	pairs[n++] = LOG_STR("peer", e->request.peer);
	pairs[n++] = LOG_STR("http", version_of(e->request.version));
	if (e->fault != OK) {
		pairs[n++] = LOG_TEXT("fault", info->code);
		pairs[n++] = LOG_STR("detail", e->detail);
	}
	if (!uuid_is_nil(&caller->user_id))
		pairs[n++] = LOG_STR("user", uuid_format(&caller->user_id, user));
	if (caller->service.at != NULL)
		pairs[n++] = LOG_STR("caller", caller->service);
	pairs[n] = (struct log_pair){0};
	log_write(&context, level, "request", pairs);
}

static struct str route_of(const struct request *r)
{
	return r->route != NULL ? str_from(r->route->path) : STR(NO_ROUTE);
}

static struct str version_of(int version)
{
	return version >= 0x200 ? STR("2") : version == 0x101 ? STR("1.1") : STR("1.0");
}

/* ---- metrics ---- */

static struct route_metrics *metrics_of(const struct exchange *e)
{
	const struct server_config *config = &e->site->server->config;
	const struct route *routes = e->site->admin ? config->admin_routes : config->routes;
	const size_t count = e->site->admin ? config->admin_route_count : config->route_count;
	const struct route *route = e->request.route;

	if (route == NULL)
		return &e->site->metrics[count + 1];
	if (route == &e->site->fallback)
		return &e->site->metrics[count];
	return &e->site->metrics[route - routes];
}

static struct counter *requests_of(struct route_metrics *m, int status)
{
	const size_t slot = slot_of(status);
	struct counter *c = atomic_load_explicit(&m->requests[slot], memory_order_acquire);
	char text[] = "other";

	if (c != NULL)
		return c;
	if (slot < STATUS_COUNT)
		for (size_t i = 0, rest = (size_t)status, unit = 100; i < 3; i++, unit /= 10) {
			text[i] = (char)('0' + rest / unit);
			rest %= unit;
			text[i + 1] = '\0';
		}
	c = counter_get("bodega_http_requests_total", "Requests answered.",
		LABELS({"route", m->route}, {"method", m->method}, {"status", str_from(text)}));
	atomic_store_explicit(&m->requests[slot], c, memory_order_release);
	return c;
}

static size_t slot_of(int status)
{
	size_t slot = 0;

	while (slot < STATUS_COUNT && statuses[slot] != status)
		slot++;
	return slot;
}

static void init_route(struct route_metrics *m, struct str route, struct str method)
{
	m->route = route;
	m->method = method;
	if (route.at != NULL)
		m->duration = histogram_get("bodega_http_request_duration_seconds",
			"From the whole request to the last byte of its answer.",
			&histogram_seconds, LABELS({"route", route}, {"method", method}));
}

static void make_shared(void)
{
	static const char *const refused[] = {"connections", "descriptors", "tasks", "streams"};
	static const char *const ended[] = {"head", "stall", "idle", "age", "shed", "stop"};

	shared.in_flight =
		gauge_get("bodega_http_requests_in_flight", "Requests being worked on.", NULL);
	shared.connections = gauge_get("bodega_http_connections", "Connections of clients.", NULL);
	shared.request_bytes =
		counter_get("bodega_http_request_bytes_total", "Bytes of requests' bodies.", NULL);
	shared.response_bytes =
		counter_get("bodega_http_response_bytes_total", "Bytes of answers' bodies.", NULL);
	shared.arena_bytes = histogram_get("bodega_http_request_arena_bytes",
		"Memory that a request took for itself.", &histogram_bytes, NULL);
	for (size_t i = 0; i <= REFUSED_STREAMS; i++)
		shared.refused[i] = counter_get("bodega_http_refused_total",
			"Connections and requests refused because a bound was reached.",
			LABELS({"bound", str_from(refused[i])}));
	for (size_t i = 0; i <= ENDED_STOP; i++)
		shared.ended[i] = counter_get("bodega_http_connections_ended_total",
			"Connections that we ended, not the client.",
			LABELS({"why", str_from(ended[i])}));
	make_live();
	metric_callback("bodega_fiber_stack_high_water_bytes", "Deepest stack of a fiber so far.",
		NULL, stack_high_water, NULL);
}

static void make_live(void)
{
	for (size_t i = 0; i <= LIVE_EVENTS; i++) {
		const struct str kind = live_kinds[i];

		shared.live[i] = gauge_get(
			"bodega_live_streams", "Live streams open.", LABELS({"kind", kind}));
		shared.live_messages[i] = counter_get("bodega_live_messages_total",
			"Messages sent by live streams that have ended.", LABELS({"kind", kind}));
		for (size_t k = 0; k < LIVE_ENDS; k++)
			shared.live_ended[i][k] = counter_get("bodega_live_streams_ended_total",
				"Live streams that ended, and why.",
				LABELS({"kind", kind},
					{"why", str_from(live_reason((enum live_end)k)->name)}));
	}
}

static int64_t stack_high_water(void *arg)
{
	(void)arg;
	return (int64_t)task_stack_high_water();
}
