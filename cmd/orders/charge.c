/* SPDX-License-Identifier: Apache-2.0
 * Calls to payments. Every one names the payment by our order and attempt, a refund by its own id,
 * so that a repeat is harmless; but it need not be answered either, so one asks in between. */
#include "charge.h"

#include "json/write.h"

static _Thread_local struct upstream *payments;

/* ---- what payments reads and writes ---- */

struct authorisation {
	struct uuid order_id;
	int64_t amount;
	struct str currency;
	struct str token;
};

static const struct field authorisation_fields[] = {
	FIELD(struct authorisation, order_id, UUID, OUTPUT),
	FIELD(struct authorisation, amount, MONEY, OUTPUT),
	FIELD(struct authorisation, currency, TEXT, OUTPUT),
	FIELD(struct authorisation, token, TEXT, OUTPUT),
};
static const struct field_table authorisation_table =
	FIELD_TABLE(struct authorisation, authorisation_fields);

static const struct field giving_back_fields[] = {
	FIELD(struct giving_back, amount, MONEY, OUTPUT),
};
static const struct field_table giving_back_table =
	FIELD_TABLE(struct giving_back, giving_back_fields);

static const char *const charge_statuses[] = {
	"processing", "authorised", "captured", "declined", "voided", NULL};

static const struct field refunded_fields[] = {
	FIELD(struct charge_refunded, id, UUID, REQUIRED),
};
static const struct field_table refunded_table =
	FIELD_TABLE(struct charge_refunded, refunded_fields);

static const struct field state_fields[] = {
	FIELD(struct charge_state, status, ENUM, REQUIRED, .names = charge_statuses),
	FIELD(struct charge_state, decline_code, TEXT, OPTIONAL),
	FIELD(struct charge_state, decline_message, TEXT, OPTIONAL),
	FIELD(struct charge_state, refunds, ARRAY, OPTIONAL, .of = &refunded_table),
};
static const struct field_table state_table = FIELD_TABLE(struct charge_state, state_fields);

/* One operation on a payment, and how to see that it took effect. */
struct act {
	int32_t attempt;
	const char *method;
	struct str operation;
	struct str body;
	bool (*is_done)(const struct claim *claim, const struct charge_state *state);
};

static enum fault ask(
	struct task *t, const struct claim *claim, int32_t attempt, struct charge_state *state);
static enum fault do_or_ask(struct task *t, const struct claim *claim, const struct act *act,
	struct charge_state *state);
static enum fault send(struct task *t, const struct claim *claim, const struct act *act,
	struct charge_state *state);
static enum fault fault_of(struct scope *s, const struct upstream_reply *reply);

void charge_use(struct upstream *upstream)
{
	payments = upstream;
}

static bool is_known(const struct claim *claim, const struct charge_state *state)
{
	(void)claim;
	(void)state;
	return true;
}

enum fault charge_authorise(struct task *t, const struct claim *claim, struct charge_state *state)
{
	const struct charge *charge = &claim->charge;
	const struct authorisation wanted = {.order_id = claim->order_id,
		.amount = charge->amount,
		.currency = claim->currency,
		.token = charge->token};
	struct buf body = buf_new(t->scope.arena);

	json_write(&body, &authorisation_table, &wanted);
	const enum fault fault = do_or_ask(t, claim,
		&(struct act){charge->attempt, "PUT", STR_NONE, buf_str(&body), is_known}, state);
	if (fault != FAULT_INVALID)
		return fault;
	scope_forgive(&t->scope);
	*state = (struct charge_state){.status = CHARGE_DECLINED,
		.decline_code = STR("invalid_token"),
		.decline_message = STR("The provider does not know this card.")};
	return OK;
}

static bool is_captured(const struct claim *claim, const struct charge_state *state)
{
	(void)claim;
	return state->status == CHARGE_CAPTURED;
}

enum fault charge_capture(struct task *t, const struct claim *claim)
{
	struct charge_state state;

