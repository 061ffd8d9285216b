/* SPDX-License-Identifier: Apache-2.0
 * New orders, and items anew. Buyers come at once, and what an order costs the database is mostly
 * the statement and its commit: so those that come while others are written go together. */
#include "store.h"

#include "fiber/batch.h"
#include "statements.h"

enum { TOGETHER_MAX = 32, RUNS_MAX = 1 };

/* One order to write. */
struct begin {
	struct order *order;
	struct str actor;
	const struct keyed *key; /* or NULL */
	struct claim *claim;
	bool is_begun;
};

struct place {
	const struct claim *claim;
	const struct order *order;
	const struct new_payment *payment; /* or NULL */
	const struct reply *answer; /* or NULL */
	bool is_placed;
};

static enum fault begin_all(struct task *t, const struct batch *batch);
static enum fault place_all(struct task *t, const struct batch *batch);

static _Thread_local struct batcher begins = BATCHER(begin_all, TOGETHER_MAX, RUNS_MAX);
static _Thread_local struct batcher places = BATCHER(place_all, TOGETHER_MAX, RUNS_MAX);

#define COLUMN(s, type, count) arena_alloc_array((s)->arena, (count), sizeof(type))

/* ---- intents ---- */

enum fault store_begin(struct task *t, struct order *order, struct str actor, struct keyed *key,
	struct claim *claim)
{
	struct begin job = {order, actor, key, claim, false};

	*claim = (struct claim){.order_id = order->id,
		.status = STATUS_RESERVING,
		.goal = STATUS_PENDING,
		.step = STEP_RESERVING,
		.actor = actor,
		.currency = order->currency,
		.operation = key != NULL ? key->operation : STR_NONE};
	const enum fault fault = batch_do(t, &begins, &job);
	if (key != NULL)
		key->claimed = fault == FAULT_UNKNOWN || job.is_begun;
	TRY(fault);
	return job.is_begun ? OK : store_key_taken(t);
}

/* As unnest() takes them. */
struct intents {
	struct uuid *ids;
	struct uuid *user_ids;
	struct str *currencies;
	struct str *addresses;
	struct str *metadata;
	struct str *actors;
	struct uuid *callers;
	struct str *operations;
	struct str *keys;
	struct str *fingerprints;
};

static struct intents intents_new(struct scope *s, size_t n)
{
	return (struct intents){
		.ids = COLUMN(s, struct uuid, n),
		.user_ids = COLUMN(s, struct uuid, n),
		.currencies = COLUMN(s, struct str, n),
		.addresses = COLUMN(s, struct str, n),
		.metadata = COLUMN(s, struct str, n),
		.actors = COLUMN(s, struct str, n),
		.callers = COLUMN(s, struct uuid, n),
		.operations = COLUMN(s, struct str, n),
		.keys = COLUMN(s, struct str, n),
		.fingerprints = COLUMN(s, struct str, n),
	};
}

static void intents_set(struct intents *c, size_t i, const struct begin *job)
{
	static const struct keyed none;
	const struct order *order = job->order;
	const struct keyed *key = job->key != NULL ? job->key : &none;

	c->ids[i] = order->id;
	c->user_ids[i] = order->user_id;
	c->currencies[i] = order->currency;
	c->addresses[i] = order->shipping_address;
	c->metadata[i] = order->metadata;
	c->actors[i] = job->actor;
	c->callers[i] = key->caller;
	c->operations[i] = key->operation;
	c->keys[i] = key->key;
	c->fingerprints[i] = key->fingerprint;
}

static void was_begun(const struct batch *batch, struct pg_row *row)
{
	const struct uuid id = pg_take_uuid(row);

	for (size_t i = 0; i < batch_count(batch); i++) {
		struct begin *job = batch_job(batch, i);
		if (job == NULL || !uuid_eq(&job->order->id, &id))
			continue;
		job->is_begun = true;
		job->claim->token = pg_take_int64(row);
		job->order->status = STATUS_PENDING;
		job->order->version = 1;
		job->order->created_at = job->order->updated_at = pg_take_time(row);
		job->order->expires_at = pg_take_time(row);
		return;
	}
}

static enum fault begin_all(struct task *t, const struct batch *batch)
{
	struct scope *s = &t->scope;
	const size_t n = batch_count(batch);
	struct intents c = intents_new(s, n);
	struct pg_rows rows;

