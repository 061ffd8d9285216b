/* SPDX-License-Identifier: Apache-2.0
 * What runs inside fibers records; the asserts are here, on the test's own stack. */
#include "base/testing.h"

#include "fiber/fiber.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK_BYTES = 64 << 10 };

struct counting {
	struct fiber *fiber;
	int count;
	uintptr_t address;
};

static void count_to_three(void *arg)
{
	struct counting *c = arg;
	int local = 0;

	c->address = (uintptr_t)&local;
	while (local < 3) {
		c->count = ++local;
		if (local < 3)
			fiber_suspend(c->fiber);
	}
}

static void a_fiber_goes_on_where_it_left(void **state)
{
	struct fiber_pool pool;
	struct counting a = {0}, b = {0};

	(void)state;
	fiber_pool_init(&pool, STACK_BYTES, 4);
	a.fiber = fiber_new(&pool, count_to_three, &a);
	b.fiber = fiber_new(&pool, count_to_three, &b);
	assert_int_equal(a.count, 0);
	assert_true(fiber_resume(a.fiber));
	assert_true(fiber_resume(a.fiber));
	assert_true(fiber_resume(b.fiber));
	assert_int_equal(a.count, 2);
	assert_int_equal(b.count, 1);
	assert_false(fiber_resume(a.fiber));
	assert_true(fiber_resume(b.fiber));
	assert_false(fiber_resume(b.fiber));
	assert_int_equal(a.count + b.count, 6);
	fiber_free(&pool, a.fiber);
	fiber_free(&pool, b.fiber);
	fiber_pool_clear(&pool);
}

static void run_to_end(struct fiber_pool *pool, struct counting *c)
{
	c->fiber = fiber_new(pool, count_to_three, c);
	while (fiber_resume(c->fiber))
		;
	fiber_free(pool, c->fiber);
}

static void stacks_are_used_again(void **state)
{
	struct fiber_pool pool;
	struct counting first = {0}, later = {0};

	(void)state;
	fiber_pool_init(&pool, STACK_BYTES, 4);
	run_to_end(&pool, &first);
	for (int i = 0; i < 1000; i++) {
		run_to_end(&pool, &later);
		assert_int_equal(later.address, first.address);
		assert_int_equal(later.count, 3);
	}
	fiber_pool_clear(&pool);
}

static void no_more_stacks_are_kept_than_told(void **state)
{
	struct fiber_pool pool;
	struct fiber *fibers[5];
	struct counting c[5] = {0};

	(void)state;
	fiber_pool_init(&pool, STACK_BYTES, 2);
	for (int i = 0; i < 5; i++)
		c[i].fiber = fibers[i] = fiber_new(&pool, count_to_three, &c[i]);
	for (int i = 0; i < 5; i++) {
		while (fiber_resume(fibers[i]))
			;
		fiber_free(&pool, fibers[i]);
	}
	assert_int_equal(pool.spare_count, 2);
	fiber_pool_clear(&pool);
	assert_int_equal(pool.spare_count, 0);
}

__attribute__((noinline)) static size_t dig(uintptr_t start, size_t bytes)
{
	volatile char frame[512];

	frame[0] = 1;
	if (start - (uintptr_t)frame >= bytes)
		return (size_t)frame[0];
	return dig(start, bytes) + (size_t)frame[0];
}

static void use_40_kib(void *arg)
{
	char here;

	*(size_t *)arg = dig((uintptr_t)&here, 40 << 10);
}

static void the_deepest_stack_is_known(void **state)
{
	struct fiber_pool pool;
	struct counting shallow = {0};
	size_t frames = 0;
	struct fiber *f;

	(void)state;
	fiber_pool_init(&pool, 2 * STACK_BYTES, 1);
	run_to_end(&pool, &shallow);
	assert_in_range(fiber_high_water(), 1, 39 << 10);
	fiber_pool_clear(&pool);
	fiber_pool_init(&pool, 2 * STACK_BYTES, 0);
	f = fiber_new(&pool, use_40_kib, &frames);
	assert_false(fiber_resume(f));
	fiber_free(&pool, f);
	assert_true(frames > 10);
	assert_in_range(fiber_high_water(), 40 << 10, 2 * STACK_BYTES);
}

static void overflow_a_little(void *arg)
{
	char here;

	*(size_t *)arg = dig((uintptr_t)&here, STACK_BYTES + 1024);
}

