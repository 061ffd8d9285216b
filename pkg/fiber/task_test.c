/* SPDX-License-Identifier: Apache-2.0
 * The rules of the fiber layer (docs/design.md), each with the test that fails without it. What
 * runs inside a fiber records into its own struct; the asserts run on the test's own stack. */
#include "base/testing.h"

#include "base/clock.h"
#include "fiber/task.h"

#include <pthread.h>
#include <unistd.h>

#define S INT64_C(1000000)

static struct loop *loop;
static char events[64];

static void note(char c)
{
	const size_t len = strlen(events);

	if (len + 1 < sizeof events)
		events[len] = c;
}

static int make_loop(void **state)
{
	struct loop_limits limits = LOOP_LIMITS_DEFAULT;

	(void)state;
	limits.tasks_max = 8;
	loop = loop_new(limits);
	memset(events, 0, sizeof events);
	return 0;
}

static int free_loop(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

/* Turns until no task is left; fails rather than hangs. */
static void drain(void)
{
	for (int i = 0; task_count(loop) > 0; i++) {
		assert_true(i < 10000);
		loop_turn(loop, 100);
	}
}

static void advance(int64_t us)
{
	clock_advance_us(us);
	loop_turn(loop, 0);
}

static struct task *start(
	void (*fn)(struct task *t, void *arg), void (*done)(struct task *t, void *arg), void *arg)
{
	struct task *t = NULL;

	assert_int_equal(task_start(loop, clock_monotonic_us() + 10 * S, fn, done, arg, &t), OK);
	return t;
}

/* A driver's operation, and a task that waits for it as many times as told. */
struct operation {
	struct wait *wait; /* NULL while nobody waits */
	int64_t sleep_us; /* sleeps instead, when set */
	unsigned times;
	enum fault faults[8];
	unsigned returned;
	bool ended;
	bool done_ran;
};

static enum fault operate(struct task *t, struct operation *o)
{
	struct wait wait = {0};
	enum fault fault;

	if (o->sleep_us != 0)
		return task_sleep(t, o->sleep_us);
	o->wait = &wait;
	fault = task_wait(t, &wait);
	o->wait = NULL;
	return fault;
}

static void run_operation(struct task *t, void *arg)
{
	struct operation *o = arg;

	while (o->returned < o->times) {
		o->faults[o->returned] = operate(t, o);
		o->returned++;
	}
	o->ended = true;
}

static void note_done(struct task *t, void *arg)
{
	(void)t;
	((struct operation *)arg)->done_ran = true;
}

static void answer(struct operation *o, enum fault fault)
{
	assert_non_null(o->wait);
	wait_done(o->wait, fault);
}

/* ---- waiting ---- */

static void a_wait_ends_with_the_operations_fault(void **state)
{
	struct operation o = {.times = 2};

	(void)state;
	start(run_operation, note_done, &o);
	assert_int_equal(task_count(loop), 1);
	assert_null(o.wait); /* it starts from the ready queue */
	loop_turn(loop, 0);
	answer(&o, OK);
	assert_int_equal(o.returned, 0);
	loop_turn(loop, 1000);
	assert_int_equal(o.returned, 1);
	answer(&o, FAULT_CONFLICT);
	loop_turn(loop, 1000);
	assert_int_equal(o.faults[0], OK);
	assert_int_equal(o.faults[1], FAULT_CONFLICT);
	assert_true(o.ended && o.done_ran);
	assert_int_equal(task_count(loop), 0);
}

static void wait_for_what_is_done(struct task *t, void *arg)
{
	struct operation *o = arg;
	struct wait wait = {0};

	wait_done(&wait, FAULT_NOT_FOUND);
	o->faults[0] = task_wait(t, &wait);
	o->ended = true;
}

static void an_operation_may_end_before_the_wait(void **state)
{
	struct operation o = {0};

	(void)state;
	start(wait_for_what_is_done, NULL, &o);
	loop_turn(loop, 0);
	assert_true(o.ended);
	assert_int_equal(o.faults[0], FAULT_NOT_FOUND);
}

/* ---- rule 2: a suspended fiber is never destroyed ---- */

static void cancelling_wakes_a_fiber_which_returns_by_itself(void **state)
{
	struct operation o = {.times = 2};
	struct task *t = start(run_operation, note_done, &o);

	(void)state;
	loop_turn(loop, 0);
	task_cancel(t, FAULT_CANCELED);
	assert_false(o.ended); /* not resumed inside the call */
	loop_turn(loop, 1000);
	assert_true(o.ended && o.done_ran);
	assert_int_equal(o.faults[0], FAULT_CANCELED);
	assert_int_equal(o.faults[1], FAULT_CANCELED); /* and each later wait */
}

static void cancelling_before_the_first_wait_counts(void **state)
{
	struct operation o = {.times = 1};
	struct task *t = start(run_operation, NULL, &o);

	(void)state;
	task_cancel(t, FAULT_UNAVAILABLE);
	task_cancel(t, FAULT_CANCELED); /* the first one stays */
	drain();
	assert_int_equal(o.faults[0], FAULT_UNAVAILABLE);
}

static void a_result_is_not_lost_to_a_cancellation(void **state)
{
	struct operation first = {.times = 1}, second = {.times = 1};
	struct task *a = start(run_operation, NULL, &first);
	struct task *b = start(run_operation, NULL, &second);

	(void)state;
	loop_turn(loop, 0);
	answer(&first, OK);
	task_cancel(a, FAULT_CANCELED);
	task_cancel(b, FAULT_CANCELED);
	answer(&second, OK);
	drain();
	assert_int_equal(first.faults[0], OK);
	assert_int_equal(second.faults[0], OK);
}

/* ---- rule 3: drivers never resume a fiber from inside another ---- */

struct pair {
	struct wait wait;
};

static void sleeper(struct task *t, void *arg)
{
	struct pair *p = arg;

	note('a');
	if (task_wait(t, &p->wait) == OK)
		note('d');
}

static void waker(struct task *t, void *arg)
{
	struct pair *p = arg;

	(void)t;
	note('b');
	wait_done(&p->wait, OK);
	note('c');
}

static void waking_makes_ready_and_does_not_run(void **state)
{
	struct pair p = {0};

	(void)state;
	start(sleeper, NULL, &p);
	start(waker, NULL, &p);
	loop_turn(loop, 0);
	assert_string_equal(events, "abcd"); /* d in the same turn, after the waker has let go */
	assert_int_equal(task_count(loop), 0);
}

static void say(struct task *t, void *arg)
{
	const char *letters = arg;

	note(letters[0]);
	if (task_yield(t) == OK)
		note(letters[1]);
}

static void ready_fibers_run_in_order(void **state)
{
	(void)state;
	start(say, NULL, "ax");
	start(say, NULL, "by");
	start(say, NULL, "cz");
	drain();
	assert_string_equal(events, "abcxyz");
}

static bool stop_yielding;

static void yield_for_ever(struct task *t, void *arg)
{
	struct operation *o = arg;

	while (!stop_yielding && task_yield(t) == OK)
		o->returned++;
}

static void busy_fibers_do_not_keep_the_loop_from_turning(void **state)
{
	struct operation o = {0};

	(void)state;
	stop_yielding = false;
	start(yield_for_ever, NULL, &o);
	loop_turn(loop, 0); /* would not end */
	assert_in_range(o.returned, LOOP_RESUMES_MAX / 2, LOOP_RESUMES_MAX);
	stop_yielding = true;
	drain();
}

/* ---- rule 4: fibers never change threads ---- */

struct on_thread {
	struct loop *loop;
	struct loop_message message;
	struct operation operation;
	pid_t thread;
	unsigned elsewhere;
	unsigned rounds;
	pthread_t other;
};

static void answer_message(struct loop_message *message)
{
	struct on_thread *o = CONTAINER_OF(message, struct on_thread, message);

	wait_done(o->operation.wait, OK);
}

static void *post_answer(void *arg)
{
	struct on_thread *o = arg;

	loop_post(o->loop, &o->message);
	return NULL;
}

static void be_woken_by_others(struct task *t, void *arg)
{
	struct on_thread *o = arg;

	for (unsigned i = 0; i < o->rounds; i++) {
		struct wait wait = {0};

		o->operation.wait = &wait;
		o->message.run = answer_message;
		if (pthread_create(&o->other, NULL, post_answer, o) != 0)
			return;
		o->elsewhere += task_wait(t, &wait) != OK || gettid() != o->thread ||
		                loop_here() != o->loop;
		pthread_join(o->other, NULL);
	}
}

static void *run_loop(void *arg)
{
	struct on_thread *o = arg;

	o->loop = loop_new(LOOP_LIMITS_DEFAULT);
	o->thread = gettid();
	if (task_start(o->loop, INT64_MAX, be_woken_by_others, NULL, o, NULL) != OK)
		return NULL;
	while (task_count(o->loop) > 0)
		loop_turn(o->loop, 1000);
	loop_free(o->loop);
	return NULL;
}

static void fibers_stay_on_their_thread(void **state)
{
	struct on_thread threads[3] = {{.rounds = 50}, {.rounds = 50}, {.rounds = 50}};
	pthread_t ids[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, run_loop, &threads[i]), 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(ids[i], NULL);
		assert_int_equal(threads[i].elsewhere, 0);
	}
}

