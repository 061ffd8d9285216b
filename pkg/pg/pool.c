/* SPDX-License-Identifier: Apache-2.0 */
/* A thread's three pools. An operation goes to a connection with room or waits its turn in one
 * queue, first come first served; a queue has a bound, and nobody waits in it longer than half of
 * the time that is left to the task. */
#include "pg/pool.h"

#include "base/check.h"
#include "base/random.h"
#include "fiber/task.h"
#include "log/log.h"

#include <stdlib.h>

enum { PG_MAGIC = 0x7067 };

#define SECOND_US INT64_C(1000000)

static void pool_init(struct pg_pool *pool, struct pg *pg, enum pg_class class);
static void pool_metrics(struct pg_pool *pool);
static void statement_metrics(struct pg *pg);
static size_t wanted_connections(const struct pg_config *config, enum pg_class class);
static struct pg_conn *connect_all(struct pg_pool *pool, struct pg_conn *conns);
static struct pg_conn *conn_with_room(const struct pg_pool *pool);
static void give(struct pg_conn *c, struct pg_op *op);
static void out_of_patience(struct loop_timer *timer);
static void sync_all(struct loop_hook *hook);

static __thread struct pg *here;

/* A read that writes, and a lock or a transaction that is held for ever, end by the server's own
 * hand even when this process is stopped. Writes go from key to key, by plans that are kept: one
 * made while a table was young and small would scan it when it has grown, with locks held. No
 * statement is so long that compiling it would pay. The settings are the session's: between us and
 * the server may be no pooler that shares sessions by transaction. */
#define SETTINGS(values) \
	"SELECT set_config(name, value, false) FROM (VALUES " values ") AS s (name, value)"

static const struct pg_class_info classes[PG_CLASS_COUNT] = {
	[PG_READ] =
		{
			.name = "read",
			.settings = SETTINGS("('jit', 'off'), ('statement_timeout', '2s'),"
					     " ('default_transaction_read_only', 'on')"),
			.depth = 128,
			.answer_us = 4 * SECOND_US,
		},
	[PG_SLOW] =
		{
			.name = "slow",
			.settings = SETTINGS("('jit', 'off'), ('statement_timeout', '5s'),"
					     " ('default_transaction_read_only', 'on')"),
			.depth = 1,
			.answer_us = 7 * SECOND_US,
		},
	[PG_WRITE] =
		{
			.name = "write",
			.settings = SETTINGS("('jit', 'off'), ('statement_timeout', '5s'),"
					     " ('lock_timeout', '2s'),"
					     " ('idle_in_transaction_session_timeout', '10s'),"
					     " ('plan_cache_mode', 'force_generic_plan'),"
					     " ('enable_seqscan', 'off'),"
					     " ('enable_hashjoin', 'off'),"
					     " ('enable_mergejoin', 'off')"),
			.depth = 1,
			.answer_us = 7 * SECOND_US,
		},
};

static const char *const state_names[CONN_STATE_COUNT] = {
	[CONN_WAITING] = "waiting",
	[CONN_CONNECTING] = "connecting",
	[CONN_PREPARING] = "preparing",
	[CONN_IDLE] = "idle",
	[CONN_BUSY] = "busy",
	[CONN_TAKEN] = "transaction",
	[CONN_CLEANING] = "cleaning",
};

/* ---- life ---- */

struct pg *pg_new(struct loop *l, const struct pg_config *config, const struct pg_schema *schema)
{
	struct pg *pg = calloc(1, sizeof *pg);

	CHECK(pg != NULL && config->write_connections > 0);
	pg->magic = PG_MAGIC;
	pg->loop = l;
	pg->config = *config;
	pg->schema = schema;
	pg->turn_end.run = sync_all;
	pg->names = (struct pg_names){.loop = l, .ended = pg_conns_go_on};
	pg->batches = counter_get("bodega_pg_syncs_total",
		"Pipeline synchronisations sent: one for all reads of a turn, one a write", NULL);
	statement_metrics(pg);
	for (size_t i = 0; i < PG_CLASS_COUNT; i++) {
		pool_init(&pg->pools[i], pg, (enum pg_class)i);
		pg->conn_count += wanted_connections(config, (enum pg_class)i);
	}
	pg->conns = calloc(pg->conn_count, sizeof *pg->conns);
	CHECK(pg->conns != NULL);

	struct pg_conn *next = pg->conns;

	here = pg;
	for (size_t i = 0; i < PG_CLASS_COUNT; i++)
		next = connect_all(&pg->pools[i], next);
	return pg;
}

