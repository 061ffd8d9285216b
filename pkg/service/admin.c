/* SPDX-License-Identifier: Apache-2.0
 * The admin port: probes, metrics, the log's level. Anyone who gets there may look; what changes
 * something is for LOOPBACK. And the health of the public port, which has the same status as the
 * readiness probe but tells strangers nothing of the reasons. */
#include "service/internal.h"

#include "log/log.h"
#include "metrics/metrics.h"
#include "json/write.h"

struct log_setting {
	int level;
};

static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

static const struct field log_fields[] = {
	FIELD(struct log_setting, level, ENUM, REQUIRED, .names = level_names),
};
static const struct field_table log_table = FIELD_TABLE(struct log_setting, log_fields);

static handler_fn get_alive, get_ready, get_started, get_metrics, get_log_level, put_log_level,
	get_health;
static enum fault answer(
	struct task *t, struct reply *reply, bool good, const char *status, struct str why);

const struct route admin_routes[] = {
	{.method = "GET", .path = "/livez", .handler = get_alive, .who = ANYONE},
	{.method = "GET", .path = "/readyz", .handler = get_ready, .who = ANYONE},
	{.method = "GET", .path = "/startupz", .handler = get_started, .who = ANYONE},
	{.method = "GET", .path = "/metrics", .handler = get_metrics, .who = ANYONE},
	{.method = "GET", .path = "/loglevel", .handler = get_log_level, .who = ANYONE},
	{.method = "PUT", .path = "/loglevel", .handler = put_log_level, .who = LOOPBACK},
};
const size_t admin_route_count = sizeof admin_routes / sizeof *admin_routes;

static const struct route health_routes[] = {
	{.method = "GET", .path = "/health", .handler = get_health, .who = ANYONE},
	{.method = "GET", .path = "/health-check", .handler = get_health, .who = ANYONE},
	{.method = "GET", .path = "/status", .handler = get_health, .who = ANYONE},
};
enum { HEALTH_ROUTES = sizeof health_routes / sizeof *health_routes };

const struct route *routes_with_health(
	struct scope *s, const struct service *service, size_t *count)
{
	struct route *routes;

	*count = service->route_count + HEALTH_ROUTES;
	routes = arena_alloc_array(s->arena, *count, sizeof *routes);
	memcpy(routes, service->routes, service->route_count * sizeof *routes);
	memcpy(&routes[service->route_count], health_routes, sizeof health_routes);
	return routes;
}

static enum fault get_alive(struct task *t, const struct request *request, struct reply *reply)
{
	struct str why = STR_NONE;
	const bool alive = process_is_alive(&t->scope, &why);

	(void)request;
	return answer(t, reply, alive, alive ? "alive" : "stuck", why);
}

static enum fault get_ready(struct task *t, const struct request *request, struct reply *reply)
{
	struct str why;
	const bool ready = process_is_ready(&t->scope, &why);

	(void)request;
	return answer(t, reply, ready, ready ? "ready" : "not ready", why);
}

/* Whoever gets an answer here has found a listener. */
static enum fault get_started(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	return answer(t, reply, true, "started", STR_NONE);
}

static enum fault get_metrics(struct task *t, const struct request *request, struct reply *reply)
{
	struct buf text = buf_new(t->scope.arena);

	(void)request;
	metrics_write(&text);
	reply->status = 200;
	reply->content_type = STR(METRICS_CONTENT_TYPE);
	reply->body = buf_str(&text);
	return OK;
}

static enum fault get_log_level(struct task *t, const struct request *request, struct reply *reply)
{
	const struct log_setting setting = {.level = (int)log_level()};

	(void)t;
	(void)request;
	return reply_object(reply, 200, &log_table, &setting);
}

static enum fault put_log_level(struct task *t, const struct request *request, struct reply *reply)
{
	struct log_setting setting;

	TRY(request_json(&t->scope, request, &log_table, &setting));
	log_set_level((enum level)setting.level);
	return reply_object(reply, 200, &log_table, &setting);
}

static enum fault get_health(struct task *t, const struct request *request, struct reply *reply)
{
	struct buf json = buf_new(t->scope.arena);
	struct str why;
	const bool ready = process_is_ready(&t->scope, &why);

	(void)request;
	buf_format(&json, "{\"status\":\"%s\",\"service\":\"%s\",\"version\":\"%s\"",
		ready ? "ok" : "unavailable", process.service->name, BODEGA_VERSION);
	if (process.service->health != NULL)
		process.service->health(&json);
	buf_char(&json, '}');
	return reply_json(reply, ready ? 200 : 503, buf_str(&json));
}

static enum fault answer(
	struct task *t, struct reply *reply, bool good, const char *status, struct str why)
{
	struct buf json = buf_new(t->scope.arena);

	buf_format(&json, "{\"status\":\"%s\"", status);
	if (why.len > 0) {
		buf_add(&json, STR(",\"why\":"));
		json_write_text(&json, why);
	}
	buf_char(&json, '}');
	return reply_json(reply, good ? 200 : 503, buf_str(&json));
}
