/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "http/route_table.h"

static enum fault handle(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request, (void)reply;
	return OK;
}

#define ROUTE(method_, path_)                                                          \
	{                                                                              \
		.method = (method_), .path = (path_), .handler = handle, .who = ANYONE \
	}
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct route routes[] = {
	ROUTE("GET", "/"),
	ROUTE("GET", "/users"),
	ROUTE("POST", "/users"),
	ROUTE("GET", "/users/me"),
	ROUTE("GET", "/users/{id}"),
	ROUTE("DELETE", "/users/{id}"),
	ROUTE("GET", "/users/{id}/orders"),
	ROUTE("GET", "/users/{user_id}/orders/{order_id}"),
	ROUTE("PUT", "/users/me/password"),
	ROUTE("POST", "/hook"),
	ROUTE("OPTIONS", "/cors"),
};

struct row {
	const char *method;
	const char *path;
	int route; /* its index, -1: none */
	const char *allow; /* NULL: no such path */
	const char *params[2];
};

static const struct row rows[] = {
	{"GET", "/", 0, "GET, HEAD, OPTIONS", {NULL, NULL}},
	{"GET", "/users", 1, "GET, HEAD, POST, OPTIONS", {NULL, NULL}},
	{"GET", "/users/", 1, "GET, HEAD, POST, OPTIONS", {NULL, NULL}},
	{"HEAD", "/users", 1, "GET, HEAD, POST, OPTIONS", {NULL, NULL}},
	{"POST", "/users", 2, "GET, HEAD, POST, OPTIONS", {NULL, NULL}},
	{"PUT", "/users", -1, "GET, HEAD, POST, OPTIONS", {NULL, NULL}},
	{"get", "/users", -1, "GET, HEAD, POST, OPTIONS", {NULL, NULL}},
	{"GET", "/users/me", 3, "GET, HEAD, OPTIONS", {NULL, NULL}},
	{"DELETE", "/users/me", -1, "GET, HEAD, OPTIONS", {NULL, NULL}},
	{"GET", "/users/7", 4, "GET, HEAD, DELETE, OPTIONS", {"7", NULL}},
	{"DELETE", "/users/7", 5, "GET, HEAD, DELETE, OPTIONS", {"7", NULL}},
	{"GET", "/users/7/orders", 6, "GET, HEAD, OPTIONS", {"7", NULL}},
	{"GET", "/users/me/orders", 6, "GET, HEAD, OPTIONS", {"me", NULL}},
	{"GET", "/users/7/orders/8", 7, "GET, HEAD, OPTIONS", {"7", "8"}},
	{"GET", "/users/me/orders/8", 7, "GET, HEAD, OPTIONS", {"me", "8"}},
	{"PUT", "/users/me/password", 8, "PUT, OPTIONS", {NULL, NULL}},
	{"HEAD", "/hook", -1, "POST, OPTIONS", {NULL, NULL}},
	{"OPTIONS", "/hook", -1, "POST, OPTIONS", {NULL, NULL}},
	{"OPTIONS", "/cors", 10, "OPTIONS", {NULL, NULL}},
	{"GET", "/users/7/nothing", -1, NULL, {NULL, NULL}},
	{"GET", "/users//orders", -1, NULL, {NULL, NULL}},
	{"GET", "/userss", -1, NULL, {NULL, NULL}},
	{"GET", "/Users", -1, NULL, {NULL, NULL}},
	{"GET", "/users/7/orders/8/9", -1, NULL, {NULL, NULL}},
};

static void test_matching(void **state)
{
	struct str error = STR_NONE;
	struct route_table *table = route_table_new(routes, COUNT(routes), &error);

	(void)state;
	assert_non_null(table);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct route_match match;
		struct target target;
		struct scope s;

		scope_begin(&s);
		assert_int_equal(target_read(&s, str_from(row->path), &target), OK);
		match = route_table_match(table, &target, str_from(row->method));
		if ((match.route == NULL ? -1 : (int)(match.route - routes)) != row->route)
			fail_row(i, "%s %s found route %d", row->method, row->path,
				match.route == NULL ? -1 : (int)(match.route - routes));
		assert_str_equal(match.allow, str_from(row->allow));
		for (size_t k = 0; k < 2; k++)
			if (row->route >= 0)
				assert_str_equal(match.params[k], str_from(row->params[k]));
		scope_end(&s);
	}
	route_table_free(table);
}

static void test_refused(void **state)
{
	static const struct route bad[][2] = {
		{ROUTE("GET", "/a"), ROUTE("GET", "/a")},
		{ROUTE("GET", "/a/{x}"), ROUTE("GET", "/a/{y}")},
		{ROUTE("GET", "a"), ROUTE("GET", "/b")},
		{ROUTE("GET", "/a/"), ROUTE("GET", "/b")},
		{ROUTE("GET", "/a//b"), ROUTE("GET", "/b")},
		{ROUTE("GET", "/{a}/{b}/{c}/{d}/{e}"), ROUTE("GET", "/b")},
		{ROUTE("GET", "/{a"), ROUTE("GET", "/b")},
		{ROUTE("GET", "/a}"), ROUTE("GET", "/b")},
		{ROUTE("BREW", "/a"), ROUTE("GET", "/b")},
		{{.method = "GET", .path = "/a", .who = ANYONE}, ROUTE("GET", "/b")},
		{{.method = "GET", .path = "/a", .handler = handle}, ROUTE("GET", "/b")},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct str error = STR_NONE;

		if (route_table_new(bad[i], 2, &error) != NULL)
			fail_row(i, "%s was taken", bad[i][0].path);
		if (!str_starts(error, STR("route ")))
			fail_row(i, "%s: no sentence", bad[i][0].path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
