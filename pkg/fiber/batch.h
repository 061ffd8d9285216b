/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "fiber/task.h"

/* Work that costs less when it is done together, such as rows written under one commit. What
 * fibers of a thread ask for while others are at it is done in one go by the first of them (group
 * commit: DeWitt et al. 1984). Nobody waits for company: when nobody is at it, a job is done at
 * once, by itself. */

/* The jobs of one go. */
struct batch;

size_t batch_count(const struct batch *batch);

/* NULL once its fiber has left: look again after each wait. */
void *batch_job(const struct batch *batch, size_t i);

/* One for each kind of work and thread; begins as BATCHER(run, jobs_max, runs_max). */
struct batcher {
	/* Does all the jobs, on the first one's fiber, under a shield when there are several. OK:
	 * each job says itself what became of it. FAULT_UNKNOWN: all of them may be done. Any other
	 * fault: none is. What it gives to a job must not live in t's scope. Suspends. */
	enum fault (*run)(struct task *t, const struct batch *batch);
	size_t jobs_max; /* in one go */
	unsigned runs_max; /* at a time */
	/* private */
	unsigned runs;
	struct list waiting;
};

#define BATCHER(run, jobs_max, runs_max)          \
	{                                         \
		(run), (jobs_max), (runs_max), 0, \
		{                                 \
			NULL, NULL                \
		}                                 \
	}

/* Does `job` with others or by itself. A fault that several would share is one job's own: each is
 * then done once more by itself. FAULT_UNKNOWN also when the task ends while others do its job.
 * Suspends. */
enum fault batch_do(struct task *t, struct batcher *batcher, void *job) MUST_CHECK;
