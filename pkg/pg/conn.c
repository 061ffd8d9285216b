/* SPDX-License-Identifier: Apache-2.0 */
/* One connection in libpq's pipeline mode: sending, reading answers, losing (connect.c makes it).
 * Answers come in the order of what was sent; each operation gives results and then NULL, each Sync
 * gives one result of its own. What runs under one Sync is one implicit transaction: it is durable,
 * and has really succeeded, only when the Sync has been answered. That is why writes have a Sync of
 * their own and end with it ("alone"), while reads share one and end as they are answered. */
#include "pg/pool.h"

#include "base/check.h"
#include "log/log.h"
#include "pg/wire.h"

enum { CONN_MAGIC = 0x7067636e };

static void is_up(struct pg_conn *c);
static bool put(struct pg_conn *c, struct pg_op *op);
static bool put_trace(struct pg_conn *c, struct str traceparent);
static void flush(struct pg_conn *c);
static void on_readable(void *owner);
static void on_writable(void *owner);
static void receive(struct pg_conn *c);
static void result_came(struct pg_conn *c, PGresult *result);
static void query_ended(struct pg_conn *c);
static void sync_ended(struct pg_conn *c);
static void op_answered(struct pg_conn *c, struct pg_op *op);
static void settle(struct pg_conn *c);
static bool is_quiet(const struct pg_conn *c);
static struct pg_op *first_sent(const struct pg_conn *c);
static void expect_answer(struct pg_conn *c);
static void on_timer(struct loop_timer *timer);
static void close_session(struct pg_conn *c);
static void set_why(struct pg_conn *c, const char *why);

static const struct loop_watch_events events = {on_readable, on_writable};

void pg_conn_init(struct pg_conn *c, struct pg_pool *pool)
{
	c->magic = CONN_MAGIC;
	c->pool = pool;
	c->timer.fire = on_timer;
	list_init(&c->sent);
}

/* ---- its socket ---- */

/* PQconnectPoll may go on with another socket (next address, TLS refused) under the same number. */
bool pg_conn_watch(struct pg_conn *c, bool readable, bool writable)
{
	loop_watch_free(&c->watch);
	c->watch = loop_watch_new(c->pool->pg->loop, PQsocket(c->pq), &events, c);
	if (c->watch == NULL) {
		pg_conn_lose(c, "no file descriptor is left");
		return false;
	}
	if (!readable)
		loop_watch_read(c->watch, false);
	if (writable)
		loop_watch_write(c->watch);
	return true;
}

/* ---- sending ---- */

void pg_conn_send(struct pg_conn *c, struct pg_op *op)
{
	const bool sent = put(c, op);

	expect_answer(c);
	op->state = OP_SENT;
	op->conn = c;
	op->values = NULL;
	list_append(&c->sent, &op->link);
	c->load++;
	c->unsynced++;
	if (!sent)
		pg_conn_lose(c, PQerrorMessage(c->pq));
	else if (op->alone)
		pg_conn_sync(c);
}

void pg_conn_send_own(struct pg_conn *c, struct pg_op *op)
{
	op->dropped = true;
	if (c->pq != NULL)
		pg_conn_send(c, op);
	else
		pg_op_end(op, END_LOST);
}

/* Into libpq's buffer; false when the connection is broken. */
static bool put(struct pg_conn *c, struct pg_op *op)
{
	struct pg_params params;

	switch (op->kind) {
	case OP_PREPARE:
		return PQsendPrepare(c->pq, op->statement->name, op->statement->sql, 0, NULL) == 1;
	case OP_PLAIN:
		return PQsendQueryParams(c->pq, op->sql, 0, NULL, NULL, NULL, NULL, 1) == 1;
	case OP_STATEMENT:
		if (op->traceparent.len > 0 && !put_trace(c, op->traceparent))
			return false;
		pg_params_set(&params, op->values, op->count);
		if (op->statement->plan_each_time)
			return PQsendQueryParams(c->pq, op->statement->sql, (int)op->count, NULL,
				       params.at, params.len, params.format, 1) == 1;
		return PQsendQueryPrepared(c->pq, op->statement->name, (int)op->count, params.at,
			       params.len, params.format, 1) == 1;
	case OP_CLAIM:
		break;
	}
	CHECK(!"a claim is not sent");
	return false;
}

/* Under the same Sync, so it costs no round trip and holds for this transaction alone. */
static bool put_trace(struct pg_conn *c, struct str traceparent)
{
	const struct pg_value value = pg_text(traceparent);
	struct pg_params params;

	pg_params_set(&params, &value, 1);
	return PQsendQueryPrepared(
		       c->pq, pg_trace.name, 1, params.at, params.len, params.format, 1) == 1;
}

