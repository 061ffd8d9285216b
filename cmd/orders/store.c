/* SPDX-License-Identifier: Apache-2.0
 * Typed functions over the statements: values in, rows out. A guarded write that changed nothing is
 * FAULT_ORDER_BUSY. */
#include "store.h"

#include "base/check.h"
#include "statements.h"

/* The last moment that RFC 3339 can write: nothing is newer. */
const struct order_key order_key_first = {
	.created_at = INT64_C(253402300799) * 1000000,
	.id.bytes = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff},
};

enum { KEY_VALUES = 4, ANSWER_VALUES = 5 };

struct store_times store_times;

static enum fault take(struct task *t, struct keyed *key, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct claim *claim);
static enum fault write_guarded(struct task *t, struct pg_tx *tx,
	const struct pg_statement *statement, const struct pg_value *values, size_t count,
	struct pg_row *row);
static enum fault write_changed(struct task *t, struct pg_tx *tx,
	const struct pg_statement *statement, const struct pg_value *values, size_t count);
static enum fault query(struct task *t, struct pg_tx *tx, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_rows *rows);
static enum fault take_over(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct claim *claim);
static struct claim claim_on(const struct order *order, enum status goal, enum step step,
	struct str actor, struct str note);
static struct items orders_from(struct scope *s, const struct pg_rows *rows);
static void order_from(struct pg_row *row, struct order *order);
static void item_from(struct pg_row *row, struct items *items);

void store_set_times(int64_t ttl_us, int64_t step_lease_us)
{
	store_times = (struct store_times){ttl_us, step_lease_us};
}

enum fault store_abandon(struct task *t, const struct claim *claim)
{
	return write_changed(t, NULL,
		claim->operation.at != NULL ? &orders_abandon_keyed : &orders_abandon,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token)));
}

enum fault store_refuse(struct task *t, const struct claim *claim, const struct reply *answer)
{
	return write_changed(t, NULL, &orders_refuse,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token),
			KEYED_REPLY_VALUES(answer)));
}

/* ---- changes ---- */

enum fault store_change(struct task *t, const struct order *order, enum status to, struct str actor,
	struct str note, struct str tracking_number)
{
	return write_changed(t, NULL, &orders_change,
		PG_VALUES(pg_uuid(&order->id), pg_int64(order->version),
			pg_text(status_name((enum status)order->status)), pg_text(status_name(to)),
			pg_text(actor), pg_text(note), pg_text(tracking_number)));
}

enum fault store_take(struct task *t, const struct order *order, const struct transition *change,
	struct str actor, struct str note, struct keyed *key, struct claim *claim)
{
	*claim = claim_on(order, change->to, change->step, actor, note);
	return take(t, key, &orders_take,
		PG_VALUES(pg_uuid(&order->id), pg_int64(order->version),
			pg_text(status_name(claim->status)), pg_text(step_name(claim->step)),
			pg_text(status_name(claim->goal)), pg_text(actor), pg_text(note),
			pg_int64(store_times.lease_us)),
		claim);
}

enum fault store_take_payment(struct task *t, const struct order *order, struct str actor,
	const struct new_payment *payment, struct keyed *key, struct claim *claim)
{
	*claim = claim_on(order, STATUS_PAID, STEP_COMMITTING, actor, STR_NONE);
	return take(t, key, &orders_take_payment,
		PG_VALUES(pg_uuid(&order->id), pg_int64(order->version),
			pg_text(status_name(claim->status)), pg_text(actor),
			pg_int64(store_times.lease_us),
			pg_text(str_from(payment_methods[payment->method])),
			pg_text(payment->reference)),
		claim);
}

enum fault store_finish(struct task *t, struct pg_tx *tx, const struct claim *claim)
{
	return write_changed(t, tx, &orders_finish,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token),
			pg_text(status_name(claim->status)), pg_text(status_name(claim->goal)),
			pg_text(claim->actor), pg_text(claim->note)));
}

enum fault store_drop(struct task *t, struct pg_tx *tx, const struct claim *claim)
{
	struct pg_row row;

	return write_guarded(t, tx, &orders_drop,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token),
			pg_text(status_name(claim->status))),
		&row);
}

enum fault store_answer(
	struct task *t, struct pg_tx *tx, const struct uuid *order_id, const struct reply *answer)
{
	struct pg_rows rows;

	return query(t, tx, &orders_key_answer,
		PG_VALUES(pg_uuid(order_id), KEYED_REPLY_VALUES(answer)), &rows);
}

enum fault store_postpone(struct task *t, const struct claim *claim, int64_t by_us)
{
	return write_changed(t, NULL, &orders_postpone,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token), pg_int64(by_us)));
}

/* ---- an account that goes ---- */

enum fault store_count_open(struct task *t, const struct uuid *user_id, int64_t *count)
{
	struct pg_row row;

	TRY(pg_query_row(t, &orders_count_open, PG_VALUES(pg_uuid(user_id)), &row));
	*count = pg_take_int64(&row);
	return OK;
}

