/* SPDX-License-Identifier: Apache-2.0
 * Who leads and who follows. A member belongs to its own fiber while it waits, and to the fiber
 * that leads while it is under way; whoever holds it last frees it. */
#include "fiber/batch.h"

#include "base/check.h"

#include <stdlib.h>

enum member_state {
	MEMBER_WAITING, /* in the batcher's list */
	MEMBER_LEADING,
	MEMBER_UNDER_WAY, /* another fiber does its job */
	MEMBER_ENDED,
	MEMBER_ALONE, /* to be done by itself */
};

struct member {
	struct list link;
	enum member_state state;
	struct wait *wait; /* its fiber sleeps on it */
	void *job; /* NULL: its fiber has left */
	enum fault fault;
};

struct batch {
	size_t count;
	struct member **members;
};

static struct member *member_new(void *job);
static enum fault follow(struct task *t, struct batcher *b, struct member *m);
static enum fault leave(struct task *t, struct member *m, enum fault fault);
static enum fault lead(struct task *t, struct batcher *b, struct member *m);
static enum fault run(struct task *t, struct batcher *b, const struct batch *batch);
static enum fault run_alone(struct task *t, struct batcher *b, struct member *m);
static void gather(struct task *t, struct batcher *b, struct member *m, struct batch *batch);
static void dismiss(struct member *m, enum fault fault);
static void pass_on(struct batcher *b);
static void wake(struct member *m, enum member_state state);

size_t batch_count(const struct batch *batch)
{
	return batch->count;
}

void *batch_job(const struct batch *batch, size_t i)
{
	CHECK(i < batch->count);
	return batch->members[i]->job;
}

enum fault batch_do(struct task *t, struct batcher *b, void *job)
{
	struct member *m = member_new(job);

	if (b->waiting.next == NULL)
		list_init(&b->waiting);
	if (b->runs < b->runs_max) {
		b->runs++;
		return lead(t, b, m);
	}
	list_append(&b->waiting, &m->link);
	return follow(t, b, m);
}

static struct member *member_new(void *job)
{
	struct member *m = calloc(1, sizeof *m);

	CHECK(m != NULL && job != NULL);
	m->job = job;
	return m;
}

static enum fault follow(struct task *t, struct batcher *b, struct member *m)
{
	struct wait wait = {0};

	m->wait = &wait;
	const enum fault fault = task_wait(t, &wait);
	m->wait = NULL;
	if (fault != OK)
		return leave(t, m, fault);
	if (m->state == MEMBER_LEADING)
		return lead(t, b, m);
	if (m->state == MEMBER_ALONE)
		return run_alone(t, b, m);

	const enum fault ended = m->fault;
	CHECK(m->state == MEMBER_ENDED);
	free(m);
	return ended == FAULT_UNKNOWN ? fail(&t->scope, ended, "the answer was lost") : ended;
}

/* Its task has ended before it was woken. */
static enum fault leave(struct task *t, struct member *m, enum fault fault)
{
	if (m->state == MEMBER_UNDER_WAY) {
		m->job = NULL; /* the one that leads frees it */
		return fail(&t->scope, FAULT_UNKNOWN, "nobody waited for the answer");
	}
	CHECK(m->state == MEMBER_WAITING);
	list_remove(&m->link);
	free(m);
	return fault;
}

static enum fault lead(struct task *t, struct batcher *b, struct member *m)
{
	struct batch batch;

	gather(t, b, m, &batch);
	const enum fault fault = run(t, b, &batch);
	pass_on(b);
	for (size_t i = 1; i < batch.count; i++)
		dismiss(batch.members[i], fault);
	if (batch.count > 1 && fault != OK && fault != FAULT_UNKNOWN) {
		scope_forgive(&t->scope);
		return run_alone(t, b, m);
	}
	free(m);
	return fault;
}

/* Itself first, then those that have waited longest. */
static void gather(struct task *t, struct batcher *b, struct member *m, struct batch *batch)
{
	struct list *link;

	batch->members = arena_alloc_array(t->scope.arena, b->jobs_max, sizeof(struct member *));
	batch->members[0] = m;
	batch->count = 1;
	while (batch->count < b->jobs_max && (link = list_take(&b->waiting)) != NULL) {
		struct member *next = CONTAINER_OF(link, struct member, link);

		next->state = MEMBER_UNDER_WAY;
		batch->members[batch->count++] = next;
	}
}

/* The others' jobs do not depend on whether this task is still wanted, and are not of its trace. */
static enum fault run(struct task *t, struct batcher *b, const struct batch *batch)
{
	const struct str traceparent = t->traceparent;

	if (batch->count == 1)
		return b->run(t, batch);
	task_shield(t);
	t->traceparent = STR_NONE;
	const enum fault fault = b->run(t, batch);
	t->traceparent = traceparent;
	task_unshield(t);
	return fault;
}

static enum fault run_alone(struct task *t, struct batcher *b, struct member *m)
{
	const struct batch batch = {.count = 1, .members = &m};
	const enum fault fault = b->run(t, &batch);

	free(m);
	return fault;
}

static void dismiss(struct member *m, enum fault fault)
{
	m->fault = fault;
	if (m->job == NULL)
		free(m);
	else
		wake(m, fault == OK || fault == FAULT_UNKNOWN ? MEMBER_ENDED : MEMBER_ALONE);
}

/* The next one leads; when nobody waits, the run is over. */
static void pass_on(struct batcher *b)
{
	struct list *link = list_take(&b->waiting);

	if (link == NULL)
		b->runs--;
	else
		wake(CONTAINER_OF(link, struct member, link), MEMBER_LEADING);
}

static void wake(struct member *m, enum member_state state)
{
	m->state = state;
	wait_done(m->wait, OK);
}