/* ---- rule 6: bounded waits, bounded tasks ---- */

static void the_deadline_ends_a_wait(void **state)
{
	struct operation o = {.times = 2};

	(void)state;
	start(run_operation, NULL, &o);
	loop_turn(loop, 0);
	advance(9 * S);
	assert_int_equal(o.returned, 0);
	advance(2 * S);
	clock_advance_us(-11 * S);
	assert_true(o.ended);
	assert_int_equal(o.faults[0], FAULT_DEADLINE);
	assert_int_equal(o.faults[1], FAULT_DEADLINE); /* it has passed for the next wait too */
}

static void the_deadline_ends_sleep_too(void **state)
{
	struct operation o = {.times = 1, .sleep_us = INT64_MAX};

	(void)state;
	start(run_operation, NULL, &o);
	loop_turn(loop, 0);
	advance(11 * S);
	clock_advance_us(-11 * S);
	assert_true(o.ended);
	assert_int_equal(o.faults[0], FAULT_DEADLINE);
}

static void sleep_lasts_as_long_as_told(void **state)
{
	struct operation o = {.times = 2, .sleep_us = 3 * S};

	(void)state;
	start(run_operation, NULL, &o);
	loop_turn(loop, 0);
	advance(2900000);
	assert_int_equal(o.returned, 0);
	advance(200000);
	assert_int_equal(o.returned, 1);
	advance(3100000);
	clock_advance_us(-6200000);
	assert_true(o.ended);
	assert_int_equal(o.faults[0], OK);
	assert_int_equal(o.faults[1], OK);
}

