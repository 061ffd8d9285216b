/* SPDX-License-Identifier: Apache-2.0
 * HTTP by libcurl. A handle a request: a command makes few, and one connection never waits for
 * another. */
#include "fetch.h"

#include "base/buf.h"
#include "base/check.h"

#include <netdb.h>

/* An exchange under way. */
struct exchange {
	struct scope *s;
	CURL *curl;
	struct curl_slist *headers;
	struct buf body;
	bool is_too_large;
	char why[CURL_ERROR_SIZE];
};

static void set_options(struct exchange *x, const struct fetch *request);
static void add_header(struct exchange *x, const char *name, struct str value);
static size_t take(char *bytes, size_t size, size_t count, void *arg);
static enum fault fault_of(struct exchange *x, CURLcode code, const struct fetch *request);

enum fault fetch(struct scope *s, const struct fetch *request, struct fetched *answer)
{
	struct exchange x = {.s = s, .curl = curl_easy_init(), .body = buf_new(s->arena)};

	CHECK(x.curl != NULL);
	set_options(&x, request);
	const CURLcode code = curl_easy_perform(x.curl);
	const enum fault fault = fault_of(&x, code, request);
	*answer = (struct fetched){.body = buf_str(&x.body)};
	(void)curl_easy_getinfo(x.curl, CURLINFO_RESPONSE_CODE, &answer->status);
	curl_slist_free_all(x.headers);
	curl_easy_cleanup(x.curl);
	return fault;
}

static void set_options(struct exchange *x, const struct fetch *request)
{
	CURL *const curl = x->curl;

	fetch_prepare(x->s, curl, request->url, request->ca_file);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, x->why);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
	if (request->json.at != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)request->json.len);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->json.at);
		add_header(x, "Content-Type", STR("application/json"));
	}
	if (request->method != NULL)
		(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
	if (request->token.at != NULL)
		add_header(x, "Authorization",
			scope_format(x->s, "Bearer %.*s", STR_ARG(request->token)));
	if (request->key.at != NULL)
		add_header(x, "Idempotency-Key", request->key);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, x->headers);
}

void fetch_prepare(struct scope *s, CURL *curl, struct str url, struct str ca_file)
{
	(void)curl_easy_setopt(curl, CURLOPT_URL, scope_dup(s, url).at);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "bodegactl/" BODEGA_VERSION);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (ca_file.len > 0)
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, scope_dup(s, ca_file).at);
}

static void add_header(struct exchange *x, const char *name, struct str value)
{
	const struct str line = scope_format(x->s, "%s: %.*s", name, STR_ARG(value));

	x->headers = curl_slist_append(x->headers, line.at);
	CHECK(x->headers != NULL);
}

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
	struct exchange *const x = arg;

	x->is_too_large = x->body.len + size * count > FETCH_BODY_BYTES_MAX;
	if (x->is_too_large)
		return 0; /* and libcurl gives up */
	buf_add(&x->body, str_of(bytes, size * count));
	return size * count;
}

static enum fault fault_of(struct exchange *x, CURLcode code, const struct fetch *request)
{
	const char *const why = x->why[0] != '\0' ? x->why : curl_easy_strerror(code);

	if (code == CURLE_OK)
		return OK;
	if (x->is_too_large)
		return fail(x->s, FAULT_TOO_LARGE, "%.*s: more than %d bytes",
			STR_ARG(request->url), FETCH_BODY_BYTES_MAX);
	if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		return fail(x->s, FAULT_BAD_REQUEST, "%.*s: %s", STR_ARG(request->url), why);
	return fail(x->s, FAULT_UNAVAILABLE, "%.*s: %s", STR_ARG(request->url), why);
}

/* ---- addresses ---- */

static void cut_authority(struct str authority, struct str *host, struct str *port);

enum fault fetch_addresses(struct scope *s, struct str url, struct texts *urls)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct str rest = str_skip(url, strlen("http://")), authority, host, port;
	struct addrinfo *all;
	char text[NI_MAXHOST];
	size_t count = 0;

	*urls = (struct texts){0};
	str_cut(&rest, '/', &authority);
	cut_authority(authority, &host, &port);
	const int status = getaddrinfo(scope_dup(s, host).at, scope_dup(s, port).at, &hints, &all);
	if (status != 0)
		return fail(s, FAULT_UNAVAILABLE, "%.*s: %s", STR_ARG(url), gai_strerror(status));
	for (const struct addrinfo *a = all; a != NULL; a = a->ai_next)
		count++;
	urls->at = arena_alloc_array(s->arena, count, sizeof *urls->at);
	for (const struct addrinfo *a = all; a != NULL; a = a->ai_next) {
		const bool v6 = a->ai_family == AF_INET6;
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0,
			    NI_NUMERICHOST) == 0)
			urls->at[urls->count++] = scope_format(s, "http://%s%s%s:%.*s",
				v6 ? "[" : "", text, v6 ? "]" : "", STR_ARG(port));
	}
	freeaddrinfo(all);
	return OK;
}

/* name, name:port, [address] or [address]:port */
static void cut_authority(struct str authority, struct str *host, struct str *port)
{
	struct str rest = authority;

	if (str_starts(rest, STR("["))) {
		rest = str_skip(rest, 1);
		str_cut(&rest, ']', host);
		*port = str_skip(rest, 1);
	} else {
		*host = STR_NONE;
		str_cut(&rest, ':', host);
		*port = rest;
	}
	if (port->len == 0)
		*port = STR("80");
}
