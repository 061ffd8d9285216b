/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "states.h"

static void names_and_numbers_agree(void **state)
{
	(void)state;
	for (int i = 0; i < STATUS_COUNT; i++)
		assert_int_equal(status_of(status_name((enum status)i)), i);
	for (int i = 0; i < STEP_COUNT; i++)
		assert_int_equal(step_of(step_name((enum step)i)), i);
	assert_null(status_names[STATUS_COUNT]);
	assert_null(step_names[STEP_COUNT]);
}

static void nobody_cancels_after_shipping(void **state)
{
	(void)state;
	for (int from = STATUS_SHIPPED; from < STATUS_COUNT; from++)
		assert_null(transition_find((enum status)from, STATUS_CANCELLED));
}

/* What is paid, expired, failed or refunded is said by the saga, not by people. */
static void people_move_goods_not_money(void **state)
{
	static const enum status by_saga[] = {
		STATUS_PAID, STATUS_EXPIRED, STATUS_PAYMENT_FAILED, STATUS_REFUNDED};

	(void)state;
	for (size_t i = 0; i < sizeof by_saga / sizeof by_saga[0]; i++) {
		for (int from = 0; from < STATUS_COUNT; from++) {
			const struct transition *found =
				transition_find((enum status)from, by_saga[i]);
			if (found != NULL && found->by != 0)
				fail_row(i, "%s to %s is by people", status_names[from],
					status_names[by_saga[i]]);
		}
	}
}

/* Whatever gives stock back or sells it goes through a step. */
static void stock_moves_in_steps(void **state)
{
	(void)state;
	for (int from = 0; from < STATUS_COUNT; from++) {
		const struct transition *found =
			transition_find((enum status)from, STATUS_CANCELLED);
		if (found != NULL)
			assert_int_equal(found->step, STEP_CANCELLING);
	}
	assert_int_equal(transition_find(STATUS_PENDING, STATUS_PAID)->step, STEP_COMMITTING);
	assert_int_equal(transition_find(STATUS_PENDING, STATUS_EXPIRED)->step, STEP_CANCELLING);
	assert_int_equal(transition_find(STATUS_PENDING, STATUS_CONFIRMED)->step, STEP_IDLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_agree),
		cmocka_unit_test(nobody_cancels_after_shipping),
		cmocka_unit_test(people_move_goods_not_money),
		cmocka_unit_test(stock_moves_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
