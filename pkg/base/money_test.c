/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/money.h"

static void amounts_are_exact(void **state)
{
	static const struct {
		const char *text;
		unsigned decimals;
		enum money_parse result;
		int64_t minor;
	} rows[] = {
		{"29.99", 2, MONEY_OK, 2999},
		{"29.9", 2, MONEY_OK, 2990},
		{"29", 2, MONEY_OK, 2900},
		{"-3", 2, MONEY_OK, -300},
		{"-0.01", 2, MONEY_OK, -1},
		{"0", 2, MONEY_OK, 0},
		{"-0", 2, MONEY_OK, 0},
		{"0.1", 2, MONEY_OK, 10},
		{"1.10000000000000000000000000000", 2, MONEY_OK, 110},
		{"29", 0, MONEY_OK, 29},
		{"29.000", 0, MONEY_OK, 29},
		{"1.234", 3, MONEY_OK, 1234},
		{"10000000000", 2, MONEY_OK, MONEY_MINOR_MAX},
		{"-10000000000.00", 2, MONEY_OK, -MONEY_MINOR_MAX},
		{"10000000000.01", 2, MONEY_TOO_LARGE, 0},
		{"-10000000000.01", 2, MONEY_TOO_LARGE, 0},
		{"99999999999999999999999999999999999999999", 2, MONEY_TOO_LARGE, 0},
		{"1000000000001", 0, MONEY_TOO_LARGE, 0},
		{"29.999", 2, MONEY_TOO_MANY_DECIMALS, 0},
		{"0.5", 0, MONEY_TOO_MANY_DECIMALS, 0},
		{"1e3", 2, MONEY_NOT_A_NUMBER, 0},
		{"1E3", 2, MONEY_NOT_A_NUMBER, 0},
		{"", 2, MONEY_NOT_A_NUMBER, 0},
		{"-", 2, MONEY_NOT_A_NUMBER, 0},
		{"+1", 2, MONEY_NOT_A_NUMBER, 0},
		{".5", 2, MONEY_NOT_A_NUMBER, 0},
		{"5.", 2, MONEY_NOT_A_NUMBER, 0},
		{"-.5", 2, MONEY_NOT_A_NUMBER, 0},
		{"01", 2, MONEY_NOT_A_NUMBER, 0},
		{"-01", 2, MONEY_NOT_A_NUMBER, 0},
		{"1.2.3", 2, MONEY_NOT_A_NUMBER, 0},
		{"1,5", 2, MONEY_NOT_A_NUMBER, 0},
		{" 1", 2, MONEY_NOT_A_NUMBER, 0},
		{"1 ", 2, MONEY_NOT_A_NUMBER, 0},
		{"0x10", 2, MONEY_NOT_A_NUMBER, 0},
		{"NaN", 2, MONEY_NOT_A_NUMBER, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t minor = 0;
		const enum money_parse result =
			money_parse(str_from(rows[i].text), rows[i].decimals, &minor);

		if (result != rows[i].result || minor != rows[i].minor)
			fail_row(i, "%s: result %d, %lld", rows[i].text, result, (long long)minor);
	}
}

static void amounts_are_written_with_all_decimals(void **state)
{
	static const struct {
		int64_t minor;
		unsigned decimals;
		const char *text;
	} rows[] = {
		{2999, 2, "29.99"},
		{2900, 2, "29.00"},
		{0, 2, "0.00"},
		{5, 2, "0.05"},
		{-5, 2, "-0.05"},
		{-12345, 2, "-123.45"},
		{29, 0, "29"},
		{0, 0, "0"},
		{1234, 3, "1.234"},
		{INT64_MIN, 4, "-922337203685477.5808"},
		{INT64_MAX, 0, "9223372036854775807"},
	};
	char out[MONEY_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_str_equal(
			money_format(rows[i].minor, rows[i].decimals, out), str_from(rows[i].text));
}

static void what_is_written_is_read_back(void **state)
{
	(void)state;
	for (unsigned decimals = 0; decimals <= 4; decimals++) {
		for (int64_t minor = -123456; minor <= 123456; minor += 7) {
			char out[MONEY_TEXT_MAX];
			int64_t back;

			assert_int_equal(
				money_parse(money_format(minor, decimals, out), decimals, &back),
				MONEY_OK);
			assert_int_equal(back, minor);
		}
	}
}

static void sums_stop_at_the_limit(void **state)
{
	int64_t sum = 100;

	(void)state;
	assert_true(money_add(&sum, 2999, 3));
	assert_int_equal(sum, 100 + 3 * 2999);
	assert_false(money_add(&sum, MONEY_MINOR_MAX, 1));
	assert_false(money_add(&sum, -MONEY_MINOR_MAX, 2));
	assert_false(money_add(&sum, INT64_MAX, 2));
	assert_false(money_add(&sum, INT64_MAX, 1));
	assert_int_equal(sum, 100 + 3 * 2999);
	sum = 0;
	assert_true(money_add(&sum, MONEY_MINOR_MAX, 1));
	assert_true(money_add(&sum, MONEY_MINOR_MAX, -2));
	assert_int_equal(sum, -MONEY_MINOR_MAX);
}

static void currencies_are_known_by_code(void **state)
{
	static const struct {
		const char *code;
		bool known;
		unsigned decimals;
	} rows[] = {
		{"USD", true, 2},
		{"EUR", true, 2},
		{"JPY", true, 0},
		{"KWD", true, 3},
		{"CLF", true, 4},
		{"ZWG", true, 2},
		{"usd", false, 0},
		{"XXX", false, 0},
		{"XAU", false, 0},
		{"US", false, 0},
		{"USDX", false, 0},
		{"USD EUR", false, 0},
		{"", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct currency c = {.decimals = 0};
		const bool known = currency_find(str_from(rows[i].code), &c);

		if (known != rows[i].known || c.decimals != rows[i].decimals)
			fail_row(i, "%s: %d, %u", rows[i].code, known, c.decimals);
		if (known)
			assert_string_equal(c.code, rows[i].code);
	}
}

static void the_shop_trades_in_dollars_until_told(void **state)
{
	struct currency yen;

	(void)state;
	assert_string_equal(currency_of_shop()->code, "USD");
	assert_true(currency_find(STR("JPY"), &yen));
	currency_set_shop(yen);
	assert_string_equal(currency_of_shop()->code, "JPY");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amounts_are_exact),
		cmocka_unit_test(amounts_are_written_with_all_decimals),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(sums_stop_at_the_limit),
		cmocka_unit_test(currencies_are_known_by_code),
		cmocka_unit_test(the_shop_trades_in_dollars_until_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
