/* SPDX-License-Identifier: Apache-2.0
 * Tasks. A task is in one of four places: running (loop->running), ready (its link is in
 * loop->ready), waiting (task->waiting is set), or ended. Only tasks_run resumes fibers, and it
 * runs on the loop's own stack; everything that wakes a task just makes it ready. A wait ends by
 * wait_done or is cut short; when both happen before the fiber has run, the operation's own result
 * wins, so that a commit that took effect is never reported as something else. */
#include "fiber/task.h"

#include "base/check.h"
#include "fiber/private.h"

#include <stdlib.h>

static void run_task(void *arg);
static bool has_fiber(struct task *t);
static void end_task(struct task *t);
static enum fault injected(struct task *t);
static enum fault still_wanted(const struct task *t);
static void suspend(struct task *t);
static void make_ready(struct task *t);
static int64_t later_us(struct loop *l, int64_t us);
static void cut_wait_short(struct task *t, enum fault fault);
static int64_t deadline_now_us(const struct task *t);
static void set_deadline_timer(struct task *t);
static void on_deadline(struct loop_timer *timer);
static void on_slept(struct loop_timer *timer);

enum fault task_start(struct loop *l, int64_t deadline_us, void (*fn)(struct task *t, void *arg),
	void (*done)(struct task *t, void *arg), void *arg, struct task **started)
{
	struct task *t;

	if (l->task_count >= l->limits.tasks_max)
		return FAULT_OVERLOADED;
	t = calloc(1, sizeof *t);
	CHECK(t != NULL);
	scope_begin(&t->scope);
	t->loop = l;
	t->deadline_us = deadline_us;
	t->fn = fn;
	t->done = done;
	t->arg = arg;
	t->timer.fire = on_deadline;
	set_deadline_timer(t);
	l->task_count++;
	make_ready(t);
	if (started != NULL)
		*started = t;
	return OK;
}

void tasks_run(struct loop *l)
{
	struct list *link;

	for (unsigned left = LOOP_RESUMES_MAX; left > 0; left--) {
		struct task *t;
		bool goes_on;

		link = list_take(&l->ready);
		if (link == NULL)
			return;
		t = CONTAINER_OF(link, struct task, link);
		if (!has_fiber(t)) {
			list_prepend(&l->ready, link); /* until others have ended */
			return;
		}
		CHECK(l->running == NULL);
		l->running = t;
		goes_on = fiber_resume(t->fiber);
		l->running = NULL;
		if (!goes_on)
			end_task(t);
	}
}

void task_cancel(struct task *t, enum fault fault)
{
	CHECK(fault != OK && t->loop->running != t);
	if (t->pending == OK)
		t->pending = fault;
	if (t->shields == 0)
		cut_wait_short(t, t->pending);
}

int64_t task_left_us(const struct task *t)
{
	const int64_t deadline_us = deadline_now_us(t);
	const int64_t now_us = loop_now_us(t->loop);

	return deadline_us > now_us ? deadline_us - now_us : 0;
}

void task_deadline_within(struct task *t, int64_t us)
{
	const int64_t now_us = loop_now_us(t->loop);

	if (us >= t->deadline_us - now_us)
		return;
	t->deadline_us = now_us + us;
	set_deadline_timer(t);
}

int64_t task_narrow(struct task *t, int64_t us)
{
	const int64_t before_us = deadline_now_us(t);
	const int64_t narrow_us = later_us(t->loop, us);

	if (narrow_us < before_us)
		task_widen(t, narrow_us);
	return before_us;
}

void task_widen(struct task *t, int64_t deadline_us)
{
	if (t->shields > 0)
		t->shielded_deadline_us = deadline_us;
	else
		t->deadline_us = deadline_us;
	set_deadline_timer(t);
}

void task_shield(struct task *t)
{
	if (t->shields++ > 0)
		return;
	t->shielded_deadline_us = loop_now_us(t->loop) + TASK_SHIELD_US;
	set_deadline_timer(t);
}

void task_unshield(struct task *t)
{
	CHECK(t->shields > 0);
	if (--t->shields == 0)
		set_deadline_timer(t);
}

struct sleep {
	struct loop_timer timer;
	struct wait wait;
};

