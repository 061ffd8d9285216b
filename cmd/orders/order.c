/* SPDX-License-Identifier: Apache-2.0
 * Placing orders and reading them. People see their own orders and staff sees all; to everybody
 * else an order does not exist. */
#include "auth/cursor.h"
#include "handlers.h"
#include "keys.h"
#include "saga.h"
#include "steps.h"
#include "json/write.h"

enum { SORT_NEWEST };

static keys_fn create;
static enum fault owner_from(struct scope *s, const struct caller *caller,
	const struct new_order *wanted, struct uuid *id);
static struct str address_json(struct scope *s, const struct new_order *wanted);
static enum fault list(struct task *t, const struct request *request, const struct uuid *user_id,
	const struct order_query *query, struct reply *reply);

/* POST /orders: 201 with the order, paid if a payment came with it; 202 while that is undecided;
 * 402 when it is declined; 409 naming each short line; 422; 503 while products is away. */
enum fault order_create(struct task *t, const struct request *request, struct reply *reply)
{
	return keys_run(t, request, reply, create);
}

static enum fault create(
	struct task *t, const struct request *request, struct keyed *key, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct new_order wanted = {0};
	struct order order = {.id = uuid_new()};
	struct claim claim;

	TRY(request_json(s, request, &new_order_table, &wanted));
	const struct new_payment *payment =
		wanted.payment.token.at != NULL ? &wanted.payment : NULL;
	if (payment != NULL && payment->method != METHOD_CARD)
		return fail_field(s, STR("payment.method"), "value",
			"must be card: what was received outside is recorded by …/pay");
	TRY(owner_from(s, &request->caller, &wanted, &order.user_id));
	TRY(order_items_from(s, &wanted, &order.items));
	order.currency = str_from(currency_of_shop()->code);
	order.shipping_address = address_json(s, &wanted);
	order.metadata = wanted.metadata;
	TRY(saga_place(t, &order, request->caller.actor, payment, key, &claim, reply));
	return payment == NULL ? OK
	                       : reply_settled(t, &claim, STR("POST /api/v1/orders"), key, reply);
}

/* GET /orders: one's own; staff sees all, or those of `user_id`. */
enum fault order_list(struct task *t, const struct request *request, struct reply *reply)
{
	struct order_query query = {.status = -1, .limit = PAGE_DEFAULT};
	const struct caller *caller = &request->caller;

	TRY(request_query(&t->scope, request, &order_query_table, &query));
	if (caller_is_staff(caller))
		return list(t, request, &query.user_id, &query, reply);
	if (!uuid_is_nil(&query.user_id) && !uuid_eq(&query.user_id, &caller->user_id))
		return fail(&t->scope, FAULT_NOT_FOUND, "there is no such user");
	return list(t, request, &caller->user_id, &query, reply);
}

/* GET /orders/user/{user_id}, /users/{user_id}/orders. */
enum fault order_list_of_user(struct task *t, const struct request *request, struct reply *reply)
{
	struct order_query query = {.status = -1, .limit = PAGE_DEFAULT};
	struct uuid user_id;

	TRY(request_uuid(&t->scope, request, 0, &user_id));
	TRY(request_query(&t->scope, request, &order_query_table, &query));
	if (uuid_is_nil(&user_id) || (!caller_is_staff(&request->caller) &&
					     !uuid_eq(&user_id, &request->caller.user_id)))
		return fail(&t->scope, FAULT_NOT_FOUND, "there is no such user");
	if (!uuid_is_nil(&query.user_id) && !uuid_eq(&query.user_id, &user_id))
		return fail_field(&t->scope, STR("user_id"), "value", "is not the path's user");
	return list(t, request, &user_id, &query, reply);
}

enum fault order_read(struct task *t, const struct request *request, struct reply *reply)
{
	struct order order;

	TRY(order_of_path(t, request, &order));
	return reply_order(reply, 200, &order);
}

enum fault order_history(struct task *t, const struct request *request, struct reply *reply)
{
	struct order order;
	struct items entries;

