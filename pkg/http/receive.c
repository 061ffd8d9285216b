/* SPDX-License-Identifier: Apache-2.0
 * From libh2o's request to ours. It may vanish while the task runs, so everything is copied into
 * the task's arena, but only once it is known to be within bounds; the body last, when the route
 * has said how large it may be. */
#include "http/internal.h"

#include "http/head.h"
#include "http/trace_context.h"

enum { REQUEST_ID_MAX = 128 };

static struct str text_of(h2o_iovec_t iovec);
static enum fault copy_head(struct exchange *e, struct scope *s);
static size_t head_bytes(const h2o_req_t *req);
static void copy_headers(struct exchange *e, struct arena *arena);
static void identify(struct exchange *e, struct arena *arena);
static bool is_request_id(struct str text);
static enum fault check_head(struct exchange *e, struct scope *s);
static enum fault find_route(struct exchange *e, struct scope *s);
static enum fault no_route(struct exchange *e, struct scope *s, struct str allow);
static enum fault copy_body(struct exchange *e, struct scope *s);

enum fault exchange_receive(struct exchange *e, struct scope *s)
{
	enum fault fault = copy_head(e, s);

	identify(e, s->arena);
	if (fault == OK)
		fault = check_head(e, s);
	if (fault == OK)
		fault = find_route(e, s);
	if (fault == OK)
		fault = copy_body(e, s);
	return fault;
}

static enum fault copy_head(struct exchange *e, struct scope *s)
{
	const h2o_req_t *req = e->req;
	struct request *r = &e->request;

	r->scheme = e->connection->listener->tls ? STR("https") : STR("http");
	r->version = req->version;
	r->peer = scope_dup(s, str_from(e->connection->peer));
	r->from_loopback = str_starts(r->peer, STR("127.")) || str_eq(r->peer, STR("::1"));
	r->method = STR("?");
	e->close = true; /* until it is known to be well formed */
	if (head_bytes(req) > HEAD_BYTES_MAX)
		return fail(s, FAULT_HEAD_TOO_LARGE, "a head has at most %d bytes", HEAD_BYTES_MAX);
	r->method = scope_dup(s, text_of(req->method));
	r->target = scope_dup(s, text_of(req->path));
	r->authority = scope_dup(s, text_of(req->authority));
	r->upgrade = scope_dup(s, text_of(req->upgrade));
	r->path = r->target;
	copy_headers(e, s->arena);
	return OK;
}

static size_t head_bytes(const h2o_req_t *req)
{
	size_t bytes = req->method.len + req->path.len + req->authority.len;

	for (size_t i = 0; i < req->headers.size; i++)
		bytes += req->headers.entries[i].name->len + req->headers.entries[i].value.len + 4;
	return bytes;
}

static void copy_headers(struct exchange *e, struct arena *arena)
{
	const h2o_headers_t *from = &e->req->headers;
	struct header *to = arena_alloc_array(arena, from->size, sizeof *to);

	for (size_t i = 0; i < from->size; i++) {
		const h2o_header_t *header = &from->entries[i];

		/* the names that libh2o knows are its constants */
		to[i].name = text_of(*header->name);
		if (!h2o_iovec_is_token(header->name))
			to[i].name = arena_dup(arena, to[i].name);
		to[i].value = arena_dup(arena, text_of(header->value));
	}
	e->request.headers = to;
	e->request.header_count = from->size;
}

/* Whose request it is and in which trace, for the task, the reply and the log. */
static void identify(struct exchange *e, struct arena *arena)
{
	const struct str id = request_header(&e->request, STR("x-request-id"));

	e->request.id = is_request_id(id) ? id : request_id_new(arena);
	e->traceparent = traceparent_next(arena, request_header(&e->request, STR("traceparent")));
}

static bool is_request_id(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] <= ' ' || text.at[i] >= 0x7f)
			return false;
	return text.len > 0 && text.len <= REQUEST_ID_MAX;
}

static enum fault check_head(struct exchange *e, struct scope *s)
{
	if (e->req->version < 0x200) {
		const h2o_buffer_t *input = e->connection->socket->input;

		TRY(head_check(s, str_of(input->bytes, input->size)));
	} else if (!head_authority_is_valid(e->request.authority)) {
		return fail(s, FAULT_BAD_REQUEST, ":authority is not a name with an optional port");
	}
	e->close = false;
	return OK;
}

static enum fault find_route(struct exchange *e, struct scope *s)
{
	const struct server_config *config = &e->site->server->config;
	struct request *r = &e->request;
	struct target target;
	struct route_match match;

	if (config->receive != NULL && !e->site->admin)
		config->receive(s, r);
	TRY(target_read(s, r->target, &target));
	r->path = target.path;
	r->query = target.query;
	match = route_table_match(e->site->routes, &target, r->method);
	memcpy(r->params, match.params, sizeof r->params);
	r->route = match.route;
	if (r->route == NULL && match.allow.at == NULL && e->site->fallback.handler != NULL)
		r->route = &e->site->fallback;
	return r->route != NULL ? OK : no_route(e, s, match.allow);
}

static enum fault no_route(struct exchange *e, struct scope *s, struct str allow)
{
	if (allow.at == NULL)
		return fail(s, FAULT_NOT_FOUND, "there is nothing at this path");
	reply_header(&e->reply, "allow", allow);
	if (str_eq(e->request.method, STR("OPTIONS")))
		return reply_empty(&e->reply);
	return fail(s, FAULT_METHOD_NOT_ALLOWED, "%.*s is understood here", STR_ARG(allow));
}

static enum fault copy_body(struct exchange *e, struct scope *s)
{
	const h2o_iovec_t body = e->req->entity;
	size_t max;

	if (e->request.route == NULL)
		return OK;
	max = e->request.route->body_bytes_max;
	if (max == 0)
		max = BODY_BYTES_DEFAULT;
	if (body.len > max)
		return fail(s, FAULT_TOO_LARGE,
			"the body has %zu bytes, at most %zu are taken here", body.len, max);
	e->request.body = scope_dup(s, text_of(body));
	return OK;
}

static struct str text_of(h2o_iovec_t iovec)
{
	return str_of(iovec.base, iovec.len);
}