static int64_t left_us[4];

static void shorten_deadline(struct task *t, void *arg)
{
	left_us[0] = task_left_us(t);
	task_deadline_within(t, 60 * S); /* never puts it off */
	left_us[1] = task_left_us(t);
	task_deadline_within(t, 2 * S);
	left_us[2] = task_left_us(t);
	run_operation(t, arg);
	left_us[3] = task_left_us(t);
}

static void a_deadline_can_be_brought_forward(void **state)
{
	struct operation o = {.times = 1};

	(void)state;
	start(shorten_deadline, NULL, &o);
	loop_turn(loop, 0);
	assert_in_range(left_us[0], 9 * S, 10 * S);
	assert_int_equal(left_us[1], left_us[0]);
	assert_int_equal(left_us[2], 2 * S);
	advance(3 * S);
	clock_advance_us(-3 * S);
	assert_int_equal(o.faults[0], FAULT_DEADLINE);
	assert_int_equal(left_us[3], 0);
}

static void no_more_tasks_than_allowed(void **state)
{
	struct operation o[8] = {0}, refused = {0};

	(void)state;
	for (int i = 0; i < 8; i++)
		start(run_operation, NULL, &o[i]);
	assert_int_equal(task_start(loop, INT64_MAX, run_operation, note_done, &refused, NULL),
		FAULT_OVERLOADED);
	drain();
	assert_false(refused.ended || refused.done_ran);
	start(run_operation, note_done, &refused);
	drain();
	assert_true(refused.ended && refused.done_ran);
}

/* ---- rule 7: shields ---- */

