/* SPDX-License-Identifier: Apache-2.0 */
/* Statements outside a transaction: one call, one operation, unless the database says that the same
 * may succeed when run again. */
#include "pg/pool.h"

#include "base/check.h"
#include "fiber/task.h"

#include <stdlib.h>

static enum fault query_once(
	struct task *t, const struct pg_query *query, struct pg_rows *rows, bool *again);
static enum fault run_in_pool(
	struct task *t, const struct pg_query *query, bool alone, struct pg_op **op, bool *is_sent);
static enum fault not_answered(struct task *t, const struct pg_op *op);
static void free_result(void *result);

enum fault pg_query(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_rows *rows)
{
	const struct pg_query query = {statement, values, count};

	for (unsigned reruns = 0;; reruns++) {
		bool again = false;
		const enum fault fault = query_once(t, &query, rows, &again);

		if (!again || reruns == PG_RERUNS_MAX)
			return fault;
		scope_forgive(&t->scope);
	}
}

enum fault pg_query_row(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_row *row)
{
	struct pg_rows *rows = scope_alloc(&t->scope, sizeof *rows);

	TRY(pg_query(t, statement, values, count, rows));
	CHECK(rows->count <= 1);
	if (rows->count == 0)
		return FAULT_NOT_FOUND;
	*row = pg_row(rows, 0);
	return OK;
}

/* A read that was not run because a neighbour under the same Sync failed is sent once more, under
 * its own. A write whose answer does not come, for whatever reason, may have happened. */
static enum fault query_once(
	struct task *t, const struct pg_query *query, struct pg_rows *rows, bool *again)
{
	const bool writes = query->statement->class == PG_WRITE;
	struct pg_op *op;
	bool is_sent;
	enum fault fault = run_in_pool(t, query, writes, &op, &is_sent);

	if (fault == OK && op->end == END_ABORTED && !writes) {
		pg_op_drop(op);
		fault = run_in_pool(t, query, true, &op, &is_sent);
	}
	if (fault == OK)
		fault = op->end == END_ANSWERED ? pg_answer(t, op, rows, again)
		                                : not_answered(t, op);
	else if (writes && is_sent)
		fault = pg_unknown(t);
	pg_op_drop(op);
	return fault;
}

static enum fault run_in_pool(
	struct task *t, const struct pg_query *query, bool alone, struct pg_op **op, bool *is_sent)
{
	struct pg_pool *pool = pg_pool_of(pg_here(), query->statement->class);
	enum fault fault;

	*op = pg_op_new(OP_STATEMENT, query->statement);
	(*op)->alone = alone || pool->class == PG_WRITE;
	(*op)->values = query->values;
	(*op)->count = query->count;
	if (pg_tells(query->statement))
		(*op)->traceparent = t->traceparent;
	pg_pool_submit(pool, *op, task_left_us(t) / 2);
	fault = pg_op_wait(t, *op);
	*is_sent = (*op)->state == OP_SENT;
	return fault;
}

static enum fault not_answered(struct task *t, const struct pg_op *op)
{
	switch (op->end) {
	case END_LOST:
		if (op->statement->class == PG_WRITE)
			return pg_unknown(t);
		return pg_away(t);
	case END_FULL:
	case END_WAITED:
		return pg_overloaded(t);
	default:
		return pg_away(t);
	}
}

/* ---- shared with transactions ---- */

bool pg_tells(const struct pg_statement *statement)
{
	const struct pg_schema *const schema = pg_here()->schema;

	for (size_t i = 0; i < schema->telling_count; i++)
		if (schema->telling[i] == statement)
			return true;
	return false;
}

enum fault pg_answer(struct task *t, struct pg_op *op, struct pg_rows *rows, bool *again)
{
	const struct pg *pg = op->conn->pool->pg;
	const char *affected;

	if (op->statement != NULL)
		histogram_observe(pg_statement_seconds(pg, op->statement),
			loop_now_us(pg->loop) - op->since_us);
	if (pg_is_error(op->result))
		return pg_fault(t, op, again);
	if (rows == NULL)
		return OK;
	affected = PQcmdTuples(op->result);
	*rows = (struct pg_rows){
		.count = (size_t)PQntuples(op->result),
		.affected = (size_t)strtoull(affected, NULL, 10),
		.result = op->result,
	};
	scope_defer(&t->scope, free_result, op->result);
	op->result = NULL;
	return OK;
}

enum fault pg_unknown(struct task *t)
{
	return fail(&t->scope, FAULT_UNKNOWN, "the database's answer was lost");
}

enum fault pg_away(struct task *t)
{
	return fail(&t->scope, FAULT_UNAVAILABLE, "the database is away");
}

enum fault pg_overloaded(struct task *t)
{
	return fail(&t->scope, FAULT_OVERLOADED, "too many wait for the database");
}

static void free_result(void *result)
{
	PQclear(result);
}
