/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this package know of each other. */

#include "fiber/fiber.h"
#include "fiber/task.h"

#include <h2o.h>
#include <stdatomic.h>

/* A binary heap of timers by time; slot 0 stays empty, so that a timer's slot 0 means "not set". */
struct timers {
	struct loop_timer **heap;
	size_t count;
	size_t room;
};

void timers_free(struct timers *t);
void timers_set(struct timers *t, struct loop_timer *timer, int64_t at_us);
void timers_clear(struct timers *t, struct loop_timer *timer);

/* Takes out the earliest that is due; NULL when none is. */
struct loop_timer *timers_take(struct timers *t, int64_t now_us);

/* INT64_MAX when none is set. */
int64_t timers_next_us(const struct timers *t);

struct loop {
	h2o_evloop_t *h2o;
	struct loop_limits limits;
	int64_t now_us; /* 0 while not read in this turn */
	bool turning;
	struct timers timers;

	struct fiber_pool fibers;
	struct task *running;
	struct list ready; /* of tasks */
	size_t task_count;
	size_t watch_count;
	size_t job_count; /* jobs of blocking pools and look-ups under way for this loop */

	struct list hooks;

	/* from other threads */
	int wake_fd; /* an eventfd */
	h2o_socket_t *wake_socket;
	_Atomic(struct list *) messages; /* a stack, linked by next */
	atomic_bool stop;
	atomic_uint callers; /* inside loop_post or loop_stop: loop_free waits for them */
};

/* Runs ready tasks, at most LOOP_RESUMES_MAX. */
void tasks_run(struct loop *l);
