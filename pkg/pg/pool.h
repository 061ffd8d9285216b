/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "metrics/metrics.h"
#include "pg/conn.h"
#include "pg/names.h"

/* A thread's pools, and what the files of this package tell each other. Private to it. */

enum {
	PG_CLASS_COUNT = PG_WRITE + 1,
	PG_CONNECT_US = 5000000, /* for connecting and preparing together */
	PG_OTHERS_US = 100000, /* all but the first of a pool begin to connect after that */
	PG_BACKOFF_MIN_US = 50000,
	PG_BACKOFF_MAX_US = 2000000,
	PG_WHY_MAX = 256,
	PG_URL_MAX = 2048,
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

/* ---- query.c ---- */

/* What a fiber asked for. */
struct pg_query {
	const struct pg_statement *statement;
	const struct pg_value *values;
	size_t count;
};

/* Whether its triggers write events. */
bool pg_tells(const struct pg_statement *statement);

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

/* ---- fault.c ---- */

bool pg_is_error(const PGresult *result);

/* What an error answer means, recorded in the task's scope. *again: the same may succeed when run
 * again. */
enum fault pg_fault(struct task *t, const struct pg_op *op, bool *again);

/* The session is of no more use: statements are gone, or the server became a replica. */
bool pg_is_stale(const PGresult *result, enum pg_class class);
