/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "auth/cursor.h"

static const struct cursor rows[] = {
	{.sort = 0},
	{.sort = 3, .filters = UINT64_MAX, .number = INT64_MIN},
	{.sort = 255, .number = 1763706322123456, .id = {{1, 2, 3, [15] = 255}}},
	{.sort = 1, .text = {"", 0}},
	{.sort = 1, .filters = 7, .text = {"walnut \xc3\xa4", 9}, .id = {{9}}},
};
enum { ROWS = sizeof rows / sizeof *rows };

static const struct secret usual = {.current = {"0123456789abcdef0123456789abcdef", 32}};

static int set_up(void **state)
{
	(void)state;
	cursor_set_secret(&usual);
	return 0;
}

static void what_was_written_is_read(void **state)
{
	struct scope s;

	(void)state;
	scope_begin(&s);
	for (size_t i = 0; i < ROWS; i++) {
		const struct str text = cursor_write(&s, &rows[i]);
		struct cursor back;

		if (cursor_read(&s, text, rows[i].sort, rows[i].filters, &back) != OK)
			fail_row(i, "refused: %.*s", STR_ARG(s.detail));
		assert_int_equal(back.sort, rows[i].sort);
		assert_int_equal(back.filters, rows[i].filters);
		assert_int_equal(back.number, rows[i].number);
		assert_str_equal(back.text, rows[i].text);
		assert_true(uuid_eq(&back.id, &rows[i].id));
	}
	scope_end(&s);
}

static void another_list_refuses_it(void **state)
{
	const struct cursor cursor = {.sort = 2, .filters = 7, .number = 5};
	struct cursor back;
	struct str text;
	struct scope s;

	(void)state;
	scope_begin(&s);
	text = cursor_write(&s, &cursor);
	assert_int_equal(cursor_read(&s, text, 1, 7, &back), FAULT_BAD_CURSOR);
	assert_int_equal(cursor_read(&s, text, 2, 8, &back), FAULT_BAD_CURSOR);
	assert_int_equal(cursor_read(&s, text, 2, 7, &back), OK);
	scope_end(&s);
}

/* The one that is to come is accepted before it signs, the one that was for a while after. */
static void the_secret_may_change(void **state)
{
	const struct str other = STR("another secret of 32 bytes or so");
	const struct {
		struct secret secret;
		enum fault old, new;
	} steps[] = {
		{{usual.current, other}, OK, OK},
		{{other, usual.current}, OK, OK},
		{{other, STR_NONE}, FAULT_BAD_CURSOR, OK},
	};
	const struct secret after = {other, STR_NONE};
	const struct cursor cursor = {.sort = 2, .filters = 7, .number = 5};
	struct cursor back;
	struct str old, new;
	struct scope s;

	(void)state;
	scope_begin(&s);
	old = cursor_write(&s, &cursor);
	cursor_set_secret(&after);
	new = cursor_write(&s, &cursor);
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		cursor_set_secret(&steps[i].secret);
		assert_int_equal(cursor_read(&s, old, 2, 7, &back), steps[i].old);
		assert_int_equal(cursor_read(&s, new, 2, 7, &back), steps[i].new);
		assert_str_equal(cursor_write(&s, &cursor),
			str_eq(steps[i].secret.current, other) ? new : old);
	}
	cursor_set_secret(&usual);
	scope_end(&s);
}

static void tampered_ones_are_refused(void **state)
{
	struct scope s;

	(void)state;
	scope_begin(&s);
	for (size_t i = 0; i < ROWS; i++) {
		const struct str text = cursor_write(&s, &rows[i]);
		struct cursor back;

		for (size_t at = 0; at < text.len; at++) {
			char *const changed = (char *)(uintptr_t)scope_dup(&s, text).at;

			changed[at] = changed[at] == 'A' ? 'B' : 'A';
			if (cursor_read(&s, str_of(changed, text.len), rows[i].sort,
				    rows[i].filters, &back) == OK)
				fail_row(i, "byte %zu was changed", at);
		}
		for (size_t len = 0; len < text.len; len++)
			assert_int_equal(cursor_read(&s, str_of(text.at, len), rows[i].sort,
						 rows[i].filters, &back),
				FAULT_BAD_CURSOR);
	}
	scope_end(&s);
}

static void garbage_is_refused(void **state)
{
	static const char *const texts[] = {"", "0", "null", "\"", "AAAA", "../../etc/passwd",
		"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
	struct cursor back;
	struct scope s;

	(void)state;
	scope_begin(&s);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (cursor_read(&s, str_from(texts[i]), 0, 0, &back) != FAULT_BAD_CURSOR)
			fail_row(i, "%s was taken", texts[i]);
	scope_end(&s);
}

static void filters_differ(void **state)
{
	const uint64_t ab_c = cursor_hash(cursor_hash(0, STR("ab")), STR("c"));

	(void)state;
	assert_int_equal(ab_c, cursor_hash(cursor_hash(0, STR("ab")), STR("c")));
	assert_int_not_equal(ab_c, cursor_hash(cursor_hash(0, STR("a")), STR("bc")));
	assert_int_not_equal(ab_c, cursor_hash(cursor_hash(0, STR("c")), STR("ab")));
	assert_int_not_equal(cursor_hash(0, STR("")), cursor_hash(0, STR_NONE));
	assert_int_not_equal(cursor_hash(cursor_hash(0, STR("")), STR_NONE),
		cursor_hash(cursor_hash(0, STR_NONE), STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(another_list_refuses_it),
		cmocka_unit_test(the_secret_may_change),
		cmocka_unit_test(tampered_ones_are_refused),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(filters_differ),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
