/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "gateway.h"

struct settings settings;

static void older_paths(void **state)
{
	static const struct {
		const char *from, *to;
	} rows[] = {
		/* what is right stays as it is, byte for byte */
		{"/api/v1/products", "/api/v1/products"},
		{"/api/v1/products/?limit=1", "/api/v1/products/?limit=1"},
		{"/api/v1/products/a%20b?q=/x/", "/api/v1/products/a%20b?q=/x/"},
		{"/api/v1/users/me/password", "/api/v1/users/me/password"},
		{"/health", "/health"},
		{"/health-check/", "/health-check/"},
		{"/services", "/services"},
		{"/docs/swagger-ui.css", "/docs/swagger-ui.css"},
		{"/.well-known/jwks.json", "/.well-known/jwks.json"},
		{"/", "/"},
		{"/?a=b", "/?a=b"},
		/* registration, log-in, accounts */
		{"/register", "/api/v1/auth/register"},
		{"/api/users/register", "/api/v1/auth/register"},
		{"/users/register", "/api/v1/auth/register"},
		{"/api/v1/register/", "/api/v1/auth/register"},
		{"/api/register", "/api/v1/auth/register"},
		{"/login", "/api/v1/auth/login"},
		{"/login/?next=/", "/api/v1/auth/login?next=/"},
		{"/api/users/login", "/api/v1/auth/login"},
		{"/users/login", "/api/v1/auth/login"},
		{"/api/v1/login/", "/api/v1/auth/login"},
		{"/api/v1/refresh-token/", "/api/v1/auth/refresh"},
		{"/api/v1/change-password/", "/api/v1/users/me/password"},
		{"/api/v1/profile/", "/api/v1/users/me"},
		{"/users/7", "/api/v1/users/7"},
		{"/users/search?q=a%26b", "/api/v1/users/search?q=a%26b"},
		/* products and orders, in the singular too */
		{"/products", "/api/v1/products"},
		{"/products/?limit=5&offset=0", "/api/v1/products?limit=5&offset=0"},
		{"/product", "/api/v1/products"},
		{"/api/products?category=a", "/api/v1/products?category=a"},
		{"/api/v1/product/", "/api/v1/products"},
		{"/api/v1/product/7/", "/api/v1/products/7"},
		{"/api/v1/product/7/stock/?x=/", "/api/v1/products/7/stock?x=/"},
		{"/api/v1/order/", "/api/v1/orders"},
		{"/api/order/7", "/api/v1/orders/7"},
		{"/orders/user/7", "/api/v1/orders/user/7"},
		{"/orders/7/status", "/api/v1/orders/7/status"},
		{"/api/orders?user_id=7", "/api/v1/orders?user_id=7"},
		/* not ours: left to the route table, which does not know them */
		{"/internal/reservations/7", "/internal/reservations/7"},
		{"/api/internal/reservations/7", "/api/v1/internal/reservations/7"},
		{"/registers", "/registers"},
		{"/productsx/1", "/productsx/1"},
		{"/api", "/api"},
		{"/api/", "/api/"},
		{"/api/v1", "/api/v1"},
		{"/api/v1/", "/api/v1/"},
		{"/apix/products", "/apix/products"},
		{"//products", "//products"},
		{"/api/v1//products", "/api/v1//products"},
		{"/api/v1/profile/x", "/api/v1/profile/x"},
		{"/api/v1/orders/../users", "/api/v1/orders/../users"},
		{"", ""},
		{"*", "*"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scope s;

		scope_begin(&s);
		const struct str to = older_target(&s, str_from(rows[i].from));
		if (!str_eq(to, str_from(rows[i].to)))
			fail_row(i, "%s: %.*s", rows[i].from, STR_ARG(to));
		scope_end(&s);
	}
}

/* What becomes of one header of a client's request on its way to a service. */
static void request_headers(void **state)
{
	static const struct {
		const char *name, *value;
		bool goes_through;
	} rows[] = {
		{"authorization", "Bearer x", true},
		{"content-type", "application/json", true},
		{"idempotency-key", "k", true},
		{"if-match", "\"1\"", true},
		{"if-none-match", "\"1\"", true},
		{"accept-encoding", "gzip", true},
		{"user-agent", "curl", true},
		{"tracestate", "a=b", true},
		{"x-custom", "v", true},
		{"connection", "close, x-named", false},
		{"x-named", "in Connection", false},
		{"keep-alive", "timeout=5", false},
		{"te", "trailers", false},
		{"trailer", "x", false},
		{"transfer-encoding", "chunked", false},
		{"upgrade", "websocket", false},
		{"proxy-authorization", "Basic x", false},
		{"http2-settings", "x", false},
		{"expect", "100-continue", false},
		{"host", "elsewhere", false},
		{"content-length", "3", false},
		{"x-request-id", "from the task", false},
		{"traceparent", "from the task", false},
		{"forwarded", "for=6.6.6.6", false},
		{"x-real-ip", "6.6.6.6", false},
		{"x-forwarded-for", "6.6.6.6", false},
		{"x-forwarded-proto", "gopher", false},
		{"x-forwarded-user", "admin", false},
		{"bodega-mac", "orders 0 x y", false},
		{"bodega-actor", "system", false},
		{"bodega-deadline-ms", "1", false},
		{"bodega-fault", "fail:1", false},
	};
	enum { ROWS = sizeof rows / sizeof *rows };
	static struct header headers[ROWS]; /* too much for the frame beside `up` */
	struct upstream_request up = {0};
	struct request request = {.headers = headers,
		.header_count = ROWS,
		.target = STR("/login"),
		.peer = STR("10.1.2.3"),
		.scheme = STR("https"),
		.authority = STR("shop.example")};
	struct scope s;
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < ROWS; i++)
		headers[i] = (struct header){str_from(rows[i].name), str_from(rows[i].value)};
	scope_begin(&s);
	receive(&s, &request);
	assert_str_equal(request.target, STR("/api/v1/auth/login"));
	assert_int_equal(request_header(&request, STR("bodega-mac")).len, 0);
	assert_int_equal(request_header(&request, STR("x-forwarded-for")).len, 0);
	assert_int_equal(headers_forward(&s, &request, &up), OK);
	for (size_t i = 0; i < ROWS; i++) {
		const bool there = at < up.header_count &&
		                   str_eq(up.headers[at].name, headers[i].name) &&
		                   str_eq(up.headers[at].value, headers[i].value);

		if (there != rows[i].goes_through)
			fail_row(i, "%s", rows[i].name);
		at += there;
	}
	assert_int_equal(up.header_count, at + 3);
	assert_str_equal(up.headers[at].name, STR("x-forwarded-for"));
	assert_str_equal(up.headers[at].value, STR("10.1.2.3"));
	assert_str_equal(up.headers[at + 1].value, STR("https"));
	assert_str_equal(up.headers[at + 2].value, STR("shop.example"));
	scope_end(&s);
}

