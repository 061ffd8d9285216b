/* SPDX-License-Identifier: Apache-2.0
 * Typed functions over the statements: values in, rows out. An operation answers with the payment,
 * a row a refund. */
#include "store.h"

#include "base/check.h"
#include "statements.h"

static enum fault ask(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct answer *answer);
static void read_answer(
	struct scope *s, const struct pg_rows *rows, int first_column, struct answer *answer);
static struct payment read_payment(struct pg_row *row, const struct token **token);
static enum outcome outcome_of(struct str text);

enum fault store_authorise(struct task *t, struct str key, const struct authorisation *wanted,
	const struct token *token, const struct settlement *settlement, struct answer *answer)
{
	return ask(t, &payment_authorise,
		PG_VALUES(pg_text(key), pg_uuid(&wanted->order_id), pg_int64(wanted->amount),
			pg_text(wanted->currency), pg_text(wanted->token),
			pg_bool(token->manner == STUMBLES), pg_text(str_from(token->status)),
			pg_text(str_from(token->decline_code)),
			pg_text(str_from(token->decline_message)),
			pg_text(str_from(token->settles_as)), pg_int64(settlement->after_us),
			pg_text(str_from(settlement->webhooks)),
			pg_int64(settlement->webhook_delay_us)),
		answer);
}

enum fault store_capture(struct task *t, struct str key, struct answer *answer)
{
	return ask(t, &payment_capture, PG_VALUES(pg_text(key)), answer);
}

enum fault store_void(struct task *t, struct str key, struct answer *answer)
{
	return ask(t, &payment_void,
		PG_VALUES(pg_text(key), pg_text(str_from(currency_of_shop()->code))), answer);
}

enum fault store_refund(struct task *t, struct str key, const struct uuid *id, int64_t amount,
	struct answer *answer)
{
	return ask(
		t, &payment_refund, PG_VALUES(pg_text(key), pg_uuid(id), pg_int64(amount)), answer);
}

enum fault store_get(struct task *t, struct str key, struct answer *answer)
{
	return ask(t, &payment_get, PG_VALUES(pg_text(key)), answer);
}

/* ---- what happens later ---- */

enum fault store_settle(struct task *t, size_t *count)
{
	struct pg_rows rows;

	TRY(pg_query(t, &payments_settle, PG_VALUES(pg_int64(SETTLE_BATCH)), &rows));
	*count = rows.affected;
	return OK;
}

enum fault store_webhook_claim(struct task *t, int64_t lease_us, struct webhook *webhook)
{
	struct answer answer;
	struct pg_rows rows;

	TRY(pg_query(t, &webhook_claim, PG_VALUES(pg_int64(lease_us)), &rows));
	if (rows.count == 0)
		return FAULT_NOT_FOUND;

	struct pg_row row = pg_row(&rows, 0);
	webhook->id = pg_take_uuid(&row);
	webhook->attempts = pg_take_int32(&row);
	webhook->entry = pg_take_text(&row);
	read_answer(&t->scope, &rows, row.column, &answer);
	webhook->payment = answer.payment;
	return OK;
}

enum fault store_webhook_delivered(struct task *t, const struct webhook *webhook)
{
	return pg_query(t, &webhook_delivered,
		PG_VALUES(pg_uuid(&webhook->id), pg_int32(webhook->attempts)), NULL);
}

enum fault store_webhook_failed(struct task *t, const struct webhook *webhook, int64_t after_us)
{
	return pg_query(t, &webhook_failed,
		PG_VALUES(pg_uuid(&webhook->id), pg_int32(webhook->attempts), pg_int64(after_us)),
		NULL);
}

enum fault store_webhooks_forget(struct task *t, size_t *count)
{
	struct pg_rows rows;

	TRY(pg_query(t, &webhooks_forget, PG_VALUES(pg_int64(WEBHOOKS_SWEPT)), &rows));
	*count = rows.affected;
	return OK;
}

enum fault store_webhooks_waiting(struct task *t, int64_t *count)
{
	struct pg_row row;

	TRY(pg_query_row(t, &webhooks_waiting, PG_NO_VALUES, &row));
	*count = pg_take_int64(&row);
	return OK;
}

/* ---- answers ---- */

static enum fault ask(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct answer *answer)
{
	struct pg_rows rows;

	TRY(pg_query(t, statement, values, count, &rows));
	read_answer(&t->scope, &rows, 0, answer);
	return OK;
}

static void read_answer(
	struct scope *s, const struct pg_rows *rows, int first_column, struct answer *answer)
{
	struct refund *refunds = arena_alloc_array(s->arena, rows->count, sizeof *refunds);
	size_t count = 0;

	*answer = (struct answer){.outcome = PAYMENT_MISSING};
	for (size_t i = 0; i < rows->count; i++) {
		struct pg_row row = pg_row(rows, i);

		row.column = first_column;
		answer->outcome = outcome_of(pg_take_text(&row));
		answer->payment = read_payment(&row, &answer->token);
		if (pg_next_is_null(&row))
			continue;
		refunds[count].id = pg_take_uuid(&row);
		refunds[count].amount = pg_take_int64(&row);
		refunds[count++].created_at = pg_take_time(&row);
	}
	answer->payment.refunds = (struct items){refunds, count};
}

static struct payment read_payment(struct pg_row *row, const struct token **token)
{
	struct payment payment = {0};

	payment.key = pg_take_text(row);
	payment.order_id = pg_take_uuid(row);
	payment.status = pg_take_text(row);
	payment.amount = pg_take_int64(row);
	payment.captured = pg_take_int64(row);
	payment.refunded = pg_take_int64(row);
	payment.currency = pg_take_text(row);
	*token = token_find(pg_take_text(row));
	payment.decline_code = pg_take_text(row);
	payment.decline_message = pg_take_text(row);
	payment.sequence = pg_take_int64(row);
	payment.created_at = pg_take_time(row);
	payment.updated_at = pg_take_time(row);
	return payment;
}

static enum outcome outcome_of(struct str text)
{
	static const char *const names[] = {
		[PAYMENT_FOUND] = "found",
		[PAYMENT_DONE] = "done",
		[PAYMENT_OK] = "ok",
		[PAYMENT_STUMBLED] = "stumbled",
		[PAYMENT_RELEASED] = "released",
		[PAYMENT_DIFFERS] = "differs",
		[PAYMENT_SETTLED] = "settled",
		[PAYMENT_EXCEEDS] = "exceeds",
	};

	for (size_t i = PAYMENT_FOUND; i < sizeof names / sizeof *names; i++)
		if (str_eq(text, str_from(names[i])))
			return (enum outcome)i;
	CHECK(!"an outcome of the database's functions");
	return PAYMENT_MISSING;
}