	TRY(order_of_path(t, request, &order));
	TRY(store_history(t, &order.id, &entries));
	return reply_list(reply, request, &history_table, entries.at, entries.count, STR_NONE);
}

/* ---- shared ---- */

enum fault order_of_path(struct task *t, const struct request *request, struct order *order)
{
	struct uuid id;

	TRY(request_uuid(&t->scope, request, 0, &id));
	TRY(store_get(t, &id, order));
	if (!caller_is_staff(&request->caller) &&
		!uuid_eq(&order->user_id, &request->caller.user_id))
		return fail(&t->scope, FAULT_NOT_FOUND, "there is no such order");
	return OK;
}

enum fault reply_settled(struct task *t, struct claim *claim, struct str operation,
	const struct keyed *key, struct reply *reply)
{
	const bool pays = claim->charge.attempt != 0;
	const enum fault fault = saga_settle(t, claim);
	struct order now;

	if (fault != OK && (!fault_info(fault)->retry || key != NULL))
		return fault; /* a repeat with the key goes on with it */
	if (key != NULL && !claim->waits)
		return OK; /* it is kept already */
	scope_forgive(&t->scope);
	TRY(store_get(t, &claim->order_id, &now));
	if (fault != OK && pays && now.payment.decline_code.at != NULL)
		return refuse_card(&t->scope, &claim->order_id, now.payment.decline_code,
			now.payment.decline_message);
	keys_reply(reply, operation, &now);
	if (!now.is_idle && (fault != OK || claim->waits)) /* else it is another change's */
		reply->status = 202;
	return OK;
}

enum fault reply_order(struct reply *reply, int status, const struct order *order)
{
	reply_version(reply, order->version);
	return reply_object(reply, status, &order_table, order);
}

/* ---- helpers ---- */

/* Older clients send whose order it is; only staff may order for others. */
static enum fault owner_from(struct scope *s, const struct caller *caller,
	const struct new_order *wanted, struct uuid *id)
{
	*id = uuid_is_nil(&wanted->user_id) ? caller->user_id : wanted->user_id;
	if (uuid_eq(id, &caller->user_id) || caller_is_staff(caller))
		return OK;
	return fail(s, FAULT_FORBIDDEN, "user_id: only support and admin may order for others");
}

/* Only what was given; no address at all is none. */
static struct str address_json(struct scope *s, const struct new_order *wanted)
{
	struct buf text = buf_new(s->arena);

	json_write(&text, &address_table, &wanted->shipping_address);
	return str_eq(buf_str(&text), STR("{}")) ? STR_NONE : buf_str(&text);
}

/* A cursor is good for the list of one user and status. */
static uint64_t hash_of_filters(const struct uuid *user_id, int status)
{
	const uint64_t hash =
		cursor_hash(0, str_of((const char *)user_id->bytes, sizeof user_id->bytes));

	return cursor_hash(hash, str_of((const char *)&status, sizeof status));
}

static enum fault list(struct task *t, const struct request *request, const struct uuid *user_id,
	const struct order_query *query, struct reply *reply)
{
	struct scope *s = &t->scope;
	const uint64_t filters = hash_of_filters(user_id, query->status);
	struct order_key after = order_key_first;
	int64_t offset = query->offset;
	struct str next = STR_NONE;
	struct items orders;

	if (query->cursor.at != NULL) {
		struct cursor cursor;
		TRY(cursor_read(s, query->cursor, SORT_NEWEST, filters, &cursor));
		after = (struct order_key){.created_at = cursor.number, .id = cursor.id};
		offset = 0; /* a next link keeps an older client's offset */
	}
	TRY(store_list(t, user_id, (enum status)(query->status + 1), &after, offset,
		query->limit + 1, &orders));
	if (orders.count > (size_t)query->limit) {
		const struct order *last = (struct order *)orders.at + query->limit - 1;
		orders.count = (size_t)query->limit;
		next = cursor_write(s, &(struct cursor){.sort = SORT_NEWEST,
					       .filters = filters,
					       .number = last->created_at,
					       .id = last->id});
	}
	return reply_list(reply, request, &order_table, orders.at, orders.count, next);
}
