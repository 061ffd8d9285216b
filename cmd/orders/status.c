/* SPDX-License-Identifier: Apache-2.0
 * What becomes of an order that was placed: changes of its status by people. Each reads the order,
 * decides by the table of transitions, and then changes exactly the version that it has read. */
#include "base/crash.h"
#include "handlers.h"
#include "keys.h"
#include "saga.h"

#include <inttypes.h>

static keys_fn cancel, pay;
static enum fault change_order(struct task *t, const struct request *request,
	const struct change *change, struct keyed *key, struct reply *reply);
static enum fault check_version(
	struct scope *s, const struct request *request, const struct order *order);
static enum fault check_mover(
	struct scope *s, const struct request *request, const struct order *order, enum status to);
static enum fault find_transition(struct scope *s, const struct order *order, enum status to,
	const struct transition **found);
static enum fault reply_reread(struct task *t, const struct order *order, struct reply *reply);

/* PUT, PATCH /orders/{id}/status by staff. */
enum fault order_change_status(struct task *t, const struct request *request, struct reply *reply)
{
	struct status_change wanted = {0};

	TRY(request_json(&t->scope, request, &status_change_table, &wanted));
	const struct change change = {
		.to = status_wanted(&wanted),
		.actor = request->caller.actor,
		.note = wanted.note,
		.tracking_number = wanted.tracking_number,
	};
	if (change.tracking_number.at != NULL && change.to != STATUS_SHIPPED)
		return fail_field(&t->scope, STR("tracking_number"), "value",
			"goes with the status shipped only");
	return change_order(t, request, &change, NULL, reply);
}

/* POST /orders/{id}/cancel: 200 with the order, its goods back in stock. */
enum fault order_cancel(struct task *t, const struct request *request, struct reply *reply)
{
	return keys_run(t, request, reply, cancel);
}

/* DELETE /orders/{id}: the same, and repeated as it is. */
enum fault order_remove(struct task *t, const struct request *request, struct reply *reply)
{
	return cancel(t, request, NULL, reply);
}

static enum fault cancel(
	struct task *t, const struct request *request, struct keyed *key, struct reply *reply)
{
	struct cancellation wanted = {0};

	if (request->body.len > 0)
		TRY(request_json(&t->scope, request, &cancellation_table, &wanted));
	const struct change change = {
		.to = STATUS_CANCELLED,
		.actor = request->caller.actor,
		.note = wanted.note,
	};
	return change_order(t, request, &change, key, reply);
}

/* POST /orders/{id}/pay by staff: a payment that came in by other ways. */
enum fault order_pay(struct task *t, const struct request *request, struct reply *reply)
{
	return keys_run(t, request, reply, pay);
}

static enum fault pay(
	struct task *t, const struct request *request, struct keyed *key, struct reply *reply)
{
	struct scope *s = &t->scope;
	const struct transition *transition;
	struct new_payment payment = {0};
	struct order order;
	struct claim claim;

	TRY(request_json(s, request, &new_payment_table, &payment));
	TRY(order_of_path(t, request, &order));
	TRY(check_version(s, request, &order));
	TRY(find_transition(s, &order, STATUS_PAID, &transition));

	TRY(store_take_payment(t, &order, request->caller.actor, &payment, key, &claim));
	CRASH_POINT("orders.after_take_payment");
	TRY(saga_settle(t, &claim));
	return key != NULL ? OK : reply_reread(t, &order, reply);
}

enum fault change_status(
	struct task *t, const struct order *order, const struct change *change, struct keyed *key)
{
	const struct transition *transition;
	struct claim claim;

	TRY(find_transition(&t->scope, order, change->to, &transition));
	if (transition->step == STEP_IDLE)
		return store_change(
			t, order, change->to, change->actor, change->note, change->tracking_number);

	TRY(store_take(t, order, transition, change->actor, change->note, key, &claim));
	CRASH_POINT("orders.after_take");
	return saga_settle(t, &claim);
}

static enum fault change_order(struct task *t, const struct request *request,
	const struct change *change, struct keyed *key, struct reply *reply)
{
	struct order order;

	TRY(order_of_path(t, request, &order));
	TRY(check_version(&t->scope, request, &order));
	TRY(check_mover(&t->scope, request, &order, change->to));
	TRY(change_status(t, &order, change, key));
	return key != NULL ? OK : reply_reread(t, &order, reply);
}

static enum fault check_version(
	struct scope *s, const struct request *request, const struct order *order)
{
	return request_precondition(s, request, scope_format(s, "%" PRId64, order->version));
}

/* The table says who may ask; what it does not have at all is for find_transition to say. */
static enum fault check_mover(
	struct scope *s, const struct request *request, const struct order *order, enum status to)
{
	const struct transition *found = transition_find((enum status)order->status, to);
	const unsigned mover = caller_is_staff(&request->caller) ? BY_STAFF : BY_OWNER;

	if (found == NULL || (found->by & mover) != 0)
		return OK;
	return fail(s, FAULT_FORBIDDEN, "the caller may not set the status %s", status_names[to]);
}

static enum fault find_transition(
	struct scope *s, const struct order *order, enum status to, const struct transition **found)
{
	*found = transition_find((enum status)order->status, to);
	if (*found == NULL)
		return fail(s, FAULT_INVALID_TRANSITION, "an order that is %s cannot become %s",
			status_names[order->status], status_names[to]);
	if (!order->is_idle)
		return fail(s, FAULT_ORDER_BUSY, "another change of this order is under way");
	return OK;
}

static enum fault reply_reread(struct task *t, const struct order *order, struct reply *reply)
{
	struct order now;

	TRY(store_get(t, &order->id, &now));
	return reply_order(reply, 200, &now);
}