/* Only a little: without a guard page the neighbour's stack would be overwritten and nobody die. */
static void running_over_a_stack_ends_the_process(void **state)
{
	const pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		struct fiber_pool pool;
		size_t frames;
		struct fiber *above, *below;

		close(STDERR_FILENO);
		signal(SIGSEGV, SIG_DFL);
		fiber_pool_init(&pool, STACK_BYTES, 4);
		above = fiber_new(&pool, overflow_a_little, &frames);
		below = fiber_new(&pool, overflow_a_little, &frames);
		fiber_resume(above > below ? above : below);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

#ifdef __x86_64__
enum { MXCSR_DEFAULT = 0x1f80, MXCSR_ROUND_UP = 0x5f80 };

static void round_up(void *arg)
{
	struct counting *c = arg;

	__builtin_ia32_ldmxcsr(MXCSR_ROUND_UP);
	fiber_suspend(c->fiber);
	c->count = (int)__builtin_ia32_stmxcsr();
	__builtin_ia32_ldmxcsr(MXCSR_DEFAULT);
}

static void control_words_belong_to_the_fiber(void **state)
{
	struct fiber_pool pool;
	struct counting c = {0};

	(void)state;
	fiber_pool_init(&pool, STACK_BYTES, 0);
	c.fiber = fiber_new(&pool, round_up, &c);
	assert_true(fiber_resume(c.fiber));
	assert_int_equal(__builtin_ia32_stmxcsr() & 0xffc0, MXCSR_DEFAULT);
	assert_false(fiber_resume(c.fiber));
	assert_int_equal(c.count & 0xffc0, MXCSR_ROUND_UP);
	fiber_free(&pool, c.fiber);
}
#endif

struct registers {
	struct fiber *fiber;
	uint64_t in[16];
	double real_in[8];
	uint64_t out;
	double real_out;
};

/* More values live across the switch than there are registers that a call preserves. */
__attribute__((noinline)) static void mix(void *arg)
{
	struct registers *r = arg;
	uint64_t v[16];
	double d[8];

	for (int i = 0; i < 16; i++)
		v[i] = r->in[i] * 3;
	for (int i = 0; i < 8; i++)
		d[i] = r->real_in[i] * 0.5;
	for (int round = 0; round < 3; round++) {
		fiber_suspend(r->fiber);
		for (int i = 0; i < 16; i++)
			v[i] = v[i] * 31 + v[(i + 1) % 16];
		for (int i = 0; i < 8; i++)
			d[i] += d[(i + 1) % 8];
	}
	for (int i = 0; i < 16; i++)
		r->out ^= v[i];
	for (int i = 0; i < 8; i++)
		r->real_out += d[i];
}

static void fill(struct registers *r, uint64_t seed)
{
	*r = (struct registers){0};
	for (int i = 0; i < 16; i++)
		r->in[i] = seed += 0x9e3779b97f4a7c15;
	for (int i = 0; i < 8; i++)
		r->real_in[i] = (double)(seed % 1000 + (uint64_t)i);
}

static void registers_survive_the_switch(void **state)
{
	struct fiber_pool pool;
	struct registers alone, mixed[8];

	(void)state;
	fiber_pool_init(&pool, STACK_BYTES, 8);
	for (uint64_t i = 0; i < 8; i++) {
		fill(&mixed[i], i);
		mixed[i].fiber = fiber_new(&pool, mix, &mixed[i]);
	}
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < 8; i++)
			fiber_resume(mixed[i].fiber);
	for (uint64_t i = 0; i < 8; i++) {
		fiber_free(&pool, mixed[i].fiber);
		fill(&alone, i);
		alone.fiber = fiber_new(&pool, mix, &alone);
		while (fiber_resume(alone.fiber))
			;
		fiber_free(&pool, alone.fiber);
		assert_int_equal(mixed[i].out, alone.out);
		assert_true(mixed[i].real_out == alone.real_out);
	}
	fiber_pool_clear(&pool);
}

static void without_memory_there_is_no_fiber(void **state)
{
	struct fiber_pool pool;

	(void)state;
	fiber_pool_init(&pool, STACK_BYTES, 0);
	pool.stack_bytes = (size_t)1 << 60; /* more than an address space */
	assert_null(fiber_new(&pool, count_to_three, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_deepest_stack_is_known), /* first: the mark never falls */
		cmocka_unit_test(a_fiber_goes_on_where_it_left),
		cmocka_unit_test(stacks_are_used_again),
		cmocka_unit_test(no_more_stacks_are_kept_than_told),
		cmocka_unit_test(running_over_a_stack_ends_the_process),
#ifdef __x86_64__
		cmocka_unit_test(control_words_belong_to_the_fiber),
#endif
		cmocka_unit_test(registers_survive_the_switch),
		cmocka_unit_test(without_memory_there_is_no_fiber),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
