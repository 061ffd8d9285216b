/* SPDX-License-Identifier: Apache-2.0
 * Cross-origin calls from browsers (the Fetch standard's CORS protocol). Every answer says who may
 * read it, errors too; OPTIONS is answered by http from the route table, and gets here what a
 * preflight asks for. Credentials are in Authorization, never in cookies, so "*" is harmless. */
#include "gateway.h"

#include <stdatomic.h>

static bool allows(const struct texts *origins, struct str origin);
static bool is_any(const struct texts *origins);

static const struct str any = {"*", 1};

void before_reply(const struct request *request, struct reply *reply)
{
	const struct str origin = request_header(request, STR("origin"));
	const struct texts *const origins = atomic_load(&settings.cors_origins);

	if (origins->count == 0)
		return;
	if (!is_any(origins))
		reply_header(reply, "vary", STR("Origin"));
	if (origin.len == 0 || !allows(origins, origin))
		return;
	reply_header(reply, "access-control-allow-origin", is_any(origins) ? any : origin);
	if (str_eq(request->method, STR("OPTIONS")) &&
		request_header(request, STR("access-control-request-method")).len > 0) {
		reply_header(reply, "access-control-allow-methods",
			STR("GET, HEAD, POST, PUT, PATCH, DELETE"));
		reply_header(reply, "access-control-allow-headers",
			STR("Authorization, Content-Type, Idempotency-Key, If-Match, "
			    "If-None-Match, Last-Event-ID, X-Request-Id, Traceparent"));
		reply_header(reply, "access-control-max-age", STR("600"));
	} else {
		reply_header(reply, "access-control-expose-headers",
			STR("ETag, Location, Link, X-Request-Id, RateLimit, RateLimit-Policy, "
			    "Retry-After, Deprecation, Sunset"));
	}
}

bool cors_allows(struct str origin)
{
	return allows(atomic_load(&settings.cors_origins), origin);
}

static bool allows(const struct texts *origins, struct str origin)
{
	if (is_any(origins))
		return true;
	for (size_t i = 0; i < origins->count; i++)
		if (str_eq_fold(origin, origins->at[i]))
			return true;
	return false;
}

static bool is_any(const struct texts *origins)
{
	return origins->count == 1 && str_eq(origins->at[0], any);
}