void pg_free(struct pg *pg)
{
	CHECK_MAGIC(pg, PG_MAGIC);
	for (size_t i = 0; i < PG_CLASS_COUNT; i++)
		CHECK(list_is_empty(&pg->pools[i].queue));
	for (size_t i = 0; i < pg->conn_count; i++)
		pg_conn_close(&pg->conns[i]);
	loop_hook_clear(&pg->turn_end);
	pg_names_free(&pg->names);
	if (here == pg)
		here = NULL;
	free(pg->statements);
	free(pg->conns);
	free(pg);
}

struct pg *pg_here(void)
{
	CHECK(here != NULL);
	return here;
}

bool pg_ready(const struct pg *pg, struct str *why)
{
	CHECK_MAGIC(pg, PG_MAGIC);
	for (size_t i = 0; i < PG_CLASS_COUNT; i++) {
		const struct pg_pool *pool = &pg->pools[i];

		if (wanted_connections(&pg->config, pool->class) == 0 || pg_pool_up(pool) > 0)
			continue;
		if (why != NULL)
			*why = pool->why[0] != '\0' ? str_from(pool->why)
			                            : STR("connecting to the database");
		return false;
	}
	return true;
}

static void pool_init(struct pg_pool *pool, struct pg *pg, enum pg_class class)
{
	pool->pg = pg;
	pool->class = class;
	pool->info = &classes[class];
	list_init(&pool->queue);
	for (size_t i = 0; i < CONN_STATE_COUNT; i++)
		list_init(&pool->conns[i]);
	pool_metrics(pool);
}

static void pool_metrics(struct pg_pool *pool)
{
	const struct str name = str_from(pool->info->name);

	for (size_t i = 0; i < CONN_STATE_COUNT; i++)
		pool->gauges[i] =
			gauge_get("bodega_pg_connections", "Connections by pool and state",
				LABELS({"pool", name}, {"state", str_from(state_names[i])}));
	pool->waiting = gauge_get("bodega_pg_waiting",
		"Statements and transactions waiting for a connection", LABELS({"pool", name}));
	pool->wait_seconds = histogram_get("bodega_pg_wait_seconds",
		"Time in the queue of those that had to wait for a connection", &histogram_seconds,
		LABELS({"pool", name}));
	pool->overloaded = counter_get("bodega_pg_overloaded_total",
		"Refused because the queue was full, or given up after waiting in it",
		LABELS({"pool", name}));
	pool->reconnects = counter_get("bodega_pg_reconnects_total",
		"Connections lost or not made, each of which is tried again",
		LABELS({"pool", name}));
}

static int by_address(const void *a, const void *b)
{
	const struct pg_statement_metrics *x = a, *y = b;

	return (x->statement > y->statement) - (x->statement < y->statement);
}

static void statement_metrics(struct pg *pg)
{
	const size_t count = pg->schema->statement_count;

	pg->statements = calloc(count + 1, sizeof *pg->statements);
	CHECK(pg->statements != NULL);
	for (size_t i = 0; i < count; i++) {
		const struct pg_statement *statement = pg->schema->statements[i];

		pg->statements[i] = (struct pg_statement_metrics){
			.statement = statement,
			.seconds = histogram_get("bodega_pg_query_seconds",
				"Time from the call to its answer", &histogram_seconds,
				LABELS({"statement", str_from(statement->name)})),
		};
	}
	qsort(pg->statements, count, sizeof *pg->statements, by_address);
}

struct histogram *pg_statement_seconds(const struct pg *pg, const struct pg_statement *statement)
{
	const struct pg_statement_metrics key = {.statement = statement};
	const struct pg_statement_metrics *found = bsearch(&key, pg->statements,
		pg->schema->statement_count, sizeof *pg->statements, by_address);

	CHECK(found != NULL); /* it is missing in the schema's list */
	return found->seconds;
}

static size_t wanted_connections(const struct pg_config *config, enum pg_class class)
{
	switch (class) {
	case PG_READ:
		return config->read_connections;
	case PG_SLOW:
		return config->slow_connections;
	case PG_WRITE:
		break;
	}
	return config->write_connections;
}

/* Takes its connections off the front of the array. The first connects at once, the others when
 * it has had time to: a server that begins many sessions at a time is slow with each, and the
 * first one is what readiness waits for. */
static struct pg_conn *connect_all(struct pg_pool *pool, struct pg_conn *conns)
{
	struct loop *const l = pool->pg->loop;
	struct pg_conn *const first = conns;
	struct pg_conn *const end = conns + wanted_connections(&pool->pg->config, pool->class);

	for (; conns != end; conns++) {
		pg_conn_init(conns, pool);
		if (conns == first) {
			pg_conn_connect(conns);
			continue;
		}
		pg_conn_move(conns, CONN_WAITING);
		loop_timer_set(l, &conns->timer,
			loop_now_us(l) + PG_OTHERS_US + (int64_t)random_below(PG_OTHERS_US));
	}
	return end;
}