void pg_conn_sync(struct pg_conn *c)
{
	if (PQpipelineSync(c->pq) != 1) {
		pg_conn_lose(c, PQerrorMessage(c->pq));
		return;
	}
	c->unsynced = 0;
	c->syncs++;
	counter_inc(c->pool->pg->batches);
	flush(c);
}

static void flush(struct pg_conn *c)
{
	const int left = PQflush(c->pq);

	if (left < 0)
		pg_conn_lose(c, PQerrorMessage(c->pq));
	else if (left > 0)
		loop_watch_write(c->watch);
}

/* ---- answers ---- */

static void on_readable(void *owner)
{
	struct pg_conn *c = owner;

	CHECK_MAGIC(c, CONN_MAGIC);
	if (c->state == CONN_CONNECTING) {
		pg_conn_connect_step(c);
		return;
	}

	const bool open = PQconsumeInput(c->pq) == 1;

	receive(c);
	if (!open && c->pq != NULL)
		pg_conn_lose(c, PQerrorMessage(c->pq));
}

static void on_writable(void *owner)
{
	struct pg_conn *c = owner;

	CHECK_MAGIC(c, CONN_MAGIC);
	if (c->state == CONN_CONNECTING)
		pg_conn_connect_step(c);
	else
		flush(c);
}

static void receive(struct pg_conn *c)
{
	unsigned nulls = 0;

	while (c->pq != NULL && !is_quiet(c) && !PQisBusy(c->pq)) {
		PGresult *result = PQgetResult(c->pq);

		nulls = result == NULL ? nulls + 1 : 0;
		if (nulls > 1 || PQstatus(c->pq) == CONNECTION_BAD) {
			PQclear(result);
			pg_conn_lose(c, PQerrorMessage(c->pq));
			return;
		}
		c->heard_us = loop_now_us(c->pool->pg->loop);
		if (result == NULL) {
			query_ended(c);
		} else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
			PQclear(result);
			sync_ended(c);
		} else {
			result_came(c, result);
		}
	}
	if (c->pq != NULL)
		settle(c);
}

/* A second result replaces the first: it comes from a failing Sync, which is a failing commit, or
 * the first was that of putting the trace. */
static void result_came(struct pg_conn *c, PGresult *result)
{
	struct pg_op *op = first_sent(c);

	if (op == NULL) {
		PQclear(result);
		return;
	}
	PQclear(op->result);
	op->result = result;
}

static void query_ended(struct pg_conn *c)
{
	struct pg_op *op = first_sent(c);

	if (op != NULL && op->result != NULL && !op->alone)
		op_answered(c, op);
}

static void sync_ended(struct pg_conn *c)
{
	struct pg_op *op = first_sent(c);

	CHECK(c->syncs > 0);
	c->syncs--;
	if (op != NULL && op->result != NULL && op->alone)
		op_answered(c, op);
	if (c->pq != NULL && c->state == CONN_PREPARING)
		is_up(c);
}

static void is_up(struct pg_conn *c)
{
	struct pg_pool *pool = c->pool;

	loop_timer_clear(pool->pg->loop, &c->timer);
	if (pg_pool_up(pool) == 0)
		log_line(LEVEL_INFO, "database is there", LOG_TEXT("pool", pool->info->name));
	pool->is_away_told = false;
	c->tries = 0;
	pg_conn_move(c, CONN_IDLE);
}

static void op_answered(struct pg_conn *c, struct pg_op *op)
{
	const bool aborted = PQresultStatus(op->result) == PGRES_PIPELINE_ABORTED;
	const bool stale = pg_is_stale(op->result, c->pool->class);

	if (c->state == CONN_PREPARING && !pg_conn_is_prepared(c, op))
		return;
	c->load--;
	pg_op_end(op, aborted ? END_ABORTED : END_ANSWERED);
	if (stale)
		pg_conn_lose(c, "the session is of no more use");
}

/* Once all that came has been looked at. */
static void settle(struct pg_conn *c)
{
	if (is_quiet(c) && (c->state == CONN_BUSY || c->state == CONN_CLEANING))
		pg_conn_release(c);
	pg_pool_dispatch(c->pool);
}

