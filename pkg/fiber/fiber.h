/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"

#include <stdint.h>

/* A function on a stack of its own that can be left in the middle and gone on with later: the
 * machinery under tasks, which is what everything else uses. */
struct fiber;

/* The fibers of a thread. Ended ones are kept, stack and all, for the next. */
struct fiber_pool {
	size_t stack_bytes; /* without the guard page below it */
	size_t spare_max;
	struct list spare;
	size_t spare_count;
	unsigned freed; /* so far, for sampling the high-water mark */
};

void fiber_pool_init(struct fiber_pool *p, size_t stack_bytes, size_t spare_max);
void fiber_pool_clear(struct fiber_pool *p);

/* NULL when the system gives no memory. Does not start it. */
struct fiber *fiber_new(struct fiber_pool *p, void (*fn)(void *arg), void *arg);

/* Gives an ended fiber back. */
void fiber_free(struct fiber_pool *p, struct fiber *f);

/* Runs it until it suspends (true) or ends (false). */
bool fiber_resume(struct fiber *f);

/* Called by the fiber that runs: returns at its next resume. */
void fiber_suspend(struct fiber *f);

/* Bytes of the deepest stack seen so far, of any thread, in whole pages; looked at when a fiber is
 * thrown away and each FIBER_SAMPLE-th time one is kept. */
size_t fiber_high_water(void);
enum { FIBER_SAMPLE = 256 };
