/* SPDX-License-Identifier: Apache-2.0
 * What becomes of an order that was placed: changes of its status by people. Each reads the order,
 * decides by the table of transitions, and then changes exactly the version that it has read. */
#include "base/crash.h"
#include "handlers.h"
#include "keys.h"
#include "saga.h"

#include <inttypes.h>

struct change {
	enum status to;
	struct str actor;
	struct str note;
	struct str tracking_number;
};

/* A cancellation that is asked for while a payment is under way. */
struct asking {
	const struct order *order;
	const struct change *change;
	const struct keyed *key; /* or NULL */
	struct reply *reply;
};

static keys_fn cancel, pay, refund;
static enum fault change_order(struct task *t, const struct request *request,
	const struct change *change, struct keyed *key, struct reply *reply);
static enum fault begin_change(struct task *t, const struct order *order,
	const struct change *change, struct keyed *key, struct claim *claim);
static enum fault cancel_payment(struct task *t, const struct order *order,
	const struct change *change, struct keyed *key, struct reply *reply);
static enum fault ask_cancel(struct task *t, struct pg_tx *tx, void *arg);
static enum fault check_tracking(struct scope *s, const struct status_change *wanted);
static enum fault check_payment(
	struct scope *s, const struct request *request, const struct new_payment *payment);
static enum fault check_refund(
	struct scope *s, const struct order *order, struct new_refund *refund);
static enum fault check_mover(
	struct scope *s, const struct request *request, const struct order *order, enum status to);
static enum fault find_transition(struct scope *s, const struct order *order, enum status to,
	const struct transition **found);

/* PUT, PATCH /orders/{id}/status by staff. */
enum fault order_change_status(struct task *t, const struct request *request, struct reply *reply)
{
	struct status_change wanted = {0};

	TRY(request_json(&t->scope, request, &status_change_table, &wanted));
	return set_status(t, request, &wanted, reply);
}

enum fault set_status(struct task *t, const struct request *request,
	const struct status_change *wanted, struct reply *reply)
{
	const struct change change = {
		.to = status_wanted(wanted),
		.actor = request->caller.actor,
		.note = wanted->note,
		.tracking_number = wanted->tracking_number,
	};

	TRY(check_tracking(&t->scope, wanted));
	return change_order(t, request, &change, NULL, reply);
}

enum fault check_status(
	struct task *t, const struct request *request, const struct status_change *wanted)
{
	const struct transition *transition;
	struct scope *s = &t->scope;
	struct order order;

	TRY(check_tracking(s, wanted));
	TRY(order_of_path(t, request, &order));
	TRY(check_version(s, request, &order));
	TRY(check_mover(s, request, &order, status_wanted(wanted)));
	return find_transition(s, &order, status_wanted(wanted), &transition);
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

/* POST /orders/{id}/pay: by card, or by staff a payment that came in by other ways. 200 with the
 * order; 202 while the payment is undecided; 402 when it is declined, and the order is as it was.
 */
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
	TRY(check_payment(s, request, &payment));
	TRY(order_of_path(t, request, &order));
	TRY(check_version(s, request, &order));
	TRY(find_transition(s, &order, STATUS_PAID, &transition));

	TRY(store_take_payment(t, &order, request->caller.actor, &payment, key, &claim));
	CRASH_POINT("orders.after_take_payment");
	return reply_settled(t, &claim, STR_NONE, key, reply);
}

/* POST /orders/{id}/refunds by staff: all that is left of the payment, or a part of it. */
enum fault order_refund(struct task *t, const struct request *request, struct reply *reply)
{
	return keys_run(t, request, reply, refund);
}

static enum fault refund(
	struct task *t, const struct request *request, struct keyed *key, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct new_refund wanted = {0};
	struct order order;
	struct claim claim;

	if (request->body.len > 0)
		TRY(request_json(s, request, &new_refund_table, &wanted));
	TRY(order_of_path(t, request, &order));
	TRY(check_version(s, request, &order));
	TRY(check_refund(s, &order, &wanted));

	TRY(store_take_refund(t, &order, request->caller.actor, &wanted, key, &claim));
	CRASH_POINT("orders.after_take_refund");
	return reply_settled(t, &claim, STR_NONE, key, reply);
}

enum fault order_refunds_list(struct task *t, const struct request *request, struct reply *reply)
{
	struct order order;
	struct items refunds;

	TRY(order_of_path(t, request, &order));
	TRY(store_refunds(t, &order.id, &refunds));
	return reply_list(reply, request, &refund_table, refunds.at, refunds.count, STR_NONE);
}

