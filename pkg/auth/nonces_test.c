/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "auth/nonces.h"

static enum nonce_state add(struct nonces *n, unsigned nonce, int64_t time_s, int64_t now_s)
{
	return nonces_add(n, str_of((const char *)&nonce, sizeof nonce), time_s, now_s);
}

static void many_are_remembered_for_two_minutes(void **state)
{
	enum { COUNT = 5000 };
	struct nonces *const n = nonces_new();
	const int64_t start_s = 1800000000; /* a whole minute */

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(add(n, i, start_s + i % 120, start_s + 60), NONCE_NEW);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(add(n, i, start_s + i % 120, start_s + 60), NONCE_SEEN);
	/* two minutes on, the last ones may still come, and others have taken the first minute's
	 * place */
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(add(n, COUNT + i, start_s + 180, start_s + 179), NONCE_NEW);
	assert_int_equal(add(n, 119, start_s + 119, start_s + 179), NONCE_SEEN);
	nonces_free(n);
}

/* Threads look at the clock at different moments. */
static void a_late_thread_forgets_nothing(void **state)
{
	struct nonces *const n = nonces_new();
	const int64_t start_s = 1800000000;

	(void)state;
	assert_int_equal(add(n, 1, start_s + 180, start_s + 120), NONCE_NEW);
	assert_int_equal(add(n, 2, start_s + 59, start_s + 119), NONCE_SEEN);
	assert_int_equal(add(n, 1, start_s + 180, start_s + 120), NONCE_SEEN);
	nonces_free(n);
}

static void a_clock_set_back_goes_on(void **state)
{
	struct nonces *const n = nonces_new();

	(void)state;
	assert_int_equal(add(n, 1, 1800003600, 1800003600), NONCE_NEW);
	assert_int_equal(add(n, 2, 1800000000, 1800000000), NONCE_NEW);
	assert_int_equal(add(n, 2, 1800000000, 1800000000), NONCE_SEEN);
	nonces_free(n);
}

static void full_is_told(void **state)
{
	struct nonces *const n = nonces_new();
	unsigned i = 0;

	(void)state;
	while (add(n, i, 1800000000, 1800000000) == NONCE_NEW)
		i++;
	assert_int_equal(i, 1 << 18);
	assert_int_equal(add(n, i, 1800000000, 1800000000), NONCE_FULL);
	assert_int_equal(add(n, 0, 1800000000, 1800000000), NONCE_SEEN);
	assert_int_equal(add(n, i, 1800000060, 1800000000), NONCE_NEW);
	nonces_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_are_remembered_for_two_minutes),
		cmocka_unit_test(a_late_thread_forgets_nothing),
		cmocka_unit_test(a_clock_set_back_goes_on),
		cmocka_unit_test(full_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