enum fault store_forget_person(struct task *t, const struct uuid *user_id)
{
	return pg_query(t, &orders_forget_person, PG_VALUES(pg_uuid(user_id)), NULL);
}

enum fault store_forget_answers(
	struct task *t, const struct uuid *user_id, const struct reply *answer)
{
	return pg_query(t, &orders_forget_answers,
		PG_VALUES(pg_uuid(user_id), KEYED_REPLY_VALUES(answer)), NULL);
}

/* ---- recovery ---- */

enum fault store_take_stalled(struct task *t, struct claim *claim)
{
	return take_over(t, &orders_take_stalled,
		PG_VALUES(pg_int64(store_times.lease_us), pg_int32(ATTEMPTS_BEFORE_ATTENTION)),
		claim);
}

enum fault store_take_keyed(struct task *t, const struct keyed *key, struct claim *claim)
{
	return take_over(t, &orders_take_keyed,
		PG_VALUES(pg_uuid(&key->caller), pg_text(key->operation), pg_text(key->key),
			pg_int64(store_times.lease_us), pg_int32(ATTEMPTS_BEFORE_ATTENTION)),
		claim);
}

enum fault store_take_expired(struct task *t, struct claim *claim)
{
	return take_over(t, &orders_take_expired, PG_VALUES(pg_int64(store_times.lease_us)), claim);
}

enum fault store_count_attention(struct task *t, int64_t *count)
{
	struct pg_row row;

	TRY(pg_query_row(t, &orders_attention, PG_NO_VALUES, &row));
	*count = pg_take_int64(&row);
	return OK;
}

/* ---- reads ---- */

enum fault store_get(struct task *t, const struct uuid *id, struct order *order)
{
	return store_get_in(t, NULL, id, order);
}

enum fault store_get_in(
	struct task *t, struct pg_tx *tx, const struct uuid *id, struct order *order)
{
	struct pg_rows rows;

	TRY(query(t, tx, &orders_get, PG_VALUES(pg_uuid(id)), &rows));
	if (rows.count == 0)
		return fail(&t->scope, FAULT_NOT_FOUND, "there is no such order");

	const struct items orders = orders_from(&t->scope, &rows);
	CHECK(orders.count == 1);
	*order = *(struct order *)orders.at;
	return OK;
}

enum fault store_list(struct task *t, const struct uuid *user_id, enum status status,
	const struct order_key *after, int64_t offset, int64_t limit, struct items *orders)
{
	struct pg_value values[6] = {
		pg_time(after->created_at), pg_uuid(&after->id), pg_int64(offset), pg_int64(limit)};
	const bool by_user = !uuid_is_nil(user_id);
	const bool by_status = status != STATUS_RESERVING;
	size_t count = 4;
	struct pg_rows rows;

	if (by_user)
		values[count++] = pg_uuid(user_id);
	if (by_status)
		values[count++] = pg_text(status_name(status));
	TRY(pg_query(t,
		by_user && by_status ? &orders_list_user_status
		: by_user            ? &orders_list_user
		: by_status          ? &orders_list_status
				     : &orders_list,
		values, count, &rows));
	*orders = orders_from(&t->scope, &rows);
	return OK;
}

enum fault store_history(struct task *t, const struct uuid *order_id, struct items *entries)
{
	struct pg_rows rows;

	TRY(pg_query(t, &orders_history, PG_VALUES(pg_uuid(order_id)), &rows));
	struct history_entry *entry = arena_alloc_array(t->scope.arena, rows.count, sizeof *entry);
	*entries = (struct items){.at = entry, .count = rows.count};
	for (size_t i = 0; i < rows.count; i++, entry++) {
		struct pg_row row = pg_row(&rows, i);
		entry->from = pg_take_text(&row);
		entry->to = pg_take_text(&row);
		entry->actor = pg_take_text(&row);
		entry->note = pg_take_text(&row);
		entry->at = pg_take_time(&row);
		entry->version = pg_take_int64(&row);
	}
	return OK;
}

/* ---- helpers ---- */

enum fault store_no_row(struct task *t)
{
	return fail(&t->scope, FAULT_ORDER_BUSY, "the order has changed in the meantime");
}

enum fault store_key_taken(struct task *t)
{
	return fail(&t->scope, FAULT_KEY_BUSY, "a request with this Idempotency-Key is running");
}

/* A step that is taken by a request with a key. */
struct keyed_step {
	const struct keyed *key;
	const struct pg_statement *statement;
	const struct pg_value *values;
	size_t count;
	struct claim *claim;
};

static enum fault take_keyed(struct task *t, struct pg_tx *tx, void *arg)
{
	const struct keyed_step *step = arg;
	struct pg_rows rows;
	struct pg_row row;

	TRY(pg_tx_query(t, tx, &orders_key_claim,
		PG_VALUES(KEYED_VALUES(step->key), pg_uuid(&step->claim->order_id)), &rows));
	if (rows.affected == 0)
		return store_key_taken(t);
	TRY(write_guarded(t, tx, step->statement, step->values, step->count, &row));
	step->claim->token = pg_take_int64(&row);
	return OK;
}