/* ---- the queue ---- */

struct pg_pool *pg_pool_of(struct pg *pg, enum pg_class class)
{
	return &pg->pools[wanted_connections(&pg->config, class) > 0 ? class : PG_WRITE];
}

size_t pg_pool_up(const struct pg_pool *pool)
{
	return pool->counts[CONN_IDLE] + pool->counts[CONN_BUSY] + pool->counts[CONN_TAKEN] +
	       pool->counts[CONN_CLEANING];
}

void pg_pool_submit(struct pg_pool *pool, struct pg_op *op, int64_t patience_us)
{
	struct pg_conn *c;

	op->pool = pool;
	op->since_us = loop_now_us(pool->pg->loop);
	if (pg_pool_up(pool) == 0) {
		pg_op_end(op, END_AWAY);
		return;
	}
	c = conn_with_room(pool); /* there is none while others wait */
	if (c != NULL) {
		give(c, op);
		return;
	}
	if (pool->queued >= pool->pg->config.queue_max) {
		counter_inc(pool->overloaded);
		pg_op_end(op, END_FULL);
		return;
	}
	op->state = OP_QUEUED;
	list_append(&pool->queue, &op->link);
	pool->queued++;
	gauge_add(pool->waiting, 1);
	op->patience.fire = out_of_patience;
	loop_timer_set(pool->pg->loop, &op->patience, op->since_us + patience_us);
}

void pg_pool_dispatch(struct pg_pool *pool)
{
	struct pg_conn *c;

	while (!list_is_empty(&pool->queue) && (c = conn_with_room(pool)) != NULL) {
		struct pg_op *op = CONTAINER_OF(pool->queue.next, struct pg_op, link);

		pg_pool_unqueue(op);
		histogram_observe(pool->wait_seconds, loop_now_us(pool->pg->loop) - op->since_us);
		give(c, op);
	}
}

void pg_pool_lost(struct pg_pool *pool)
{
	while (pg_pool_up(pool) == 0 && !list_is_empty(&pool->queue)) {
		struct pg_op *op = CONTAINER_OF(pool->queue.next, struct pg_op, link);

		pg_pool_unqueue(op);
		pg_op_end(op, END_AWAY);
	}
}

/* The least loaded one. */
static struct pg_conn *conn_with_room(const struct pg_pool *pool)
{
	const struct list *busy = &pool->conns[CONN_BUSY];
	struct pg_conn *best = NULL;

	if (!list_is_empty(&pool->conns[CONN_IDLE]))
		return CONTAINER_OF(pool->conns[CONN_IDLE].next, struct pg_conn, link);
	if (pool->info->depth == 1)
		return NULL;
	for (struct list *l = busy->next; l != busy; l = l->next) {
		struct pg_conn *c = CONTAINER_OF(l, struct pg_conn, link);

		if (c->load < pool->info->depth && (best == NULL || c->load < best->load))
			best = c;
	}
	return best;
}

static void give(struct pg_conn *c, struct pg_op *op)
{
	if (op->kind == OP_CLAIM) {
		pg_conn_move(c, CONN_TAKEN);
		c->tx = op->tx;
		pg_tx_given(op->tx, c);
		pg_op_end(op, END_CLAIMED);
		return;
	}
	if (c->state == CONN_IDLE)
		pg_conn_move(c, CONN_BUSY);
	if (op->alone && c->unsynced > 0)
		pg_conn_sync(c); /* its neighbours are under theirs */
	if (c->pq == NULL) {
		pg_op_end(op, END_LOST);
		return;
	}
	if (!op->alone)
		loop_at_turn_end(c->pool->pg->loop, &c->pool->pg->turn_end);
	pg_conn_send(c, op);
}

void pg_pool_unqueue(struct pg_op *op)
{
	list_remove(&op->link);
	op->pool->queued--;
	gauge_add(op->pool->waiting, -1);
	loop_timer_clear(op->pool->pg->loop, &op->patience);
}

static void out_of_patience(struct loop_timer *timer)
{
	struct pg_op *op = CONTAINER_OF(timer, struct pg_op, patience);

	pg_pool_unqueue(op);
	counter_inc(op->pool->overloaded);
	pg_op_end(op, END_WAITED);
}

/* ---- end of turn ---- */

static void sync_all(struct loop_hook *hook)
{
	struct pg *pg = CONTAINER_OF(hook, struct pg, turn_end);

	for (size_t i = 0; i < pg->conn_count; i++)
		if (pg->conns[i].unsynced > 0)
			pg_conn_sync(&pg->conns[i]);
}
