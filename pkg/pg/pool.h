/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fiber/loop.h"
#include "metrics/metrics.h"
#include "pg/libpq.h"
#include "pg/names.h"
#include "pg/wire.h"

/* A thread's pools, their connections and what travels on them. Private to the package.
 *
 * A fiber makes an operation (struct pg_op) and submits it to a pool. The pool gives it to a
 * connection at once or queues it; the connection sends it, and when its answer has come wakes the
 * fiber. An operation belongs to its fiber until the fiber gives it up (pg_op_drop): from then on
 * its connection frees it once it has been answered. */

enum {
	PG_CLASS_COUNT = PG_WRITE + 1,
	PG_CONNECT_US = 5000000, /* for connecting and preparing together */
	PG_BACKOFF_MIN_US = 50000,
	PG_BACKOFF_MAX_US = 2000000,
	PG_WHY_MAX = 256,
	PG_URL_MAX = 2048,
};

/* A connection's state is the list of its pool that it is on; pg_conn_move alone moves it. */
enum pg_conn_state {
	CONN_WAITING, /* for its next try to connect */
	CONN_CONNECTING,
	CONN_PREPARING, /* settings, the schema's version, statements */
	CONN_IDLE,
	CONN_BUSY, /* with statements of any fibers */
	CONN_TAKEN, /* by one transaction */
	CONN_CLEANING, /* a transaction let go of it: answers are read, what is open rolled back */
	CONN_STATE_COUNT
};

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
	struct wait *wait; /* NULL while nobody sleeps on it */
	PGresult *result;
	int64_t since_us; /* submitted */
	struct loop_timer patience;
};

struct pg_conn {
	unsigned magic;
	struct list link;
	enum pg_conn_state state;
	struct pg_pool *pool;
	PGconn *pq; /* NULL while waiting, and while a name is looked up */
	struct loop_watch *watch;
	/* of the next try, of connecting, of the answer that is due; as its state says */
	struct loop_timer timer;
	int64_t connect_by_us;
	int64_t heard_us; /* of the last answer, or of the first send after silence */
	unsigned tries; /* to connect, since it was up */
	struct list sent; /* operations in the order of their answers */
	size_t load; /* how many */
	size_t unsynced; /* sent since the last Sync */
	size_t syncs; /* sent and not answered */
	bool cleaned; /* a ROLLBACK has been sent for the transaction left open */
	struct pg_tx *tx;
};

/* What distinguishes the classes. */
struct pg_class_info {
	const char *name;
	const char *settings; /* of the session, set first on each connection */
	size_t depth; /* operations a connection carries at once */
	int64_t answer_us; /* longer silence while an answer is due: the connection is replaced */
};

struct pg_pool {
	struct pg *pg;
	enum pg_class class;
	const struct pg_class_info *info;
	struct list conns[CONN_STATE_COUNT];
	size_t counts[CONN_STATE_COUNT];
	struct list queue; /* operations waiting for a connection, first come first served */
	size_t queued;
	char why[PG_WHY_MAX]; /* the last connection was lost or could not be made */
	bool is_away_told; /* in the log */
	struct gauge *gauges[CONN_STATE_COUNT];
	struct gauge *waiting;
	struct histogram *wait_seconds;
	struct counter *overloaded;
	struct counter *reconnects;
};

struct pg_statement_metrics {
	const struct pg_statement *statement;
	struct histogram *seconds;
};

struct pg {
	unsigned magic;
	struct loop *loop;
	struct pg_config config;
	const struct pg_schema *schema;
	struct pg_pool pools[PG_CLASS_COUNT];
	struct pg_conn *conns;
	size_t conn_count;
	struct pg_names names;
	struct loop_hook turn_end;
	struct pg_statement_metrics *statements; /* sorted by address */
	struct counter *batches; /* Syncs sent */
};

/* ---- pool.c ---- */

/* The calling thread's. */
struct pg *pg_here(void);

/* Where statements of a class run: a class without connections uses those of the writes. */
struct pg_pool *pg_pool_of(struct pg *pg, enum pg_class class);

/* Sends it, queues it for at most patience_us, or ends it at once. */
void pg_pool_submit(struct pg_pool *pool, struct pg_op *op, int64_t patience_us);

/* Gives queued operations to connections that have room. */
void pg_pool_dispatch(struct pg_pool *pool);

/* A connection was lost: when it was the last one, nobody need wait any longer. */
void pg_pool_lost(struct pg_pool *pool);

/* Connections that can carry statements, at once or later. */
size_t pg_pool_up(const struct pg_pool *pool);

/* It leaves the queue, to be sent or given up. */
void pg_pool_unqueue(struct pg_op *op);

struct histogram *pg_statement_seconds(const struct pg *pg, const struct pg_statement *statement);

/* ---- conn.c ---- */

void pg_conn_connect(struct pg_conn *c);
void pg_conn_move(struct pg_conn *c, enum pg_conn_state state);
void pg_conn_send(struct pg_conn *c, struct pg_op *op);
void pg_conn_sync(struct pg_conn *c);

/* A transaction lets go of it: idle as soon as nothing is due and no transaction is open. */
void pg_conn_release(struct pg_conn *c);

/* Ends what it carries, closes it, and tries again after a while. */
void pg_conn_lose(struct pg_conn *c, const char *why);

/* For good. */
void pg_conn_close(struct pg_conn *c);

/* ---- query.c ---- */

/* What a fiber asked for. */
struct pg_query {
	const struct pg_statement *statement;
	const struct pg_value *values;
	size_t count;
};

/* Of an operation that was answered; rows (may be NULL) take the result. */
enum fault pg_answer(
	struct task *t, struct pg_op *op, struct pg_rows *rows, bool *again) MUST_CHECK;

/* The faults, with their details. */
enum fault pg_unknown(struct task *t);
enum fault pg_away(struct task *t);
enum fault pg_overloaded(struct task *t);

/* ---- tx.c ---- */

/* Its connection; NULL when that was lost. */
void pg_tx_given(struct pg_tx *tx, struct pg_conn *c);

/* ---- op.c ---- */

struct pg_op *pg_op_new(enum pg_op_kind kind, const struct pg_statement *statement);
void pg_op_end(struct pg_op *op, enum pg_op_end end);

/* The fiber is done with it, in whatever state it is. */
void pg_op_drop(struct pg_op *op);

/* Sleeps until it has ended. */
enum fault pg_op_wait(struct task *t, struct pg_op *op) MUST_CHECK;

/* ---- fault.c ---- */

bool pg_is_error(const PGresult *result);

/* What an error answer means, recorded in s. *again: the same may succeed when run again. */
enum fault pg_fault(struct task *t, const struct pg_op *op, bool *again);

/* The session is of no more use: statements are gone, or the server became a replica. */
bool pg_is_stale(const PGresult *result, enum pg_class class);
