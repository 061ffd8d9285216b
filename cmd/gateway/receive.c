/* SPDX-License-Identifier: Apache-2.0
 * What happens to a request before it is routed: trusted proxies are asked who the client is,
 * headers that only our own programs may send are taken out, and the paths of the four older shops
 * become the operation that they stand for. The rest of the gateway, and everything behind it, sees
 * the paths of the API only. */
#include "gateway.h"

static void drop_internal_headers(struct scope *s, struct request *request);
static bool take_api_prefix(struct str *path);
static struct str canonical(struct scope *s, struct str rest);

/* Whole paths behind the prefix, and what they stand for. The method stays what it is. */
static const struct {
	struct str from;
	struct str to;
} whole_paths[] = {
	{STR("register"), STR("auth/register")},
	{STR("users/register"), STR("auth/register")},
	{STR("login"), STR("auth/login")},
	{STR("users/login"), STR("auth/login")},
	{STR("refresh-token"), STR("auth/refresh")},
	{STR("change-password"), STR("users/me/password")},
	{STR("profile"), STR("users/me")},
};

/* First segments. */
static const struct {
	struct str from;
	struct str to;
} first_segments[] = {
	{STR("product"), STR("products")},
	{STR("order"), STR("orders")},
};

/* First segments that were used without /api before them. */
static const struct str bare_segments[] = {STR("users"), STR("products"), STR("product"),
	STR("orders"), STR("order"), STR("register"), STR("login")};

void receive(struct scope *s, struct request *request)
{
	forwarded_read(s, request);
	drop_internal_headers(s, request);
	request->target = older_target(s, request->target);
}

static void drop_internal_headers(struct scope *s, struct request *request)
{
	size_t count = 0;
	struct header *kept =
		arena_alloc_array(s->arena, request->header_count + 1, sizeof kept[0]);

	for (size_t i = 0; i < request->header_count; i++)
		if (!header_is_internal(request->headers[i].name))
			kept[count++] = request->headers[i];
	request->headers = kept;
	request->header_count = count;
}

struct str older_target(struct scope *s, struct str target)
{
	struct str query = target, path = STR_NONE, rest;

	if (!str_cut(&query, '?', &path))
		return target;
	const struct str behind_path = str_skip(target, path.len);
	rest = path;
	if (rest.len > 1 && str_ends(rest, STR("/")))
		rest.len--;
	if (!take_api_prefix(&rest))
		return target;
	const struct str to = canonical(s, rest);
	if (to.at == rest.at && str_starts(path, STR("/api/v1/")))
		return target;
	return scope_format(s, "/api/v1/%.*s%.*s", STR_ARG(to), STR_ARG(behind_path));
}

static struct str first_of(struct str path)
{
	struct str rest = path, first = STR_NONE;

	(void)str_cut(&rest, '/', &first);
	return first;
}

/* "/api/v1/x", "/api/x" and, for what once had no prefix, "/x" all become "x". */
static bool take_api_prefix(struct str *path)
{
	if (str_starts(*path, STR("/api/v1/"))) {
		*path = str_skip(*path, 8);
		return true;
	}
	if (str_starts(*path, STR("/api/"))) {
		*path = str_skip(*path, 5);
		return !str_eq(*path, STR("v1"));
	}
	const struct str rest = str_skip(*path, 1), first = first_of(rest);
	for (size_t i = 0; i < sizeof bare_segments / sizeof *bare_segments; i++) {
		if (str_eq(first, bare_segments[i])) {
			*path = rest;
			return true;
		}
	}
	return false;
}

static struct str canonical(struct scope *s, struct str rest)
{
	const struct str first = first_of(rest);

	for (size_t i = 0; i < sizeof whole_paths / sizeof *whole_paths; i++)
		if (str_eq(rest, whole_paths[i].from))
			return whole_paths[i].to;
	for (size_t i = 0; i < sizeof first_segments / sizeof *first_segments; i++)
		if (str_eq(first, first_segments[i].from))
			return scope_format(s, "%.*s%.*s", STR_ARG(first_segments[i].to),
				STR_ARG(str_skip(rest, first.len)));
	return rest;
}
