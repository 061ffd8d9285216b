/* SPDX-License-Identifier: Apache-2.0
 * Redis URLs. */
#include "redis/link.h"

static bool parse_path_url(struct scope *s, struct str rest, struct redis_address *a);
static bool parse_host(struct scope *s, struct str authority, struct redis_address *a);
static bool parse_user(struct scope *s, struct str user, struct redis_address *a);
static bool decode(struct scope *s, struct str text, struct str *out);

bool redis_url_valid(struct str url)
{
	struct redis_address a;
	struct scope s;

	scope_begin(&s);
	const bool valid = redis_address_parse(&s, url, &a);
	scope_end(&s);
	return valid;
}

bool redis_address_parse(struct scope *s, struct str url, struct redis_address *a)
{
	struct str rest, authority, user;

	*a = (struct redis_address){.port = 6379};
	if (str_starts(url, STR("unix://")))
		return parse_path_url(s, str_skip(url, 7), a);
	if (!str_starts(url, STR("redis://")))
		return false;
	rest = str_skip(url, 8);
	if (!str_cut(&rest, '/', &authority))
		return false;
	if (rest.len > 0 && (!str_to_int64(rest, &a->database) || a->database < 0))
		return false;
	const char *at = authority.len > 0 ? memrchr(authority.at, '@', authority.len) : NULL;
	if (at == NULL)
		return parse_host(s, authority, a);
	user = str_of(authority.at, (size_t)(at - authority.at));
	return parse_user(s, user, a) && parse_host(s, str_skip(authority, user.len + 1), a);
}

static bool parse_path_url(struct scope *s, struct str rest, struct redis_address *a)
{
	struct str path, query = rest;

	if (!str_cut(&query, '?', &path) || path.len == 0 || path.at[0] != '/' ||
		path.len >= sizeof((struct sockaddr_un *)NULL)->sun_path)
		return false;
	a->path = scope_dup(s, path);
	if (query.len == 0)
		return true;
	return str_starts(query, STR("db=")) && str_to_int64(str_skip(query, 3), &a->database) &&
	       a->database >= 0;
}

static bool parse_host(struct scope *s, struct str authority, struct redis_address *a)
{
	const bool v6 = str_starts(authority, STR("["));
	const char *end = v6 && authority.len > 0 ? memchr(authority.at, ']', authority.len) : NULL;
	struct str host = authority, port = STR_NONE;
	int64_t number;

	if (v6) {
		if (end == NULL)
			return false;
		host = str_of(authority.at + 1, (size_t)(end - authority.at) - 1);
		port = str_skip(authority, host.len + 2);
		if (port.len > 0 && port.at[0] != ':')
			return false;
		port = str_skip(port, 1);
	} else {
		port = authority;
		if (!str_cut(&port, ':', &host))
			return false;
	}
	if (port.len > 0) {
		if (!str_to_int64(port, &number) || number < 1 || number > UINT16_MAX)
			return false;
		a->port = (uint16_t)number;
	}
	a->host = scope_dup(s, host);
	return host.len > 0;
}

static bool parse_user(struct scope *s, struct str user, struct redis_address *a)
{
	struct str name, password = user;

	if (!str_cut(&password, ':', &name))
		return false;
	return decode(s, name, &a->user) && decode(s, password, &a->password);
}

static bool decode(struct scope *s, struct str text, struct str *out)
{
	char *to = arena_bytes(s->arena, text.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] != '%') {
			to[len++] = text.at[i];
			continue;
		}
		const int high = i + 2 < text.len ? str_hex_value(text.at[i + 1]) : -1;
		const int low = i + 2 < text.len ? str_hex_value(text.at[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		to[len++] = (char)(high << 4 | low);
		i += 2;
	}
	*out = str_of(to, len);
	return true;
}
