/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "auth/password.h"

/* Calls run on a fiber, which only records; the asserts stand behind it (they would jump across
 * stacks). */
struct fixture {
	struct loop *loop;
	struct password_config config;
};

struct call {
	const struct password_config *config;
	struct str password;
	struct str hash; /* of a check; STR_NONE: unknown account */
	unsigned cost_max;
	bool is_check;
	/* what came */
	char made[PASSWORD_HASH_MAX];
	bool rehash;
	enum fault fault;
	uint64_t rounds;
	bool done;
};

static int set_up(void **state)
{
	struct fixture *const f = test_calloc(1, sizeof *f);

	f->loop = loop_new(LOOP_LIMITS_DEFAULT);
	f->config = (struct password_config){
		.pepper = STR("0123456789abcdef0123456789abcdef"),
		.cost = 4,
		.threads = blocking_pool_new("hash", 2, 16, 0),
	};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *const f = *state;

	blocking_pool_free(f->config.threads);
	loop_free(f->loop);
	test_free(f);
	return 0;
}

static void on_fiber(struct task *t, void *arg)
{
	struct call *const c = arg;
	const uint64_t before = password_rounds();

	if (c->is_check)
		c->fault = password_verify(
			t, c->config, c->password, c->hash, c->cost_max, &c->rehash);
	else
		c->fault = password_hash(t, c->config, c->password, c->made);
	c->rounds = password_rounds() - before;
}

static void on_end(struct task *t, void *arg)
{
	struct call *const c = arg;

	(void)t;
	c->done = true;
}

static void run(struct fixture *f, struct call *c)
{
	c->config = &f->config;
	assert_int_equal(
		task_start(f->loop, loop_now_us(f->loop) + 60000000, on_fiber, on_end, c, NULL),
		OK);
	while (!c->done)
		loop_turn(f->loop, 100);
}

static struct call hash(struct fixture *f, const char *password)
{
	struct call c = {.password = str_from(password)};

	run(f, &c);
	assert_int_equal(c.fault, OK);
	return c;
}

static struct call check(
	struct fixture *f, const char *password, struct str hash, unsigned cost_max)
{
	struct call c = {.password = str_from(password),
		.hash = hash,
		.cost_max = cost_max,
		.is_check = true};

	run(f, &c);
	return c;
}

static void only_the_right_password_fits(void **state)
{
	struct fixture *const f = *state;
	const struct call made = hash(f, "correct horse");
	const struct call again = hash(f, "correct horse");
	const struct str stored = str_from(made.made);

	assert_true(str_starts(stored, STR("v1$2b$04$")));
	assert_string_not_equal(made.made, again.made);
	assert_int_equal(check(f, "correct horse", stored, 4).fault, OK);
	assert_int_equal(check(f, "correct horsf", stored, 4).fault, FAULT_BAD_CREDENTIALS);
	assert_int_equal(check(f, "", stored, 4).fault, FAULT_BAD_CREDENTIALS);
	assert_int_equal(check(f, "Correct horse", stored, 4).fault, FAULT_BAD_CREDENTIALS);
	f->config.pepper = STR("another pepper of 32 bytes or so");
	assert_int_equal(check(f, "correct horse", stored, 4).fault, FAULT_BAD_CREDENTIALS);
}

/* bcrypt itself looks at 72 bytes and stops at a NUL. */
static void every_byte_counts(void **state)
{
	struct fixture *const f = *state;
	char a[129], b[129];

	memset(a, 'x', 128);
	a[128] = '\0';
	memcpy(b, a, sizeof b);
	b[127] = 'y';
	assert_int_equal(check(f, b, str_from(hash(f, a).made), 4).fault, FAULT_BAD_CREDENTIALS);
	assert_int_equal(check(f, a, str_from(hash(f, a).made), 4).fault, OK);
}

static void the_cost_of_production_works(void **state)
{
	struct fixture *const f = *state;
	struct call made;

	f->config.cost = 12;
	made = hash(f, "correct horse");
	assert_true(str_starts(str_from(made.made), STR("v1$2b$12$")));
	assert_int_equal(made.rounds, 1 << 12);
	assert_int_equal(check(f, "correct horse", str_from(made.made), 12).fault, OK);
}

