/* SPDX-License-Identifier: Apache-2.0
 * Statements over reservations: each is one of the functions that
 * migrations/products/00003_reservations.sql has, which lock, check, move and book in one round
 * trip, and answer with a row a line. */
#include "statements.h"
#include "store.h"

#include "base/check.h"

#define ANSWER                                                                                   \
	"SELECT outcome, revision, state, expires_at, product_id, quantity, name, price_minor, " \
	"currency, seller_id, available, version FROM "

static enum fault ask(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, const struct uuid *order_id,
	struct reservation_answer *answer);
static void read_answer(struct scope *s, const struct pg_rows *rows, const struct uuid *order_id,
	struct reservation_answer *answer);

const struct pg_statement reservation_reserve = {
	"reservation_reserve",
	PG_WRITE,
	ANSWER "reserve($1::uuid, $2::integer, $3::uuid[], $4::integer[], $5::bigint, $6::text)",
};

enum fault store_reserve(struct task *t, const struct uuid *order_id, int32_t revision,
	const struct items *lines, int64_t ttl_us, struct str actor,
	struct reservation_answer *answer)
{
	struct scope *s = &t->scope;
	const struct reservation_line *line = lines->at;
	struct uuid *products = arena_alloc_array(s->arena, lines->count, sizeof *products);
	int32_t *quantities = arena_alloc_array(s->arena, lines->count, sizeof *quantities);

	for (size_t i = 0; i < lines->count; i++) {
		products[i] = line[i].product_id;
		quantities[i] = line[i].quantity;
	}
	return ask(t, &reservation_reserve,
		PG_VALUES(pg_uuid(order_id), pg_int32(revision),
			pg_uuids(s, products, lines->count), pg_int32s(s, quantities, lines->count),
			pg_int64(ttl_us / 1000), pg_text(actor)),
		order_id, answer);
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
	read_answer(&t->scope, &rows, order_id, answer);
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

static void read_answer(struct scope *s, const struct pg_rows *rows, const struct uuid *order_id,
	struct reservation_answer *answer)
{
	struct reservation_line *lines = arena_alloc_array(s->arena, rows->count, sizeof *lines);
	struct shortage *shortages = arena_alloc_array(s->arena, rows->count, sizeof *shortages);
	struct touched *touched = arena_alloc_array(s->arena, rows->count, sizeof *touched);

	*answer = (struct reservation_answer){.outcome = RESERVATION_MISSING};
	answer->reservation.order_id = *order_id;
	answer->reservation.lines.at = lines;
	answer->shortages.at = shortages;
	answer->touched.at = touched;
	for (size_t i = 0; i < rows->count; i++) {
		struct pg_row row = pg_row(rows, i);
		struct reservation_line line;
		bool known;
		int64_t available;

		answer->outcome = outcome_of(pg_take_text(&row));
		answer->reservation.revision = pg_take_int32(&row);
		answer->reservation.state = pg_take_text(&row);
		answer->reservation.expires_at = pg_take_time(&row);
		line.product_id = pg_take_uuid(&row);
		line.quantity = pg_take_int32(&row);
		line.name = pg_take_text(&row);
		line.price = pg_take_int64(&row);
		line.currency = pg_take_text(&row);
		line.seller_id = pg_take_uuid(&row);
		known = !pg_next_is_null(&row);
		available = pg_take_int64(&row);
		if (answer->outcome == RESERVATION_SHORT) {
			shortages[answer->shortages.count++] = (struct shortage){
				line.product_id, line.quantity, known ? available : -1};
			continue;
		}
		if (uuid_is_nil(&line.product_id))
			continue;
		touched[answer->touched.count++] =
			(struct touched){line.product_id, pg_take_int64(&row)};
		if (line.quantity > 0)
			lines[answer->reservation.lines.count++] = line;
	}
}
