/* SPDX-License-Identifier: Apache-2.0
 * Typed functions over the statements: values in, rows out. A guarded write that changed nothing is
 * FAULT_ORDER_BUSY. */
#include "store.h"

#include "base/check.h"
#include "statements.h"
#include "json/write.h"

/* The last moment that RFC 3339 can write: nothing is newer. */
const struct order_key order_key_first = {
	.created_at = INT64_C(253402300799) * 1000000,
	.id.bytes = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff},
};

struct store_times store_times;

static enum fault take(struct task *t, struct keyed *key, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct claim *claim, struct pg_row *row);
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
static enum fault load_work(struct task *t, struct claim *claim);
static void take_over_step(struct claim *claim, struct pg_row *row);
static int method_of(struct str name);
static struct items orders_from(struct scope *s, const struct pg_rows *rows);
static void order_from(struct pg_row *row, struct order *order);
static void item_from(struct pg_row *row, struct items *items);

void store_set_times(int64_t ttl_us, int64_t step_lease_us, int64_t undecided_us)
{
	store_times.order_ttl_us = ttl_us;
	store_times.lease_us = step_lease_us;
	store_times.payment_ttl_us = undecided_us;
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
	struct pg_row row;

	*claim = claim_on(order, change->to, change->step, actor, note);
	return take(t, key, &orders_take,
		PG_VALUES(pg_uuid(&order->id), pg_int64(order->version),
			pg_text(status_name(claim->status)), pg_text(step_name(claim->step)),
			pg_text(status_name(claim->goal)), pg_text(actor), pg_text(note),
			pg_int64(store_times.lease_us)),
		claim, &row);
}

enum fault store_take_payment(struct task *t, const struct order *order, struct str actor,
	const struct new_payment *payment, struct keyed *key, struct claim *claim)
{
	const enum step step = payment->method == METHOD_CARD ? STEP_AUTHORISING : STEP_COMMITTING;
	struct pg_row row;

	*claim = claim_on(order, STATUS_PAID, step, actor, STR_NONE);
	TRY(take(t, key, &orders_take_payment,
		PG_VALUES(pg_uuid(&order->id), pg_int64(order->version),
			pg_text(status_name(claim->status)), pg_text(step_name(step)),
			pg_text(actor), pg_int64(store_times.lease_us),
			pg_text(str_from(payment_methods[payment->method])),
			pg_text(payment->reference), pg_text(payment->token),
			pg_int32(DECLINES_MAX)),
		claim, &row));
	claim->charge = (struct charge){
		.attempt = pg_take_int32(&row), .method = payment->method, .token = payment->token};
	claim->charge.amount = pg_take_int64(&row);
	claim->charge.is_last = pg_take_bool(&row);
	return OK;
}

enum fault store_take_refund(struct task *t, const struct order *order, struct str actor,
	const struct new_refund *refund, struct keyed *key, struct claim *claim)
{
	const bool is_rest = refund->amount == order->payment.amount - order->payment.refunded;
	struct pg_row row;

	*claim = claim_on(order, is_rest ? STATUS_REFUNDED : (enum status)order->status,
		STEP_REFUNDING, actor, refund->note);
	claim->refund = (struct giving_back){.id = uuid_new(),
		.attempt = order->payment.attempt,
		.method = method_of(order->payment.method),
		.amount = refund->amount,
		.restock = refund->restock};
	return take(t, key, &orders_take_refund,
		PG_VALUES(pg_uuid(&order->id), pg_int64(order->version),
			pg_text(status_name(claim->status)), pg_text(status_name(claim->goal)),
			pg_text(actor), pg_text(refund->note), pg_int64(store_times.lease_us),
			pg_uuid(&claim->refund.id), pg_int64(refund->amount),
			pg_bool(refund->restock)),
		claim, &row);
}

