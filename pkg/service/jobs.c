/* SPDX-License-Identifier: Apache-2.0
 * Background work on the first loop. A job's next run is set when the last one has ended: after a
 * fault soon, in growing steps. What changes is logged, not each run. */
#include "service/internal.h"

#include "base/check.h"
#include "base/random.h"
#include "http/trace_context.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { RETRY_US = 1000000 }; /* after the first fault */

static const struct service_job keys_job = {"public_keys", INT64_C(60000000), keys_refresh};

static void add(struct service_thread *first, const struct service_job *what);
static void add_one(struct service_thread *first, const struct service_job *what);
static void fire(struct loop_timer *timer);
static void run(struct task *t, void *arg);
static void done(struct task *t, void *arg);
static void again(struct job *job);
static int64_t next_us(struct job *job);

void jobs_start(struct service_thread *first)
{
	const struct service *const service = process.service;
	const bool has_data = first->pg == NULL || pg_ready(first->pg, NULL);
	const size_t keys_jobs = service_knows_people(service) ? 1 : 0;

	if (atomic_load(&process.draining))
		return;
	if (process.job_count < keys_jobs && (service->fetch_keys == NULL || has_data))
		add(first, &keys_job);
	if (process.job_count == keys_jobs && has_data) {
		for (size_t i = 0; i < service->job_count; i++)
			add(first, &service->jobs[i]);
		for (size_t i = 0; i < events_job_count(); i++)
			add(first, &events_jobs[i]);
		if (spread_job() != NULL)
			add(first, spread_job());
	}
}

void jobs_stop(void)
{
	for (size_t i = 0; i < process.job_count; i++) {
		struct job *const job = &process.jobs[i];

		job->stopped = true;
		loop_timer_clear(job->thread->loop, &job->timer);
		if (job->what == &keys_job && job->task != NULL) /* nobody needs them any more */
			task_cancel(job->task, FAULT_UNAVAILABLE);
	}
}

bool jobs_run(void)
{
	for (size_t i = 0; i < process.job_count; i++)
		if (process.jobs[i].task != NULL)
			return true;
	return false;
}

void jobs_cancel(void)
{
	for (size_t i = 0; i < process.job_count; i++)
		if (process.jobs[i].task != NULL)
			task_cancel(process.jobs[i].task, FAULT_UNAVAILABLE);
}

static void add(struct service_thread *first, const struct service_job *what)
{
	for (unsigned i = 0; i == 0 || i < what->at_once; i++)
		add_one(first, what);
}

static void add_one(struct service_thread *first, const struct service_job *what)
{
	CHECK(process.job_count < sizeof process.jobs / sizeof process.jobs[0]);

	struct job *const job = &process.jobs[process.job_count++];
	const struct metric_label *const labels = LABELS({"job", str_from(what->name)});

	*job = (struct job){
		.what = what, .thread = first, .timer.fire = fire, .retry_us = RETRY_US};
	job->runs = counter_get("bodega_job_runs_total", "Runs of background jobs.", labels);
	job->faults = counter_get("bodega_job_faults_total",
		"Runs of background jobs that ended with a fault.", labels);
	job->seconds = histogram_get("bodega_job_duration_seconds", "How long background jobs ran.",
		&histogram_seconds, labels);
	loop_timer_set(first->loop, &job->timer, loop_now_us(first->loop));
}

static void fire(struct loop_timer *timer)
{
	struct job *const job = CONTAINER_OF(timer, struct job, timer);
	struct loop *const l = job->thread->loop;

	job->started_us = loop_now_us(l);
	if (task_start(l, job->started_us + SERVICE_JOB_US, run, done, job, &job->task) != OK)
		again(job);
}

static void run(struct task *t, void *arg)
{
	struct job *const job = arg;
	const enum fault last = job->last;

	t->actor = STR("system");
	t->traceparent = traceparent_next(t->scope.arena, STR_NONE); /* of all that it causes */
	job->last = job->what->run(t);
	if (job->last != OK && job->last != last)
		log_line(LEVEL_WARN, "job failed", LOG_TEXT("job", job->what->name),
			LOG_FAULT("fault", job->last), LOG_STR("detail", t->scope.detail));
	if (job->last == OK && last != OK)
		log_line(LEVEL_INFO, "job works again", LOG_TEXT("job", job->what->name));
}

static void done(struct task *t, void *arg)
{
	struct job *const job = arg;

	(void)t;
	job->task = NULL;
	counter_inc(job->runs);
	if (job->last != OK)
		counter_inc(job->faults);
	histogram_observe(job->seconds, loop_now_us(job->thread->loop) - job->started_us);
	again(job);
}

/* every_us ± 10 % from now; after a fault other times */
static void again(struct job *job)
{
	const int64_t every_us = next_us(job);
	const int64_t spread_us = (int64_t)random_below((uint64_t)every_us / 5 + 1);
	struct loop *const l = job->thread->loop;

	if (!job->stopped)
		loop_timer_set(
			l, &job->timer, loop_now_us(l) + every_us - every_us / 10 + spread_us);
}

static int64_t next_us(struct job *job)
{
	const int64_t every_us = job->what->every_us;
	const int64_t longest_us = every_us > RETRY_US ? every_us : RETRY_US;
	const int64_t retry_us = job->retry_us < longest_us ? job->retry_us : longest_us;

	job->retry_us = job->last == OK ? RETRY_US : 2 * retry_us;
	return job->last == OK ? every_us : retry_us;
}
