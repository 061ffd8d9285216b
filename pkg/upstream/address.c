/* SPDX-License-Identifier: Apache-2.0
 * Addresses as text: "127.0.0.1:8082", "[::1]:8082", "unix:/path"; "http://" before and '/' behind
 * a numeric one are allowed, so that a service's URL can be given. Names are not resolved. */
#include <arpa/inet.h>

#include "upstream/connection.h"

static bool parse_local(struct str path, struct upstream_address *a);
static bool parse_numeric(struct str host, uint16_t port, struct upstream_address *a);

bool upstream_address_valid(struct str text)
{
	struct upstream_address a;

	return upstream_address_parse(text, &a);
}

bool upstream_address_parse(struct str text, struct upstream_address *a)
{
	int64_t port;

	*a = (struct upstream_address){.text = text};
	if (str_starts(text, STR("unix:")))
		return parse_local(str_skip(text, 5), a);
	if (str_starts(text, STR("http://")))
		text = str_skip(text, 7);
	if (str_ends(text, STR("/")))
		text.len--;
	a->text = text;
	const char *colon = text.len > 0 ? memrchr(text.at, ':', text.len) : NULL;
	if (colon == NULL)
		return false;
	const size_t host_len = (size_t)(colon - text.at);
	return str_to_int64(str_skip(text, host_len + 1), &port) && port > 0 &&
	       port <= UINT16_MAX && parse_numeric(str_of(text.at, host_len), (uint16_t)port, a);
}

static bool parse_local(struct str path, struct upstream_address *a)
{
	if (path.len == 0 || path.at[0] != '/' || path.len >= sizeof a->at.local.sun_path)
		return false;
	a->at.local.sun_family = AF_UNIX;
	memcpy(a->at.local.sun_path, path.at, path.len);
	a->len = sizeof a->at.local;
	return true;
}

static bool parse_numeric(struct str host, uint16_t port, struct upstream_address *a)
{
	const bool v6 = host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
	char text[INET6_ADDRSTRLEN] = "";

	if (v6)
		host = str_of(host.at + 1, host.len - 2);
	if (host.len >= sizeof text)
		return false;
	memcpy(text, host.at, host.len);
	if (v6) {
		a->at.v6.sin6_family = AF_INET6;
		a->at.v6.sin6_port = htons(port);
		a->len = sizeof a->at.v6;
		return inet_pton(AF_INET6, text, &a->at.v6.sin6_addr) == 1;
	}
	a->at.v4.sin_family = AF_INET;
	a->at.v4.sin_port = htons(port);
	a->len = sizeof a->at.v4;
	return inet_pton(AF_INET, text, &a->at.v4.sin_addr) == 1;
}