static void too_many_headers(void **state)
{
	enum { MANY = 60 };
	struct header headers[MANY];
	struct upstream_request up = {0};
	const struct request request = {.headers = headers, .header_count = MANY};
	struct scope s;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		headers[i] = (struct header){STR("x"), STR("y")};
	scope_begin(&s);
	assert_int_equal(headers_forward(&s, &request, &up), FAULT_HEAD_TOO_LARGE);
	scope_end(&s);
}

static void reply_headers(void **state)
{
	static const struct {
		const char *name;
		bool goes_through;
	} rows[] = {{"etag", true}, {"location", true}, {"link", true}, {"retry-after", true},
		{"cache-control", true}, {"www-authenticate", true}, {"allow", true},
		{"x-request-id", false}, {"date", false}, {"server", false},
		{"bodega-waits", false}, {"content-type", false},
		{"access-control-allow-origin", false}};
	enum { ROWS = sizeof rows / sizeof *rows, MANY = 3 * ROWS };
	struct header headers[MANY];
	struct upstream_reply up = {.headers = headers, .header_count = ROWS};
	struct reply reply = {0};
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < ROWS; i++)
		headers[i] = (struct header){str_from(rows[i].name), STR("v")};
	headers_return(&up, &reply);
	assert_str_equal(reply.content_type, STR("v"));
	for (size_t i = 0; i < ROWS; i++) {
		const bool there =
			at < reply.header_count && str_eq(reply.headers[at].name, headers[i].name);

		if (there != rows[i].goes_through)
			fail_row(i, "%s", rows[i].name);
		at += there;
	}
	/* more than a reply has room for is left out, not written past its end */
	for (size_t i = 0; i < MANY; i++)
		headers[i] = (struct header){STR("x"), STR("v")};
	up.header_count = MANY;
	headers_return(&up, &reply);
	assert_true(reply.header_count < REPLY_HEADERS_MAX - 6);
}

/* ---- CORS ---- */

static struct str reply_value(const struct reply *reply, struct str name)
{
	for (size_t i = 0; i < reply->header_count; i++)
		if (str_eq(reply->headers[i].name, name))
			return reply->headers[i].value;
	return STR_NONE;
}