	return do_or_ask(t, claim,
		&(struct act){
			claim->charge.attempt, "POST", STR("/capture"), STR("{}"), is_captured},
		&state);
}

static bool is_let_go(const struct claim *claim, const struct charge_state *state)
{
	(void)claim;
	return state->status == CHARGE_VOIDED || state->status == CHARGE_DECLINED;
}

enum fault charge_void(struct task *t, const struct claim *claim)
{
	struct charge_state state;

	return do_or_ask(t, claim,
		&(struct act){claim->charge.attempt, "POST", STR("/void"), STR("{}"), is_let_go},
		&state);
}

static bool is_refunded(const struct claim *claim, const struct charge_state *state)
{
	const struct charge_refunded *refund = state->refunds.at;

	for (size_t i = 0; i < state->refunds.count; i++, refund++) {
		if (uuid_eq(&refund->id, &claim->refund.id))
			return true;
	}
	return false;
}

enum fault charge_refund(struct task *t, const struct claim *claim)
{
	struct scope *s = &t->scope;
	struct buf body = buf_new(s->arena);
	struct charge_state state;
	char id[UUID_TEXT_LEN + 1];

	json_write(&body, &giving_back_table, &claim->refund);
	return do_or_ask(t, claim,
		&(struct act){claim->refund.attempt, "PUT",
			scope_format(s, "/refunds/%s", uuid_format(&claim->refund.id, id).at),
			buf_str(&body), is_refunded},
		&state);
}

/* ---- helpers ---- */

static enum fault do_or_ask(struct task *t, const struct claim *claim, const struct act *act,
	struct charge_state *state)
{
	enum fault fault = claim->attempts == 0 ? send(t, claim, act, state) : FAULT_UNKNOWN;

	if (fault == OK || !fault_info(fault)->retry)
		return fault;
	scope_forgive(&t->scope);
	fault = ask(t, claim, act->attempt, state);
	if (fault != OK && fault != FAULT_NOT_FOUND)
		return fault;
	if (fault == OK && act->is_done(claim, state))
		return OK;
	scope_forgive(&t->scope);
	return send(t, claim, act, state);
}

static enum fault ask(
	struct task *t, const struct claim *claim, int32_t attempt, struct charge_state *state)
{
	return send(t, claim, &(struct act){.attempt = attempt, .method = "GET"}, state);
}

static enum fault send(struct task *t, const struct claim *claim, const struct act *act,
	struct charge_state *state)
{
	struct upstream_reply reply;
	char id[UUID_TEXT_LEN + 1];
	struct upstream_request request = {
		.method = str_from(act->method),
		.target = scope_format(&t->scope, "/internal/payments/%s-%d%.*s",
			uuid_format(&claim->order_id, id).at, (int)act->attempt,
			STR_ARG(act->operation)),
		.body = act->body,
		.idempotent = true,
	};

	if (act->body.at != NULL)
		upstream_header(&request, STR("content-type"), STR("application/json"));
	const int64_t deadline_us = task_narrow(t, CHARGE_CALL_US);
	const enum fault fault = upstream_call(t, payments, &request, &reply);
	task_widen(t, deadline_us);
	TRY(fault);
	*state = (struct charge_state){0};
	return reply.status == 200 ? json_read_lenient(&t->scope, reply.body, &state_table, state)
	                           : fault_of(&t->scope, &reply);
}

/* What is refused for good, by its code; the rest is between us and payments, and no business of
 * the client's. */
static enum fault fault_of(struct scope *s, const struct upstream_reply *reply)
{
	static const enum fault told[] = {FAULT_NOT_FOUND, FAULT_CONFLICT, FAULT_INVALID};

	for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
		if (reply->status == fault_info(told[i])->status)
			return upstream_fault(s, reply);
	}
	return fail(s, FAULT_BAD_GATEWAY, "payments answered with %d", reply->status);
}