static void a_raised_cost_asks_for_a_new_hash(void **state)
{
	struct fixture *const f = *state;
	const struct call made = hash(f, "correct horse");

	assert_false(check(f, "correct horse", str_from(made.made), 4).rehash);
	f->config.cost = 6;
	assert_true(check(f, "correct horse", str_from(made.made), 6).rehash);
	assert_false(check(f, "wrong", str_from(made.made), 6).rehash);
	f->config.cost = 4;
	assert_false(check(f, "correct horse", str_from(hash(f, "correct horse").made), 6).rehash);
}

/* Work, not time: the number of rounds tells what a clock would only suggest. */
static void every_check_is_the_same_work(void **state)
{
	struct fixture *const f = *state;
	const struct call made = hash(f, "correct horse");
	const struct str stored = str_from(made.made);

	for (unsigned cost = 4; cost <= 8; cost++) {
		const uint64_t wanted = UINT64_C(1) << 8;
		struct call high;

		f->config.cost = cost;
		assert_int_equal(check(f, "correct horse", stored, 8).rounds, wanted);
		assert_int_equal(check(f, "wrong", stored, 8).rounds, wanted);
		assert_int_equal(check(f, "wrong", STR_NONE, 8).rounds, wanted);
		high = hash(f, "correct horse");
		assert_int_equal(check(f, "wrong", str_from(high.made), 8).rounds, wanted);
	}
	assert_int_equal(check(f, "wrong", STR_NONE, 4).fault, FAULT_BAD_CREDENTIALS);
}

static void unknown_formats_are_our_fault(void **state)
{
	struct fixture *const f = *state;
	static const char *const rows[] = {"", "v1", "v1$2b$", "v2$2b$04$abc", "v1$2a$04$abc",
		"$2b$04$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", "v1$2b$03$abc",
		"v1$2b$17$abc", "v1$2b$xx$abc", "v1$2b$04abc"};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (check(f, "x", str_from(rows[i]), 4).fault != FAULT_INTERNAL)
			fail_row(i, "%s", rows[i]);
	/* a hash that is cut off fits nothing */
	assert_int_equal(check(f, "x", STR("v1$2b$04$abc"), 4).fault, FAULT_BAD_CREDENTIALS);
	assert_int_equal(check(f, "", STR("v1$2b$04$a"), 4).fault, FAULT_BAD_CREDENTIALS);
}

static void a_full_queue_is_told(void **state)
{
	struct fixture *const f = *state;
	enum { CALLS = 12 };
	struct call calls[CALLS] = {0};
	struct blocking_pool *const all = f->config.threads;
	unsigned refused = 0;
	bool busy = true;

	f->config.threads = blocking_pool_new("few", 1, 2, 0);
	f->config.cost = 8;
	for (size_t i = 0; i < CALLS; i++) {
		calls[i].config = &f->config;
		calls[i].password = STR("correct horse");
		assert_int_equal(task_start(f->loop, loop_now_us(f->loop) + 60000000, on_fiber,
					 on_end, &calls[i], NULL),
			OK);
	}
	while (busy) {
		loop_turn(f->loop, 100);
		busy = false;
		for (size_t i = 0; i < CALLS; i++)
			busy = busy || !calls[i].done;
	}
	for (size_t i = 0; i < CALLS; i++) {
		assert_true(calls[i].fault == OK || calls[i].fault == FAULT_OVERLOADED);
		refused += calls[i].fault == FAULT_OVERLOADED;
	}
	assert_in_range(refused, 1, CALLS - 2);
	blocking_pool_free(f->config.threads);
	f->config.threads = all;
}

static void common_ones_are_known(void **state)
{
	static const struct {
		const char *password;
		bool common;
	} rows[] = {
		{"password", true},
		{"PassWord1", true},
		{"12345678", true},
		{"0.00000000", true}, /* the first of the table */
		{"zxcvbnm1", true},
		{"qwertyuiop", true},
		{"correct horse battery", false},
		{"passwore", false},
		{"", false},
		{"a", false},
		{"passwordpassword1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (password_is_common(str_from(rows[i].password)) != rows[i].common)
			fail_row(i, "%s", rows[i].password);
	/* a NUL ends the comparison, not the password */
	assert_false(password_is_common(str_of("password\0x", 10)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(only_the_right_password_fits),
		TEST(every_byte_counts),
		TEST(the_cost_of_production_works),
		TEST(a_raised_cost_asks_for_a_new_hash),
		TEST(every_check_is_the_same_work),
		TEST(unknown_formats_are_our_fault),
		TEST(a_full_queue_is_told),
		cmocka_unit_test(common_ones_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
