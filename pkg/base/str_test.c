/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/list.h"
#include "base/str.h"

#include <limits.h>

static void numbers_are_read_whole(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t value;
	} rows[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"007", true, 7},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"99999999999999999999999", false, 0},
		{"", false, 0},
		{"-", false, 0},
		{"+1", false, 0},
		{" 1", false, 0},
		{"1 ", false, 0},
		{"1.0", false, 0},
		{"--1", false, 0},
		{"1e3", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t value = 0;
		const bool good = str_to_int64(str_from(rows[i].text), &value);

		if (good != rows[i].good || value != rows[i].value)
			fail_row(i, "%s: %d, %lld", rows[i].text, good, (long long)value);
	}
	assert_false(str_to_int64(STR_NONE, &(int64_t){0}));
}

static void comparisons(void **state)
{
	static const struct {
		const char *a, *b;
		bool same, fold, starts, ends;
	} rows[] = {
		{"abc", "abc", true, true, true, true},
		{"abc", "ABC", false, true, false, false},
		{"abc", "ab", false, false, true, false},
		{"abc", "bc", false, false, false, true},
		{"abc", "", false, false, true, true},
		{"", "", true, true, true, true},
		{"", "a", false, false, false, false},
		{"ab", "abc", false, false, false, false},
		{"@[`{", "`{@[", false, false, false, false},
		{"\xc3\x84", "\xc3\xa4", false, false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct str a = str_from(rows[i].a), b = str_from(rows[i].b);

		if (str_eq(a, b) != rows[i].same || str_eq_secret(a, b) != rows[i].same ||
			str_eq_fold(a, b) != rows[i].fold || str_starts(a, b) != rows[i].starts ||
			str_ends(a, b) != rows[i].ends)
			fail_row(i, "%s, %s", rows[i].a, rows[i].b);
	}
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_starts(STR_NONE, STR_NONE));
	assert_true(str_ends(STR("a"), STR_NONE));
}

static void pieces(void **state)
{
	struct str rest = STR("a,,b,"), piece;

	(void)state;
	assert_true(str_cut(&rest, ',', &piece));
	assert_str_equal(piece, STR("a"));
	assert_true(str_cut(&rest, ',', &piece));
	assert_str_equal(piece, STR(""));
	assert_true(str_cut(&rest, ',', &piece));
	assert_str_equal(piece, STR("b"));
	assert_true(str_cut(&rest, ',', &piece));
	assert_str_equal(piece, STR(""));
	assert_false(str_cut(&rest, ',', &piece));
	assert_str_equal(str_trim(STR(" \t\r\n a b \n")), STR("a b"));
	assert_str_equal(str_trim(STR(" ")), STR(""));
	assert_str_equal(str_trim(STR_NONE), STR_NONE);
	assert_str_equal(str_skip(STR("abc"), 1), STR("bc"));
	assert_str_equal(str_skip(STR("abc"), 9), STR(""));
	assert_str_equal(str_skip(STR_NONE, 1), STR_NONE);
}

static void utf8_is_told_from_other_bytes(void **state)
{
	static const struct {
		const char *text;
		bool good;
		size_t length;
	} rows[] = {
		{"", true, 0},
		{"plain ASCII text", true, 16},
		{"12345678\xc3\xa4", true, 9},
		{"\xc2\x80\xdf\xbf", true, 2},
		{"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", true, 4},
		{"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", true, 2},
		{"\x80", false, 0},
		{"\xbf", false, 0},
		{"\xc0\x80", false, 0},
		{"\xc1\xbf", false, 0},
		{"\xe0\x9f\xbf", false, 0},
		{"\xed\xa0\x80", false, 0},
		{"\xed\xbf\xbf", false, 0},
		{"\xf0\x8f\xbf\xbf", false, 0},
		{"\xf4\x90\x80\x80", false, 0},
		{"\xf5\x80\x80\x80", false, 0},
		{"\xff", false, 0},
		{"\xc3", false, 0},
		{"\xc3(", false, 0},
		{"\xe2\x82", false, 0},
		{"\xe2\x82(", false, 0},
		{"\xf0\x90\x80", false, 0},
		{"\xf0\x90\x80(", false, 0},
		{"1234567\xff", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct str s = str_from(rows[i].text);

		if (str_is_utf8(s) != rows[i].good)
			fail_row(i, "good %d", !rows[i].good);
		if (rows[i].good)
			assert_int_equal(str_utf8_length(s), rows[i].length);
	}
}

static void hexadecimal_digits_have_values(void **state)
{
	static const char digits[] = "0123456789abcdefABCDEF";

	(void)state;
	for (int c = CHAR_MIN; c <= CHAR_MAX; c++) {
		const char *found = c != 0 ? strchr(digits, c) : NULL;
		const int place = found != NULL ? (int)(found - digits) : -1;

		assert_int_equal(str_hex_value((char)c), place < 16 ? place : place - 6);
	}
}

static void a_ring_keeps_its_order(void **state)
{
	struct list anchor, a = {0}, b = {0}, c = {0};

	(void)state;
	list_init(&anchor);
	assert_true(list_is_empty(&anchor));
	assert_null(list_take(&anchor));
	assert_false(list_is_linked(&a));
	list_remove(&a);
	list_append(&anchor, &b);
	list_append(&anchor, &c);
	list_prepend(&anchor, &a);
	assert_true(list_is_linked(&b));
	list_remove(&b);
	assert_false(list_is_linked(&b));
	assert_ptr_equal(list_take(&anchor), &a);
	assert_ptr_equal(list_take(&anchor), &c);
	assert_true(list_is_empty(&anchor));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_read_whole),
		cmocka_unit_test(comparisons),
		cmocka_unit_test(pieces),
		cmocka_unit_test(utf8_is_told_from_other_bytes),
		cmocka_unit_test(hexadecimal_digits_have_values),
		cmocka_unit_test(a_ring_keeps_its_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
