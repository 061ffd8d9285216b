/* SPDX-License-Identifier: Apache-2.0
 * Jobs of several fibers done in one go: who does them, and what each learns. */
#include "base/testing.h"

#include "base/clock.h"
#include "fiber/batch.h"

#define S INT64_C(1000000)

enum { JOBS_MAX = 4, GOES_MAX = 16 };

/* What a fiber asks for. */
struct job {
	int value;
	enum fault fault; /* that batch_do returned */
	bool ended;
	unsigned done; /* how often */
};

/* One run, as the test saw it. */
struct go {
	struct wait *wait; /* while it is under way */
	int values[JOBS_MAX];
	size_t count;
};

static struct loop *loop;
static struct batcher batcher;
static struct go goes[GOES_MAX];
static size_t go_count;
static int refused; /* goes with this value fail with FAULT_CONFLICT */

/* Waits for the test, then does the jobs of those that are still there. */
static enum fault do_jobs(struct task *t, const struct batch *batch)
{
	struct go *go = &goes[go_count++];
	struct wait wait = {0};
	bool is_refused = false;

	go->count = batch_count(batch);
	for (size_t i = 0; i < go->count; i++) {
		go->values[i] = ((struct job *)batch_job(batch, i))->value;
		is_refused = is_refused || go->values[i] == refused;
	}
	go->wait = &wait;
	const enum fault fault = task_wait(t, &wait);
	go->wait = NULL;
	TRY(fault);
	if (is_refused)
		return FAULT_CONFLICT;
	for (size_t i = 0; i < go->count; i++) {
		struct job *job = batch_job(batch, i);
		if (job != NULL)
			job->done++;
	}
	return OK;
}

static void ask(struct task *t, void *arg)
{
	struct job *job = arg;

	job->fault = batch_do(t, &batcher, job);
	job->ended = true;
}

static struct task *start(struct job *job)
{
	struct task *t = NULL;

	assert_int_equal(task_start(loop, clock_monotonic_us() + 60 * S, ask, NULL, job, &t), OK);
	return t;
}

static void start_all(struct job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		start(&jobs[i]);
	loop_turn(loop, 0);
}

static void finish(size_t go, enum fault fault)
{
	assert_non_null(goes[go].wait);
	wait_done(goes[go].wait, fault);
	for (int i = 0; i < 10; i++)
		loop_turn(loop, 0);
}

static int make_loop(void **state)
{
	struct loop_limits limits = LOOP_LIMITS_DEFAULT;

	(void)state;
	limits.tasks_max = 16;
	loop = loop_new(limits);
	batcher = (struct batcher)BATCHER(do_jobs, JOBS_MAX, 1);
	memset(goes, 0, sizeof goes);
	go_count = 0;
	refused = -1;
	return 0;
}

static int free_loop(void **state)
{
	(void)state;
	assert_int_equal(task_count(loop), 0);
	assert_int_equal(batcher.runs, 0);
	loop_free(loop);
	return 0;
}

static void a_single_job_waits_for_nobody(void **state)
{
	struct job job = {.value = 1};

	(void)state;
	start_all(&job, 1);
	assert_int_equal(go_count, 1);
	assert_int_equal(goes[0].count, 1);
	finish(0, OK);
	assert_true(job.ended);
	assert_int_equal(job.fault, OK);
	assert_int_equal(job.done, 1);
}

static void those_that_come_meanwhile_go_together(void **state)
{
	struct job jobs[] = {{.value = 1}, {.value = 2}, {.value = 3}};

	(void)state;
	start_all(jobs, 3);
	assert_int_equal(go_count, 1);
	finish(0, OK);
	assert_true(jobs[0].ended && !jobs[1].ended);
	assert_int_equal(go_count, 2);
	assert_int_equal(goes[1].count, 2);
	assert_int_equal(goes[1].values[0], 2);
	assert_int_equal(goes[1].values[1], 3);
	finish(1, OK);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(jobs[i].fault, OK);
		assert_int_equal(jobs[i].done, 1);
	}
}

static void no_more_go_together_than_allowed(void **state)
{
	struct job jobs[JOBS_MAX + 2] = {{0}};

	(void)state;
	start_all(jobs, JOBS_MAX + 2);
	finish(0, OK);
	assert_int_equal(goes[1].count, JOBS_MAX);
	finish(1, OK);
	assert_int_equal(goes[2].count, 1);
	finish(2, OK);
	assert_int_equal(go_count, 3);
}

static void several_runs_when_allowed(void **state)
{
	struct job jobs[] = {{.value = 1}, {.value = 2}, {.value = 3}};

	(void)state;
	batcher.runs_max = 2;
	start_all(jobs, 3);
	assert_int_equal(go_count, 2);
	finish(1, OK);
	assert_int_equal(go_count, 3);
	finish(0, OK);
	finish(2, OK);
	assert_true(jobs[0].ended && jobs[1].ended && jobs[2].ended);
}

