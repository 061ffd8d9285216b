/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an operation: who frees it, and who is woken. */
#include "pg/pool.h"

#include "base/check.h"
#include "fiber/task.h"

#include <stdlib.h>

static void op_free(struct pg_op *op);

struct pg_op *pg_op_new(enum pg_op_kind kind, const struct pg_statement *statement)
{
	struct pg_op *op = calloc(1, sizeof *op);

	CHECK(op != NULL);
	op->kind = kind;
	op->statement = statement;
	return op;
}

struct pg_op *pg_op_plain(const char *sql)
{
	struct pg_op *op = pg_op_new(OP_PLAIN, NULL);

	op->sql = sql;
	return op;
}

struct pg_op *pg_op_alone(struct pg_op *op)
{
	op->alone = true;
	return op;
}

void pg_op_end(struct pg_op *op, enum pg_op_end end)
{
	CHECK(op->state != OP_ENDED);
	list_remove(&op->link);
	op->state = OP_ENDED;
	op->end = end;
	if (op->dropped)
		op_free(op);
	else if (op->wait != NULL)
		wait_done(op->wait, OK);
}

enum fault pg_op_wait(struct task *t, struct pg_op *op)
{
	struct wait wait = {.task = t};
	enum fault fault;

	if (op->state == OP_ENDED)
		return OK;
	op->wait = &wait;
	fault = task_wait(t, &wait);
	op->wait = NULL;
	return fault;
}

void pg_op_drop(struct pg_op *op)
{
	switch (op->state) {
	case OP_SENT:
		op->dropped = true;
		op->values = NULL;
		return;
	case OP_QUEUED:
		pg_pool_unqueue(op);
		break;
	case OP_ENDED:
	case OP_NEW:
		break;
	}
	op_free(op);
}

static void op_free(struct pg_op *op)
{
	PQclear(op->result);
	free(op);
}
