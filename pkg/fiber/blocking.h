/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fiber/task.h"

/* Threads for what would block a loop: password hashing, name resolution, RSA signing. One pool a
 * process. */
struct blocking_pool;

/* `nice` is added to the threads' niceness. At most queue_max jobs wait. */
struct blocking_pool *blocking_pool_new(
	const char *name, unsigned threads, size_t queue_max, int nice);

/* After the loops have ended; waits for the jobs that run. */
void blocking_pool_free(struct blocking_pool *p);

/* Runs fn(arg) on a thread of the pool and waits for it. `arg` must not lie on the fiber's stack
 * nor in the task's arena: when the wait ends early the job still runs, and then drop(arg) is
 * called on the loop's thread instead of returning it to the caller; after OK the caller owns arg
 * again. FAULT_OVERLOADED: the queue is full; the caller owns arg. After any other fault arg is
 * gone. Suspends. */
enum fault blocking_run(struct task *t, struct blocking_pool *p, void (*fn)(void *arg),
	void (*drop)(void *arg), void *arg) MUST_CHECK;

/* Jobs waiting now. From any thread. */
size_t blocking_queued(const struct blocking_pool *p);