static void who_leaves_the_queue_is_not_done(void **state)
{
	struct job jobs[] = {{.value = 1}, {.value = 2}, {.value = 3}};

	(void)state;
	start(&jobs[0]);
	struct task *leaving = start(&jobs[1]);
	start(&jobs[2]);
	loop_turn(loop, 0);
	task_cancel(leaving, FAULT_CANCELED);
	finish(0, OK);
	assert_int_equal(jobs[1].fault, FAULT_CANCELED);
	assert_int_equal(goes[1].count, 1);
	assert_int_equal(goes[1].values[0], 3);
	finish(1, OK);
	assert_int_equal(jobs[1].done, 0);
	assert_int_equal(jobs[2].fault, OK);
}

static void who_leaves_while_under_way_does_not_know(void **state)
{
	struct job jobs[] = {{.value = 1}, {.value = 2}, {.value = 3}};

	(void)state;
	start_all(jobs, 2);
	struct task *leaving = start(&jobs[2]);
	loop_turn(loop, 0);
	finish(0, OK);
	task_cancel(leaving, FAULT_CANCELED);
	loop_turn(loop, 0);
	assert_true(jobs[2].ended);
	assert_int_equal(jobs[2].fault, FAULT_UNKNOWN);
	finish(1, OK);
	assert_int_equal(jobs[1].done, 1);
	assert_int_equal(jobs[2].done, 0);
}

static void a_leader_that_is_cancelled_does_the_others_jobs(void **state)
{
	struct job jobs[] = {{.value = 1}, {.value = 2}, {.value = 3}};

	(void)state;
	start(&jobs[0]);
	struct task *leader = start(&jobs[1]);
	start(&jobs[2]);
	loop_turn(loop, 0);
	finish(0, OK);
	task_cancel(leader, FAULT_CANCELED);
	loop_turn(loop, 0);
	assert_false(jobs[1].ended);
	finish(1, OK);
	assert_int_equal(jobs[2].fault, OK);
	assert_int_equal(jobs[2].done, 1);
}

static void a_leader_by_itself_can_be_cancelled(void **state)
{
	struct job jobs[] = {{.value = 1}, {.value = 2}};

	(void)state;
	struct task *leader = start(&jobs[0]);
	start(&jobs[1]);
	loop_turn(loop, 0);
	task_cancel(leader, FAULT_CANCELED);
	loop_turn(loop, 0);
	assert_int_equal(jobs[0].fault, FAULT_CANCELED);
	loop_turn(loop, 0);
	finish(1, OK);
	assert_int_equal(jobs[1].fault, OK);
}

static void one_bad_job_harms_no_other(void **state)
{
	struct job jobs[] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};

	(void)state;
	refused = 3;
	start_all(jobs, 4);
	finish(0, OK);
	finish(1, OK); /* all three are refused */
	assert_int_equal(go_count, 5);
	for (size_t i = 2; i < 5; i++)
		finish(i, OK);
	for (size_t i = 0; i < 4; i++) {
		const enum fault wanted = jobs[i].value == refused ? FAULT_CONFLICT : OK;
		assert_int_equal(jobs[i].fault, wanted);
		assert_int_equal(jobs[i].done, wanted == OK);
	}
}

static void what_is_unknown_is_not_done_again(void **state)
{
	struct job jobs[] = {{.value = 1}, {.value = 2}, {.value = 3}};

	(void)state;
	start_all(jobs, 3);
	finish(0, OK);
	finish(1, FAULT_UNKNOWN);
	assert_int_equal(go_count, 2);
	assert_int_equal(jobs[1].fault, FAULT_UNKNOWN);
	assert_int_equal(jobs[2].fault, FAULT_UNKNOWN);
}

#define ON_A_LOOP(test) cmocka_unit_test_setup_teardown(test, make_loop, free_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_LOOP(a_single_job_waits_for_nobody),
		ON_A_LOOP(those_that_come_meanwhile_go_together),
		ON_A_LOOP(no_more_go_together_than_allowed),
		ON_A_LOOP(several_runs_when_allowed),
		ON_A_LOOP(who_leaves_the_queue_is_not_done),
		ON_A_LOOP(who_leaves_while_under_way_does_not_know),
		ON_A_LOOP(a_leader_that_is_cancelled_does_the_others_jobs),
		ON_A_LOOP(a_leader_by_itself_can_be_cancelled),
		ON_A_LOOP(one_bad_job_harms_no_other),
		ON_A_LOOP(what_is_unknown_is_not_done_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
