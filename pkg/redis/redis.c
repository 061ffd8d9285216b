/* SPDX-License-Identifier: Apache-2.0
 * Commands from fibers. A task that stops waiting leaves its command behind; the answer is read and
 * thrown away, so that the answers after it still belong to their commands. */
#include "redis/redis.h"

#include "base/check.h"
#include "redis/link.h"

/* On the fiber's stack while it waits. */
struct call {
	struct wait wait;
	struct redis_reply *reply;
};

static void on_answer(struct redis_op *op, enum fault fault, const redisReply *answer);
static enum fault read_answer(struct scope *s, const redisReply *answer, struct redis_reply *reply);
static void copy_answer(struct scope *s, const redisReply *answer, struct redis_reply *reply);

enum fault redis_command(
	struct task *t, const struct str *words, size_t count, struct redis_reply *reply)
{
	struct redis *r = redis_here();
	struct call call = {.wait.task = t, .reply = reply};
	struct redis_op *op;

	CHECK(r != NULL);
	TRY(redis_send(r, words, count, on_answer, &call, &op));
	const enum fault fault = task_wait(t, &call.wait);
	if (!call.wait.done)
		op->done = NULL;
	return fault;
}

static void on_answer(struct redis_op *op, enum fault fault, const redisReply *answer)
{
	struct call *call = op->arg;

	if (fault == OK)
		fault = read_answer(&call->wait.task->scope, answer, call->reply);
	wait_done(&call->wait, fault);
}

static enum fault read_answer(struct scope *s, const redisReply *answer, struct redis_reply *reply)
{
	if (answer->type == REDIS_REPLY_ERROR)
		return fail(s, FAULT_INTERNAL, "Redis: %s", answer->str);
	copy_answer(s, answer, reply);
	return OK;
}

static void copy_answer(struct scope *s, const redisReply *answer, struct redis_reply *reply)
{
	*reply = (struct redis_reply){.type = REDIS_NIL};
	switch (answer->type) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
	case REDIS_REPLY_ERROR: /* inside an array */
		reply->type = REDIS_TEXT;
		reply->text = scope_dup(s, str_of(answer->str, answer->len));
		break;
	case REDIS_REPLY_INTEGER:
		reply->type = REDIS_INTEGER;
		reply->integer = answer->integer;
		break;
	case REDIS_REPLY_ARRAY:
		reply->type = REDIS_ARRAY;
		reply->count = answer->elements;
		reply->items =
			arena_alloc_array(s->arena, answer->elements + 1, sizeof reply->items[0]);
		for (size_t i = 0; i < answer->elements; i++)
			copy_answer(s, answer->element[i], &reply->items[i]);
		break;
	default:
		break;
	}
}
