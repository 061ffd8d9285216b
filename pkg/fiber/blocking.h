/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fiber/task.h"

/* Threads for what would block a loop: hashing passwords, RSA signing. (Host names: lookup.h.) */
struct blocking_pool;

/* `name` (at most 15 bytes) is the threads'; `niceness` is added to theirs. At most queue_max jobs
 * wait. */
struct blocking_pool *blocking_pool_new(
	const char *name, unsigned threads, size_t queue_max, int niceness);

/* After the loops that use it are freed, which waits for their jobs. NULL is allowed. */
void blocking_pool_free(struct blocking_pool *p);

/* Runs fn(arg) on a thread of the pool and waits for it. `arg` must not lie on the fiber's stack
 * nor in the task's arena, because a job that runs cannot be stopped when the wait ends early.
 * After OK and FAULT_OVERLOADED (the queue is full) the caller owns arg. After any other fault it
 * is gone: drop(arg) is called on the loop's thread, at once when the job has not begun, else when
 * it has ended. Suspends. */
enum fault blocking_run(struct task *t, struct blocking_pool *p, void (*fn)(void *arg),
	void (*drop)(void *arg), void *arg) MUST_CHECK;

/* Jobs waiting now. From any thread. */
size_t blocking_queued(struct blocking_pool *p);