struct commit {
	struct operation operation;
	enum fault nested;
	enum fault shielded;
	enum fault after;
};

static void shielded_commit(struct task *t, void *arg)
{
	struct commit *c = arg;
	struct operation free_wait = {0};

	task_shield(t);
	task_shield(t);
	c->nested = operate(t, &c->operation);
	task_unshield(t);
	c->shielded = operate(t, &c->operation);
	task_unshield(t);
	c->after = operate(t, &free_wait);
}

static void a_shield_holds_cancellation_back(void **state)
{
	struct commit c = {0};
	struct task *t = start(shielded_commit, NULL, &c);

	(void)state;
	loop_turn(loop, 0);
	task_cancel(t, FAULT_CANCELED);
	loop_turn(loop, 0);
	answer(&c.operation, OK);
	loop_turn(loop, 0);
	answer(&c.operation, OK);
	drain();
	assert_int_equal(c.nested, OK);
	assert_int_equal(c.shielded, OK);
	assert_int_equal(c.after, FAULT_CANCELED);
}

static void a_shield_has_a_budget_of_its_own(void **state)
{
	struct commit c = {0};
	struct task *t;

	(void)state;
	assert_int_equal(
		task_start(loop, loop_now_us(loop) + 1 * S, shielded_commit, NULL, &c, &t), OK);
	loop_turn(loop, 0);
	advance(2 * S); /* past the task's own deadline */
	answer(&c.operation, OK);
	loop_turn(loop, 0);
	assert_int_equal(c.nested, OK);
	advance(TASK_SHIELD_US - 2 * S + 100000);
	drain();
	clock_advance_us(-TASK_SHIELD_US - 100000);
	assert_int_equal(c.shielded, FAULT_DEADLINE);
	assert_int_equal(c.after, FAULT_DEADLINE);
}

static void shielded_then_free(struct task *t, void *arg)
{
	struct commit *c = arg;

	task_shield(t);
	c->shielded = operate(t, &c->operation);
	task_unshield(t);
	c->after = operate(t, &c->operation);
	c->operation.ended = true;
}

static void after_a_shield_the_tasks_own_deadline_counts(void **state)
{
	struct commit c = {0};

	(void)state;
	start(shielded_then_free, NULL, &c);
	loop_turn(loop, 0);
	answer(&c.operation, OK);
	loop_turn(loop, 0);
	advance(9 * S); /* past the shield's budget */
	assert_false(c.operation.ended);
	advance(2 * S);
	clock_advance_us(-11 * S);
	assert_true(c.operation.ended);
	assert_int_equal(c.shielded, OK);
	assert_int_equal(c.after, FAULT_DEADLINE);
}

static void narrowed(struct task *t, void *arg)
{
	struct commit *c = arg;

	task_shield(t);
	const int64_t shield_us = task_narrow(t, 2 * S);
	c->nested = operate(t, &c->operation);
	task_widen(t, shield_us);
	c->shielded = operate(t, &c->operation);
	task_unshield(t);
	const int64_t deadline_us = task_narrow(t, 100 * S); /* never later than it is */
	c->after = operate(t, &c->operation);
	task_widen(t, deadline_us);
}

static void a_narrow_wait_leaves_the_rest_of_the_time(void **state)
{
	struct commit c = {0};

	(void)state;
	start(narrowed, NULL, &c);
	loop_turn(loop, 0);
	advance(3 * S); /* past the narrow deadline, not the shield's */
	assert_int_equal(c.nested, FAULT_DEADLINE);
	answer(&c.operation, OK);
	loop_turn(loop, 0);
	advance(8 * S); /* past the task's own */
	drain();
	clock_advance_us(-11 * S);
	assert_int_equal(c.shielded, OK);
	assert_int_equal(c.after, FAULT_DEADLINE);
}

/* ---- rule 9: pooled stacks ---- */

static void note_address(struct task *t, void *arg)
{
	char here;

	(void)t;
	*(uintptr_t *)arg = (uintptr_t)&here;
}

static void tasks_share_pooled_stacks(void **state)
{
	uintptr_t first = 0, later = 0;

	(void)state;
	start(note_address, NULL, &first);
	drain();
	for (int i = 0; i < 100; i++) {
		start(note_address, NULL, &later);
		drain();
		assert_int_equal(later, first);
	}
	assert_true(task_stack_high_water() > 0);
}

