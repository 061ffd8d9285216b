/* SPDX-License-Identifier: Apache-2.0
 * What each step of an order's row does in other services, and which step follows. A step acts
 * elsewhere first, in a way that may be repeated, and then writes what came of it, guarded by the
 * claim; so whoever takes a step up begins it anew. Money is captured only once the goods are
 * sold, and whatever is not captured is let go. */
#include "steps.h"

#include "base/crash.h"
#include "charge.h"
#include "keys.h"
#include "stock.h"
#include "json/write.h"

enum { POLL_US = 5000000 }; /* how often an undecided payment is asked after */

static enum fault reserving(struct task *t, struct claim *claim);
static enum fault amending(struct task *t, struct claim *claim);
static enum fault put_back(struct task *t, struct claim *claim);
static enum fault authorising(struct task *t, struct claim *claim);
static enum fault committing(struct task *t, struct claim *claim);
static enum fault capturing(struct task *t, struct claim *claim);
static enum fault cancelling(struct task *t, struct claim *claim);
static enum fault refunding(struct task *t, struct claim *claim);
static enum fault give_money_back(struct task *t, const struct claim *claim);
static enum fault decline(struct task *t, struct claim *claim, const struct charge_state *state);
static enum fault give_up(struct task *t, struct claim *claim);
static void name_order(struct scope *s, const struct uuid *order_id);
static void refuse(struct task *t, struct claim *claim, enum fault why);
static enum fault forget_unless_written(struct claim *claim, enum fault fault);
static void refuse_payment(
	struct task *t, struct claim *claim, struct str reason, struct str message);
static bool is_by_card(const struct claim *claim);

static enum fault (*const steps[STEP_COUNT])(struct task *t, struct claim *claim) = {
	[STEP_RESERVING] = reserving,
	[STEP_AMENDING] = amending,
	[STEP_AUTHORISING] = authorising,
	[STEP_COMMITTING] = committing,
	[STEP_CAPTURING] = capturing,
	[STEP_CANCELLING] = cancelling,
	[STEP_REFUNDING] = refunding,
};

enum fault steps_go_on(struct task *t, struct claim *claim)
{
	while (claim->step != STEP_IDLE && !claim->waits) {
		if (steps[claim->step] == NULL)
			return fail(&t->scope, FAULT_INTERNAL, "this program knows no step %s",
				step_names[claim->step]);
		TRY(steps[claim->step](t, claim));
	}
	return OK;
}

/* An intent that somebody left: nobody was told of an order, so there is none. */
static enum fault reserving(struct task *t, struct claim *claim)
{
	TRY(stock_release(t, &claim->order_id));
	CRASH_POINT("orders.after_release_of_intent");
	TRY(keys_abandon(t, claim, FAULT_UNAVAILABLE));
	claim->step = STEP_IDLE;
	return OK;
}

/* The wanted lines take the place of the old ones in the reservation, and then in the order; or, if
 * products refuses them, in neither. */
static enum fault amending(struct task *t, struct claim *claim)
{
	struct order *order = &claim->order;
	bool refused;
	enum fault fault = stock_reserve_anew(t, order, claim->revision + 1, &refused);

	CRASH_POINT("orders.after_reserve_anew");
	if (fault == FAULT_STALE_REVISION) { /* they were put back already */
		scope_forgive(&t->scope);
		claim->revisions_more = 2;
		fault = fail_field(
			&t->scope, STR("items"), "range", "the order's total would be too large");
	} else if (fault == OK && order_add_up(&t->scope, order) != OK) {
		refuse(t, claim, FAULT_INVALID);
		TRY(put_back(t, claim));
		return keys_finish(t, claim);
	} else if (!refused && (fault == FAULT_INSUFFICIENT_STOCK || fault == FAULT_INVALID)) {
		scope_forgive(&t->scope); /* a repeat was refused: the first call may be granted */
		return fail(&t->scope, FAULT_UNKNOWN, "the answer of products was lost");
	} else if (!refused && fault != FAULT_RELEASED) {
		TRY(fault);
	}
	if (fault != OK)
		refuse(t, claim, fault);
	return forget_unless_written(claim, keys_finish(t, claim));
}

/* The order's own lines, under one more revision. */
static enum fault put_back(struct task *t, struct claim *claim)
{
	struct order order;
	bool refused;

	TRY(store_get(t, &claim->order_id, &order));
	TRY(stock_reserve_anew(t, &order, claim->revision + 2, &refused));
	claim->revisions_more = 2;
	return OK;
}

static enum fault authorising(struct task *t, struct claim *claim)
{
	struct charge_state state;

	if (claim->is_unwanted)
		return give_up(t, claim);
	const enum fault fault = charge_authorise(t, claim, &state);
	if (fault == FAULT_RELEASED || (fault != OK && claim->charge.is_stale))
		return give_up(t, claim);
	TRY(fault);
	CRASH_POINT("orders.after_authorise");
	switch ((enum charge_status)state.status) {
	case CHARGE_AUTHORISED:
	case CHARGE_CAPTURED:
		return store_advance(t, claim, STEP_COMMITTING, STATUS_PAID);
	case CHARGE_DECLINED:
		return decline(t, claim, &state);
	case CHARGE_PROCESSING:
		return claim->charge.is_stale ? give_up(t, claim) : store_wait(t, claim, POLL_US);
	case CHARGE_VOIDED:
		break;
	}
	return give_up(t, claim);
}

/* What cannot be sold is not paid for. */
static enum fault committing(struct task *t, struct claim *claim)
{
	const enum fault fault = stock_commit(t, &claim->order_id);

