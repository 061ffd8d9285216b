/* SPDX-License-Identifier: Apache-2.0
 * Statements over reservations: each is one of the functions that
 * migrations/products/00003_reservations.sql has, which lock, check, move and book in one round
 * trip, and answer with a row a line. */
#include "statements.h"
#include "store.h"

#include "base/check.h"
#include "fiber/batch.h"

#define ANSWER                                                                                   \
	"SELECT outcome, revision, state, expires_at, product_id, quantity, name, price_minor, " \
	"currency, seller_id, available, version FROM "

/* A new order's reservation, as it goes together with others. */
struct fresh {
	struct scope *s; /* where the answer's memory comes from */
	const struct uuid *order_id;
	const struct items *lines;
	int64_t ttl_us;
	struct str actor;
	struct reservation_answer *answer;
	bool is_answered;
};

enum { REVISION_FIRST = 1, FRESH_MAX = 32, FRESH_RUNS_MAX = 2 };

static enum fault reserve_new(struct task *t, const struct batch *batch);
static enum fault ask(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, const struct uuid *order_id,
	struct reservation_answer *answer);
static void answer_begin(struct scope *s, const struct uuid *order_id, size_t lines_max,
	struct reservation_answer *answer);
static void read_line(struct scope *s, struct pg_row *row, struct reservation_answer *answer);

static _Thread_local struct batcher fresh = BATCHER(reserve_new, FRESH_MAX, FRESH_RUNS_MAX);

const struct pg_statement reservation_reserve = {
	"reservation_reserve",
	PG_WRITE,
	ANSWER "reserve($1::uuid, $2::integer, $3::uuid[], $4::integer[], $5::bigint, $6::text)",
};

/* The lines by column, as unnest() takes them; those of several orders after each other. */
struct columns {
	int32_t *orders; /* whose line it is: 1 for the first order */
	struct uuid *products;
	int32_t *quantities;
	size_t count;
};

static struct columns columns_new(struct scope *s, size_t lines_max)
{
	return (struct columns){
		.orders = arena_alloc_array(s->arena, lines_max, sizeof(int32_t)),
		.products = arena_alloc_array(s->arena, lines_max, sizeof(struct uuid)),
		.quantities = arena_alloc_array(s->arena, lines_max, sizeof(int32_t)),
	};
}

static void columns_add(struct columns *c, size_t order, const struct items *lines)
{
	const struct reservation_line *line = lines->at;

	for (size_t i = 0; i < lines->count; i++, c->count++) {
		c->orders[c->count] = (int32_t)order + 1;
		c->products[c->count] = line[i].product_id;
		c->quantities[c->count] = line[i].quantity;
	}
}

/* New orders go together when several come at once; what is not as simple goes by itself. */
enum fault store_reserve(struct task *t, const struct uuid *order_id, int32_t revision,
	const struct items *lines, int64_t ttl_us, struct str actor,
	struct reservation_answer *answer)
{
	struct scope *s = &t->scope;
	struct columns c = columns_new(s, lines->count);
	struct fresh job = {s, order_id, lines, ttl_us, actor, answer, false};

	if (revision == REVISION_FIRST)
		TRY(batch_do(t, &fresh, &job));
	if (job.is_answered)
		return OK;
	columns_add(&c, 0, lines);
	return ask(t, &reservation_reserve,
		PG_VALUES(pg_uuid(order_id), pg_int32(revision), pg_uuids(s, c.products, c.count),
			pg_int32s(s, c.quantities, c.count), pg_int64(ttl_us / 1000),
			pg_text(actor)),
		order_id, answer);
}

const struct pg_statement reservation_reserve_new = {
	"reservation_reserve_new",
	PG_WRITE,
	"SELECT nth, (answer).outcome, (answer).revision, (answer).state, (answer).expires_at, "
	"(answer).product_id, (answer).quantity, (answer).name, (answer).price_minor, "
	"(answer).currency, (answer).seller_id, (answer).available, (answer).version "
	"FROM reserve_new($1::uuid[], $2::text[], $3::integer[], $4::uuid[], $5::integer[], "
	"$6::bigint)",
};

