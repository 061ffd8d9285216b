/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "base/scope.h"
#include "fiber/loop.h"
#include "log/log.h"

/* A piece of work on a fiber: what it owns (scope), how long it may take, and whether it is still
 * wanted. A function may suspend only if its first parameter is a task. Tasks never change threads.
 */
struct task {
	struct scope scope;
	struct loop *loop;
	int64_t deadline_us; /* loop_now_us's clock, INT64_MAX: none; every wait ends by it with
	                        FAULT_DEADLINE */
	struct str request_id; /* for log lines and calls to other services; STR_NONE outside a
	                          request */
	struct str traceparent; /* W3C trace context of this task's span, or STR_NONE */
	struct str actor; /* who a call to another service is for: "user:<id>" or "system" */
	/* private to the package */
	struct fiber *fiber;
	struct list link;
	struct wait *waiting;
	enum fault pending; /* cancelled while it did not wait, or under a shield */
	unsigned shields;
	int64_t shielded_deadline_us;
	struct loop_timer timer;
	unsigned waits; /* so far */
	unsigned inject_at; /* tests: the wait that fails, 0 for none */
	enum fault inject_fault;
	void (*fn)(struct task *t, void *arg);
	void (*done)(struct task *t, void *arg);
	void *arg;
};

/* Starts a fiber that runs fn(t, arg) from the ready queue. When it has ended, done(t, arg) runs on
 * the loop's own stack (it may call libh2o, and asserts may fail there); then the scope ends.
 * `done` may be NULL. FAULT_OVERLOADED: tasks_max are running; neither is called. *started may be
 * NULL. */
enum fault task_start(struct loop *l, int64_t deadline_us, void (*fn)(struct task *t, void *arg),
	void (*done)(struct task *t, void *arg), void *arg, struct task **started) MUST_CHECK;

/* The work is no longer wanted: its wait ends with `fault` (FAULT_CANCELED, or FAULT_UNAVAILABLE
 * while shutting down) and so does each later one, unless it is shielded. From the loop or another
 * task, not from the fiber itself. */
void task_cancel(struct task *t, enum fault fault);

/* Microseconds until the deadline, 0 when it has passed. */
int64_t task_left_us(const struct task *t);

/* Brings the deadline forward; never puts it off. */
void task_deadline_within(struct task *t, int64_t us);

/* Between the two the deadline, or a shield's budget, is at most `us` away; task_widen gets what
 * task_narrow gave. No shield may begin or end between them. */
int64_t task_narrow(struct task *t, int64_t us);
void task_widen(struct task *t, int64_t deadline_us);

/* Between the two, cancellation is held back and the deadline is replaced by a budget of its own
 * (TASK_SHIELD_US): around a commit or a compensation. They nest. */
enum { TASK_SHIELD_US = 5000000 };
void task_shield(struct task *t);
void task_unshield(struct task *t);

/* Suspends for that long. */
enum fault task_sleep(struct task *t, int64_t us) MUST_CHECK;

/* Lets everything else that is ready run first. Suspends. */
enum fault task_yield(struct task *t) MUST_CHECK;

size_t task_count(const struct loop *l);

/* Bytes of the deepest stack so far, of any thread: a metric. Sampled, in pages. */
size_t task_stack_high_water(void);

/* A log line that carries the task's request id and trace. */
#define task_log(t, level, message, ...)                                                        \
	log_line_of((&(struct log_context){(t)->request_id, (t)->traceparent}), level, message, \
		##__VA_ARGS__)

/* ---- for drivers ---- */

/* What a fiber sleeps on, all zero at first: lives on its stack, the driver's record of the
 * operation points at it. */
struct wait {
	struct task *task;
	bool done;
	enum fault fault;
};

/* Suspends until wait_done; returns its fault. When the deadline passes, the task is cancelled or a
 * test injects a fault, it returns that instead (w->done is false), and the operation goes on
 * without anyone: the caller must then take the wait's address out of the driver's record before it
 * returns. A wait that is done already returns its fault at once. */
enum fault task_wait(struct task *t, struct wait *w) MUST_CHECK;

/* The operation has ended: appends the fiber to the ready queue, never resumes it at once. Once a
 * wait. */
void wait_done(struct wait *w, enum fault fault);

/* ---- for tests ---- */

/* The nth wait from now on (1 is the next) returns `fault` at once, as if the driver had failed or
 * the client had left. Does nothing in release builds. */
void task_inject(struct task *t, unsigned nth, enum fault fault);
