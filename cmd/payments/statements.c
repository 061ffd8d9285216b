/* SPDX-License-Identifier: Apache-2.0
 * The service's SQL. The operations are functions of migrations/payments/00001_payments.sql, which
 * lock the payment, decide, change and answer in one round trip. Times are compared by the
 * database's clock alone. */
#include "statements.h"

#include "store.h"

#define ANSWER                                                                            \
	"outcome, key, order_id, status, amount_minor, captured_minor, refunded_minor,\n" \
	"	currency, token, decline_code, decline_message, sequence, created_at, "         \
	"updated_at,\n"                                                                   \
	"	refund_id, refund_minor, refund_at\n"

const struct pg_statement payment_authorise = {"payment_authorise", PG_WRITE,
	"SELECT " ANSWER
	"FROM payment_authorise($1::text, $2::uuid, $3::bigint, $4::text, $5::text,\n"
	"	$6::boolean, $7::text, $8::text, $9::text, $10::text, $11::bigint, $12::text,\n"
	"	$13::bigint)"};

const struct pg_statement payment_capture = {
	"payment_capture", PG_WRITE, "SELECT " ANSWER "FROM payment_capture($1::text)"};

const struct pg_statement payment_void = {
	"payment_void", PG_WRITE, "SELECT " ANSWER "FROM payment_void($1::text, $2::text)"};

const struct pg_statement payment_refund = {"payment_refund", PG_WRITE,
	"SELECT " ANSWER "FROM payment_refund($1::text, $2::uuid, $3::bigint)"};

const struct pg_statement payment_get = {
	"payment_get", PG_READ, "SELECT " ANSWER "FROM payment_get($1::text, 'found')"};

/* ---- what happens later ---- */

const struct pg_statement payments_settle = {"payments_settle", PG_WRITE,
	"WITH due AS (\n"
	"	SELECT key FROM payments\n"
	"	WHERE status = 'processing' AND settle_at <= now()\n"
	"	ORDER BY settle_at\n"
	"	LIMIT $1::bigint\n"
	"	FOR NO KEY UPDATE SKIP LOCKED)\n"
	"UPDATE payments p\n"
	"SET status = settle_as, settle_at = NULL\n"
	"FROM due\n"
	"WHERE p.key = due.key"};

const struct pg_statement webhook_claim = {"webhook_claim", PG_WRITE,
	"WITH due AS (\n"
	"	SELECT id FROM webhooks\n"
	"	WHERE due_at <= now()\n"
	"	ORDER BY due_at\n"
	"	LIMIT 1\n"
	"	FOR UPDATE SKIP LOCKED),\n"
	"claimed AS (\n"
	"	UPDATE webhooks w\n"
	"	SET due_at = now() + $1::bigint * interval '1 microsecond', attempts = attempts + "
	"1\n"
	"	FROM due\n"
	"	WHERE w.id = due.id\n"
	"	RETURNING w.id, w.attempts, w.payment_key, w.sequence AS at_sequence)\n"
	"SELECT id, attempts,\n"
	"	(SELECT entry FROM ledger WHERE payment_key = c.payment_key AND sequence = "
	"at_sequence),\n"
	"	" ANSWER "FROM claimed c, payment_at(payment_key, at_sequence)"};

const struct pg_statement webhook_delivered = {"webhook_delivered", PG_WRITE,
	"UPDATE webhooks\n"
	"SET deliveries = deliveries + 1,\n"
	"	due_at = CASE WHEN deliveries + 1 < deliveries_wanted THEN now() END,\n"
	"	delivered_at = CASE WHEN deliveries + 1 >= deliveries_wanted THEN now() END\n"
	"WHERE id = $1 AND attempts = $2 AND due_at IS NOT NULL"};

const struct pg_statement webhook_failed = {"webhook_failed", PG_WRITE,
	"UPDATE webhooks\n"
	"SET due_at = now() + $3::bigint * interval '1 microsecond'\n"
	"WHERE id = $1 AND attempts = $2 AND due_at IS NOT NULL"};

const struct pg_statement webhooks_forget = {"webhooks_forget", PG_WRITE,
	"DELETE FROM webhooks\n"
	"WHERE id IN (\n"
	"	SELECT id FROM webhooks\n"
	"	WHERE delivered_at < now() - interval '24 hours'\n"
	"	ORDER BY delivered_at\n"
	"	LIMIT $1::bigint\n"
	"	FOR UPDATE SKIP LOCKED)"};

const struct pg_statement webhooks_waiting = {
	"webhooks_waiting", PG_READ, "SELECT count(*) FROM webhooks WHERE due_at IS NOT NULL"};

static const struct pg_statement *const statements[] = {
	&payment_authorise,
	&payment_capture,
	&payment_void,
	&payment_refund,
	&payment_get,
	&payments_settle,
	&webhook_claim,
	&webhook_delivered,
	&webhook_failed,
	&webhooks_forget,
	&webhooks_waiting,
};

const struct pg_schema store_schema = {
	.statements = statements,
	.statement_count = sizeof statements / sizeof statements[0],
	.migration_newest = "00001",
};