enum fault task_sleep(struct task *t, int64_t us)
{
	struct sleep sleep = {.timer = {.fire = on_slept}};
	enum fault fault;

	loop_timer_set(t->loop, &sleep.timer, later_us(t->loop, us));
	fault = task_wait(t, &sleep.wait);
	loop_timer_clear(t->loop, &sleep.timer);
	return fault;
}

enum fault task_yield(struct task *t)
{
	TRY(injected(t));
	TRY(still_wanted(t));
	make_ready(t);
	suspend(t);
	return OK;
}

size_t task_count(const struct loop *l)
{
	return l->task_count;
}

size_t task_stack_high_water(void)
{
	return fiber_high_water();
}

enum fault task_wait(struct task *t, struct wait *w)
{
	TRY(injected(t));
	if (w->done)
		return w->fault;
	TRY(still_wanted(t));
	w->task = t;
	t->waiting = w;
	suspend(t);
	return w->fault;
}

void wait_done(struct wait *w, enum fault fault)
{
	struct task *t = w->task;

	CHECK(!w->done);
	w->done = true;
	w->fault = fault;
	if (t == NULL || t->waiting != w)
		return; /* it does not wait yet, or was woken already and is about to look */
	t->waiting = NULL;
	make_ready(t);
}

#ifdef BODEGA_FAULTS

void task_inject(struct task *t, unsigned nth, enum fault fault)
{
	t->inject_at = t->waits + nth;
	t->inject_fault = fault;
}

#else

void task_inject(struct task *t, unsigned nth, enum fault fault)
{
	(void)t, (void)nth, (void)fault;
}

#endif

static void run_task(void *arg)
{
	struct task *t = arg;

	t->fn(t, t->arg);
}

/* A task gets its stack when it first runs, not when it starts: those that end without a wait share
 * one, still warm, however many start in a turn. */
static bool has_fiber(struct task *t)
{
	if (t->fiber == NULL)
		t->fiber = fiber_new(&t->loop->fibers, run_task, t);
	return t->fiber != NULL;
}

static void end_task(struct task *t)
{
	struct loop *l = t->loop;

	CHECK(t->shields == 0);
	loop_timer_clear(l, &t->timer);
	if (t->done != NULL)
		t->done(t, t->arg);
	scope_end(&t->scope);
	fiber_free(&l->fibers, t->fiber);
	l->task_count--;
	free(t);
}

/* Counts the wait; the fault of task_inject when it is this one's turn. */
static enum fault injected(struct task *t)
{
	CHECK(t->loop->running == t);
	t->waits++;
	return t->waits == t->inject_at ? t->inject_fault : OK;
}

static enum fault still_wanted(const struct task *t)
{
	if (t->shields == 0 && t->pending != OK)
		return t->pending;
	return deadline_now_us(t) > loop_now_us(t->loop) ? OK : FAULT_DEADLINE;
}

static void suspend(struct task *t)
{
	fiber_suspend(t->fiber);
}

static void make_ready(struct task *t)
{
	list_append(&t->loop->ready, &t->link);
}

static int64_t later_us(struct loop *l, int64_t us)
{
	const int64_t now_us = loop_now_us(l);

	return us < INT64_MAX - now_us ? now_us + us : INT64_MAX;
}

static void cut_wait_short(struct task *t, enum fault fault)
{
	if (t->waiting == NULL)
		return;
	t->waiting->fault = fault;
	t->waiting = NULL;
	make_ready(t);
}

static int64_t deadline_now_us(const struct task *t)
{
	return t->shields > 0 ? t->shielded_deadline_us : t->deadline_us;
}

/* Only moved when the deadline does, not at each wait: a task that is woken long before it costs
 * the heap nothing. */
static void set_deadline_timer(struct task *t)
{
	const int64_t deadline_us = deadline_now_us(t);

	if (deadline_us == INT64_MAX)
		loop_timer_clear(t->loop, &t->timer);
	else
		loop_timer_set(t->loop, &t->timer, deadline_us);
}

static void on_deadline(struct loop_timer *timer)
{
	cut_wait_short(CONTAINER_OF(timer, struct task, timer), FAULT_DEADLINE);
}

static void on_slept(struct loop_timer *timer)
{
	wait_done(&CONTAINER_OF(timer, struct sleep, timer)->wait, OK);
}