static void answer_fresh(const struct batch *batch, const struct pg_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		struct pg_row row = pg_row(rows, i);
		struct fresh *job = batch_job(batch, (size_t)pg_take_int32(&row) - 1);

		if (job == NULL)
			continue;
		if (!job->is_answered)
			answer_begin(job->s, job->order_id, job->lines->count, job->answer);
		job->is_answered = true;
		read_line(job->s, &row, job->answer);
	}
}

static enum fault reserve_new(struct task *t, const struct batch *batch)
{
	struct scope *s = &t->scope;
	const size_t n = batch_count(batch);
	struct uuid *order_ids = arena_alloc_array(s->arena, n, sizeof *order_ids);
	struct str *actors = arena_alloc_array(s->arena, n, sizeof *actors);
	const int64_t ttl_us = ((const struct fresh *)batch_job(batch, 0))->ttl_us;
	struct columns c;
	struct pg_rows rows;
	size_t lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += ((const struct fresh *)batch_job(batch, i))->lines->count;
	c = columns_new(s, lines);
	for (size_t i = 0; i < n; i++) {
		const struct fresh *job = batch_job(batch, i);
		order_ids[i] = *job->order_id;
		actors[i] = job->actor;
		columns_add(&c, i, job->lines);
	}
	TRY(pg_query(t, &reservation_reserve_new,
		PG_VALUES(pg_uuids(s, order_ids, n), pg_texts(s, actors, n),
			pg_int32s(s, c.orders, c.count), pg_uuids(s, c.products, c.count),
			pg_int32s(s, c.quantities, c.count), pg_int64(ttl_us / 1000)),
		&rows));
	answer_fresh(batch, &rows);
	return OK;
}

const struct pg_statement reservation_commit = {
	"reservation_commit",
	PG_WRITE,
	ANSWER "reservation_commit($1::uuid, $2::text)",
};

const struct pg_statement reservation_release = {
	"reservation_release",
	PG_WRITE,
	ANSWER "reservation_release($1::uuid, $2::text)",
};

const struct pg_statement reservation_return = {
	"reservation_return",
	PG_WRITE,
	ANSWER "reservation_return($1::uuid, $2::text)",
};

enum fault store_reservation_step(struct task *t, enum reservation_step step,
	const struct uuid *order_id, struct str actor, struct reservation_answer *answer)
{
	static const struct pg_statement *const by_step[] = {
		[STEP_COMMIT] = &reservation_commit,
		[STEP_RELEASE] = &reservation_release,
		[STEP_RETURN] = &reservation_return,
	};

	return ask(
		t, by_step[step], PG_VALUES(pg_uuid(order_id), pg_text(actor)), order_id, answer);
}

const struct pg_statement reservation_get = {
	"reservation_get",
	PG_READ,
	ANSWER "reservation_get($1::uuid, 'ok')",
};

enum fault store_reservation_get(
	struct task *t, const struct uuid *order_id, struct reservation_answer *answer)
{
	return ask(t, &reservation_get, PG_VALUES(pg_uuid(order_id)), order_id, answer);
}

/* ---- expiry ---- */

const struct pg_statement reservations_due = {
	"reservations_due",
	PG_SLOW,
	"SELECT order_id FROM reservations "
	"WHERE state = 'held' AND expires_at <= now() "
	"ORDER BY order_id LIMIT $1::bigint",
};

enum fault store_reservations_due(struct task *t, struct uuids *order_ids)
{
	struct pg_rows rows;

	TRY(pg_query(t, &reservations_due, PG_VALUES(pg_int64(EXPIRED_BATCH)), &rows));
	order_ids->at = arena_alloc_array(t->scope.arena, rows.count, sizeof *order_ids->at);
	order_ids->count = rows.count;
	for (size_t i = 0; i < rows.count; i++) {
		struct pg_row row = pg_row(&rows, i);

		order_ids->at[i] = pg_take_uuid(&row);
	}
	return OK;
}

/* A call between services is good for a minute. */
const struct pg_statement tombstones_forget = {
	"tombstones_forget",
	PG_WRITE,
	"DELETE FROM reservations "
	"WHERE order_id IN ("
	"	SELECT order_id FROM reservations "
	"	WHERE revision = 0 AND created_at < now() - interval '24 hours' "
	"	ORDER BY created_at "
	"	LIMIT $1::bigint "
	"	FOR UPDATE SKIP LOCKED)",
};