	CRASH_POINT("orders.after_commit");
	if (fault == FAULT_RELEASED || fault == FAULT_INSUFFICIENT_STOCK) {
		name_order(&t->scope, &claim->order_id);
		refuse(t, claim, fault);
		return forget_unless_written(claim, give_up(t, claim));
	}
	TRY(fault);
	claim->charge.is_sold = true;
	return is_by_card(claim) ? store_advance(t, claim, STEP_CAPTURING, STATUS_PAID)
	                         : keys_finish(t, claim);
}

/* Should the provider have let the money go, the goods come back and the order has failed. */
static enum fault capturing(struct task *t, struct claim *claim)
{
	const enum fault fault = charge_capture(t, claim);

	CRASH_POINT("orders.after_capture");
	if (fault == FAULT_CONFLICT || fault == FAULT_NOT_FOUND) {
		refuse_payment(t, claim, STR("not_captured"),
			STR("The authorised amount could not be taken."));
		return store_advance(t, claim, STEP_CANCELLING, STATUS_PAYMENT_FAILED);
	}
	TRY(fault);
	return keys_finish(t, claim);
}

/* Undoes what there is: an open payment is let go, goods come back, captured money goes back. */
static enum fault cancelling(struct task *t, struct claim *claim)
{
	const bool was_paid = !status_is_unpaid(claim->status);
	const bool has_failed =
		claim->goal == STATUS_PAYMENT_FAILED || claim->goal == claim->status;

	if (has_failed && claim->refusal == OK) /* somebody else was told why, or nobody */
		refuse_payment(t, claim,
			claim->declined_code.at != NULL ? claim->declined_code : STR("voided"),
			claim->declined_code.at != NULL ? claim->declined_message
							: STR("The payment was given up."));
	if (claim->charge.attempt != 0 && is_by_card(claim)) {
		TRY(charge_void(t, claim));
		CRASH_POINT("orders.after_void");
	}
	if (claim->goal != claim->status) {
		TRY(was_paid || claim->charge.is_sold ? stock_return(t, &claim->order_id)
						      : stock_release(t, &claim->order_id));
		CRASH_POINT("orders.after_give_back");
	}
	if (was_paid) {
		TRY(store_owe(t, claim));
		CRASH_POINT("orders.after_owe");
		TRY(give_money_back(t, claim));
	}
	return keys_finish(t, claim);
}

static enum fault refunding(struct task *t, struct claim *claim)
{
	TRY(give_money_back(t, claim));
	if (claim->refund.restock) {
		TRY(stock_return(t, &claim->order_id));
		CRASH_POINT("orders.after_return");
	}
	return keys_finish(t, claim);
}

/* What was received outside is given back outside. */
static enum fault give_money_back(struct task *t, const struct claim *claim)
{
	if (claim->refund.method == METHOD_CARD)
		TRY(charge_refund(t, claim));
	CRASH_POINT("orders.after_refund");
	return OK;
}

/* ---- the payment ---- */

static enum fault decline(struct task *t, struct claim *claim, const struct charge_state *state)
{
	claim->charge.decline_code =
		state->decline_code.at != NULL ? state->decline_code : STR("card_declined");
	claim->charge.decline_message = state->decline_message;
	refuse_payment(t, claim, claim->charge.decline_code, claim->charge.decline_message);
	return give_up(t, claim);
}

/* There is an order, although the request that placed it is refused. */
static void name_order(struct scope *s, const struct uuid *order_id)
{
	struct buf extra = buf_new(s->arena);
	char id[UUID_TEXT_LEN + 1];

	buf_add(&extra, STR("\"order_id\":"));
	json_write_text(&extra, uuid_format(order_id, id));
	if (s->extra.at != NULL) {
		buf_char(&extra, ',');
		buf_add(&extra, s->extra);
	}
	s->extra = buf_str(&extra);
}

static void refuse(struct task *t, struct claim *claim, enum fault why)
{
	claim->refusal = why;
	claim->refusal_words = t->scope;
}

/* A refusal by products: until it is written, whoever takes the step up may be granted the same. */
static enum fault forget_unless_written(struct claim *claim, enum fault fault)
{
	if (fault != OK)
		claim->refusal = OK;
	return fault;
}

static void refuse_payment(
	struct task *t, struct claim *claim, struct str reason, struct str message)
{
	scope_forgive(&t->scope);
	refuse(t, claim, refuse_card(&t->scope, &claim->order_id, reason, message));
}

enum fault steps_refusal(struct scope *s, const struct claim *claim)
{
	const struct scope *words = &claim->refusal_words;

	s->detail = words->detail;
	s->extra = words->extra;
	s->errors = words->errors;
	s->errors_end = words->errors_end;
	s->error_count = words->error_count;
	return claim->refusal;
}

enum fault refuse_card(
	struct scope *s, const struct uuid *order_id, struct str reason, struct str message)
{
	struct buf extra = buf_new(s->arena);

	buf_add(&extra, STR("\"reason\":"));
	json_write_text(&extra, reason);
	s->extra = buf_str(&extra);
	name_order(s, order_id);
	return fail(s, FAULT_CARD_DECLINED, "%.*s", STR_ARG(message));
}

/* The payment will not be. If it was the last one the order has failed; else it is as it was. What
 * was declined, or received outside, needs no letting go. */
static enum fault give_up(struct task *t, struct claim *claim)
{
	const bool is_held = is_by_card(claim) && claim->charge.decline_code.at == NULL;

	if (claim->charge.is_last)
		return store_advance(t, claim, STEP_CANCELLING, STATUS_PAYMENT_FAILED);
	if (is_held)
		return store_advance(t, claim, STEP_CANCELLING, claim->status);
	claim->goal = claim->status;
	return keys_finish(t, claim);
}

static bool is_by_card(const struct claim *claim)
{
	return claim->charge.method == METHOD_CARD;
}
