/* SPDX-License-Identifier: Apache-2.0
 * From our reply to libh2o's. What holds for every answer is done here, once: problem documents,
 * conditional requests, HEAD, caching, request ids. Runs on the loop's own stack; the bytes it
 * hands to libh2o live in the arena that the exchange holds until the request is disposed of. */
#include "http/internal.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/random.h"
#include "http/etag.h"
#include "http/problem.h"

#include <stdio.h>

static void begin_live(struct exchange *e);
static void become_problem(struct exchange *e, struct scope *s);
static void answer_condition(struct exchange *e);
static void send_body(struct exchange *e);
static bool is_head(const struct exchange *e);
static void add_common_headers(struct exchange *e);
static void add_once(struct exchange *e, const h2o_token_t *token, struct str value);
static void add(h2o_req_t *req, const h2o_token_t *token, struct str value);
static void add_named(h2o_req_t *req, struct str name, struct str value);
static const char *reason_of(int status);

void exchange_respond(struct exchange *e, struct scope *s)
{
	if (e->fault == OK && e->reply.status == 0)
		e->fault = fail(s, FAULT_INTERNAL, "the handler made no reply");
	if (e->fault != OK) {
		become_problem(e, s);
	} else {
		compress_decide(e);
		answer_condition(e);
	}
	if (e->site->server->config.before_reply != NULL)
		e->site->server->config.before_reply(&e->request, &e->reply);
	if (e->reply.live != NULL && !is_head(e))
		begin_live(e);
	else if (e->reply.stream != NULL && !is_head(e))
		stream_begin(e);
	else
		send_body(e);
}

static void begin_live(struct exchange *e)
{
	if (e->reply.status == 101)
		live_websocket_begin(e->reply.live, e);
	else
		live_events_begin(e->reply.live, e);
}

static void become_problem(struct exchange *e, struct scope *s)
{
	const struct fault_info *info = fault_info(e->fault);
	struct reply *reply = &e->reply;

	stream_end(e);
	reply->etag = STR_NONE;
	reply->status = info->status;
	reply->content_type = STR(PROBLEM_CONTENT_TYPE);
	reply->body = problem_write(s, e->fault, e->request.path, e->traceparent);
	e->detail = s->detail;
	if (info->status == 401)
		reply_header(reply, "www-authenticate",
			request_header(&e->request, STR("authorization")).at != NULL
				? STR("Bearer error=\"invalid_token\"")
				: STR("Bearer"));
	if (info->retry && !reply_has(reply, STR("retry-after"))) {
		struct buf seconds = buf_new(reply->arena);

		buf_int64(&seconds, 1 + (int64_t)random_below(3));
		reply_header(reply, "retry-after", buf_str(&seconds));
	}
}

/* If-None-Match (RFC 9110 13.1.2): 304 when the client has that version. */
static void answer_condition(struct exchange *e)
{
	const struct str known = request_header(&e->request, STR("if-none-match"));
	struct reply *reply = &e->reply;

	if (known.at == NULL || reply->etag.at == NULL || reply->status != 200)
		return;
	if (!is_head(e) && !str_eq(e->request.method, STR("GET")))
		return;
	if (!etag_list_has(known, reply->etag))
		return;
	reply->status = 304;
	e->compresses = false;
	reply->content_type = STR_NONE;
	reply->body = STR_NONE;
	stream_end(e);
}

static void send_body(struct exchange *e)
{
	const struct reply *reply = &e->reply;
	const bool bodiless = reply->status == 204 || reply->status == 304;
	h2o_iovec_t body;

	if (e->compresses)
		compress_body(e);
	body = h2o_iovec_init(reply->body.at, reply->body.len);
	respond_head(e, bodiless                                       ? -1
			: reply->stream != NULL || reply->live != NULL ? reply->stream_bytes
								       : (int64_t)reply->body.len);
	h2o_start_response(e->req, &e->generator);
	e->sending = true;
	e->connection->unsent++;
	h2o_send(e->req, &body, bodiless || is_head(e) || body.len == 0 ? 0 : 1,
		H2O_SEND_STATE_FINAL);
}

static bool is_head(const struct exchange *e)
{
	return str_eq(e->request.method, STR("HEAD"));
}

void respond_head(struct exchange *e, int64_t length)
{
	const struct reply *reply = &e->reply;
	h2o_req_t *req = e->req;
	bool last; /* of its HTTP/1 connection */

	e->status = reply->status;
	req->res.status = reply->status;
	req->res.reason = reason_of(reply->status);
	if (length >= 0)
		req->res.content_length = (size_t)length;
	last = e->close ||
	       ((e->worker->announced || e->connection->retiring) && req->version < 0x200);
	if (last || (length < 0 && req->version < 0x101))
		req->http1_is_persistent = 0;
	if (last)
		connection_will_linger(e->connection);
	add_common_headers(e);
	for (size_t i = 0; i < reply->header_count; i++)
		add_named(req, reply->headers[i].name, reply->headers[i].value);
}