	for (size_t i = 0; i < n; i++)
		intents_set(&c, i, batch_job(batch, i));
	TRY(pg_query(t, &orders_begin,
		PG_VALUES(pg_uuids(s, c.ids, n), pg_uuids(s, c.user_ids, n),
			pg_texts(s, c.currencies, n), pg_texts(s, c.addresses, n),
			pg_texts(s, c.metadata, n), pg_texts(s, c.actors, n),
			pg_uuids(s, c.callers, n), pg_texts(s, c.operations, n),
			pg_texts(s, c.keys, n), pg_byteas(s, c.fingerprints, n),
			pg_int64(store_times.order_ttl_us), pg_int64(store_times.lease_us)),
		&rows));
	for (size_t i = 0; i < rows.count; i++) {
		struct pg_row row = pg_row(&rows, i);
		was_begun(batch, &row);
	}
	return OK;
}

/* ---- placing ---- */

enum fault store_place(struct task *t, const struct claim *claim, struct order *order,
	const struct new_payment *payment, const struct reply *answer)
{
	struct place job = {
		claim, order, payment, claim->operation.at != NULL ? answer : NULL, false};

	TRY(batch_do(t, &places, &job));
	return job.is_placed ? OK : store_no_row(t);
}

struct placings {
	struct uuid *ids;
	int64_t *tokens;
	int64_t *subtotals;
	int64_t *shippings;
	int64_t *taxes;
	int64_t *totals;
	struct str *actors;
	int32_t *statuses; /* of the answers; 0: nothing is kept */
	struct str *content_types;
	struct str *etags;
	struct str *locations;
	struct str *bodies;
	struct str *cards; /* with which they are paid */
};

static struct placings placings_new(struct scope *s, size_t n)
{
	return (struct placings){
		.ids = COLUMN(s, struct uuid, n),
		.tokens = COLUMN(s, int64_t, n),
		.subtotals = COLUMN(s, int64_t, n),
		.shippings = COLUMN(s, int64_t, n),
		.taxes = COLUMN(s, int64_t, n),
		.totals = COLUMN(s, int64_t, n),
		.actors = COLUMN(s, struct str, n),
		.statuses = COLUMN(s, int32_t, n),
		.content_types = COLUMN(s, struct str, n),
		.etags = COLUMN(s, struct str, n),
		.locations = COLUMN(s, struct str, n),
		.bodies = COLUMN(s, struct str, n),
		.cards = COLUMN(s, struct str, n),
	};
}

static void placings_set(struct placings *c, size_t i, const struct place *job)
{
	const struct reply *answer = job->answer;

	c->ids[i] = job->claim->order_id;
	c->tokens[i] = job->claim->token;
	c->subtotals[i] = job->order->subtotal;
	c->shippings[i] = job->order->shipping;
	c->taxes[i] = job->order->tax;
	c->totals[i] = job->order->total;
	c->actors[i] = job->claim->actor;
	c->statuses[i] = answer != NULL ? answer->status : 0;
	c->content_types[i] = answer != NULL ? answer->content_type : STR_NONE;
	c->etags[i] = answer != NULL ? answer->etag : STR_NONE;
	c->locations[i] = answer != NULL ? keyed_location(answer) : STR_NONE;
	c->bodies[i] = answer != NULL ? answer->body : STR_NONE;
	c->cards[i] = job->payment != NULL ? job->payment->token : STR_NONE;
}

struct item_columns {
	struct uuid *order_ids;
	struct uuid *ids;
	struct uuid *product_ids;
	struct uuid *seller_ids;
	struct str *names;
	int64_t *unit_prices;
	int32_t *quantities;
	size_t count;
};

static struct item_columns item_columns_new(struct scope *s, size_t n)
{
	return (struct item_columns){
		.order_ids = COLUMN(s, struct uuid, n),
		.ids = COLUMN(s, struct uuid, n),
		.product_ids = COLUMN(s, struct uuid, n),
		.seller_ids = COLUMN(s, struct uuid, n),
		.names = COLUMN(s, struct str, n),
		.unit_prices = COLUMN(s, int64_t, n),
		.quantities = COLUMN(s, int32_t, n),
	};
}

