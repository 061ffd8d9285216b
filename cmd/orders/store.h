/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "model.h"
#include "pg/pg.h"
#include "service/keyed.h"

/* Every SQL statement of the service, behind typed functions. Each write is one statement, with the
 * history row it needs, that commits by itself unless it gets a transaction (new orders may share
 * one); it says what it expects of the order, and when the order is not so any more it changes
 * nothing and answers FAULT_ORDER_BUSY. A `tx` may be NULL, and so may a `key`, of a request
 * without one. All suspend.
 */

extern const struct pg_schema store_schema;

/* Before threads start, and later whenever they change; by the database's clock: how long orders
 * stay unpaid, how long a step is left to whoever took it, and how long a payment may stay
 * undecided. */
void store_set_times(int64_t order_ttl_us, int64_t lease_us, int64_t payment_ttl_us);
extern struct store_times {
	_Atomic int64_t order_ttl_us;
	_Atomic int64_t lease_us;
	_Atomic int64_t payment_ttl_us;
} store_times;

/* A payment that is under way. */
struct charge {
	int32_t attempt; /* 0: there is none */
	int method; /* index into payment_methods */
	int64_t amount;
	struct str token; /* stands for the card; STR_NONE once the provider has decided */
	bool is_last; /* if it fails, so does the order */
	bool is_sold; /* its goods are */
	bool is_stale; /* undecided for too long */
	struct str decline_code; /* once it is declined */
	struct str decline_message;
};

/* Money that is on its way back. */
struct giving_back {
	struct uuid id; /* nil: none is */
	int32_t attempt; /* of the payment that it is of */
	int method; /* of that payment */
	int64_t amount;
	bool restock; /* the goods come back as well */
};

/* A step somebody has taken: the right to go on with it until the lease ends. */
struct claim {
	struct uuid order_id;
	enum status status; /* from which the order goes */
	enum status goal; /* the same: nothing becomes of the order itself */
	enum step step; /* STEP_IDLE: it has ended */
	struct str actor; /* who wished it: in the history */
	struct str note;
	int64_t token;
	int32_t attempts; /* of the recovery, this one counted; 0: nobody was here before */
	struct str currency;
	struct charge charge;
	struct giving_back refund;
	struct order order; /* at step amending: as it shall be; items, shipping and tax */
	int32_t revision; /* of the reservation */
	int32_t revisions_more; /* that have come and gone */
	bool is_unwanted; /* the order is to be cancelled, at the next write */
	struct str declined_code; /* taken up: why the last payment was declined, or STR_NONE */
	struct str declined_message;
	bool waits; /* for the provider: nobody need work at it for a while */
	enum fault refusal; /* why it does not come to what was wished, or OK */
	struct scope refusal_words; /* as the scope had them */
	struct str operation; /* "POST /api/v1/orders": whose key waits for the end (keys.h), or
	                         STR_NONE */
};

/* ---- a new order ---- */

/* Writes the intent, whose claim is at step reserving, and the key with it. The order gets status,
 * version and times as it will have them when it is placed. FAULT_KEY_BUSY: the key has been used.
 */
enum fault store_begin(struct task *t, struct order *order, struct str actor, struct keyed *key,
	struct claim *claim) MUST_CHECK;

/* The intent becomes a pending order. `answer` (or NULL) is what its key keeps. With a payment by
 * card (or NULL) it is at step authorising, under the same claim. */
enum fault store_place(struct task *t, const struct claim *claim, struct order *order,
	const struct new_payment *payment, const struct reply *answer) MUST_CHECK;

/* The intent goes as if it had never been, and its key is free again. */
enum fault store_abandon(struct task *t, const struct claim *claim) MUST_CHECK;

/* The intent goes, and its key keeps why. */
enum fault store_refuse(
	struct task *t, const struct claim *claim, const struct reply *answer) MUST_CHECK;

/* What a guarded write answers when it found no order as it expected it (FAULT_ORDER_BUSY), and one
 * that comes with a key when somebody has that (FAULT_KEY_BUSY). They do not suspend. */
enum fault store_no_row(struct task *t) MUST_CHECK;
enum fault store_key_taken(struct task *t) MUST_CHECK;

/* ---- changes ---- */

/* A change that no other service has a part in. `tracking_number` may be STR_NONE. */
enum fault store_change(struct task *t, const struct order *order, enum status to, struct str actor,
	struct str note, struct str tracking_number) MUST_CHECK;

/* Takes a step of the order as it was read: only from idle. */
enum fault store_take(struct task *t, const struct order *order, const struct transition *change,
	struct str actor, struct str note, struct keyed *key, struct claim *claim) MUST_CHECK;

/* The same for a payment, which is recorded as processing. */
enum { DECLINES_MAX = 5 }; /* the last of them is the end of the order */
enum fault store_take_payment(struct task *t, const struct order *order, struct str actor,
	const struct new_payment *payment, struct keyed *key, struct claim *claim) MUST_CHECK;

/* The same for a refund, which is recorded. */
enum fault store_take_refund(struct task *t, const struct order *order, struct str actor,
	const struct new_refund *refund, struct keyed *key, struct claim *claim) MUST_CHECK;

