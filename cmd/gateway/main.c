/* SPDX-License-Identifier: Apache-2.0
 * The edge: what a request from outside meets first. It routes to the services and knows nothing of
 * what they do; who may do what is decided where it is done. */
#include "live.h"

struct settings settings;

static const struct config_field config[] = {
	CONFIG(struct settings, cors_origins, LIST, "CORS_ORIGINS", CONFIG_OPTIONAL,
		"Origins that browsers may call from (https://shop.example), or *.", .live = true),
	CONFIG(struct settings, trusted_proxies, TEXTS, "TRUSTED_PROXIES", CONFIG_OPTIONAL,
		"Whose X-Forwarded-For and -Proto are believed: addresses and networks "
		"(10.0.0.0/8)."),
	CONFIG(struct settings, docs_dir, TEXT, "DOCS_DIR", CONFIG_OPTIONAL,
		"A folder with Swagger UI and openapi.json, shown at /docs."),
};

static const struct service_peer peers[] = {
	{.name = "users", .internal = true, .proxied = true},
	{.name = "products", .internal = true, .proxied = true},
	{.name = "orders", .internal = true, .proxied = true},
};

/* All mistakes are told at once. */
static enum fault start(struct scope *s)
{
	const enum fault forwarded = forwarded_open(s);
	const enum fault docs = docs_open(s);

	return forwarded != OK ? forwarded : docs;
}

int main(int argc, char **argv)
{
	const struct service service = {
		.name = "gateway",
		.summary = "The edge of the shop: routing, authentication, CORS, documentation.",
		.port = "8080",
		.admin_port = "9080",
		.tls_port = "8443",
		.routes = routes,
		.route_count = route_count,
		.config = config,
		.config_count = sizeof config / sizeof *config,
		.config_struct = &settings,
		.peers = peers,
		.peer_count = sizeof peers / sizeof *peers,
		.redis = true,
		.events = &hub_events,
		.start_thread = hub_start,
		.stop_thread = hub_stop,
		.jobs = health_jobs,
		.job_count = health_job_count,
		.start = start,
		.health = health_write,
		.receive = receive,
		.before_reply = before_reply,
	};

	return service_main(argc, argv, &service);
}