enum fault store_take_items(struct task *t, const struct order *order, struct str actor,
	const struct items *items, struct keyed *key, struct claim *claim)
{
	const struct order_lines wanted = {*items};
	struct buf json = buf_new(t->scope.arena);
	struct pg_row row;

	json_write(&json, &order_lines_table, &wanted);
	*claim = claim_on(order, (enum status)order->status, STEP_AMENDING, actor, STR_NONE);
	TRY(take(t, key, &orders_take_items,
		PG_VALUES(pg_uuid(&order->id), pg_int64(order->version),
			pg_text(status_name(claim->status)), pg_text(buf_str(&json)),
			pg_text(actor), pg_int64(store_times.lease_us)),
		claim, &row));
	claim->revision = pg_take_int32(&row);
	claim->order = *order;
	claim->order.items = *items;
	return OK;
}

enum fault store_owe(struct task *t, struct claim *claim)
{
	const struct uuid id = uuid_new();

	TRY(pg_query(t, &orders_owe,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token), pg_uuid(&id)), NULL));
	return load_work(t, claim);
}

enum fault store_advance(struct task *t, struct claim *claim, enum step step, enum status goal)
{
	const struct charge *charge = &claim->charge;
	const bool is_declined = charge->decline_code.at != NULL;
	struct pg_row row;

	TRY(write_guarded(t, NULL, &orders_advance,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token),
			pg_text(step_name(claim->step)), pg_text(step_name(step)),
			pg_text(status_name(goal)), pg_int64(store_times.lease_us),
			pg_text(is_declined ? STR("declined") : STR("processing")),
			pg_text(charge->decline_code), pg_text(charge->decline_message),
			pg_bool(charge->is_sold)),
		&row));
	take_over_step(claim, &row);
	return OK;
}

/* What becomes of the payment under way when its step ends. */
static struct str outcome_of(const struct claim *claim)
{
	if (claim->goal == STATUS_PAID)
		return STR("captured");
	if (claim->charge.decline_code.at != NULL)
		return STR("declined");
	return claim->charge.method == METHOD_CARD ? STR("voided") : STR("failed");
}

enum fault store_finish(struct task *t, struct pg_tx *tx, struct claim *claim)
{
	struct pg_row row;

	TRY(write_guarded(t, tx, &orders_finish,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token),
			pg_text(status_name(claim->status)), pg_text(status_name(claim->goal)),
			pg_text(claim->actor), pg_text(claim->note), pg_text(outcome_of(claim)),
			pg_text(claim->charge.decline_code), pg_text(claim->charge.decline_message),
			pg_int64(store_times.lease_us), pg_int32(claim->revisions_more)),
		&row));
	claim->status = claim->goal;
	claim->charge = (struct charge){0};
	claim->refund = (struct giving_back){0};
	take_over_step(claim, &row);
	return OK;
}

enum fault store_answer(
	struct task *t, struct pg_tx *tx, const struct uuid *order_id, const struct reply *answer)
{
	struct pg_rows rows;

	return query(t, tx, &orders_key_answer,
		PG_VALUES(pg_uuid(order_id), KEYED_REPLY_VALUES(answer)), &rows);
}

enum fault store_claim_key(
	struct task *t, struct pg_tx *tx, const struct keyed *key, const struct uuid *order_id)
{
	struct pg_rows rows;

	TRY(pg_tx_query(
		t, tx, &orders_key_claim, PG_VALUES(KEYED_VALUES(key), pg_uuid(order_id)), &rows));
	return rows.affected == 0 ? store_key_taken(t) : OK;
}

enum fault store_free_key(struct task *t, struct pg_tx *tx, const struct uuid *order_id)
{
	struct pg_rows rows;

	return query(t, tx, &orders_key_free, PG_VALUES(pg_uuid(order_id)), &rows);
}

static enum fault postpone(struct task *t, const struct claim *claim, int64_t by_us, bool is_well)
{
	return write_changed(t, NULL, &orders_postpone,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(claim->token), pg_int64(by_us),
			pg_bool(is_well)));
}