/* ---- rule 11, and what a scope owns ---- */

struct ending {
	uintptr_t fiber_stack;
	uintptr_t done_stack;
	struct str in_arena;
};

static void clean_up(void *arg)
{
	(void)arg;
	note('s');
}

static void own_something(struct task *t, void *arg)
{
	struct ending *e = arg;
	char here;

	e->fiber_stack = (uintptr_t)&here;
	e->in_arena = scope_dup(&t->scope, STR("lives until done has run"));
	scope_defer(&t->scope, clean_up, NULL);
	note('f');
}

static void note_ending(struct task *t, void *arg)
{
	struct ending *e = arg;
	char here;

	(void)t;
	e->done_stack = (uintptr_t)&here;
	note('d');
	assert_str_equal(e->in_arena, STR("lives until done has run"));
}

static void done_runs_on_the_loops_stack_before_the_scope_ends(void **state)
{
	struct ending e = {0};
	const uintptr_t here = (uintptr_t)&e;

	(void)state;
	start(own_something, note_ending, &e);
	drain();
	assert_string_equal(events, "fds");
	assert_in_range(
		here > e.done_stack ? here - e.done_stack : e.done_stack - here, 0, 16 << 10);
	assert_true(here > e.fiber_stack ? here - e.fiber_stack > 16 << 10
					 : e.fiber_stack - here > 16 << 10);
}

/* ---- faults by number ---- */

#ifdef BODEGA_FAULTS
static void wait_four_times(struct task *t, void *arg)
{
	struct operation *o = arg;

	for (int i = 0; i < 4; i++) {
		o->faults[i] = i % 2 == 0 ? task_yield(t) : task_sleep(t, 1);
		o->returned++;
		if (o->faults[i] != OK)
			return;
	}
}

static void the_nth_wait_can_be_made_to_fail(void **state)
{
	(void)state;
	for (unsigned nth = 1; nth <= 5; nth++) {
		struct operation o = {0};
		struct task *t = start(wait_four_times, NULL, &o);

		task_inject(t, nth, FAULT_UNAVAILABLE);
		drain();
		assert_int_equal(o.returned, nth < 4 ? nth : 4);
		assert_int_equal(o.faults[o.returned - 1], nth <= 4 ? FAULT_UNAVAILABLE : OK);
	}
}
#endif

#define ON_A_LOOP(test) cmocka_unit_test_setup_teardown(test, make_loop, free_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_LOOP(a_wait_ends_with_the_operations_fault),
		ON_A_LOOP(an_operation_may_end_before_the_wait),
		ON_A_LOOP(cancelling_wakes_a_fiber_which_returns_by_itself),
		ON_A_LOOP(cancelling_before_the_first_wait_counts),
		ON_A_LOOP(a_result_is_not_lost_to_a_cancellation),
		ON_A_LOOP(waking_makes_ready_and_does_not_run),
		ON_A_LOOP(ready_fibers_run_in_order),
		ON_A_LOOP(busy_fibers_do_not_keep_the_loop_from_turning),
		cmocka_unit_test(fibers_stay_on_their_thread),
		ON_A_LOOP(the_deadline_ends_a_wait),
		ON_A_LOOP(the_deadline_ends_sleep_too),
		ON_A_LOOP(sleep_lasts_as_long_as_told),
		ON_A_LOOP(a_deadline_can_be_brought_forward),
		ON_A_LOOP(no_more_tasks_than_allowed),
		ON_A_LOOP(a_shield_holds_cancellation_back),
		ON_A_LOOP(a_shield_has_a_budget_of_its_own),
		ON_A_LOOP(after_a_shield_the_tasks_own_deadline_counts),
		ON_A_LOOP(a_narrow_wait_leaves_the_rest_of_the_time),
		ON_A_LOOP(tasks_share_pooled_stacks),
		ON_A_LOOP(done_runs_on_the_loops_stack_before_the_scope_ends),
#ifdef BODEGA_FAULTS
		ON_A_LOOP(the_nth_wait_can_be_made_to_fail),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
