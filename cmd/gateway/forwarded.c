/* SPDX-License-Identifier: Apache-2.0
 * Who the client is when proxies stand before us. X-Forwarded-For grows to the right: each proxy
 * adds whom it talked to, and whatever stands further left its own client may have made up (RFC
 * 7239 8.1). So the line is read from the right, beginning with the connection's peer, as long as
 * who says it is trusted (TRUSTED_PROXIES); the first that is not is the client. Without such a
 * proxy nothing that comes in these headers is believed. */
#include "gateway.h"

#include <arpa/inet.h>

enum { ADDRESS_BYTES = 16, ADDRESS_BITS = 128, V4_AT = 96 };

/* IPv4 as ::ffff:a.b.c.d */
struct address {
	uint8_t bytes[ADDRESS_BYTES];
};

struct network {
	struct address address;
	unsigned bits;
};

static struct {
	struct network *at;
	size_t count;
} trusted;

static bool read_network(struct str text, struct network *network);
static bool read_address(struct str text, struct address *address, bool *is_v4);
static struct str without_port(struct str hop);
static bool is_trusted(const struct address *address);
static bool contains(const struct network *network, const struct address *address);
static bool walk(struct str list, struct address *client);
static struct str write_address(struct scope *s, const struct address *address);
static struct str scheme_said(const struct request *request);

enum fault forwarded_open(struct scope *s)
{
	const struct texts texts = settings.trusted_proxies;
	enum fault fault = OK;

	trusted.at = arena_alloc_array(s->arena, texts.count, sizeof *trusted.at);
	trusted.count = 0;
	for (size_t i = 0; i < texts.count; i++)
		if (!read_network(texts.at[i], &trusted.at[trusted.count++]))
			fault = fail_field(s, STR("TRUSTED_PROXIES"), "format",
				"must be addresses or networks such as 10.0.0.0/8 or fd00::/8: "
				"%.*s",
				STR_ARG(texts.at[i]));
	return fault;
}

void forwarded_read(struct scope *s, struct request *request)
{
	struct address client;
	bool goes_on = true, is_v4;

	if (trusted.count == 0 || !read_address(request->peer, &client, &is_v4) ||
		!is_trusted(&client))
		return;
	request->scheme = scheme_said(request);
	/* of several such headers the last was added last */
	for (size_t i = request->header_count; goes_on && i > 0; i--)
		if (str_eq(request->headers[i - 1].name, STR("x-forwarded-for")))
			goes_on = walk(request->headers[i - 1].value, &client);
	request->peer = write_address(s, &client);
}

/* From the right, as long as the client is a proxy that is trusted; false when it is none, or when
 * what it says is no address. */
static bool walk(struct str list, struct address *client)
{
	while (list.len > 0) {
		struct address before;
		size_t at = list.len;
		bool is_v4;

		while (at > 0 && list.at[at - 1] != ',')
			at--;
		if (!is_trusted(client) ||
			!read_address(without_port(str_trim(str_skip(list, at))), &before, &is_v4))
			return false;
		*client = before;
		list.len = at > 0 ? at - 1 : 0;
	}
	return is_trusted(client);
}

/* What the proxy says of its own side, when it says one thing only. */
static struct str scheme_said(const struct request *request)
{
	const struct str said = request_header(request, STR("x-forwarded-proto"));

	if (str_eq_fold(said, STR("https")))
		return STR("https");
	return str_eq_fold(said, STR("http")) ? STR("http") : request->scheme;
}

/* ---- addresses ---- */

static bool is_trusted(const struct address *address)
{
	for (size_t i = 0; i < trusted.count; i++)
		if (contains(&trusted.at[i], address))
			return true;
	return false;
}

static bool contains(const struct network *network, const struct address *address)
{
	const unsigned whole = network->bits / 8, rest = network->bits % 8;
	const uint8_t *const a = network->address.bytes, *const b = address->bytes;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* "10.0.0.0/8", "fd00::/8"; an address alone is a network of one. */
static bool read_network(struct str text, struct network *network)
{
	struct str rest = text, address;
	int64_t bits;
	bool is_v4;

	if (!str_cut(&rest, '/', &address) || !read_address(address, &network->address, &is_v4))
		return false;
	network->bits = ADDRESS_BITS;
	if (address.len == text.len)
		return true;
	if (!str_to_int64(rest, &bits) || bits < 0 || bits > (is_v4 ? 32 : ADDRESS_BITS))
		return false;
	network->bits = (unsigned)bits + (is_v4 ? V4_AT : 0);
	return true;
}

static bool read_address(struct str text, struct address *address, bool *is_v4)
{
	static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof copy)
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	*is_v4 = inet_pton(AF_INET, copy, address->bytes + sizeof mapped) == 1;
	if (*is_v4)
		memcpy(address->bytes, mapped, sizeof mapped);
	return *is_v4 || inet_pton(AF_INET6, copy, address->bytes) == 1;
}

/* Some proxies write "192.0.2.1:4711" or "[2001:db8::1]:4711". */
static struct str without_port(struct str hop)
{
	const char *const colon = hop.len > 0 ? memchr(hop.at, ':', hop.len) : NULL;
	const char *end;

	if (str_starts(hop, STR("["))) {
		end = memchr(hop.at, ']', hop.len);
		return end != NULL ? str_of(hop.at + 1, (size_t)(end - hop.at) - 1) : hop;
	}
	if (colon == NULL || memchr(colon + 1, ':', hop.len - (size_t)(colon + 1 - hop.at)) != NULL)
		return hop;
	return str_of(hop.at, (size_t)(colon - hop.at));
}

static struct str write_address(struct scope *s, const struct address *address)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	memcpy(&in6, address->bytes, sizeof in6);
	if (IN6_IS_ADDR_V4MAPPED(&in6))
		inet_ntop(AF_INET, address->bytes + V4_AT / 8, text, sizeof text);
	else
		inet_ntop(AF_INET6, &in6, text, sizeof text);
	return scope_dup(s, str_from(text));
}
