/* SPDX-License-Identifier: Apache-2.0
 * The one place where requests are logged: a line for each exchange that has ended, whatever its
 * route. */
#include "http/internal.h"

#include "base/clock.h"
#include "log/log.h"

/* What is known of a request that fits no route. */
#define NO_ROUTE "none"

static void log_exchange(const struct exchange *e, int status, int64_t took_us);
static struct str route_of(const struct request *r);
static struct str version_of(int version);

void account_end(const struct exchange *e)
{
	const int64_t took_us = clock_monotonic_us() - e->started_us;
	/* a client that left before any answer is counted as such, whatever the handler made of it */
	const int status = e->status != 0 ? e->status : fault_info(FAULT_CANCELED)->status;

	log_exchange(e, status, took_us);
}

void account_library_reply(const h2o_req_t *req, enum fault fault)
{
	log_line(LEVEL_INFO, "request refused", LOG_INT("status", fault_info(fault)->status),
		LOG_FAULT("fault", fault), LOG_STR("http", version_of(req->version)),
		LOG_TEXT("peer", connection_of(req)->peer));
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
