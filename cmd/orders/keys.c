/* SPDX-License-Identifier: Apache-2.0
 * The operation is tried first and its key looked at only when that came to nothing: the statement
 * that begins it writes the key too, and finds out there and then whether somebody has it. So a
 * request that is no repeat pays no round trip for its key. */
#include "keys.h"

#include "handlers.h"
#include "saga.h"
#include "steps.h"

enum { TRIES_MAX = 4 };

static enum fault answer_of_own(
	struct task *t, struct keyed *key, enum fault fault, struct reply *reply);
static enum fault look(struct task *t, const struct keyed *key, struct reply *reply,
	enum keyed_state *state, bool *settled);
static void recall(struct scope *s, const struct scope *told);
static struct str path_of(struct str operation);

enum fault keys_run(
	struct task *t, const struct request *request, struct reply *reply, keys_fn *work)
{
	struct scope *s = &t->scope;
	struct keyed key;
	bool has;

	TRY(keyed_from(s, request, &key, &has));
	if (!has)
		return work(t, request, NULL, reply);

	for (int i = 0; i < TRIES_MAX; i++) {
		enum keyed_state state;
		bool settled, kept;

		key.claimed = key.answered = false;
		const enum fault fault = work(t, request, &key, reply);
		if (key.claimed)
			return answer_of_own(t, &key, fault, reply);

		const struct scope told = *s;
		scope_forgive(s);
		TRY(look(t, &key, reply, &state, &settled));
		if (state == KEYED_ANSWERED)
			return OK;
		if (state == KEYED_RUNNING)
			break;
		if (settled || fault == FAULT_KEY_BUSY)
			continue; /* whoever had it is gone, and has left nothing behind */
		recall(s, &told);
		if (fault != OK && !keyed_is_refusal(fault))
			return fault;
		if (fault != OK)
			keyed_problem(t, fault, request->path, reply);
		scope_forgive(s);
		TRY(keyed_record(t, &key, reply, &kept));
		if (kept)
			return OK;
	}
	return fail(s, FAULT_KEY_BUSY, "a request with this Idempotency-Key is running");
}

/* What this request has begun: it is answered as the key's row says, so that a repeat can only get
 * the same. What has not ended stays with the key: not even a refusal is told before it is kept,
 * for what leads to it may yet come out otherwise. */
static enum fault answer_of_own(
	struct task *t, struct keyed *key, enum fault fault, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct reply *own = scope_alloc(s, sizeof *own);
	enum keyed_state state;
	bool kept;

	if (key->answered)
		return OK;
	if (fault != OK && !keyed_is_refusal(fault))
		return fault;
	*own = *reply;
	scope_forgive(s);
	TRY(keyed_find(t, NULL, key, reply, &state));
	if (state == KEYED_ANSWERED)
		return OK;
	if (fault != OK)
		return fail(s, FAULT_UNKNOWN, "it is being put right");
	TRY(keyed_answer(t, NULL, key, own, &kept));
	if (!kept)
		return keyed_find(t, NULL, key, reply, &state);
	*reply = *own;
	return OK;
}

/* *settled: the operation had been left lying and was brought to its end. */
static enum fault look(struct task *t, const struct keyed *key, struct reply *reply,
	enum keyed_state *state, bool *settled)
{
	struct scope *s = &t->scope;
	struct claim claim;

	*settled = false;
	TRY(keyed_find(t, NULL, key, reply, state));
	if (*state != KEYED_RUNNING)
		return OK;
	enum fault fault = store_take_keyed(t, key, &claim);
	if (fault == OK) {
		*settled = true;
		fault = saga_settle(t, &claim);
	}
	if (fault != OK && fault != FAULT_NOT_FOUND && !keyed_is_refusal(fault))
		return fault;
	scope_forgive(s);
	return keyed_find(t, NULL, key, reply, state);
}

/* ---- the end of an operation ---- */

struct ending {
	const struct claim *before;
	struct claim after;
	struct reply answer; /* of a refusal */
};

static enum fault end(struct task *t, struct pg_tx *tx, struct claim *claim)
{
	return claim->step == STEP_AMENDING && claim->refusal == OK ? store_amend(t, tx, claim)
	                                                            : store_finish(t, tx, claim);
}

static enum fault finish(struct task *t, struct pg_tx *tx, void *arg)
{
	struct ending *ending = arg;
	struct claim *claim = &ending->after;
	struct order order;

	*claim = *ending->before;
	TRY(end(t, tx, claim));
	if (claim->step != STEP_IDLE)
		return OK; /* the key waits for the end of that */
	if (claim->refusal != OK && !keyed_is_refusal(claim->refusal))
		return store_free_key(t, tx, &claim->order_id);
	if (claim->refusal == OK) {
		TRY(store_get_in(t, tx, &claim->order_id, &order));
		keys_reply(&ending->answer, claim->operation, &order);
	}
	return store_answer(t, tx, &claim->order_id, &ending->answer);
}

enum fault keys_finish(struct task *t, struct claim *claim)
{
	struct ending ending = {.before = claim, .answer.arena = t->scope.arena};

	if (claim->operation.at == NULL)
		return end(t, NULL, claim);
	if (claim->refusal != OK)
		keyed_problem(t, steps_refusal(&t->scope, claim), path_of(claim->operation),
			&ending.answer);
	TRY(pg_transact(t, finish, &ending));
	*claim = ending.after;
	return OK;
}

enum fault keys_abandon(struct task *t, const struct claim *claim, enum fault why)
{
	struct reply answer = {.arena = t->scope.arena};

	if (claim->operation.at == NULL || !keyed_is_refusal(why))
		return store_abandon(t, claim);
	keyed_problem(t, why, path_of(claim->operation), &answer);
	return store_refuse(t, claim, &answer);
}

void keys_reply(struct reply *reply, struct str operation, const struct order *order)
{
	char id[UUID_TEXT_LEN + 1];

	reply_reset(reply);
	(void)reply_order(reply, 200, order);
	if (!str_eq(operation, STR("POST /api/v1/orders")))
		return;
	reply->status = 201;
	reply_location(reply, "/api/v1/orders/%s", uuid_format(&order->id, id).at);
}

enum fault keys_forget_person(struct task *t, struct pg_tx *tx, const struct uuid *user_id)
{
	struct reply answer = {.arena = t->scope.arena};

	(void)fail(&t->scope, FAULT_NOT_FOUND, "the account is gone");
	keyed_problem(t, FAULT_NOT_FOUND, STR_NONE, &answer);
	scope_forgive(&t->scope);
	return store_forget_answers(t, tx, user_id, &answer);
}

/* ---- helpers ---- */

/* What was recorded of a fault, before something else was tried. */
static void recall(struct scope *s, const struct scope *told)
{
	s->detail = told->detail;
	s->extra = told->extra;
	s->errors = told->errors;
	s->errors_end = told->errors_end;
	s->error_count = told->error_count;
}

static struct str path_of(struct str operation)
{
	struct str method;

	(void)str_cut(&operation, ' ', &method);
	return operation;
}
