/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "http/target.h"

struct row {
	const char *raw;
	enum fault fault;
	const char *path;
	const char *query; /* NULL: none */
	size_t count;
};

static const struct row rows[] = {
	{"/", OK, "/", NULL, 0},
	{"/a", OK, "/a", NULL, 1},
	{"/a/b/c", OK, "/a/b/c", NULL, 3},
	{"/a/b/", OK, "/a/b", NULL, 2},
	{"/a?x=1", OK, "/a", "x=1", 1},
	{"/a/?x=1?y", OK, "/a", "x=1?y", 1},
	{"/a?", OK, "/a", "", 1},
	{"/a%20b/c", OK, "/a b/c", NULL, 2},
	{"/caf%C3%A9", OK, "/caf\xc3\xa9", NULL, 1},
	{"/a%2bb", OK, "/a+b", NULL, 1},
	{"/a//b", OK, "/a//b", NULL, 3},
	{"/a?q=%zz", OK, "/a", "q=%zz", 1}, /* the query is read by its field table */
	{"", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"*", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"http://host/a", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a%", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a%4", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a%4g", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a%00b", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a%0d%0ab", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a%2Fb", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a%7f", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/%ff", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a/../b", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a/..", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/./b", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/%2e%2E/b", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a#b", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a b", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/caf\xc3\xa9", FAULT_BAD_REQUEST, NULL, NULL, 0},
	{"/a?q=\xc3\xa9", FAULT_BAD_REQUEST, NULL, NULL, 0},
};

static void test_targets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct row *row = &rows[i];
		struct target target;
		struct scope s;
		enum fault fault;

		scope_begin(&s);
		fault = target_read(&s, str_from(row->raw), &target);
		if (fault != row->fault)
			fail_row(i, "\"%s\" is %s", row->raw, fault_info(fault)->code);
		if (fault != OK && s.detail.at == NULL)
			fail_row(i, "\"%s\": nothing says why", row->raw);
		if (fault == OK) {
			assert_str_equal(target.path, str_from(row->path));
			assert_str_equal(target.query, str_from(row->query));
			assert_int_equal(target.count, row->count);
		}
		scope_end(&s);
	}
}

static void test_segments_are_of_the_decoded_path(void **state)
{
	struct target target;
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(target_read(&s, STR("/items/a%20b/x"), &target), OK);
	assert_int_equal(target.count, 3);
	assert_str_equal(target.segments[0], STR("items"));
	assert_str_equal(target.segments[1], STR("a b"));
	assert_str_equal(target.segments[2], STR("x"));
	scope_end(&s);
}

static void test_bounds(void **state)
{
	static char raw[TARGET_BYTES_MAX + 1];
	struct target target;
	struct scope s;

	(void)state;
	scope_begin(&s);
	memset(raw, 'a', sizeof raw);
	raw[0] = '/';
	assert_int_equal(target_read(&s, str_of(raw, TARGET_BYTES_MAX), &target), OK);
	assert_int_equal(
		target_read(&s, str_of(raw, TARGET_BYTES_MAX + 1), &target), FAULT_URI_TOO_LONG);
	for (size_t i = 0; i <= 2 * (size_t)TARGET_SEGMENTS_MAX; i += 2)
		raw[i] = '/';
	assert_int_equal(
		target_read(&s, str_of(raw, 2 * (size_t)TARGET_SEGMENTS_MAX), &target), OK);
	assert_int_equal(target.count, TARGET_SEGMENTS_MAX);
	assert_int_equal(
		target_read(&s, str_of(raw, 2 * (size_t)TARGET_SEGMENTS_MAX + 2), &target), OK);
	assert_int_equal(target.count, TARGET_SEGMENTS_MAX + 1);
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_segments_are_of_the_decoded_path),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
