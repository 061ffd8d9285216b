/* SPDX-License-Identifier: Apache-2.0
 * Reserve, place, settle, expire, and what happens when one of them breaks off. An order that
 * was answered 201 exists; what was reserved for one that was not is given back. Every write is
 * guarded by the claim's token: whoever lost the claim changes nothing and acts no further. */
#include "saga.h"

#include "base/crash.h"
#include "base/random.h"
#include "keys.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "steps.h"
#include "stock.h"

enum {
	CLAIMS_A_RUN = 64, /* of a job; the rest waits for the next run */
	DELAY_FIRST_US = 500 * 1000,
	DELAY_DOUBLINGS = 7, /* up to 64 s */
	LOOKS_MAX = 2,
};

static enum fault reserve(struct task *t, struct order *order, bool *refused);
static enum fault place(struct task *t, const struct claim *claim, struct order *order,
	const struct new_payment *payment, const struct reply *answer);
static enum fault find_out(struct task *t, const struct claim *claim, struct order *order,
	const struct new_payment *payment, const struct reply *answer, enum fault fault);
static void go_on_paying(
	struct claim *claim, const struct order *order, const struct new_payment *payment);
static enum fault undo(struct task *t, const struct claim *claim, bool refused, enum fault why);
static void leave_to_recovery(struct task *t, const struct claim *claim);
static enum fault drain(
	struct task *t, const char *job, enum fault (*take)(struct task *t, struct claim *claim));
static void note(struct task *t, const char *job, const struct claim *claim, enum step taken_at,
	enum fault fault);

enum fault saga_place(struct task *t, struct order *order, struct str actor,
	const struct new_payment *payment, struct keyed *key, struct claim *claim,
	struct reply *reply)
{
	bool refused = false;

	TRY(store_begin(t, order, actor, key, claim)); /* from here on the recovery can undo it */
	CRASH_POINT("orders.after_begin");

	enum fault fault = reserve(t, order, &refused);
	CRASH_POINT("orders.after_reserve");
	if (fault != OK) {
		const enum fault undone = undo(t, claim, refused, fault);
		/* what is not kept may not be told: a repeat may have better luck */
		return key != NULL && keyed_is_refusal(fault) && undone != OK ? undone : fault;
	}
	if (payment == NULL)
		keys_reply(reply, STR("POST /api/v1/orders"), order);
	fault = place(t, claim, order, payment, reply);
	if (fault != OK)
		reply_reset(reply);
	else if (payment != NULL)
		go_on_paying(claim, order, payment);
	else if (key != NULL)
		key->answered = true;
	return fault;
}

enum fault saga_settle(struct task *t, struct claim *claim)
{
	task_shield(t);
	const enum fault fault = steps_go_on(t, claim);
	CRASH_POINT("orders.after_step");
	if (fault != OK)
		leave_to_recovery(t, claim);
	task_unshield(t);
	return claim->refusal != OK ? steps_refusal(&t->scope, claim) : fault;
}

enum fault saga_recover(struct task *t)
{
	return drain(t, "recover", store_take_stalled);
}

enum fault saga_attention(struct task *t)
{
	static struct gauge *attention;
	int64_t count;

	TRY(store_count_attention(t, &count));
	if (attention == NULL)
		attention = gauge_get("orders_needing_attention",
			"Orders whose step has failed again and again.", NULL);
	gauge_set(attention, count);
	return OK;
}

enum fault saga_expire(struct task *t)
{
	return drain(t, "expire", store_take_expired);
}

/* ---- a new order ---- */

static enum fault reserve(struct task *t, struct order *order, bool *refused)
{
	const enum fault fault = stock_reserve(t, order, refused);

	switch (fault) {
	case OK:
		return order_add_up(&t->scope, order);
	case FAULT_RELEASED: /* only the recovery can have got there before us */
	case FAULT_STALE_REVISION:
	case FAULT_CONFLICT:
	case FAULT_UNKNOWN: /* what may be held is given back: there will be no such order */
		scope_forgive(&t->scope);
		return fail(&t->scope, FAULT_UNAVAILABLE, "the goods could not be reserved");
	default:
		return fault;
	}
}

static enum fault place(struct task *t, const struct claim *claim, struct order *order,
	const struct new_payment *payment, const struct reply *answer)
{
	task_shield(t);
	enum fault fault = store_place(t, claim, order, payment, payment == NULL ? answer : NULL);
	CRASH_POINT("orders.after_place");
	if (fault == FAULT_UNKNOWN || fault == FAULT_ORDER_BUSY)
		fault = find_out(t, claim, order, payment, answer, fault);
	else if (fault != OK)
		(void)undo(t, claim, false, fault);
	task_unshield(t);
	return fault;
}

