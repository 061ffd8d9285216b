/* SPDX-License-Identifier: Apache-2.0
 * A queue, its threads, and the way back. A job is one allocation that travels: queue → thread →
 * message to its loop. The loop's thread alone reads and writes job->wait: NULL there means that
 * nobody waits any more, so what comes back is dropped. */
#include "fiber/blocking.h"

#include "base/check.h"
#include "fiber/private.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 16 };

struct job {
	struct list link; /* in the queue; guarded by its lock */
	struct loop_message message;
	struct loop *loop;
	struct wait *wait;
	void (*fn)(void *arg);
	void (*drop)(void *arg);
	void *arg;
};

struct blocking_pool {
	char name[NAME_MAX_BYTES];
	int niceness;
	size_t queue_max;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list queue;
	size_t queued;
	bool stopping;
	unsigned thread_count;
	pthread_t threads[];
};

static void *run_jobs(void *arg);
static struct job *next_job(struct blocking_pool *p);
static bool enqueue(struct blocking_pool *p, struct job *job);
static bool take_back(struct blocking_pool *p, struct job *job);
static void on_job_done(struct loop_message *message);
static void start_thread(struct blocking_pool *p, pthread_t *thread);

struct blocking_pool *blocking_pool_new(
	const char *name, unsigned threads, size_t queue_max, int niceness)
{
	struct blocking_pool *p = calloc(1, sizeof *p + threads * sizeof p->threads[0]);

	CHECK(p != NULL && threads > 0);
	strncpy(p->name, name, sizeof p->name - 1);
	p->niceness = niceness;
	p->queue_max = queue_max;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	list_init(&p->queue);
	while (p->thread_count < threads)
		start_thread(p, &p->threads[p->thread_count++]);
	return p;
}

void blocking_pool_free(struct blocking_pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	CHECK(p->queued == 0);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

enum fault blocking_run(struct task *t, struct blocking_pool *p, void (*fn)(void *arg),
	void (*drop)(void *arg), void *arg)
{
	struct wait wait = {0};
	struct job *job = malloc(sizeof *job);
	enum fault fault;

	CHECK(job != NULL);
	*job = (struct job){
		.message.run = on_job_done,
		.loop = t->loop,
		.wait = &wait,
		.fn = fn,
		.drop = drop,
		.arg = arg,
	};
	if (!enqueue(p, job)) {
		free(job);
		return fail(&t->scope, FAULT_OVERLOADED, "%zu jobs wait for %s already",
			p->queue_max, p->name);
	}
	t->loop->job_count++;
	fault = task_wait(t, &wait);
	if (wait.done)
		return fault;
	job->wait = NULL;
	if (take_back(p, job))
		on_job_done(&job->message);
	return fault;
}

size_t blocking_queued(struct blocking_pool *p)
{
	size_t queued;

	pthread_mutex_lock(&p->lock);
	queued = p->queued;
	pthread_mutex_unlock(&p->lock);
	return queued;
}

static void *run_jobs(void *arg)
{
	struct blocking_pool *p = arg;
	struct job *job;

	pthread_setname_np(pthread_self(), p->name);
	if (p->niceness != 0) /* of this thread alone, on Linux; without it the work is done too */
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(),
			getpriority(PRIO_PROCESS, (id_t)gettid()) + p->niceness);
	while ((job = next_job(p)) != NULL) {
		job->fn(job->arg);
		loop_post(job->loop, &job->message);
	}
	return NULL;
}

/* Waits for one; NULL when the pool ends. */
static struct job *next_job(struct blocking_pool *p)
{
	struct list *link;

	pthread_mutex_lock(&p->lock);
	while ((link = list_take(&p->queue)) == NULL && !p->stopping)
		pthread_cond_wait(&p->changed, &p->lock);
	if (link != NULL)
		p->queued--;
	pthread_mutex_unlock(&p->lock);
	return link != NULL ? CONTAINER_OF(link, struct job, link) : NULL;
}

static bool enqueue(struct blocking_pool *p, struct job *job)
{
	bool fits;

	pthread_mutex_lock(&p->lock);
	fits = p->queued < p->queue_max;
	if (fits) {
		list_append(&p->queue, &job->link);
		p->queued++;
		pthread_cond_signal(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return fits;
}

/* True when no thread has begun with it, and then none will. */
static bool take_back(struct blocking_pool *p, struct job *job)
{
	bool waits;

	pthread_mutex_lock(&p->lock);
	waits = list_is_linked(&job->link);
	if (waits) {
		list_remove(&job->link);
		p->queued--;
	}
	pthread_mutex_unlock(&p->lock);
	return waits;
}

static void on_job_done(struct loop_message *message)
{
	struct job *job = CONTAINER_OF(message, struct job, message);

	job->loop->job_count--;
	if (job->wait != NULL)
		wait_done(job->wait, OK);
	else
		job->drop(job->arg);
	free(job);
}

/* Signals are for the main thread, which waits for them. */
static void start_thread(struct blocking_pool *p, pthread_t *thread)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	CHECK(pthread_create(thread, NULL, run_jobs, p) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
