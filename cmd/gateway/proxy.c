/* SPDX-License-Identifier: Apache-2.0
 * From a client to a service and back. Request bodies are whole and bounded by their route; answers
 * go back as they come, held up by the client's own pace. */
#include "gateway.h"

static enum fault proxy(
	struct task *t, const char *peer, const struct request *request, struct reply *reply);
static enum fault bad_answer(int status);
static bool is_problem(const struct reply *reply);

enum fault proxy_to_users(struct task *t, const struct request *request, struct reply *reply)
{
	return proxy(t, "users", request, reply);
}

enum fault proxy_to_products(struct task *t, const struct request *request, struct reply *reply)
{
	return proxy(t, "products", request, reply);
}

enum fault proxy_to_orders(struct task *t, const struct request *request, struct reply *reply)
{
	return proxy(t, "orders", request, reply);
}

static enum fault proxy(
	struct task *t, const char *peer, const struct request *request, struct reply *reply)
{
	const bool is_head = str_eq(request->method, STR("HEAD"));
	struct upstream_request up = {
		/* http leaves the body out, but tells its length */
		.method = is_head ? STR("GET") : request->method,
		.target = request->target,
		.body = request->body,
		.keyed = request_is_keyed(request),
	};
	struct upstream_reply answer;
	struct stream *body;

	TRY(headers_forward(&t->scope, request, &up));
	TRY(upstream_open(t, service_proxied(peer), &up, &answer, &body));
	headers_return(&answer, reply);
	if (answer.status >= 500 && !is_problem(reply)) {
		if (body != NULL)
			body->ops->close(body);
		return fail(&t->scope, bad_answer(answer.status), "%s answered %d", peer,
			answer.status);
	}
	reply->status = answer.status;
	reply->body = answer.body;
	reply->stream = body;
	reply->stream_bytes = answer.body_bytes;
	return OK;
}

/* Every POST but logins, and changes of stock and of an order's items. */
bool request_is_keyed(const struct request *request)
{
	const struct str path = str_from(request->route->path);

	if (request_header(request, STR("idempotency-key")).at == NULL)
		return false;
	if (str_eq(request->method, STR("PATCH")))
		return str_ends(path, STR("/stock")) || str_ends(path, STR("/items"));
	return str_eq(request->method, STR("POST")) &&
	       (!str_starts(path, STR("/api/v1/auth/")) || str_ends(path, STR("/register")));
}

static enum fault bad_answer(int status)
{
	return status == 503   ? FAULT_UNAVAILABLE
	       : status == 504 ? FAULT_DEADLINE
	                       : FAULT_BAD_GATEWAY;
}

static bool is_problem(const struct reply *reply)
{
	return str_starts(reply->content_type, STR("application/problem+json"));
}
