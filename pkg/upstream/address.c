/* SPDX-License-Identifier: Apache-2.0
 * Addresses as text: "127.0.0.1:8082", "[::1]:8082", "products:8082", "unix:/path"; "http://"
 * before and '/' behind one with a port are allowed, so that a service's URL can be given. */
#include "upstream/connection.h"

static bool parse_local(struct str path, struct upstream_target *target);
static bool parse_host(struct str host, struct upstream_target *target);

bool upstream_address_valid(struct str text)
{
	struct upstream_target target;

	return upstream_target_parse(text, &target);
}

bool upstream_target_parse(struct str text, struct upstream_target *target)
{
	int64_t port;

	*target = (struct upstream_target){.host = STR("localhost")};
	if (str_starts(text, STR("unix:")))
		return parse_local(str_skip(text, 5), target);
	if (str_starts(text, STR("http://")))
		text = str_skip(text, 7);
	if (str_ends(text, STR("/")))
		text.len--;
	target->host = text;
	const char *colon = text.len > 0 ? memrchr(text.at, ':', text.len) : NULL;
	if (colon == NULL)
		return false;
	const size_t host_len = (size_t)(colon - text.at);
	if (!str_to_int64(str_skip(text, host_len + 1), &port) || port <= 0 || port > UINT16_MAX)
		return false;
	target->port = (uint16_t)port;
	return parse_host(str_of(text.at, host_len), target);
}

static bool parse_local(struct str path, struct upstream_target *target)
{
	if (path.len == 0 || path.at[0] != '/' || path.len >= sizeof target->at.local.sun_path)
		return false;
	target->at.local.sun_family = AF_UNIX;
	memcpy(target->at.local.sun_path, path.at, path.len);
	target->len = sizeof target->at.local;
	return true;
}

static bool parse_host(struct str host, struct upstream_target *target)
{
	const bool bracketed = host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
	struct lookup_address numeric;

	if (bracketed)
		host = str_of(host.at + 1, host.len - 2);
	if (lookup_numeric(host, &numeric)) {
		upstream_target_set(target, &numeric);
		return bracketed == (numeric.at.any.sa_family == AF_INET6);
	}
	target->name = host;
	return !bracketed && lookup_name_valid(host);
}

void upstream_target_set(struct upstream_target *target, const struct lookup_address *address)
{
	target->at.numeric = *address;
	target->len = address->len;
	if (address->at.any.sa_family == AF_INET6)
		target->at.numeric.at.v6.sin6_port = htons(target->port);
	else
		target->at.numeric.at.v4.sin_port = htons(target->port);
}
