/* SPDX-License-Identifier: Apache-2.0
 * Changes of an order's items while it waits for its payment: what is held for it moves with them.
 * Lines keep the price that they were ordered at; new ones have the catalogue's. */
#include "base/crash.h"
#include "handlers.h"
#include "keys.h"
#include "saga.h"

static keys_fn change;
static enum fault amend(struct task *t, const struct request *request, const struct items *changes,
	struct keyed *key, struct reply *reply);

/* PATCH /orders/{id}/items: 200 with the order; 404 for an item of another order; 409 naming each
 * short line. */
enum fault order_change_items(struct task *t, const struct request *request, struct reply *reply)
{
	return keys_run(t, request, reply, change);
}

static enum fault change(
	struct task *t, const struct request *request, struct keyed *key, struct reply *reply)
{
	struct item_changes wanted = {0};

	TRY(request_json(&t->scope, request, &item_changes_table, &wanted));
	return amend(t, request, &wanted.items, key, reply);
}

/* DELETE /orders/{id}/items/{item_id} */
enum fault order_remove_item(struct task *t, const struct request *request, struct reply *reply)
{
	struct item_change removed = {.is_removed = true};

	TRY(request_uuid(&t->scope, request, 1, &removed.id));
	return amend(t, request, &(struct items){&removed, 1}, NULL, reply);
}

/* PUT /orders/{id} of older clients: the items first, then the status, each under its own rules. */
enum fault order_replace(struct task *t, const struct request *request, struct reply *reply)
{
	struct order_change wanted = {.status = -1};

	TRY(request_json(&t->scope, request, &order_change_table, &wanted));
	if (wanted.status < 0 && wanted.items.count == 0)
		return fail_field(
			&t->scope, STR("status"), "required", "needs `status`, `items`, or both");
	if (wanted.status >= 0 && !caller_is_staff(&request->caller))
		return fail(&t->scope, FAULT_FORBIDDEN, "only support and admin set the status");

	const struct status_change status = {wanted.status, wanted.note, wanted.tracking_number};
	if (wanted.status >= 0 && wanted.items.count > 0)
		TRY(check_status(t, request, &status)); /* or the items alone would change */
	if (wanted.items.count > 0)
		TRY(amend(t, request, &wanted.items, NULL, reply));
	if (wanted.status < 0)
		return OK;

	struct request then = *request;
	if (wanted.items.count > 0) /* If-Match was of the version before */
		then.header_count = 0;
	reply_reset(reply);
	return set_status(t, &then, &status, reply);
}

static enum fault amend(struct task *t, const struct request *request, const struct items *changes,
	struct keyed *key, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct order order;
	struct items items;
	struct claim claim;

	TRY(order_of_path(t, request, &order));
	TRY(check_version(s, request, &order));
	if (!status_is_unpaid((enum status)order.status))
		return fail(s, FAULT_INVALID_TRANSITION, "the items of an order that is %s stay",
			status_names[order.status]);
	if (!order.is_idle)
		return fail(s, FAULT_ORDER_BUSY, "another change of this order is under way");
	TRY(order_items_changed(s, &order, changes, &items));

	TRY(store_take_items(t, &order, request->caller.actor, &items, key, &claim));
	CRASH_POINT("orders.after_take_items");
	return reply_settled(t, &claim, STR_NONE, key, reply);
}
