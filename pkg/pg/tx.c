/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions. BEGIN travels with the first statement, so that it costs no round trip. The first
 * fault dooms a transaction: whatever its owner does then, it is rolled back. Letting go never
 * waits: the connection cleans itself and is idle only outside a transaction. */
#include "pg/pool.h"

#include "base/check.h"
#include "fiber/task.h"

struct pg_tx {
	struct task *task;
	struct pg_conn *conn; /* NULL: lost, or nothing is held any more */
	struct deferred *clean_up;
	bool begun;
	bool again; /* the same may succeed when run again */
	enum fault fault; /* the first one */
};

static enum fault statement(
	struct task *t, struct pg_tx *tx, const struct pg_query *query, struct pg_rows *rows);
static void send_begin(struct pg_tx *tx);
static enum fault commit(struct task *t, struct pg_tx *tx);
static enum fault committed(struct task *t, struct pg_tx *tx, struct pg_op *op);
static void let_go(void *arg);
static bool has_one(const struct task *t);

enum fault pg_begin(struct task *t, struct pg_tx **tx)
{
	struct pg_tx *new = scope_alloc(&t->scope, sizeof *new);
	struct pg_op *op = pg_op_new(OP_CLAIM, NULL);
	enum fault fault;

	CHECK(!has_one(t));
	*tx = NULL;
	new->task = t;
	op->tx = new;
	pg_pool_submit(pg_pool_of(pg_here(), PG_WRITE), op, task_left_us(t) / 2);
	fault = pg_op_wait(t, op);
	if (fault == OK && op->end != END_CLAIMED)
		fault = op->end == END_AWAY ? pg_away(t) : pg_overloaded(t);
	pg_op_drop(op);
	if (fault != OK)
		return fault;
	new->clean_up = scope_defer(&t->scope, let_go, new);
	*tx = new;
	return OK;
}

enum fault pg_tx_query(struct task *t, struct pg_tx *tx, const struct pg_statement *stmt,
	const struct pg_value *values, size_t count, struct pg_rows *rows)
{
	const struct pg_query query = {stmt, values, count};

	CHECK(tx->task == t);
	if (tx->fault == OK)
		tx->fault = tx->conn != NULL ? statement(t, tx, &query, rows) : pg_away(t);
	return tx->fault;
}

static enum fault statement(
	struct task *t, struct pg_tx *tx, const struct pg_query *query, struct pg_rows *rows)
{
	struct pg_op *op;
	enum fault fault;

	if (!tx->begun)
		send_begin(tx);
	if (tx->conn == NULL)
		return pg_away(t);
	op = pg_op_alone(pg_op_new(OP_STATEMENT, query->statement));
	op->since_us = loop_now_us(t->loop);
	op->values = query->values;
	op->count = query->count;
	if (pg_tells(query->statement))
		op->traceparent = t->traceparent;
	pg_conn_send(tx->conn, op);
	fault = pg_op_wait(t, op);
	if (fault == OK)
		fault = op->end == END_ANSWERED ? pg_answer(t, op, rows, &tx->again) : pg_away(t);
	pg_op_drop(op);
	return fault;
}

static void send_begin(struct pg_tx *tx)
{
	tx->begun = true;
	pg_conn_send_own(tx->conn, pg_op_plain("BEGIN ISOLATION LEVEL READ COMMITTED"));
}

enum fault pg_commit(struct task *t, struct pg_tx **tx)
{
	enum fault fault;

	CHECK((*tx)->task == t);
	task_shield(t);
	fault = commit(t, *tx);
	task_unshield(t);
	pg_rollback(tx);
	return fault;
}

static enum fault commit(struct task *t, struct pg_tx *tx)
{
	struct pg_op *op;
	enum fault fault;

	if (tx->fault != OK)
		return tx->fault;
	if (tx->conn == NULL)
		return pg_away(t);
	if (!tx->begun)
		return OK;
	op = pg_op_alone(pg_op_plain("COMMIT"));
	pg_conn_send(tx->conn, op);
	fault = pg_op_wait(t, op);
	fault = fault == OK && op->end == END_ANSWERED ? committed(t, tx, op) : pg_unknown(t);
	pg_op_drop(op);
	return fault;
}

/* The server answers a COMMIT of what had failed with ROLLBACK. */
static enum fault committed(struct task *t, struct pg_tx *tx, struct pg_op *op)
{
	TRY(pg_answer(t, op, NULL, &tx->again));
	if (strcmp(PQcmdStatus(op->result), "COMMIT") == 0)
		return OK;
	return fail(&t->scope, FAULT_INTERNAL, "a failed transaction was to be committed");
}

void pg_rollback(struct pg_tx **tx)
{
	if (*tx == NULL)
		return;
	scope_undefer(&(*tx)->task->scope, &(*tx)->clean_up);
	let_go(*tx);
	*tx = NULL;
}

enum fault pg_transact(
	struct task *t, enum fault (*work)(struct task *t, struct pg_tx *tx, void *arg), void *arg)
{
	for (unsigned reruns = 0;; reruns++) {
		struct pg_tx *tx, *same;
		enum fault fault;

		TRY(pg_begin(t, &tx));
		same = tx; /* lives in the scope: may be looked at after its end */
		fault = work(t, tx, arg);
		if (fault == OK)
			fault = pg_commit(t, &tx);
		else
			pg_rollback(&tx);
		if (fault == OK || !same->again || reruns == PG_RERUNS_MAX)
			return fault;
		scope_forgive(&t->scope);
	}
}

static void let_go(void *arg)
{
	struct pg_tx *tx = arg;

	if (tx->conn != NULL)
		pg_conn_release(tx->conn);
	tx->conn = NULL;
}

void pg_tx_given(struct pg_tx *tx, struct pg_conn *c)
{
	tx->conn = c;
}

static bool has_one(const struct task *t)
{
	const struct list *taken = &pg_pool_of(pg_here(), PG_WRITE)->conns[CONN_TAKEN];

	for (const struct list *l = taken->next; l != taken; l = l->next) {
		const struct pg_conn *c = CONTAINER_OF(l, struct pg_conn, link);

		if (c->tx != NULL && c->tx->task == t)
			return true;
	}
	return false;
}