enum fault store_tombstones_forget(struct task *t, size_t *count)
{
	struct pg_rows rows;

	TRY(pg_query(t, &tombstones_forget, PG_VALUES(pg_int64(TOMBSTONES_SWEPT)), &rows));
	*count = rows.affected;
	return OK;
}

const struct pg_statement reservation_expire = {
	"reservation_expire",
	PG_WRITE,
	ANSWER "reservation_expire($1::uuid)",
};

enum fault store_reservation_expire(
	struct task *t, const struct uuid *order_id, struct reservation_answer *answer)
{
	return ask(t, &reservation_expire, PG_VALUES(pg_uuid(order_id)), order_id, answer);
}

/* ---- answers ---- */

static enum fault ask(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, const struct uuid *order_id,
	struct reservation_answer *answer)
{
	struct pg_rows rows;

	TRY(pg_query(t, statement, values, count, &rows));
	answer_begin(&t->scope, order_id, rows.count, answer);
	for (size_t i = 0; i < rows.count; i++) {
		struct pg_row row = pg_row(&rows, i);
		read_line(&t->scope, &row, answer);
	}
	return OK;
}

static enum reservation_outcome outcome_of(struct str text)
{
	static const struct {
		struct str text;
		enum reservation_outcome outcome;
	} outcomes[] = {
		{{"ok", 2}, RESERVATION_OK},
		{{"short", 5}, RESERVATION_SHORT},
		{{"released", 8}, RESERVATION_RELEASED},
		{{"stale", 5}, RESERVATION_STALE},
		{{"differs", 7}, RESERVATION_DIFFERS},
		{{"settled", 7}, RESERVATION_SETTLED},
	};

	for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
		if (str_eq(text, outcomes[i].text))
			return outcomes[i].outcome;
	CHECK(!"an outcome of the database's functions");
	return RESERVATION_MISSING;
}

/* Nobody has reserved for it, until a row says otherwise. */
static void answer_begin(struct scope *s, const struct uuid *order_id, size_t lines_max,
	struct reservation_answer *answer)
{
	*answer = (struct reservation_answer){.outcome = RESERVATION_MISSING};
	answer->reservation.order_id = *order_id;
	answer->reservation.lines.at =
		arena_alloc_array(s->arena, lines_max, sizeof(struct reservation_line));
	answer->shortages.at = arena_alloc_array(s->arena, lines_max, sizeof(struct shortage));
	answer->touched.at = arena_alloc_array(s->arena, lines_max, sizeof(struct touched));
}

/* Copies the texts: the rows may be another task's. */
static void read_line(struct scope *s, struct pg_row *row, struct reservation_answer *answer)
{
	struct reservation *reservation = &answer->reservation;
	struct reservation_line line;

	answer->outcome = outcome_of(pg_take_text(row));
	reservation->revision = pg_take_int32(row);
	reservation->state = scope_dup(s, pg_take_text(row));
	reservation->expires_at = pg_take_time(row);
	line.product_id = pg_take_uuid(row);
	line.quantity = pg_take_int32(row);
	line.name = scope_dup(s, pg_take_text(row));
	line.price = pg_take_int64(row);
	line.currency = scope_dup(s, pg_take_text(row));
	line.seller_id = pg_take_uuid(row);

	const bool is_known = !pg_next_is_null(row);
	const int64_t available = pg_take_int64(row);
	const int64_t version = pg_take_int64(row);

	if (answer->outcome == RESERVATION_SHORT) {
		((struct shortage *)answer->shortages.at)[answer->shortages.count++] =
			(struct shortage){
				line.product_id, line.quantity, is_known ? available : -1};
		return;
	}
	if (uuid_is_nil(&line.product_id))
		return;
	((struct touched *)answer->touched.at)[answer->touched.count++] =
		(struct touched){line.product_id, version};
	if (line.quantity > 0)
		((struct reservation_line *)reservation->lines.at)[reservation->lines.count++] =
			line;
}