static void add_common_headers(struct exchange *e)
{
	const struct route *route = e->request.route;
	const struct reply *reply = &e->reply;
	const bool cacheable = (reply->status == 200 || reply->status == 304) && route != NULL &&
	                       route->cache_control != NULL;

	if (reply->content_type.at != NULL)
		add(e->req, H2O_TOKEN_CONTENT_TYPE, reply->content_type);
	if (reply->etag.at != NULL) {
		struct buf quoted = buf_new(reply->arena);

		buf_char(&quoted, '"');
		buf_add(&quoted, reply->etag);
		buf_char(&quoted, '"');
		add(e->req, H2O_TOKEN_ETAG, buf_str(&quoted));
	}
	add_once(e, H2O_TOKEN_CACHE_CONTROL,
		cacheable ? str_from(route->cache_control) : STR("no-store"));
	if (e->request.id.at != NULL && !reply_has(reply, STR("x-request-id")))
		add_named(e->req, STR("x-request-id"), e->request.id);
	if (!reply_has(reply, STR("x-content-type-options")))
		add_named(e->req, STR("x-content-type-options"), STR("nosniff"));
	if (e->tells_waits) {
		struct buf waits = buf_new(reply->arena);

		buf_int64(&waits, e->waits);
		add_named(e->req, STR("bodega-waits"), buf_str(&waits));
	}
}

static void add_once(struct exchange *e, const h2o_token_t *token, struct str value)
{
	if (!reply_has(&e->reply, str_of(token->buf.base, token->buf.len)))
		add(e->req, token, value);
}

static void add(h2o_req_t *req, const h2o_token_t *token, struct str value)
{
	h2o_add_header(&req->pool, &req->res.headers, token, NULL, value.at, value.len);
}

static void add_named(h2o_req_t *req, struct str name, struct str value)
{
	h2o_add_header_by_str(
		&req->pool, &req->res.headers, name.at, name.len, 1, NULL, value.at, value.len);
}

/* ---- what libh2o answers itself ---- */

struct problem_stream {
	h2o_ostream_t super;
	struct str body;
};

static enum fault fault_of_library(const h2o_req_t *req);
static void replace_body(h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs, size_t count,
	h2o_send_state_t state);
static void drop_arena(void *slot);

void respond_setup_filter(h2o_filter_t *filter, h2o_req_t *req, h2o_ostream_t **slot)
{
	const struct site *site = ((struct site_filter *)(void *)filter)->site;
	const bool is_ours = req->_generator != NULL && req->_generator->proceed != NULL;
	struct problem_stream *stream;
	struct arena **arena;
	enum fault fault;
	struct scope s;

	if (is_ours) {
		h2o_setup_next_ostream(req, slot);
		return;
	}
	fault = fault_of_library(req);
	scope_begin(&s);
	arena = h2o_mem_alloc_shared(&req->pool, sizeof(*arena), drop_arena);
	*arena = arena_ref(s.arena);
	stream = (void *)h2o_add_ostream(req, sizeof *stream, slot);
	stream->super.do_send = replace_body;
	stream->body = problem_write(&s, fault, STR_NONE, STR_NONE);
	req->res.status = fault_info(fault)->status;
	req->res.reason = reason_of(req->res.status);
	req->res.content_length = stream->body.len;
	req->res.headers = (h2o_headers_t){NULL, 0, 0};
	add(req, H2O_TOKEN_CONTENT_TYPE, STR(PROBLEM_CONTENT_TYPE));
	add(req, H2O_TOKEN_CACHE_CONTROL, STR("no-store"));
	add_named(req, STR("x-content-type-options"), STR("nosniff"));
	scope_end(&s);
	if (req->version < 0x200)
		connection_will_linger(connection_of(req));
	account_refused_head(site, connection_of(req)->peer, req->version, fault);
	h2o_setup_next_ostream(req, &stream->super.next);
}

/* Bodies over the library's own bound, broken framing, an Expect that it does not know, characters
 * that HTTP/2 headers may not have. */
static enum fault fault_of_library(const h2o_req_t *req)
{
	return req->res.status == 413  ? FAULT_TOO_LARGE
	       : req->res.status < 500 ? FAULT_BAD_REQUEST
	                               : FAULT_INTERNAL;
}

static void replace_body(h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs, size_t count,
	h2o_send_state_t state)
{
	const struct problem_stream *stream = (void *)self;
	h2o_iovec_t body = h2o_iovec_init(stream->body.at, stream->body.len);

	(void)bufs;
	h2o_ostream_send_next(self, req, &body, count > 0 ? 1 : 0, state);
}

static void drop_arena(void *slot)
{
	arena_unref(*(struct arena **)slot);
}

static const char *reason_of(int status)
{
	switch (status) {
	case 101:
		return "Switching Protocols";
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 206:
		return "Partial Content";
	case 301:
		return "Moved Permanently";
	case 302:
		return "Found";
	case 303:
		return "See Other";
	case 304:
		return "Not Modified";
	case 307:
		return "Temporary Redirect";
	case 308:
		return "Permanent Redirect";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 402:
		return "Payment Required";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 412:
		return "Precondition Failed";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 415:
		return "Unsupported Media Type";
	case 422:
		return "Unprocessable Content";
	case 426:
		return "Upgrade Required";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 499:
		return "Client Closed Request";
	case 500:
		return "Internal Server Error";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	default:
		return "Other";
	}
}