/* A ROLLBACK travels behind what may still be due. */
void pg_conn_release(struct pg_conn *c)
{
	c->tx = NULL;
	if (PQtransactionStatus(c->pq) == PQTRANS_IDLE) {
		c->cleaned = false;
		pg_conn_move(c, CONN_IDLE);
		pg_pool_dispatch(c->pool);
	} else if (c->cleaned) {
		pg_conn_lose(c, "a transaction could not be rolled back");
	} else {
		c->cleaned = true;
		pg_conn_move(c, CONN_CLEANING);
		pg_conn_send_own(c, pg_op_alone(pg_op_plain("ROLLBACK")));
	}
}

/* Nothing is due. */
static bool is_quiet(const struct pg_conn *c)
{
	return list_is_empty(&c->sent) && c->syncs == 0 && c->unsynced == 0;
}

static struct pg_op *first_sent(const struct pg_conn *c)
{
	return list_is_empty(&c->sent) ? NULL : CONTAINER_OF(c->sent.next, struct pg_op, link);
}

/* ---- time ---- */

/* A connection that says nothing while an answer is due is replaced. The timer is looked at only
 * when it fires, not moved with each answer. */
static void expect_answer(struct pg_conn *c)
{
	struct loop *l = c->pool->pg->loop;

	if (is_quiet(c))
		c->heard_us = loop_now_us(l);
	if (c->timer.slot == 0)
		loop_timer_set(l, &c->timer, c->heard_us + c->pool->info->answer_us);
}

static void on_timer(struct loop_timer *timer)
{
	struct pg_conn *c = CONTAINER_OF(timer, struct pg_conn, timer);
	struct loop *l = c->pool->pg->loop;
	const int64_t due_us = c->heard_us + c->pool->info->answer_us;

	CHECK_MAGIC(c, CONN_MAGIC);
	switch (c->state) {
	case CONN_WAITING:
		pg_conn_connect(c);
		break;
	case CONN_CONNECTING:
	case CONN_PREPARING:
		if (c->pq == NULL && loop_now_us(l) < c->connect_by_us)
			pg_conn_connect(c); /* a name was being looked up */
		else
			pg_conn_lose(c, "the database did not answer in time");
		break;
	default:
		if (is_quiet(c))
			break;
		if (loop_now_us(l) >= due_us)
			pg_conn_lose(c, "the database did not answer in time");
		else
			loop_timer_set(l, timer, due_us);
	}
}

/* ---- losing ---- */

void pg_conn_lose(struct pg_conn *c, const char *why)
{
	struct pg_pool *pool = c->pool;

	if (why != NULL)
		set_why(c, why);
	close_session(c);
	pg_conn_move(c, CONN_WAITING);
	loop_timer_set(pool->pg->loop, &c->timer,
		loop_now_us(pool->pg->loop) + pg_conn_backoff_us(c->tries));
	counter_inc(pool->reconnects);
	if (pg_pool_up(pool) == 0 && !pool->is_away_told) {
		pool->is_away_told = true;
		log_line(LEVEL_WARN, "database is away", LOG_TEXT("pool", pool->info->name),
			LOG_TEXT("why", pool->why));
	}
	pg_pool_lost(pool);
}

void pg_conn_close(struct pg_conn *c)
{
	close_session(c);
	loop_timer_clear(c->pool->pg->loop, &c->timer);
	pg_conn_move(c, CONN_WAITING);
	gauge_add(c->pool->gauges[CONN_WAITING], -1);
}

/* The watch goes first: libpq closes its own descriptor. */
static void close_session(struct pg_conn *c)
{
	if (c->tx != NULL)
		pg_tx_given(c->tx, NULL);
	c->tx = NULL;
	loop_watch_free(&c->watch);
	if (c->pq != NULL)
		PQfinish(c->pq);
	c->pq = NULL;
	while (!list_is_empty(&c->sent))
		pg_op_end(first_sent(c), END_LOST);
	c->load = c->unsynced = c->syncs = 0;
	c->cleaned = false;
}

/* libpq's messages end with a line end and may have several lines; the first says it. */
static void set_why(struct pg_conn *c, const char *why)
{
	struct str line = str_from(why);
	struct str rest = line;

	if (str_cut(&rest, '\n', &line))
		line = str_trim(line);
	snprintf(c->pool->why, sizeof c->pool->why, "%.*s", STR_ARG(line));
}

void pg_conn_move(struct pg_conn *c, enum pg_conn_state state)
{
	struct pg_pool *pool = c->pool;

	if (list_is_linked(&c->link)) {
		pool->counts[c->state]--;
		gauge_add(pool->gauges[c->state], -1);
		list_remove(&c->link);
	}
	c->state = state;
	pool->counts[state]++;
	gauge_add(pool->gauges[state], 1);
	list_prepend(&pool->conns[state], &c->link);
}