/* A lost answer, or no row to change: the database says what became of the order. If it is an
 * intent still, it is placed once more. Nothing is undone here: either the order is placed, or the
 * recovery undoes the intent, or has done so. */
static enum fault find_out(struct task *t, const struct claim *claim, struct order *order,
	const struct new_payment *payment, const struct reply *answer, enum fault fault)
{
	struct order now;

	for (int i = 0; i < LOOKS_MAX; i++) {
		const enum fault seen = store_get(t, &order->id, &now);
		if (seen == FAULT_NOT_FOUND && fault == FAULT_ORDER_BUSY) {
			scope_forgive(&t->scope);
			return fail(
				&t->scope, FAULT_UNAVAILABLE, "the order took too long to place");
		}
		if (seen != OK && seen != FAULT_NOT_FOUND)
			return FAULT_UNKNOWN;
		fault = seen == OK ? OK
		                   : store_place(t, claim, order, payment,
					     payment == NULL ? answer : NULL);
		if (fault == OK) {
			scope_forgive(&t->scope);
			return OK;
		}
	}
	return FAULT_UNKNOWN;
}

/* The row has gone on to the payment that came with the order: so does the claim. */
static void go_on_paying(
	struct claim *claim, const struct order *order, const struct new_payment *payment)
{
	claim->status = STATUS_PENDING;
	claim->goal = STATUS_PAID;
	claim->step = STEP_AUTHORISING;
	claim->charge = (struct charge){.attempt = 1,
		.method = METHOD_CARD,
		.amount = order->total,
		.token = payment->token,
		.is_last = true};
}

/* Gives back what may be held, then forgets the intent; what fails here the recovery does. */
static enum fault undo(struct task *t, const struct claim *claim, bool refused, enum fault why)
{
	enum fault fault = OK;

	task_shield(t);
	if (!refused)
		fault = stock_release(t, &claim->order_id);
	CRASH_POINT("orders.after_undo");
	if (fault == OK)
		fault = keys_abandon(t, claim, why);
	CRASH_POINT("orders.after_abandon");
	if (fault != OK)
		leave_to_recovery(t, claim);
	task_unshield(t);
	return fault;
}

/* Later and later, so that what is down can come back; nothing happens to a step that is over. */
static void leave_to_recovery(struct task *t, const struct claim *claim)
{
	const int doublings = claim->attempts < DELAY_DOUBLINGS ? claim->attempts : DELAY_DOUBLINGS;
	const int64_t delay_us = (int64_t)DELAY_FIRST_US << doublings;
	const int64_t jitter_us = (int64_t)random_below((uint64_t)delay_us / 2);

	if (store_postpone(t, claim, delay_us / 2 + jitter_us) != OK)
		return; /* the lease ends by itself */
}

/* ---- jobs ---- */

/* Stops early when what it needs is away: trying the next one would only wait as long again. */
static enum fault drain(
	struct task *t, const char *job, enum fault (*take)(struct task *t, struct claim *claim))
{
	struct claim claim;

	for (int i = 0; i < CLAIMS_A_RUN; i++) {
		enum fault fault = take(t, &claim);
		if (fault == FAULT_NOT_FOUND) {
			scope_forgive(&t->scope);
			return OK;
		}
		TRY(fault);
		CRASH_POINT("orders.after_take_over");
		const enum step taken_at = claim.step;
		fault = saga_settle(t, &claim);
		note(t, job, &claim, taken_at, fault);
		if (fault != FAULT_ORDER_BUSY && fault_info(fault)->retry)
			return fault;
		scope_forgive(&t->scope);
	}
	return OK;
}

static void note(struct task *t, const char *job, const struct claim *claim, enum step taken_at,
	enum fault fault)
{
	const char *result = fault_info(fault)->code;
	char id[UUID_TEXT_LEN + 1];

	counter_inc(counter_get("orders_taken_up_total",
		"Orders that recovery and expiry went on with, by result.",
		LABELS({"job", str_from(job)}, {"result", str_from(result)})));
	task_log(t, fault == OK ? LEVEL_INFO : LEVEL_WARN, "order taken up", LOG_TEXT("job", job),
		LOG_STR("order_id", uuid_format(&claim->order_id, id)),
		LOG_STR("step", step_name(taken_at)), LOG_STR("goal", status_name(claim->goal)),
		LOG_INT("attempts", claim->attempts), LOG_TEXT("result", result));
}