static void origins(void **state)
{
	static const struct {
		const char *configured; /* separated by one comma */
		const char *origin;
		const char *allowed;
		const char *vary;
	} rows[] = {
		{NULL, "https://a.example", NULL, NULL},
		{"*", "https://a.example", "*", NULL},
		{"*", NULL, NULL, NULL},
		{"https://a.example", "https://a.example", "https://a.example", "Origin"},
		{"https://b.example,https://a.example", "https://a.example", "https://a.example",
			"Origin"},
		{"https://a.example", "https://b.example", NULL, "Origin"},
		{"https://a.example", "https://a.example.evil", NULL, "Origin"},
		{"https://a.example", "http://a.example", NULL, "Origin"},
		{"https://a.example", "null", NULL, "Origin"},
		{"https://a.example", NULL, NULL, "Origin"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct header headers[] = {{STR("origin"), str_from(rows[i].origin)}};
		const struct request request = {
			.method = STR("GET"), .headers = headers, .header_count = 1};
		struct str configured = str_from(rows[i].configured), texts[2];
		struct reply reply = {0};

		struct texts origins = {.at = texts};

		while (str_cut(&configured, ',', &texts[origins.count]))
			origins.count++;
		settings.cors_origins = &origins;
		before_reply(&request, &reply);
		const struct str allowed = reply_value(&reply, STR("access-control-allow-origin"));
		if (!str_eq(allowed, str_from(rows[i].allowed)) ||
			!str_eq(reply_value(&reply, STR("vary")), str_from(rows[i].vary)))
			fail_row(i, "%.*s", STR_ARG(allowed));
		const bool exposes =
			reply_value(&reply, STR("access-control-expose-headers")).len > 0;
		if (exposes != (rows[i].allowed != NULL))
			fail_row(i, "exposes: %d", exposes);
	}
}

static void preflights(void **state)
{
	static const struct header headers[] = {{STR("origin"), STR("https://a.example")},
		{STR("access-control-request-method"), STR("PATCH")}};
	struct request request = {.method = STR("OPTIONS"), .headers = headers, .header_count = 2};
	struct str any = STR("*");
	struct reply reply = {0};

	(void)state;
	settings.cors_origins = &(const struct texts){.at = &any, .count = 1};
	before_reply(&request, &reply);
	assert_str_equal(reply_value(&reply, STR("access-control-allow-methods")),
		STR("GET, HEAD, POST, PUT, PATCH, DELETE"));
	assert_str_equal(reply_value(&reply, STR("access-control-allow-headers")),
		STR("Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, "
		    "Last-Event-ID, X-Request-Id, Traceparent"));
	request.header_count = 1; /* a plain OPTIONS */
	reply.header_count = 0;
	before_reply(&request, &reply);
	assert_null(reply_value(&reply, STR("access-control-allow-methods")).at);
}

/* Everything of the table goes to the outside, so nothing of the inside may be in it. */
static void nothing_internal_is_routed(void **state)
{
	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		assert_null(strstr(routes[i].path, "internal"));
		assert_int_equal(routes[i].who & SERVICE, 0);
	}
}

static void only_what_takes_a_key_is_sent_again(void **state)
{
	static const struct {
		const char *method;
		const char *path;
		bool has_key;
		bool keyed;
	} rows[] = {
		{"POST", "/api/v1/orders", true, true},
		{"POST", "/api/v1/orders", false, false},
		{"POST", "/api/v1/orders/{id}/cancel", true, true},
		{"POST", "/api/v1/auth/register", true, true},
		{"POST", "/api/v1/auth/login", true, false},
		{"POST", "/api/v1/auth/refresh", true, false},
		{"PATCH", "/api/v1/products/{id}/stock", true, true},
		{"PATCH", "/api/v1/products/{id}", true, false},
	};
	const struct header header = {STR("idempotency-key"), STR("k")};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct route route = {.method = rows[i].method, .path = rows[i].path};
		const struct request request = {.route = &route,
			.method = str_from(rows[i].method),
			.headers = &header,
			.header_count = rows[i].has_key};

		if (request_is_keyed(&request) != rows[i].keyed)
			fail_row(i, "%s %s", rows[i].method, rows[i].path);
	}
}

static int stop(void **state)
{
	(void)state;
	arena_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(older_paths),
		cmocka_unit_test(request_headers),
		cmocka_unit_test(too_many_headers),
		cmocka_unit_test(reply_headers),
		cmocka_unit_test(origins),
		cmocka_unit_test(preflights),
		cmocka_unit_test(nothing_internal_is_routed),
		cmocka_unit_test(only_what_takes_a_key_is_sent_again),
	};
	return cmocka_run_group_tests(tests, NULL, stop);
}
