/* SPDX-License-Identifier: Apache-2.0
 * What all workers share, made before any of them starts and not changed after: routes, libh2o's
 * configuration. libh2o sees two hosts, the public one and the admin one, each
 * with a single handler and a single filter on its fallback path: routing is ours. */
#include "http/internal.h"

#include "base/check.h"
#include "http/head.h"

#include <h2o/http2.h>
#include <signal.h>
#include <stdlib.h>

enum {
	/* Bodies a little over a route's bound are taken in to be answered 413; what is over this
	 * as well, libh2o refuses by itself on HTTP/1, and upload.c cuts on HTTP/2: above the
	 * largest bound by more than a frame, so that what is left is still too large. */
	BODY_BYTES_BEYOND = 64 << 10,
	/* Over idling, head and body together; the sweep has the real times. */
	MARGIN_MS = 600000,
	HEARTBEAT_US = 25000000, /* less than the minute after which proxies give up */
};

static const struct route fallback_route = {.path = "fallback", .method = "*", .who = ANYONE};

static bool site_init(struct server *s, struct site *site, const struct route *routes, size_t count,
	struct str *error);
static void configure(struct server *s);
static void register_host(struct server *s, struct site *site, const char *name);
static size_t body_bytes_max(const struct server_config *config);
static unsigned deadline_ms_max(const struct server_config *config);
static size_t larger(size_t a, size_t b);

struct server *server_new(const struct server_config *config, struct str *error)
{
	struct server *s = calloc(1, sizeof *s);

	CHECK(s != NULL);
	s->config = *config;
	if (s->config.heartbeat_us == 0)
		s->config.heartbeat_us = HEARTBEAT_US;
	s->admin.admin = true;
	s->site.fallback = fallback_route;
	s->site.fallback.handler = config->fallback;
	s->deadline_ms_max = deadline_ms_max(config);
	tls_begin(s);
	(void)signal(SIGPIPE, SIG_IGN); /* libh2o writes to sockets that may be closed */
	configure(s);
	if (!site_init(s, &s->site, config->routes, config->route_count, error) ||
		!site_init(s, &s->admin, config->admin_routes, config->admin_route_count, error) ||
		(config->tls_port != 0 && !server_load_certificate(s, error))) {
		server_free(s);
		return NULL;
	}
	return s;
}

void server_free(struct server *s)
{
	struct site *sites[] = {&s->site, &s->admin};

	for (size_t i = 0; i < 2; i++) {
		route_table_free(sites[i]->routes);
		account_free(sites[i]->metrics);
	}
	h2o_config_dispose(&s->h2o);
	tls_end(s);
	free(s);
}

size_t server_connections(const struct server *s)
{
	return atomic_load(&s->staying);
}

void server_shed(struct server *s, size_t count)
{
	atomic_store(&s->to_shed, count);
}

static bool site_init(struct server *s, struct site *site, const struct route *routes, size_t count,
	struct str *error)
{
	site->server = s;
	site->routes = route_table_new(routes, count, error);
	if (site->routes == NULL)
		return false;
	site->metrics = account_new(site, routes, count);
	register_host(s, site, site->admin ? "admin" : "public");
	return true;
}

static void configure(struct server *s)
{
	const struct server_config *config = &s->config;
	const int64_t waits_us = config->idle_timeout_us + config->head_timeout_us;

	h2o_config_init(&s->h2o);
	s->h2o.server_name = h2o_iovec_init(NULL, 0);
	s->h2o.max_request_entity_size = body_bytes_max(config) + BODY_BYTES_BEYOND;
	s->h2o.handshake_timeout = (uint64_t)config->head_timeout_us / 1000;
	s->h2o.http1.req_timeout = (uint64_t)waits_us / 1000 + MARGIN_MS;
	s->h2o.http1.upgrade_to_http2 = 0; /* HTTP/2 begins in begin_http2 only */
	s->h2o.http2.idle_timeout = (uint64_t)waits_us / 1000 + MARGIN_MS;
	s->h2o.http2.max_concurrent_requests_per_connection = HTTP2_STREAMS_MAX;
}

static void register_host(struct server *s, struct site *site, const char *name)
{
	h2o_hostconf_t *host =
		h2o_config_register_host(&s->h2o, h2o_iovec_init(name, strlen(name)), 65535);
	struct site_handler *handler =
		(void *)h2o_create_handler(&host->fallback_path, sizeof *handler);
	struct site_filter *filter =
		(void *)h2o_create_filter(&host->fallback_path, sizeof *filter);

	handler->super.on_req = exchange_on_request;
	handler->site = site;
	filter->super.on_setup_ostream = respond_setup_filter;
	filter->site = site;
	site->hosts[0] = host;
}

static size_t body_bytes_max(const struct server_config *config)
{
	size_t max = BODY_BYTES_DEFAULT;

	for (size_t i = 0; i < config->route_count; i++)
		max = larger(max, config->routes[i].body_bytes_max);
	for (size_t i = 0; i < config->admin_route_count; i++)
		max = larger(max, config->admin_routes[i].body_bytes_max);
	return max;
}

static unsigned deadline_ms_max(const struct server_config *config)
{
	size_t max = DEADLINE_MS_DEFAULT;

	for (size_t i = 0; i < config->route_count; i++)
		max = larger(max, config->routes[i].deadline_ms);
	for (size_t i = 0; i < config->admin_route_count; i++)
		max = larger(max, config->admin_routes[i].deadline_ms);
	return (unsigned)max;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}