/* The change itself, or its first step, with which the key (or NULL) goes. */
static enum fault begin_change(struct task *t, const struct order *order,
	const struct change *change, struct keyed *key, struct claim *claim)
{
	const struct transition *transition;

	*claim = (struct claim){.order_id = order->id, .step = STEP_IDLE};
	TRY(find_transition(&t->scope, order, change->to, &transition));
	if (transition->step == STEP_IDLE)
		return store_change(
			t, order, change->to, change->actor, change->note, change->tracking_number);

	TRY(store_take(t, order, transition, change->actor, change->note, key, claim));
	CRASH_POINT("orders.after_take");
	return OK;
}

static enum fault change_order(struct task *t, const struct request *request,
	const struct change *change, struct keyed *key, struct reply *reply)
{
	struct order order;
	struct claim claim;

	TRY(order_of_path(t, request, &order));
	TRY(check_version(&t->scope, request, &order));
	TRY(check_mover(&t->scope, request, &order, change->to));
	if (change->to == STATUS_CANCELLED && status_is_unpaid((enum status)order.status) &&
		!order.is_idle)
		return cancel_payment(t, &order, change, key, reply);
	TRY(begin_change(t, &order, change, key, &claim));
	return reply_settled(t, &claim, STR_NONE, key, reply);
}

/* Whoever works at the payment cancels at their next write; if nobody does, the recovery. There is
 * no step of ours, so all that there is to answer is that it was asked for. */
static enum fault cancel_payment(struct task *t, const struct order *order,
	const struct change *change, struct keyed *key, struct reply *reply)
{
	const enum fault fault =
		pg_transact(t, ask_cancel, &(struct asking){order, change, key, reply});

	CRASH_POINT("orders.after_ask_cancel");
	if (key != NULL) {
		key->claimed = fault == OK || fault == FAULT_UNKNOWN;
		key->answered = fault == OK;
	}
	return fault;
}

static enum fault ask_cancel(struct task *t, struct pg_tx *tx, void *arg)
{
	const struct asking *asking = arg;
	const struct change *change = asking->change;
	struct order now;
	bool kept;

	if (asking->key != NULL)
		TRY(store_claim_key(t, tx, asking->key, &asking->order->id));
	TRY(store_ask_cancel(t, tx, asking->order, change->actor, change->note));
	TRY(store_get_in(t, tx, &asking->order->id, &now));
	keys_reply(asking->reply, STR_NONE, &now);
	asking->reply->status = 202;
	return asking->key != NULL ? keyed_answer(t, tx, asking->key, asking->reply, &kept) : OK;
}

static enum fault check_tracking(struct scope *s, const struct status_change *wanted)
{
	if (wanted->tracking_number.at == NULL || status_wanted(wanted) == STATUS_SHIPPED)
		return OK;
	return fail_field(s, STR("tracking_number"), "value", "goes with the status shipped only");
}

/* What each method needs, and who may use it. */
static enum fault check_payment(
	struct scope *s, const struct request *request, const struct new_payment *payment)
{
	const bool is_by_card = payment->method == METHOD_CARD;

	if (!is_by_card && !caller_is_staff(&request->caller))
		return fail(s, FAULT_FORBIDDEN, "only support and admin may record payments");
	if (is_by_card && payment->token.at == NULL)
		return fail_field(s, STR("token"), "required", "stands for the card");
	if (!is_by_card && payment->reference.at == NULL)
		return fail_field(s, STR("reference"), "required", "says how it was received");
	if ((is_by_card ? payment->reference : payment->token).at != NULL)
		return fail_field(s, is_by_card ? STR("reference") : STR("token"), "value",
			"does not go with the method %s", payment_methods[payment->method]);
	return OK;
}

/* Fills in the amount when none was given. */
static enum fault check_refund(
	struct scope *s, const struct order *order, struct new_refund *refund)
{
	const int64_t left = order->payment.amount - order->payment.refunded;

	if (order->status != STATUS_DELIVERED)
		return fail(s, FAULT_INVALID_TRANSITION,
			"an order that is %s is not refunded: only a delivered one is",
			status_names[order->status]);
	if (!order->is_idle)
		return fail(s, FAULT_ORDER_BUSY, "another change of this order is under way");
	if (refund->amount == 0)
		refund->amount = left;
	if (refund->amount > left || left == 0)
		return fail(
			s, FAULT_CONFLICT, "no more than %" PRId64 " minor units are left", left);
	if (refund->restock && refund->amount < left)
		return fail_field(s, STR("restock"), "value",
			"goes with a refund of all that is left: the goods come back whole");
	return OK;
}

enum fault check_version(struct scope *s, const struct request *request, const struct order *order)
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