enum fault store_postpone(struct task *t, const struct claim *claim, int64_t by_us)
{
	return postpone(t, claim, by_us, false);
}

enum fault store_wait(struct task *t, struct claim *claim, int64_t by_us)
{
	TRY(postpone(t, claim, by_us, true));
	claim->waits = true;
	return OK;
}

enum fault store_ask_cancel(struct task *t, struct pg_tx *tx, const struct order *order,
	struct str actor, struct str note)
{
	return write_changed(t, tx, &orders_ask_cancel,
		PG_VALUES(pg_uuid(&order->id), pg_int64(order->version), pg_text(actor),
			pg_text(note)));
}

enum fault store_told(struct task *t, const struct uuid *order_id, int32_t attempt,
	int64_t sequence, bool *is_news)
{
	struct pg_rows rows;

	TRY(pg_query(t, &orders_told,
		PG_VALUES(pg_uuid(order_id), pg_int32(attempt), pg_int64(sequence)), &rows));
	*is_news = rows.count > 0;
	return OK;
}

/* ---- an account that goes ---- */

enum fault store_count_open(struct task *t, const struct uuid *user_id, int64_t *count)
{
	struct pg_row row;

	TRY(pg_query_row(t, &orders_count_open, PG_VALUES(pg_uuid(user_id)), &row));
	*count = pg_take_int64(&row);
	return OK;
}

enum fault store_cancel_all(
	struct task *t, struct pg_tx *tx, const struct uuid *user_id, struct str note)
{
	TRY(query(t, tx, &orders_cancel_all, PG_VALUES(pg_uuid(user_id), pg_text(note)), NULL));
	return query(
		t, tx, &orders_ask_cancel_all, PG_VALUES(pg_uuid(user_id), pg_text(note)), NULL);
}

enum fault store_forget_person(struct task *t, struct pg_tx *tx, const struct uuid *user_id)
{
	TRY(query(t, tx, &orders_forget_intents, PG_VALUES(pg_uuid(user_id)), NULL));
	return query(t, tx, &orders_forget_person, PG_VALUES(pg_uuid(user_id)), NULL);
}

enum fault store_forget_answers(
	struct task *t, struct pg_tx *tx, const struct uuid *user_id, const struct reply *answer)
{
	return query(t, tx, &orders_forget_answers,
		PG_VALUES(pg_uuid(user_id), KEYED_REPLY_VALUES(answer)), NULL);
}

/* ---- recovery ---- */

enum fault store_take_stalled(struct task *t, struct claim *claim)
{
	TRY(take_over(t, &orders_take_stalled,
		PG_VALUES(pg_int64(store_times.lease_us), pg_int32(ATTEMPTS_BEFORE_ATTENTION)),
		claim));
	return load_work(t, claim);
}

enum fault store_take_keyed(struct task *t, const struct keyed *key, struct claim *claim)
{
	TRY(take_over(t, &orders_take_keyed,
		PG_VALUES(pg_uuid(&key->caller), pg_text(key->operation), pg_text(key->key),
			pg_int64(store_times.lease_us), pg_int32(ATTEMPTS_BEFORE_ATTENTION)),
		claim));
	return load_work(t, claim);
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

enum fault store_refunds(struct task *t, const struct uuid *order_id, struct items *refunds)
{
	struct pg_rows rows;

	TRY(pg_query(t, &orders_refunds, PG_VALUES(pg_uuid(order_id)), &rows));
	struct refund *refund = arena_alloc_array(t->scope.arena, rows.count, sizeof *refund);
	*refunds = (struct items){.at = refund, .count = rows.count};
	for (size_t i = 0; i < rows.count; i++, refund++) {
		struct pg_row row = pg_row(&rows, i);
		refund->id = pg_take_uuid(&row);
		refund->amount = pg_take_int64(&row);
		refund->restock = pg_take_bool(&row);
		refund->status = pg_take_text(&row);
		refund->actor = pg_take_text(&row);
		refund->note = pg_take_text(&row);
		refund->created_at = pg_take_time(&row);
		refund->updated_at = pg_take_time(&row);
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
	struct pg_row *row;
};

static enum fault take_keyed(struct task *t, struct pg_tx *tx, void *arg)
{
	const struct keyed_step *step = arg;

