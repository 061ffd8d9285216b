/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/clock.h"
#include "base/uuid.h"

static void new_ones_are_version_7_and_rise(void **state)
{
	struct uuid last = uuid_new();

	(void)state;
	for (int i = 0; i < 100000; i++) {
		const struct uuid id = uuid_new();

		assert_int_equal(id.bytes[6] >> 4, 7);
		assert_int_equal(id.bytes[8] >> 6, 2);
		if (uuid_compare(&last, &id) >= 0)
			fail_row(i, "%s", "not later than the one before");
		last = id;
	}
}

static int64_t ms_of(const struct uuid *id)
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id->bytes[i];
	return ms;
}

static void they_carry_the_time(void **state)
{
	const int64_t before = clock_wall_us() / 1000;
	const struct uuid id = uuid_new();

	(void)state;
	/* the ones made in a burst before may have run a few ms ahead */
	assert_in_range(ms_of(&id), before, clock_wall_us() / 1000 + 100);
}

static void they_rise_when_the_clock_steps_back(void **state)
{
	const struct uuid before = uuid_new();
	struct uuid after;

	(void)state;
	clock_advance_us(-3600 * INT64_C(1000000));
	after = uuid_new();
	clock_advance_us(3600 * INT64_C(1000000));
	assert_true(uuid_compare(&before, &after) < 0);
}

static void text_is_read(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"0192f0c1-2b3c-7def-8123-456789abcdef", true},
		{"0192F0C1-2B3C-7DEF-8123-456789ABCDEF", true},
		{"00000000-0000-0000-0000-000000000000", true},
		{"0192f0c1-2b3c-7def-8123-456789abcde", false},
		{"0192f0c1-2b3c-7def-8123-456789abcdef0", false},
		{"0192f0c12b3c-7def-8123-456789abcdef-", false},
		{"0192f0c1-2b3c-7def-8123-456789abcdeg", false},
		{"0192f0c1-2b3c-7def-8123-45678-abcdef", false},
		{"0192f0c102b3c-7def-8123-456789abcdef", false},
		{"{192f0c1-2b3c-7def-8123-456789abcdef", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct uuid id;
		char out[UUID_TEXT_LEN + 1];

		if (uuid_parse(str_from(rows[i].text), &id) != rows[i].good)
			fail_row(i, "%s", rows[i].text);
		if (rows[i].good)
			assert_true(str_eq_fold(uuid_format(&id, out), str_from(rows[i].text)));
	}
}

static void text_and_bytes_agree(void **state)
{
	static const uint8_t bytes[16] = {0x01, 0x92, 0xf0, 0xc1, 0x2b, 0x3c, 0x7d, 0xef, 0x81,
		0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
	struct uuid id, nil = {{0}};
	char out[UUID_TEXT_LEN + 1];

	(void)state;
	assert_true(uuid_parse(STR("0192f0c1-2b3c-7def-8123-456789abcdef"), &id));
	assert_memory_equal(id.bytes, bytes, sizeof bytes);
	assert_str_equal(uuid_format(&id, out), STR("0192f0c1-2b3c-7def-8123-456789abcdef"));
	assert_int_equal(out[UUID_TEXT_LEN], '\0');
	assert_false(uuid_is_nil(&id));
	assert_true(uuid_is_nil(&nil));
	assert_true(uuid_eq(&id, &id));
	assert_false(uuid_eq(&id, &nil));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_ones_are_version_7_and_rise),
		cmocka_unit_test(they_carry_the_time),
		cmocka_unit_test(they_rise_when_the_clock_steps_back),
		cmocka_unit_test(text_is_read),
		cmocka_unit_test(text_and_bytes_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
