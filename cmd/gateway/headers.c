/* SPDX-License-Identifier: Apache-2.0
 * Which headers go through, in both directions. Hop-by-hop headers (RFC 9110 7.6.1) concern one
 * connection; others are ours to say. */
#include "gateway.h"

enum {
	FORWARDED_HEADERS_MAX = 40, /* of a client, that go to a service; the rest are ours */
	RETURNED_HEADERS_MAX =
		20, /* of a service; what is left of the reply's is for CORS and http */
};

static bool is_one_of(struct str name, const struct str *names, size_t count);
static bool is_hop_by_hop(const struct request *request, struct str name);

#define IS_ONE_OF(name, names) is_one_of((name), (names), sizeof(names) / sizeof *(names))

bool header_is_internal(struct str name)
{
	static const struct str names[] = {STR("forwarded"), STR("x-real-ip")};

#ifdef BODEGA_FAULTS
	if (str_eq(name, STR("bodega-fault")))
		return false; /* arms our own waits; never sent on */
#endif
	return str_starts(name, STR("bodega-")) || str_starts(name, STR("x-forwarded-")) ||
	       IS_ONE_OF(name, names);
}

enum fault headers_forward(
	struct scope *s, const struct request *request, struct upstream_request *up)
{
	for (size_t i = 0; i < request->header_count; i++) {
		const struct header *h = &request->headers[i];

		if (str_starts(h->name, STR("bodega-")) || is_hop_by_hop(request, h->name))
			continue;
		if (up->header_count >= FORWARDED_HEADERS_MAX)
			return fail(s, FAULT_HEAD_TOO_LARGE,
				"a request may have at most %d headers", FORWARDED_HEADERS_MAX);
		upstream_header(up, h->name, h->value);
	}
	upstream_header(up, STR("x-forwarded-for"), request->peer);
	upstream_header(up, STR("x-forwarded-proto"), request->scheme);
	upstream_header(up, STR("x-forwarded-host"), request->authority);
	return OK;
}

static bool is_hop_by_hop(const struct request *request, struct str name)
{
	/* the last ones: upstream says them itself */
	static const struct str names[] = {STR("connection"), STR("keep-alive"),
		STR("proxy-authenticate"), STR("proxy-authorization"), STR("proxy-connection"),
		STR("te"), STR("trailer"), STR("transfer-encoding"), STR("upgrade"),
		STR("http2-settings"), STR("expect"), STR("host"), STR("content-length"),
		STR("x-request-id"), STR("traceparent")};

	if (IS_ONE_OF(name, names))
		return true;
	for (size_t i = 0; i < request->header_count; i++) {
		struct str rest = request->headers[i].value, option;

		if (!str_eq(request->headers[i].name, STR("connection")))
			continue;
		while (str_cut(&rest, ',', &option))
			if (str_eq_fold(str_trim(option), name))
				return true;
	}
	return false;
}

void headers_return(const struct upstream_reply *up, struct reply *reply)
{
	static const struct str ours[] = {STR("date"), STR("server"), STR("content-type"),
		STR("x-request-id"), STR("x-content-type-options")};

	for (size_t i = 0; i < up->header_count; i++) {
		const struct header *h = &up->headers[i];

		if (str_eq(h->name, STR("content-type")))
			reply->content_type = h->value;
		if (IS_ONE_OF(h->name, ours) || str_starts(h->name, STR("bodega-")) ||
			str_starts(h->name, STR("access-control-")))
			continue;
		if (reply->header_count < RETURNED_HEADERS_MAX)
			reply->headers[reply->header_count++] = *h;
	}
}

static bool is_one_of(struct str name, const struct str *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(name, names[i]))
			return true;
	return false;
}