static void item_columns_add(struct item_columns *c, const struct order *order)
{
	const struct order_item *item = order->items.at;

	for (size_t i = 0; i < order->items.count; i++, item++, c->count++) {
		c->order_ids[c->count] = order->id;
		c->ids[c->count] = item->id;
		c->product_ids[c->count] = item->product_id;
		c->seller_ids[c->count] = item->seller_id;
		c->names[c->count] = item->name;
		c->unit_prices[c->count] = item->price;
		c->quantities[c->count] = item->quantity;
	}
}

static struct item_columns items_of_all(struct scope *s, const struct batch *batch)
{
	size_t n = 0;

	for (size_t i = 0; i < batch_count(batch); i++)
		n += ((const struct place *)batch_job(batch, i))->order->items.count;

	struct item_columns c = item_columns_new(s, n);
	for (size_t i = 0; i < batch_count(batch); i++)
		item_columns_add(&c, ((const struct place *)batch_job(batch, i))->order);
	return c;
}

static void was_placed(const struct batch *batch, struct pg_row *row)
{
	const struct uuid id = pg_take_uuid(row);
	const int64_t token = pg_take_int64(row);

	for (size_t i = 0; i < batch_count(batch); i++) {
		struct place *job = batch_job(batch, i);
		if (job != NULL && job->claim->token == token &&
			uuid_eq(&job->claim->order_id, &id))
			job->is_placed = true;
	}
}

static enum fault place_all(struct task *t, const struct batch *batch)
{
	struct scope *s = &t->scope;
	const size_t n = batch_count(batch);
	struct placings c = placings_new(s, n);
	const struct item_columns i = items_of_all(s, batch);
	struct pg_rows rows;

	for (size_t at = 0; at < n; at++)
		placings_set(&c, at, batch_job(batch, at));
	TRY(pg_query(t, &orders_place,
		PG_VALUES(pg_uuids(s, c.ids, n), pg_int64s(s, c.tokens, n),
			pg_int64s(s, c.subtotals, n), pg_int64s(s, c.shippings, n),
			pg_int64s(s, c.taxes, n), pg_int64s(s, c.totals, n),
			pg_texts(s, c.actors, n), pg_int32s(s, c.statuses, n),
			pg_texts(s, c.content_types, n), pg_texts(s, c.etags, n),
			pg_texts(s, c.locations, n), pg_texts(s, c.bodies, n),
			pg_texts(s, c.cards, n), pg_uuids(s, i.order_ids, i.count),
			pg_uuids(s, i.ids, i.count), pg_uuids(s, i.product_ids, i.count),
			pg_uuids(s, i.seller_ids, i.count), pg_texts(s, i.names, i.count),
			pg_int64s(s, i.unit_prices, i.count), pg_int32s(s, i.quantities, i.count),
			pg_int64(store_times.lease_us)),
		&rows));
	for (size_t row = 0; row < rows.count; row++) {
		struct pg_row placed = pg_row(&rows, row);
		was_placed(batch, &placed);
	}
	return OK;
}

/* ---- items anew ---- */

enum fault store_amend(struct task *t, struct pg_tx *tx, struct claim *claim)
{
	struct scope *s = &t->scope;
	const struct order *order = &claim->order;
	struct item_columns i = item_columns_new(s, order->items.count);
	struct pg_rows rows;

	item_columns_add(&i, order);
	const struct pg_value values[] = {pg_uuid(&claim->order_id), pg_int64(claim->token),
		pg_int32(claim->revision + 1), pg_int64(order->subtotal), pg_int64(order->total),
		pg_uuids(s, i.order_ids, i.count), pg_uuids(s, i.ids, i.count),
		pg_uuids(s, i.product_ids, i.count), pg_uuids(s, i.seller_ids, i.count),
		pg_texts(s, i.names, i.count), pg_int64s(s, i.unit_prices, i.count),
		pg_int32s(s, i.quantities, i.count)};
	const size_t count = sizeof values / sizeof values[0];
	TRY(tx != NULL ? pg_tx_query(t, tx, &orders_amend, values, count, &rows)
		       : pg_query(t, &orders_amend, values, count, &rows));
	if (rows.count == 0)
		return store_no_row(t);
	claim->step = STEP_IDLE;
	return OK;
}
