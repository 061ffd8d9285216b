/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "service/internal.h"

static void test_who_has_its_share_keeps_it(void **state)
{
	(void)state;
	assert_int_equal(spread_excess(0, 1, 0), 0);
	assert_int_equal(spread_excess(1000, 1, 1000), 0);
	assert_int_equal(spread_excess(5, 4, 20), 0);
	assert_int_equal(spread_excess(0, 4, 20), 0);
	assert_int_equal(spread_excess(1, 4, 1), 0);
}

/* Else some would always be on the move. */
static void test_what_cannot_be_even_stays(void **state)
{
	(void)state;
	assert_int_equal(spread_excess(6, 4, 21), 0);
	assert_int_equal(spread_excess(1, 4, 2), 0);
	assert_int_equal(spread_excess(1100, 4, 4000), 0);
}

static void test_what_is_over_is_shed_step_by_step(void **state)
{
	(void)state;
	assert_int_equal(spread_excess(6, 4, 20), 1);
	assert_int_equal(spread_excess(10, 4, 20), 1);
	assert_int_equal(spread_excess(12, 4, 20), 2);
	assert_int_equal(spread_excess(1150, 4, 4000), 50);
	assert_int_equal(spread_excess(2000, 4, 4000), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_has_its_share_keeps_it),
		cmocka_unit_test(test_what_cannot_be_even_stays),
		cmocka_unit_test(test_what_is_over_is_shed_step_by_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
