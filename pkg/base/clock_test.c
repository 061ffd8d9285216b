/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/clock.h"

#include <time.h>

#define S INT64_C(1000000)

static void rfc_3339_is_read(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t us;
	} rows[] = {
		{"1970-01-01T00:00:00Z", true, 0},
		{"1970-01-01T00:00:00.123456789Z", true, 123456},
		{"1970-01-01t00:00:00.5z", true, 500000},
		{"1970-01-01T01:00:00+01:00", true, 0},
		{"1969-12-31T23:59:59.999999Z", true, -1},
		{"1969-12-31T18:30:00-05:30", true, 0},
		{"2000-02-29T00:00:00Z", true, 951782400 * S},
		{"2026-11-21T06:25:22.123Z", true, 1795242322 * S + 123000},
		{"2016-12-31T23:59:60Z", true, 1483228800 * S},
		{"0000-01-01T00:00:00Z", true, -62167219200 * S},
		{"9999-12-31T23:59:59.999999Z", true, 253402300800 * S - 1},
		{"", false, 0},
		{"2026-11-21", false, 0},
		{"2026-11-21T06:25:22", false, 0},
		{"2026-11-21 06:25:22Z", false, 0},
		{"2026-11-21T06:25:22.Z", false, 0},
		{"2026-11-21T06:25:22.1234567890Z", false, 0},
		{"2026-11-21T06:25:22Z ", false, 0},
		{"2026-11-21T24:00:00Z", false, 0},
		{"2026-11-21T06:60:00Z", false, 0},
		{"2026-11-21T06:00:61Z", false, 0},
		{"2026-13-01T00:00:00Z", false, 0},
		{"2026-00-01T00:00:00Z", false, 0},
		{"2026-04-31T00:00:00Z", false, 0},
		{"2026-04-00T00:00:00Z", false, 0},
		{"2026-02-29T00:00:00Z", false, 0},
		{"1900-02-29T00:00:00Z", false, 0},
		{"2026-11-21T06:25:22+24:00", false, 0},
		{"2026-11-21T06:25:22+0100", false, 0},
		{"+026-11-21T06:25:22Z", false, 0},
		{"0000-01-01T00:00:00+00:01", false, 0},
		{"9999-12-31T23:59:59-00:01", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t us = 0;
		const bool good = time_parse(str_from(rows[i].text), &us);

		if (good != rows[i].good || us != rows[i].us)
			fail_row(i, "%s: %d, %lld µs", rows[i].text, good, (long long)us);
	}
}

static void every_prefix_of_a_time_is_refused(void **state)
{
	const struct str whole = STR("2026-11-21T06:25:22+01:00");
	int64_t us;

	(void)state;
	for (size_t len = 0; len < whole.len; len++)
		assert_false(time_parse(str_of(whole.at, len), &us));
	assert_true(time_parse(whole, &us));
}

static void times_are_written(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} rows[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{-1, "1969-12-31T23:59:59.999Z"},
		{999, "1970-01-01T00:00:00.000Z"},
		{1795242322 * S + 123999, "2026-11-21T06:25:22.123Z"},
		{-62167219200 * S, "0000-01-01T00:00:00.000Z"},
		{INT64_MIN, "0000-01-01T00:00:00.000Z"},
		{INT64_MAX, "9999-12-31T23:59:59.999Z"},
	};
	char out[TIME_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_str_equal(time_format(rows[i].us, out), str_from(rows[i].text));
}

static void every_day_of_800_years_agrees_with_libc(void **state)
{
	char ours[TIME_TEXT_MAX], theirs[64];

	(void)state;
	for (int64_t day = -146097; day < 146097; day++) {
		const time_t seconds = day * 86400 + 45296;
		struct tm parts;
		int64_t us;

		gmtime_r(&seconds, &parts);
		strftime(theirs, sizeof theirs, "%Y-%m-%dT%H:%M:%S.000Z", &parts);
		assert_str_equal(time_format(seconds * S, ours), str_from(theirs));
		assert_true(time_parse(str_from(ours), &us));
		assert_int_equal(us, seconds * S);
	}
}

static void clocks_run_and_can_be_advanced(void **state)
{
	const int64_t mono = clock_monotonic_us(), wall = clock_wall_us();

	(void)state;
	assert_in_range(wall - (int64_t)time(NULL) * S, (uintmax_t)0, 2 * S);
	assert_true(clock_monotonic_us() >= mono);
	clock_advance_us(3600 * S);
	assert_in_range(clock_monotonic_us() - mono, 3600 * S, 3700 * S);
	assert_in_range(clock_wall_us() - wall, 3600 * S, 3700 * S);
	clock_advance_us(-3600 * S);
	assert_in_range(clock_wall_us() - wall, 0, 100 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_3339_is_read),
		cmocka_unit_test(every_prefix_of_a_time_is_refused),
		cmocka_unit_test(times_are_written),
		cmocka_unit_test(every_day_of_800_years_agrees_with_libc),
		cmocka_unit_test(clocks_run_and_can_be_advanced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