	TRY(store_claim_key(t, tx, step->key, &step->claim->order_id));
	return write_guarded(t, tx, step->statement, step->values, step->count, step->row);
}

/* Key and step are taken together, or neither. *row: what the statement tells beyond the token. */
static enum fault take(struct task *t, struct keyed *key, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct claim *claim, struct pg_row *row)
{
	enum fault fault;

	if (key == NULL) {
		fault = write_guarded(t, NULL, statement, values, count, row);
	} else {
		claim->operation = key->operation;
		fault = pg_transact(t, take_keyed,
			&(struct keyed_step){key, statement, values, count, claim, row});
		key->claimed = fault == OK || fault == FAULT_UNKNOWN;
	}
	TRY(fault);
	claim->token = pg_take_int64(row);
	return OK;
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

/* What the row says that the step works with. */
static enum fault load_work(struct task *t, struct claim *claim)
{
	struct pg_row row;

	TRY(pg_query_row(t, &orders_work,
		PG_VALUES(pg_uuid(&claim->order_id), pg_int64(store_times.payment_ttl_us)), &row));
	claim->currency = pg_take_text(&row);
	claim->charge.attempt = pg_take_int32(&row);
	claim->charge.method = method_of(pg_take_text(&row));
	claim->charge.amount = pg_take_int64(&row);
	claim->charge.token = pg_take_text(&row);
	claim->charge.is_last = pg_take_bool(&row);
	claim->charge.is_sold = pg_take_bool(&row);
	claim->charge.is_stale = pg_take_bool(&row);
	claim->refund.id = pg_take_uuid(&row);
	claim->refund.attempt = pg_take_int32(&row);
	claim->refund.method = method_of(pg_take_text(&row));
	claim->refund.amount = pg_take_int64(&row);
	claim->refund.restock = pg_take_bool(&row);
	claim->is_unwanted = pg_take_bool(&row);
	claim->declined_code = pg_take_text(&row);
	claim->declined_message = pg_take_text(&row);
	claim->revision = pg_take_int32(&row);
	claim->order = (struct order){.id = claim->order_id, .currency = claim->currency};
	claim->order.shipping = pg_take_int64(&row);
	claim->order.tax = pg_take_int64(&row);
	const struct str lines = pg_take_text(&row);
	if (lines.at == NULL)
		return OK;
	struct order_lines wanted = {0};
	TRY(json_read_lenient(&t->scope, lines, &order_lines_table, &wanted));
	claim->order.items = wanted.lines;
	return OK;
}

/* What the row says is to be done next. */
static void take_over_step(struct claim *claim, struct pg_row *row)
{
	claim->step = step_of(pg_take_text(row));
	const struct str goal = pg_take_text(row);
	claim->goal = goal.at != NULL ? status_of(goal) : claim->status;
	claim->actor = pg_take_text(row);
	claim->note = pg_take_text(row);
}

/* METHOD_MANUAL also for none. */
static int method_of(struct str name)
{
	return str_eq(name, str_from(payment_methods[METHOD_CARD])) ? METHOD_CARD : METHOD_MANUAL;
}

static struct claim claim_on(const struct order *order, enum status goal, enum step step,
	struct str actor, struct str note)
{
	return (struct claim){
		.currency = order->currency,
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
	order->payment.attempt = pg_take_int32(row);
	order->payment.method = pg_take_text(row);
	order->payment.status = pg_take_text(row);
	order->payment.reference = pg_take_text(row);
	order->payment.amount = pg_take_int64(row);
	order->payment.refunded = pg_take_int64(row);
	order->payment.decline_code = pg_take_text(row);
	order->payment.decline_message = pg_take_text(row);
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