/* Key and step are taken together, or neither. */
static enum fault take(struct task *t, struct keyed *key, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct claim *claim)
{
	struct pg_row row;

	if (key == NULL) {
		TRY(write_guarded(t, NULL, statement, values, count, &row));
		claim->token = pg_take_int64(&row);
		return OK;
	}
	claim->operation = key->operation;
	const enum fault fault = pg_transact(
		t, take_keyed, &(struct keyed_step){key, statement, values, count, claim});
	key->claimed = fault == OK || fault == FAULT_UNKNOWN;
	return fault;
}

/* A guarded write that returns one row: no row, nothing was changed. */
static enum fault write_guarded(struct task *t, struct pg_tx *tx,
	const struct pg_statement *statement, const struct pg_value *values, size_t count,
	struct pg_row *row)
{
	struct pg_rows *rows = scope_alloc(&t->scope, sizeof *rows);

	TRY(query(t, tx, statement, values, count, rows));
	if (rows->count == 0)
		return store_no_row(t);
	*row = pg_row(rows, 0);
	return OK;
}

/* A guarded write that only says how many rows it wrote. */
static enum fault write_changed(struct task *t, struct pg_tx *tx,
	const struct pg_statement *statement, const struct pg_value *values, size_t count)
{
	struct pg_rows rows;

	TRY(query(t, tx, statement, values, count, &rows));
	return rows.affected == 0 ? store_no_row(t) : OK;
}

static enum fault query(struct task *t, struct pg_tx *tx, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_rows *rows)
{
	return tx != NULL ? pg_tx_query(t, tx, statement, values, count, rows)
	                  : pg_query(t, statement, values, count, rows);
}

static enum fault take_over(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct claim *claim)
{
	struct pg_row row;

	TRY(pg_query_row(t, statement, values, count, &row));
	*claim = (struct claim){.order_id = pg_take_uuid(&row)};
	claim->status = status_of(pg_take_text(&row));
	claim->goal = status_of(pg_take_text(&row));
	claim->step = step_of(pg_take_text(&row));
	claim->actor = pg_take_text(&row);
	claim->note = pg_take_text(&row);
	claim->token = pg_take_int64(&row);
	claim->attempts = pg_take_int32(&row);
	claim->operation = pg_take_text(&row);
	return OK;
}

static struct claim claim_on(const struct order *order, enum status goal, enum step step,
	struct str actor, struct str note)
{
	return (struct claim){
		.order_id = order->id,
		.status = (enum status)order->status,
		.goal = goal,
		.step = step,
		.actor = actor,
		.note = note,
	};
}

/* Rows of one order follow each other. */
static struct items orders_from(struct scope *s, const struct pg_rows *rows)
{
	struct order *orders = arena_alloc_array(s->arena, rows->count, sizeof *orders);
	struct order_item *items = arena_alloc_array(s->arena, rows->count, sizeof *items);
	size_t count = 0;

	for (size_t i = 0; i < rows->count; i++) {
		struct pg_row row = pg_row(rows, i);
		struct order read = {.items.at = items + i};
		order_from(&row, &read);
		if (count == 0 || !uuid_eq(&orders[count - 1].id, &read.id))
			orders[count++] = read;
		if (!pg_next_is_null(&row))
			item_from(&row, &orders[count - 1].items);
	}
	return (struct items){.at = orders, .count = count};
}

static void order_from(struct pg_row *row, struct order *order)
{
	order->id = pg_take_uuid(row);
	order->user_id = pg_take_uuid(row);
	order->status = (int)status_of(pg_take_text(row));
	order->version = pg_take_int64(row);
	order->currency = pg_take_text(row);
	order->subtotal = pg_take_int64(row);
	order->shipping = pg_take_int64(row);
	order->tax = pg_take_int64(row);
	order->total = pg_take_int64(row);
	order->tracking_number = pg_take_text(row);
	order->needs_attention = pg_take_bool(row);
	order->created_at = pg_take_time(row);
	order->updated_at = pg_take_time(row);
	order->expires_at = pg_take_time(row);
	if (!status_is_unpaid((enum status)order->status))
		order->expires_at = 0;
	order->is_idle = step_of(pg_take_text(row)) == STEP_IDLE;
	order->shipping_address = pg_take_text(row);
	order->metadata = pg_take_text(row);
	order->payment.method = pg_take_text(row);
	order->payment.status = pg_take_text(row);
	order->payment.reference = pg_take_text(row);
	order->payment.amount = pg_take_int64(row);
	order->payment.updated_at = pg_take_time(row);
}

static void item_from(struct pg_row *row, struct items *items)
{
	struct order_item *item = (struct order_item *)items->at + items->count++;

	item->id = pg_take_uuid(row);
	item->product_id = pg_take_uuid(row);
	item->seller_id = pg_take_uuid(row);
	item->name = pg_take_text(row);
	item->quantity = pg_take_int32(row);
	item->price = pg_take_int64(row);
	CHECK(money_add(&item->total, item->price, item->quantity));
}
