/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "fiber/task.h"
#include "pg/libpq.h"
#include "pg/pg.h"

/* Operations: what a fiber makes and submits to a pool. The pool gives it to a connection at once
 * or queues it; the connection sends it, and when its answer has come wakes the fiber. An operation
 * belongs to its fiber until the fiber gives it up (pg_op_drop): from then on its connection frees
 * it once it has been answered. Private to the package. */

struct pg_pool;
struct pg_conn;

enum pg_op_kind {
	OP_STATEMENT, /* one of the schema's */
	OP_PLAIN, /* other SQL, without parameters */
	OP_PREPARE,
	OP_CLAIM, /* wants a connection to itself; nothing is sent */
};

enum pg_op_state { OP_NEW, OP_QUEUED, OP_SENT, OP_ENDED };

/* How it ended. */
enum pg_op_end {
	END_ANSWERED, /* result is the answer, which may be an error */
	END_CLAIMED, /* a connection was given to tx */
	END_ABORTED, /* not run: another statement under the same Sync failed */
	END_LOST, /* the connection was lost before the answer */
	END_AWAY, /* not sent: no connection is up */
	END_FULL, /* not sent: the queue is full */
	END_WAITED, /* not sent: waited long enough for a connection */
};

struct pg_op {
	struct list link; /* of the pool's queue or of the connection's FIFO */
	enum pg_op_kind kind;
	enum pg_op_state state;
	enum pg_op_end end;
	bool alone; /* under a Sync of its own, and ended only when that is */
	bool dropped; /* nobody waits for it any more */
	struct pg_pool *pool;
	struct pg_conn *conn; /* that it was sent on */
	struct pg_tx *tx; /* that a connection is wanted for */
	const struct pg_statement *statement;
	const char *sql; /* of OP_PLAIN */
	const struct pg_value *values; /* borrowed from the fiber until sent */
	size_t count;
	struct str traceparent; /* of a statement that tells (pg_schema); borrowed likewise */
	struct wait *wait; /* NULL while nobody sleeps on it */
	PGresult *result;
	int64_t since_us; /* submitted */
	struct loop_timer patience;
};

struct pg_op *pg_op_new(enum pg_op_kind kind, const struct pg_statement *statement);
struct pg_op *pg_op_plain(const char *sql);

/* The same, under a Sync of its own. */
struct pg_op *pg_op_alone(struct pg_op *op);

void pg_op_end(struct pg_op *op, enum pg_op_end end);

/* The fiber is done with it, in whatever state it is. */
void pg_op_drop(struct pg_op *op);

/* Sleeps until it has ended. */
enum fault pg_op_wait(struct task *t, struct pg_op *op) MUST_CHECK;
