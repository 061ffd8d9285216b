/* SPDX-License-Identifier: Apache-2.0
 * What the fiber layer costs: nanoseconds for a switch, for a fiber with and without a pool, for a
 * task from start to end, and for a task's wait that the loop answers. Best of several rounds. */
#include "base/clock.h"
#include "fiber/fiber.h"
#include "fiber/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { ROUNDS = 7, STACK_BYTES = 64 << 10, SWITCHES = 1000000, FIBERS = 100000, BATCH = 64 };

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void switch_back(void *arg)
{
	struct fiber **self = arg;

	for (int i = 0; i < SWITCHES; i++)
		fiber_suspend(*self);
}

/* There and back is two. */
static int64_t bench_switch(void)
{
	struct fiber_pool pool;
	struct fiber *f;
	int64_t start_ns;

	fiber_pool_init(&pool, STACK_BYTES, 0);
	f = fiber_new(&pool, switch_back, &f);
	start_ns = now_ns();
	while (fiber_resume(f))
		;
	start_ns = now_ns() - start_ns;
	fiber_free(&pool, f);
	return start_ns * 100 / (2 * SWITCHES);
}

static void do_nothing(void *arg)
{
	(void)arg;
}

static int64_t bench_fibers(size_t spare_max)
{
	struct fiber_pool pool;
	int64_t start_ns = now_ns();

	fiber_pool_init(&pool, STACK_BYTES, spare_max);
	for (int i = 0; i < FIBERS; i++) {
		struct fiber *f = fiber_new(&pool, do_nothing, NULL);

		fiber_resume(f);
		fiber_free(&pool, f);
	}
	start_ns = now_ns() - start_ns;
	fiber_pool_clear(&pool);
	return start_ns * 100 / FIBERS;
}

static int64_t bench_pooled(void)
{
	return bench_fibers(1);
}

static int64_t bench_unpooled(void)
{
	return bench_fibers(0);
}

static void task_of_nothing(struct task *t, void *arg)
{
	(void)t, (void)arg;
}

static void task_of_waits(struct task *t, void *arg)
{
	for (int i = 0; i < *(const int *)arg; i++)
		if (task_yield(t) != OK)
			return;
}

/* As many at once as a busy turn has. */
static int64_t run_tasks(void (*fn)(struct task *t, void *arg), int tasks, int waits)
{
	struct loop *l = loop_new(LOOP_LIMITS_DEFAULT);
	const int64_t deadline_us = clock_monotonic_us() + 60000000;
	const int64_t start_ns = now_ns();
	int64_t took_ns;

	for (int started = 0; started < tasks; started += BATCH) {
		for (int i = 0; i < BATCH; i++)
			if (task_start(l, deadline_us, fn, NULL, &waits, NULL) != OK)
				return 0;
		while (task_count(l) > 0)
			loop_turn(l, 0);
	}
	took_ns = now_ns() - start_ns;
	loop_free(l);
	return took_ns * 100 / (tasks * (waits > 0 ? waits : 1));
}

static int64_t bench_task(void)
{
	return run_tasks(task_of_nothing, FIBERS, 0);
}

static int64_t bench_wait(void)
{
	return run_tasks(task_of_waits, BATCH * 16, 1000);
}

int main(void)
{
	static const struct {
		const char *name;
		int64_t (*run)(void);
	} benches[] = {
		{"switch", bench_switch},
		{"fiber, pooled: start to end", bench_pooled},
		{"fiber, not pooled: start to end", bench_unpooled},
		{"task: start to end", bench_task},
		{"task: a wait", bench_wait},
	};

	for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
		int64_t best = INT64_MAX;

		for (int round = 0; round < ROUNDS; round++) {
			const int64_t hundredths = benches[i].run();

			best = hundredths < best ? hundredths : best;
		}
		printf("%-34s %8.1f ns\n", benches[i].name, (double)best / 100);
	}
	return 0;
}
