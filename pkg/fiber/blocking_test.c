/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/clock.h"
#include "fiber/blocking.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#define S INT64_C(1000000)

enum { QUEUE_MAX = 2 };

static struct loop *loop;
static struct blocking_pool *pool;

/* A job that says when it begins and ends when told. */
struct gated {
	sem_t begun;
	sem_t go;
	atomic_bool ran;
	pid_t ran_on;
	int niceness;
	pid_t dropped_on;
	unsigned dropped;
	enum fault fault;
	struct str detail;
	bool ended;
};

static int set_up(void **state)
{
	(void)state;
	loop = loop_new(LOOP_LIMITS_DEFAULT);
	pool = blocking_pool_new("gated", 1, QUEUE_MAX, 3);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	loop_free(loop);
	blocking_pool_free(pool);
	return 0;
}

static void gated_init(struct gated *g)
{
	memset(g, 0, sizeof *g);
	sem_init(&g->begun, 0, 0);
	sem_init(&g->go, 0, 0);
}

static void run_gated(void *arg)
{
	struct gated *g = arg;

	g->ran_on = gettid();
	g->niceness = getpriority(PRIO_PROCESS, (id_t)gettid());
	sem_post(&g->begun);
	sem_wait(&g->go);
	atomic_store(&g->ran, true);
}

static void drop_gated(void *arg)
{
	struct gated *g = arg;

	g->dropped_on = gettid();
	g->dropped++;
}

static void run_task(struct task *t, void *arg)
{
	struct gated *g = arg;

	g->fault = blocking_run(t, pool, run_gated, drop_gated, g);
	g->ended = true;
}

static void copy_detail(struct task *t, void *arg)
{
	struct gated *g = arg;
	static char text[128];

	if (t->scope.detail.at != NULL && t->scope.detail.len < sizeof text) {
		memcpy(text, t->scope.detail.at, t->scope.detail.len);
		g->detail = str_of(text, t->scope.detail.len);
	}
}

static struct task *start(struct gated *g)
{
	struct task *t = NULL;

	assert_int_equal(
		task_start(loop, clock_monotonic_us() + 10 * S, run_task, copy_detail, g, &t), OK);
	loop_turn(loop, 0);
	return t;
}

static void drain(void)
{
	while (task_count(loop) > 0)
		loop_turn(loop, 1000);
}

static void a_job_runs_elsewhere_and_the_loop_goes_on(void **state)
{
	struct gated g;
	const int niceness = getpriority(PRIO_PROCESS, 0);

	(void)state;
	gated_init(&g);
	start(&g);
	sem_wait(&g.begun);
	for (int i = 0; i < 10; i++)
		loop_turn(loop, 0);
	assert_false(g.ended);
	sem_post(&g.go);
	drain();
	assert_true(g.ended);
	assert_int_equal(g.fault, OK);
	assert_true(atomic_load(&g.ran));
	assert_int_not_equal(g.ran_on, gettid());
	assert_int_equal(g.niceness, niceness + 3 > 19 ? 19 : niceness + 3);
	assert_int_equal(g.dropped, 0);
}

static void a_full_queue_refuses(void **state)
{
	struct gated running, queued[QUEUE_MAX], refused;

	(void)state;
	gated_init(&running);
	gated_init(&refused);
	start(&running);
	sem_wait(&running.begun);
	for (int i = 0; i < QUEUE_MAX; i++) {
		gated_init(&queued[i]);
		start(&queued[i]);
	}
	assert_int_equal(blocking_queued(pool), QUEUE_MAX);
	start(&refused);
	assert_true(refused.ended);
	assert_int_equal(refused.fault, FAULT_OVERLOADED);
	assert_str_equal(refused.detail, STR("2 jobs wait for gated already"));
	assert_int_equal(refused.dropped, 0); /* the caller owns it */
	sem_post(&running.go);
	for (int i = 0; i < QUEUE_MAX; i++)
		sem_post(&queued[i].go);
	drain();
	for (int i = 0; i < QUEUE_MAX; i++)
		assert_int_equal(queued[i].fault, OK);
	assert_int_equal(blocking_queued(pool), 0);
}

static void an_abandoned_job_is_dropped_on_the_loops_thread(void **state)
{
	struct gated g;
	struct task *t;

	(void)state;
	gated_init(&g);
	t = start(&g);
	sem_wait(&g.begun);
	task_cancel(t, FAULT_CANCELED);
	drain();
	assert_int_equal(g.fault, FAULT_CANCELED);
	assert_int_equal(g.dropped, 0); /* it runs still */
	sem_post(&g.go);
	while (g.dropped == 0)
		loop_turn(loop, 1000);
	assert_true(atomic_load(&g.ran));
	assert_int_equal(g.dropped_on, gettid());
}

static void an_abandoned_job_that_waits_never_runs(void **state)
{
	struct gated running, queued;
	struct task *t;

	(void)state;
	gated_init(&running);
	gated_init(&queued);
	start(&running);
	sem_wait(&running.begun);
	t = start(&queued);
	task_cancel(t, FAULT_CANCELED);
	loop_turn(loop, 0);
	assert_true(queued.ended);
	assert_int_equal(queued.fault, FAULT_CANCELED);
	assert_int_equal(queued.dropped, 1);
	assert_int_equal(blocking_queued(pool), 0);
	sem_post(&running.go);
	drain();
	assert_int_equal(running.fault, OK);
	assert_false(atomic_load(&queued.ran));
}

static void the_deadline_ends_the_wait_for_a_job(void **state)
{
	struct gated g;

	(void)state;
	gated_init(&g);
	start(&g);
	sem_wait(&g.begun);
	clock_advance_us(11 * S);
	loop_turn(loop, 0);
	clock_advance_us(-11 * S);
	assert_true(g.ended);
	assert_int_equal(g.fault, FAULT_DEADLINE);
	sem_post(&g.go);
	/* loop_free, in the teardown, waits for it; then it has been dropped */
	tear_down(NULL);
	assert_int_equal(g.dropped, 1);
	set_up(NULL);
}

enum { MANY = 200 };

struct sum {
	unsigned value;
	unsigned good;
};

static void add_one(void *arg)
{
	((struct sum *)arg)->value++;
}

static void drop_nothing(void *arg)
{
	(void)arg;
}

static void add_many(struct task *t, void *arg)
{
	struct sum *s = arg;

	for (int i = 0; i < MANY; i++)
		s->good += blocking_run(t, pool, add_one, drop_nothing, s) == OK;
}

static void *run_sums(void *arg)
{
	struct loop *l = loop_new(LOOP_LIMITS_DEFAULT);

	if (task_start(l, INT64_MAX, add_many, NULL, arg, NULL) != OK)
		return NULL;
	while (task_count(l) > 0)
		loop_turn(l, 1000);
	loop_free(l);
	return NULL;
}

static void many_jobs_of_several_loops(void **state)
{
	struct sum sums[3] = {0};
	pthread_t threads[3];

	(void)state;
	blocking_pool_free(pool);
	pool = blocking_pool_new("several", 3, 100, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_sums, &sums[i]), 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(sums[i].good, MANY);
		assert_int_equal(sums[i].value, MANY);
	}
}

#define WITH_A_POOL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_A_POOL(a_job_runs_elsewhere_and_the_loop_goes_on),
		WITH_A_POOL(a_full_queue_refuses),
		WITH_A_POOL(an_abandoned_job_is_dropped_on_the_loops_thread),
		WITH_A_POOL(an_abandoned_job_that_waits_never_runs),
		WITH_A_POOL(the_deadline_ends_the_wait_for_a_job),
		WITH_A_POOL(many_jobs_of_several_loops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