/* The same for a change of its items, which is recorded. */
enum fault store_take_items(struct task *t, const struct order *order, struct str actor,
	const struct items *items, struct keyed *key, struct claim *claim) MUST_CHECK;

/* Records that what is left of the payment is to be given back, and tells the claim. */
enum fault store_owe(struct task *t, struct claim *claim) MUST_CHECK;

/* On to the next step. A cancellation that was asked for meanwhile takes its place: the claim says
 * what is to be done now. */
enum fault store_advance(
	struct task *t, struct claim *claim, enum step step, enum status goal) MUST_CHECK;

/* The items are as the claim's order has them, under the next revision of the reservation. */
enum fault store_amend(struct task *t, struct pg_tx *tx, struct claim *claim) MUST_CHECK;

/* The step has led to its goal, and the payment under way to its end; the claim ends, or goes on
 * with a cancellation that was asked for meanwhile. */
enum fault store_finish(struct task *t, struct pg_tx *tx, struct claim *claim) MUST_CHECK;

/* The key whose operation is under way on the order, if there is one, keeps the answer. */
enum fault store_answer(struct task *t, struct pg_tx *tx, const struct uuid *order_id,
	const struct reply *answer) MUST_CHECK;

/* The key goes with what else the transaction does to the order. FAULT_KEY_BUSY: somebody has it.
 */
enum fault store_claim_key(struct task *t, struct pg_tx *tx, const struct keyed *key,
	const struct uuid *order_id) MUST_CHECK;

/* The same key is free again. */
enum fault store_free_key(struct task *t, struct pg_tx *tx, const struct uuid *order_id) MUST_CHECK;

/* Leaves the step to the recovery, after a while. */
enum fault store_postpone(struct task *t, const struct claim *claim, int64_t by_us) MUST_CHECK;

/* The same for what has not failed but takes its time. */
enum fault store_wait(struct task *t, struct claim *claim, int64_t by_us) MUST_CHECK;

/* While a payment is under way: the order is to be cancelled. FAULT_ORDER_BUSY: none is, or the
 * order has changed. */
enum fault store_ask_cancel(struct task *t, struct pg_tx *tx, const struct order *order,
	struct str actor, struct str note) MUST_CHECK;

/* The provider has told of a change of the payment; later changes have higher sequences. *is_news:
 * it is the newest so far. If the payment is waited for, its step is due at once. */
enum fault store_told(struct task *t, const struct uuid *order_id, int32_t attempt,
	int64_t sequence, bool *is_news) MUST_CHECK;

/* ---- an account that goes ---- */

/* Orders that are paid and not yet delivered. */
enum fault store_count_open(struct task *t, const struct uuid *user_id, int64_t *count) MUST_CHECK;

/* Takes the step towards cancelled for what has not been shipped, and leaves it to the recovery; of
 * an order whose payment is under way it asks for that. `tx` may be NULL, here and below. */
enum fault store_cancel_all(
	struct task *t, struct pg_tx *tx, const struct uuid *user_id, struct str note) MUST_CHECK;

/* Clears addresses and metadata of the person's orders. */
enum fault store_forget_person(
	struct task *t, struct pg_tx *tx, const struct uuid *user_id) MUST_CHECK;

/* Puts `answer` in the place of all that was answered to the person, or told of their orders. */
enum fault store_forget_answers(struct task *t, struct pg_tx *tx, const struct uuid *user_id,
	const struct reply *answer) MUST_CHECK;

/* ---- recovery ---- */

enum { ATTEMPTS_BEFORE_ATTENTION = 10 };

/* Takes over a step whose lease has ended; FAULT_NOT_FOUND when there is none. */
enum fault store_take_stalled(struct task *t, struct claim *claim) MUST_CHECK;

/* The same for the operation of that key alone; FAULT_NOT_FOUND: its lease has not ended. */
enum fault store_take_keyed(
	struct task *t, const struct keyed *key, struct claim *claim) MUST_CHECK;

/* Takes the step towards expired for an order that stayed unpaid; FAULT_NOT_FOUND likewise. */
enum fault store_take_expired(struct task *t, struct claim *claim) MUST_CHECK;

enum fault store_count_attention(struct task *t, int64_t *count) MUST_CHECK;

/* ---- reads ---- */

/* FAULT_NOT_FOUND also for an intent. */
enum fault store_get(struct task *t, const struct uuid *id, struct order *order) MUST_CHECK;
enum fault store_get_in(
	struct task *t, struct pg_tx *tx, const struct uuid *id, struct order *order) MUST_CHECK;

/* Where a page begins: after this order, newest first. */
struct order_key {
	int64_t created_at;
	struct uuid id;
};
extern const struct order_key order_key_first;

/* At most `limit` orders; user_id nil: of everybody; status STATUS_RESERVING: in any status. */
enum fault store_list(struct task *t, const struct uuid *user_id, enum status status,
	const struct order_key *after, int64_t offset, int64_t limit,
	struct items *orders) MUST_CHECK;

/* Oldest first. */
enum fault store_refunds(
	struct task *t, const struct uuid *order_id, struct items *refunds) MUST_CHECK;

enum fault store_history(
	struct task *t, const struct uuid *order_id, struct items *entries) MUST_CHECK;
