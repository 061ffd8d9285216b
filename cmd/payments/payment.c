/* SPDX-License-Identifier: Apache-2.0
 * The operations on payments (api/internal.yaml). The database decides in one call each; here its
 * answers become replies, in the manner of the payment's token: at once, late, or never. */
#include "handlers.h"

#include "store.h"

/* How long after the caller's own deadline an answer that never comes is given up. */
enum { SILENCE_US = 1000000 };

static enum fault payment_of_path(struct scope *s, const struct request *request, struct str *key);
static enum fault check_currency(struct scope *s, struct str currency);
static enum fault reply_in_manner(struct task *t, const struct answer *answer, struct reply *reply);
static enum fault reply_answer(struct scope *s, const struct answer *answer, struct reply *reply);
static enum fault say_nothing(struct task *t);

/* PUT /internal/payments/{key} {order_id, amount, currency, token} */
enum fault payment_put(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct authorisation wanted = {0};
	struct settlement settlement;
	struct answer answer;
	struct str key;

	TRY(payment_of_path(s, request, &key));
	TRY(request_json(s, request, &authorisation_table, &wanted));
	TRY(check_currency(s, wanted.currency));

	const struct token *token = token_find(wanted.token);
	if (token == NULL)
		return token_unknown(s);

	settlement = token_settlement(
		token, key, payments_settings.seed, payments_settings.async_delay_us);
	TRY(store_authorise(t, key, &wanted, token, &settlement, &answer));
	return reply_in_manner(t, &answer, reply);
}

enum fault payment_read(struct task *t, const struct request *request, struct reply *reply)
{
	struct answer answer;
	struct str key;

	TRY(payment_of_path(&t->scope, request, &key));
	TRY(store_get(t, key, &answer));
	return reply_answer(&t->scope, &answer, reply);
}

/* POST …/capture: the whole amount. */
enum fault payment_do_capture(struct task *t, const struct request *request, struct reply *reply)
{
	struct answer answer;
	struct str key;

	TRY(payment_of_path(&t->scope, request, &key));
	TRY(store_capture(t, key, &answer));
	return reply_in_manner(t, &answer, reply);
}

/* POST …/void */
enum fault payment_do_void(struct task *t, const struct request *request, struct reply *reply)
{
	struct answer answer;
	struct str key;

	TRY(payment_of_path(&t->scope, request, &key));
	TRY(store_void(t, key, &answer));
	return reply_in_manner(t, &answer, reply);
}

/* PUT …/refunds/{refund_id} {amount} */
enum fault refund_put(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct new_refund wanted = {0};
	struct answer answer;
	struct uuid id;
	struct str key;

	TRY(payment_of_path(s, request, &key));
	TRY(request_uuid(s, request, 1, &id));
	TRY(request_json(s, request, &new_refund_table, &wanted));
	TRY(store_refund(t, key, &id, wanted.amount, &answer));
	return reply_in_manner(t, &answer, reply);
}

enum fault payments_do_settle(struct task *t)
{
	size_t count;

	do {
		TRY(store_settle(t, &count));
	} while (count == SETTLE_BATCH);
	return OK;
}

/* Who may ask, and for what: FAULT_FORBIDDEN, FAULT_NOT_FOUND. */
static enum fault payment_of_path(struct scope *s, const struct request *request, struct str *key)
{
	if (!str_eq(request->caller.service, STR("orders")))
		return fail(s, FAULT_FORBIDDEN, "only orders may ask for this, not \"%.*s\"",
			STR_ARG(request->caller.service));
	*key = request->params[0];
	if (!payment_key_valid(*key))
		return fail(s, FAULT_NOT_FOUND,
			"a payment's key is 1 to %d of A-Z, a-z, 0-9, '.', '_' and '-'", KEY_MAX);
	return OK;
}

static enum fault check_currency(struct scope *s, struct str currency)
{
	const char *shop = currency_of_shop()->code;

	if (str_eq(currency, str_from(shop)))
		return OK;
	return fail(s, FAULT_CURRENCY_NOT_SUPPORTED, "payments are in %s, not in %.*s", shop,
		STR_ARG(currency));
}

/* ---- answers ---- */

static enum fault reply_in_manner(struct task *t, const struct answer *answer, struct reply *reply)
{
	const enum manner manner = answer->token != NULL ? answer->token->manner : ANSWERS;

	if (manner == ANSWERS_NEVER && answer->outcome == PAYMENT_DONE)
		return say_nothing(t);
	if (manner == ANSWERS_LATE)
		TRY(task_sleep(t, payments_settings.slow_delay_us));
	return reply_answer(&t->scope, answer, reply);
}

static enum fault reply_answer(struct scope *s, const struct answer *answer, struct reply *reply)
{
	const struct payment *payment = &answer->payment;

	switch (answer->outcome) {
	case PAYMENT_FOUND:
	case PAYMENT_DONE:
	case PAYMENT_OK:
		return reply_object(reply, 200, &payment_table, payment);
	case PAYMENT_STUMBLED:
		return fail(s, FAULT_INTERNAL, "this token fails each operation the first time");
	case PAYMENT_RELEASED:
		return fail(s, FAULT_RELEASED, "the payment was voided before it was made");
	case PAYMENT_DIFFERS:
		return fail(s, FAULT_CONFLICT, "the key was used for something else");
	case PAYMENT_SETTLED:
		return fail(s, FAULT_CONFLICT, "the payment is %.*s", STR_ARG(payment->status));
	case PAYMENT_EXCEEDS:
		return fail(s, FAULT_CONFLICT, "there is less left to refund");
	case PAYMENT_MISSING:
		break;
	}
	return fail(s, FAULT_NOT_FOUND, "there is no payment of this key");
}

/* Outlasts the caller's patience, so that no answer tells it anything. */
static enum fault say_nothing(struct task *t)
{
	enum fault fault = task_sleep(t, INT64_MAX);

	if (fault != FAULT_DEADLINE)
		return fault;
	task_shield(t);
	fault = task_sleep(t, SILENCE_US);
	task_unshield(t);
	return fault == OK ? FAULT_DEADLINE : fault;
}
