/* SPDX-License-Identifier: Apache-2.0
 * The service's SQL. A write is one statement, so that it is one round trip and all or nothing;
 * what it changes is guarded by what its caller has read (version) or taken (lease_token), so that
 * whoever comes too late changes nothing. Leases and expiries are compared with the database's
 * clock alone. */
#include "statements.h"

#include "store.h"

#include "service/keyed.h"

/* SQL in pieces is laid out as SQL. */
/* clang-format off */

/* Keys that nobody has, or nobody any more; no row for others. One whose operation is under way
 * never runs out. */
#define KEY_CLAIM(rows)                                                              \
	"	INSERT INTO idempotency_keys AS k\n"                                       \
	"		(caller, operation, key, fingerprint, order_id)\n" rows "\n" \
	"	ON CONFLICT (caller, operation, key) DO UPDATE\n"                          \
	"	SET fingerprint = excluded.fingerprint, order_id = excluded.order_id,\n"   \
	"		created_at = now(), status = NULL, content_type = NULL, etag = NULL,\n"   \
	"		location = NULL, body = NULL\n"                                           \
	"	WHERE k.created_at < now() - interval '24 hours' AND k.status IS NOT NULL\n"

#define KEY_ANSWER(status, content_type, etag, location, body) \
	"	UPDATE idempotency_keys k\n" \
	"	SET status = " status "::integer, content_type = " content_type "::text,\n" \
	"		etag = " etag "::text, location = " location "::text, body = " body "::text\n"

/* ---- a new order ---- */

/* The intents of several orders, with their keys ($9 is null for those without); $1 to $10 have an
 * element for each. No row for an order whose key somebody has. */
const struct pg_statement orders_begin = {"orders_begin", PG_WRITE,
	"WITH wanted AS (\n"
	"	SELECT *\n"
	"	FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],\n"
	"		$7::uuid[], $8::text[], $9::text[], $10::bytea[])\n"
	"		AS w (id, user_id, currency, shipping_address, metadata, actor,\n"
	"			caller, operation, key, fingerprint)),\n"
	"claimed AS (\n"
	KEY_CLAIM(
		"	SELECT DISTINCT ON (caller, operation, key)\n"
		"		caller, operation, key, fingerprint, id\n"
		"	FROM wanted\n"
		"	WHERE key IS NOT NULL\n"
		"	ORDER BY caller, operation, key")
	"	RETURNING order_id)\n"
	"INSERT INTO orders (id, user_id, currency, shipping_address, metadata, step_goal,\n"
	"	step_actor, expires_at, lease_until)\n"
	"SELECT id, user_id, currency, shipping_address::json, metadata::json, 'pending', actor,\n"
	"	now() + $11::bigint * interval '1 microsecond',\n"
	"	now() + $12::bigint * interval '1 microsecond'\n"
	"FROM wanted\n"
	"WHERE key IS NULL OR id IN (SELECT order_id FROM claimed)\n"
	"RETURNING id, lease_token, created_at, expires_at"};

/* Several orders, as they were meant to be (what happens to them later has a later time), and what
 * their keys keep ($8 is 0 for those without); $1 to $13 have an element for each order, $14 to $20
 * one for each item. One with a card ($13) goes on towards its payment. */
const struct pg_statement orders_place = {"orders_place", PG_WRITE,
	"WITH placed AS (\n"
	"	UPDATE orders o\n"
	"	SET status = 'pending', version = 1, subtotal_minor = w.subtotal,\n"
	"		shipping_minor = w.shipping, tax_minor = w.tax, total_minor = w.total,\n"
	"		updated_at = created_at, attempts = 0, needs_attention = false,\n"
	"		step = CASE WHEN card IS NULL THEN 'idle' ELSE 'authorising' END,\n"
	"		step_goal = CASE WHEN card IS NOT NULL THEN 'paid' END,\n"
	"		step_actor = CASE WHEN card IS NOT NULL THEN step_actor END,\n"
	"		lease_until = CASE WHEN card IS NOT NULL\n"
	"			THEN now() + $21::bigint * interval '1 microsecond' END\n"
	"	FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],\n"
	"		$6::bigint[], $7::text[], $8::integer[], $9::text[], $10::text[],\n"
	"		$11::text[], $12::text[], $13::text[])\n"
	"		AS w (id, token, subtotal, shipping, tax, total, actor, answer_status,\n"
	"			content_type, etag, location, body, card)\n"
	"	WHERE o.id = w.id AND o.lease_token = w.token AND o.status = 'reserving'\n"
	"	RETURNING o.version, w.*),\n"
	"items AS (\n"
	"	INSERT INTO order_items\n"
	"		(id, order_id, product_id, seller_id, name, unit_price_minor, quantity)\n"
	"	SELECT i.id, order_id, product_id, seller_id, name, unit_price_minor, quantity\n"
	"	FROM unnest($14::uuid[], $15::uuid[], $16::uuid[], $17::uuid[], $18::text[],\n"
	"		$19::bigint[], $20::integer[])\n"
	"		AS i (order_id, id, product_id, seller_id, name, unit_price_minor,\n"
	"			quantity)\n"
	"	WHERE order_id IN (SELECT id FROM placed)),\n"
	"event AS (\n"
	"	INSERT INTO order_history (order_id, version, to_status, actor)\n"
	"	SELECT id, version, 'pending', actor FROM placed),\n"
	"payment AS (\n"
	"	INSERT INTO order_payments\n"
	"		(order_id, attempt, method, status, amount_minor, token, is_last)\n"
	"	SELECT id, 1, 'card', 'processing', total, card, true\n"
	"	FROM placed\n"
	"	WHERE card IS NOT NULL),\n"
	"answer AS (\n"
	KEY_ANSWER("placed.answer_status", "placed.content_type", "placed.etag", "placed.location",
		"placed.body")
	"	FROM placed\n"
	"	WHERE order_id = placed.id AND k.status IS NULL AND answer_status > 0)\n"
	"SELECT id, token FROM placed"};

#define ABANDON "DELETE FROM orders WHERE id = $1 AND lease_token = $2 AND status = 'reserving'"

const struct pg_statement orders_abandon = {"orders_abandon", PG_WRITE, ABANDON};

/* The key is free again. */
const struct pg_statement orders_abandon_keyed = {"orders_abandon_keyed", PG_WRITE,
	"WITH abandoned AS (" ABANDON " RETURNING id),\n"
	"freed AS (\n"
	"	DELETE FROM idempotency_keys k\n"
	"	USING abandoned\n"
	"	WHERE k.order_id = abandoned.id AND k.status IS NULL)\n"
	"SELECT id FROM abandoned"};

/* The key keeps why. */
const struct pg_statement orders_refuse = {"orders_refuse", PG_WRITE,
	"WITH abandoned AS (" ABANDON " RETURNING id),\n"
	"answer AS (\n"
	KEY_ANSWER("$3", "$4", "$5", "$6", "$7")
	"		, order_id = NULL\n"
	"	FROM abandoned\n"
	"	WHERE k.order_id = abandoned.id AND k.status IS NULL)\n"
	"SELECT id FROM abandoned"};

/* ---- Idempotency-Key ---- */

const struct pg_statement orders_key_claim = {"orders_key_claim", PG_WRITE,
	KEY_CLAIM("	VALUES ($1::uuid, $2::text, $3::text, $4::bytea, $5::uuid)")};

const struct pg_statement orders_key_answer = {"orders_key_answer", PG_WRITE,
	KEY_ANSWER("$2", "$3", "$4", "$5", "$6") "WHERE order_id = $1 AND status IS NULL"};

const struct pg_statement orders_key_free = {"orders_key_free", PG_WRITE,
	"DELETE FROM idempotency_keys WHERE order_id = $1 AND status IS NULL"};

/* A replay after that tells that the account is gone. An array, so that both halves of OR have their
 * index. */
const struct pg_statement orders_forget_answers = {"orders_forget_answers", PG_WRITE,
	KEY_ANSWER("$2", "$3", "$4", "$5", "$6")
	"WHERE status IS NOT NULL AND (caller = $1\n"
	"	OR order_id = ANY (ARRAY(\n"
	"		SELECT id FROM orders WHERE user_id = $1 AND status <> 'reserving')))"};

/* ---- changes ---- */

const struct pg_statement orders_change = {"orders_change", PG_WRITE,
	"WITH changed AS (\n"
	"	UPDATE orders\n"
	"	SET status = $4, version = version + 1, updated_at = now(),\n"
	"		tracking_number = coalesce($7, tracking_number)\n"
	"	WHERE id = $1 AND version = $2 AND status = $3 AND step = 'idle'\n"
	"	RETURNING id, version)\n"
	"INSERT INTO order_history (order_id, version, from_status, to_status, actor, note)\n"
	"SELECT id, version, $3, $4, $5, $6 FROM changed"};

const struct pg_statement orders_take = {"orders_take", PG_WRITE,
	"UPDATE orders\n"
	"SET step = $4, step_goal = $5, step_actor = $6, step_note = $7,\n"
	"	lease_token = lease_token + 1,\n"
	"	lease_until = now() + $8::bigint * interval '1 microsecond', attempts = 0\n"
	"WHERE id = $1 AND version = $2 AND status = $3 AND step = 'idle'\n"
	"RETURNING lease_token"};

const struct pg_statement orders_take_payment = {"orders_take_payment", PG_WRITE,
	"WITH taken AS (\n"
	"	UPDATE orders\n"
	"	SET step = $4, step_goal = 'paid', step_actor = $5,\n"
	"		lease_token = lease_token + 1,\n"
	"		lease_until = now() + $6::bigint * interval '1 microsecond', attempts = 0,\n"
	"		version = version + 1, updated_at = now()\n"
	"	WHERE id = $1 AND version = $2 AND status = $3 AND step = 'idle'\n"
	"	RETURNING id, lease_token, total_minor),\n"
	"payment AS (\n"
	"	INSERT INTO order_payments\n"
	"		(order_id, attempt, method, status, amount_minor, reference, token, is_last)\n"
	"	SELECT id, b.count + 1, $7, 'processing', total_minor, $8, $9,\n"
	"		b.declined + 1 >= $10::integer\n"
	"	FROM taken, (\n"
	"		SELECT count(*), count(*) FILTER (WHERE status = 'declined') AS declined\n"
	"		FROM order_payments\n"
	"		WHERE order_id = $1) b\n"
	"	RETURNING attempt, amount_minor, is_last)\n"
	"SELECT lease_token, attempt, amount_minor, is_last FROM taken, payment"};

const struct pg_statement orders_take_refund = {"orders_take_refund", PG_WRITE,
	"WITH taken AS (\n"
	"	UPDATE orders\n"
	"	SET step = 'refunding', step_goal = $4, step_actor = $5, step_note = $6,\n"
	"		lease_token = lease_token + 1,\n"
	"		lease_until = now() + $7::bigint * interval '1 microsecond', attempts = 0\n"
	"	WHERE id = $1 AND version = $2 AND status = $3 AND step = 'idle'\n"
	"	RETURNING id, lease_token),\n"
	"refund AS (\n"
	"	INSERT INTO order_refunds\n"
	"		(id, order_id, attempt, amount_minor, restock, actor, note)\n"
	"	SELECT $8, t.id, p.attempt, $9, $10, $5, $6\n"
	"	FROM taken t\n"
	"	JOIN order_payments p ON p.order_id = t.id AND p.status = 'captured')\n"
	"SELECT lease_token FROM taken"};

const struct pg_statement orders_take_items = {"orders_take_items", PG_WRITE,
	"UPDATE orders\n"
	"SET step = 'amending', step_goal = status, step_actor = $5, step_note = NULL,\n"
	"	step_items = $4::text::json, lease_token = lease_token + 1,\n"
	"	lease_until = now() + $6::bigint * interval '1 microsecond', attempts = 0\n"
	"WHERE id = $1 AND version = $2 AND status = $3 AND step = 'idle'\n"
	"RETURNING lease_token, revision"};

const struct pg_statement orders_amend = {"orders_amend", PG_WRITE,
	"WITH changed AS (\n"
	"	UPDATE orders\n"
	"	SET revision = $3, subtotal_minor = $4, total_minor = $5, version = version + 1,\n"
	"		updated_at = now(), step = 'idle', step_goal = NULL, step_actor = NULL,\n"
	"		step_items = NULL, lease_until = NULL, step_waits = false, attempts = 0,\n"
	"		needs_attention = false\n"
	"	WHERE id = $1 AND lease_token = $2 AND step = 'amending'\n"
	"	RETURNING id, step, step_goal, step_actor, step_note),\n"
	"gone AS (\n"
	"	DELETE FROM order_items i\n"
	"	USING changed\n"
	"	WHERE i.order_id = changed.id AND i.id <> ALL ($7::uuid[])),\n"
	"kept AS (\n"
	"	INSERT INTO order_items\n"
	"		(id, order_id, product_id, seller_id, name, unit_price_minor, quantity)\n"
	"	SELECT i.id, order_id, product_id, seller_id, name, unit_price_minor, quantity\n"
	"	FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::uuid[], $10::text[],\n"
	"		$11::bigint[], $12::integer[])\n"
	"		AS i (order_id, id, product_id, seller_id, name, unit_price_minor,\n"
	"			quantity)\n"
	"	WHERE order_id IN (SELECT id FROM changed)\n"
	"	ON CONFLICT (id) DO UPDATE SET quantity = excluded.quantity)\n"
	"SELECT step, step_goal, step_actor, step_note FROM changed"};

/* What is left of the payment shall be given back, unless that is recorded already. */
const struct pg_statement orders_owe = {"orders_owe", PG_WRITE,
	"WITH claimed AS (\n"
	"	SELECT id, step_actor, step_note FROM orders\n"
	"	WHERE id = $1 AND lease_token = $2 AND step = 'cancelling'\n"
	"	FOR NO KEY UPDATE)\n"
	"INSERT INTO order_refunds (id, order_id, attempt, amount_minor, actor, note)\n"
	"SELECT $3, c.id, p.attempt, p.amount_minor - p.refunded_minor, c.step_actor, c.step_note\n"
	"FROM claimed c\n"
	"JOIN order_payments p ON p.order_id = c.id AND p.status = 'captured'\n"
	"WHERE p.amount_minor > p.refunded_minor\n"
	"ON CONFLICT DO NOTHING"};

/* A cancellation that was asked for in the meantime goes first. */
const struct pg_statement orders_advance = {"orders_advance", PG_WRITE,
	"WITH moved AS (\n"
	"	UPDATE orders\n"
	"	SET step = CASE WHEN cancel_by IS NULL THEN $4 ELSE 'cancelling' END,\n"
	"		step_goal = CASE WHEN cancel_by IS NULL THEN $5 ELSE 'cancelled' END,\n"
	"		step_actor = coalesce(cancel_by, step_actor),\n"
	"		step_note = CASE WHEN cancel_by IS NULL THEN step_note ELSE cancel_note END,\n"
	"		cancel_by = NULL, cancel_note = NULL,\n"
	"		lease_until = now() + $6::bigint * interval '1 microsecond',\n"
	"		version = version + CASE $7 WHEN 'processing' THEN 0 ELSE 1 END,\n"
	"		updated_at = CASE $7 WHEN 'processing' THEN updated_at ELSE now() END\n"
	"	WHERE id = $1 AND lease_token = $2 AND step = $3\n"
	"	RETURNING id, step, step_goal, step_actor, step_note),\n"
	"payment AS (\n"
	"	UPDATE order_payments\n"
	"	SET status = $7, decline_code = $8, decline_message = $9, sold = $10, token = NULL,\n"
	"		updated_at = now()\n"
	"	FROM moved\n"
	"	WHERE order_id = moved.id AND status = 'processing')\n"
	"SELECT step, step_goal, step_actor, step_note FROM moved"};

const struct pg_statement orders_finish = {"orders_finish", PG_WRITE,
	"WITH changed AS (\n"
	"	UPDATE orders\n"
	"	SET status = $4, version = version + 1, updated_at = now(),\n"
	"		step = CASE WHEN cancel_by IS NULL THEN 'idle' ELSE 'cancelling' END,\n"
	"		step_goal = CASE WHEN cancel_by IS NOT NULL THEN 'cancelled' END,\n"
	"		step_actor = cancel_by, step_note = cancel_note,\n"
	"		lease_until = CASE WHEN cancel_by IS NOT NULL\n"
	"			THEN now() + $10::bigint * interval '1 microsecond' END,\n"
	"		cancel_by = NULL, cancel_note = NULL, step_waits = false, step_items = NULL,\n"
	"		revision = revision + $11::integer, attempts = 0, needs_attention = false\n"
	"	WHERE id = $1 AND lease_token = $2 AND status = $3 AND step <> 'idle'\n"
	"	RETURNING id, version, step, step_goal, step_actor, step_note),\n"
	"payment AS (\n"
	"	UPDATE order_payments\n"
	"	SET status = $7, decline_code = $8, decline_message = $9, token = NULL,\n"
	"		updated_at = now()\n"
	"	FROM changed\n"
	"	WHERE order_id = changed.id AND status = 'processing'),\n"
	"refund AS (\n"
	"	UPDATE order_refunds r\n"
	"	SET status = 'done', updated_at = now()\n"
	"	FROM changed\n"
	"	WHERE r.order_id = changed.id AND r.status = 'processing'\n"
	"	RETURNING r.order_id, r.attempt, r.amount_minor),\n"
	"refunded AS (\n"
	"	UPDATE order_payments p\n"
	"	SET refunded_minor = p.refunded_minor + refund.amount_minor, updated_at = now()\n"
	"	FROM refund\n"
	"	WHERE p.order_id = refund.order_id AND p.attempt = refund.attempt),\n"
	"history AS (\n"
	"	INSERT INTO order_history\n"
	"		(order_id, version, from_status, to_status, actor, note)\n"
	"	SELECT id, version, $3, $4, $5, $6 FROM changed WHERE $3 <> $4)\n"
	"SELECT step, step_goal, step_actor, step_note FROM changed"};

/* Nobody works at it until then; what failed counts, what only takes its time does not. */
const struct pg_statement orders_postpone = {"orders_postpone", PG_WRITE,
	"UPDATE orders\n"
	"SET lease_until = now() + CASE WHEN cancel_by IS NULL THEN $3::bigint ELSE 0 END\n"
	"		* interval '1 microsecond',\n"
	"	step_waits = true,\n"
	"	attempts = CASE WHEN $4 THEN 0 ELSE attempts END\n"
	"WHERE id = $1 AND lease_token = $2 AND step <> 'idle'"};

/* Whoever works at the payment finds it at their next write; if nobody does, it is due. */
const struct pg_statement orders_ask_cancel = {"orders_ask_cancel", PG_WRITE,
	"UPDATE orders\n"
	"SET cancel_by = $3, cancel_note = $4,\n"
	"	lease_until = CASE WHEN step_waits THEN now() ELSE lease_until END\n"
	"WHERE id = $1 AND version = $2 AND step IN ('authorising', 'committing', 'capturing')"};

const struct pg_statement orders_told = {"orders_told", PG_WRITE,
	"WITH told AS (\n"
	"	UPDATE order_payments\n"
	"	SET sequence = $3\n"
	"	WHERE order_id = $1 AND attempt = $2 AND sequence < $3\n"
	"	RETURNING order_id),\n"
	"due AS (\n"
	"	UPDATE orders o\n"
	"	SET lease_until = now()\n"
	"	FROM told\n"
	"	WHERE o.id = told.order_id AND step = 'authorising' AND step_waits)\n"
	"SELECT order_id FROM told"};

/* ---- an account that goes ---- */

const struct pg_statement orders_count_open = {"orders_count_open", PG_READ,
	"SELECT count(*) FROM orders\n"
	"WHERE user_id = $1 AND status IN ('paid', 'processing', 'shipped')\n"
	"	AND status <> 'reserving'"};

/* What can be cancelled still, for the recovery to go on with at once. */
const struct pg_statement orders_cancel_all = {"orders_cancel_all", PG_WRITE,
	"UPDATE orders\n"
	"SET step = 'cancelling', step_goal = 'cancelled', step_actor = 'system',\n"
	"	step_note = $2, lease_token = lease_token + 1, lease_until = now(), attempts = 0\n"
	"WHERE user_id = $1 AND step = 'idle' AND status <> 'reserving'\n"
	"	AND status IN ('pending', 'confirmed', 'paid', 'processing')"};

/* As orders_ask_cancel. */
const struct pg_statement orders_ask_cancel_all = {"orders_ask_cancel_all", PG_WRITE,
	"UPDATE orders\n"
	"SET cancel_by = 'system', cancel_note = $2,\n"
	"	lease_until = CASE WHEN step_waits THEN now() ELSE lease_until END\n"
	"WHERE user_id = $1 AND step IN ('authorising', 'committing', 'capturing')\n"
	"	AND status <> 'reserving' AND cancel_by IS NULL"};

/* Intents first: one that is being placed at this moment is an order for the next statement. */
const struct pg_statement orders_forget_intents = {"orders_forget_intents", PG_WRITE,
	"UPDATE orders\n"
	"SET shipping_address = NULL, metadata = NULL\n"
	"WHERE user_id = $1 AND step = 'reserving'"};

const struct pg_statement orders_forget_person = {"orders_forget_person", PG_WRITE,
	"UPDATE orders\n"
	"SET shipping_address = NULL, metadata = NULL, version = version + 1, updated_at = now()\n"
	"WHERE user_id = $1 AND status <> 'reserving'\n"
	"	AND (shipping_address IS NOT NULL OR metadata IS NOT NULL)"};

/* ---- recovery ---- */

/* The claim, with the operation of the key that waits for its end. */
#define TAKEN                                                                         \
	"RETURNING o.id, o.status, o.step_goal, o.step, o.step_actor, o.step_note,\n" \
	"	o.lease_token, o.attempts, (\n"                                             \
	"		SELECT k.operation FROM idempotency_keys k\n"                              \
	"		WHERE k.order_id = o.id AND k.status IS NULL LIMIT 1)"

/* The flag is seen by readers, so the version moves with it; nobody reads an intent. */
#define TAKE_OVER(lease, attention) \
	"UPDATE orders o\n" \
	"SET lease_token = lease_token + 1, step_waits = false,\n" \
	"	lease_until = now() + " lease "::bigint * interval '1 microsecond',\n" \
	"	attempts = attempts + 1, needs_attention = attempts + 1 >= " attention "::integer,\n" \
	"	version = version + CASE WHEN o.status <> 'reserving'\n" \
	"		AND (attempts + 1 >= " attention ") <> needs_attention THEN 1 ELSE 0 END\n"

const struct pg_statement orders_take_stalled = {"orders_take_stalled", PG_WRITE,
	"WITH due AS (\n"
	"	SELECT id FROM orders\n"
	"	WHERE step <> 'idle' AND lease_until <= now()\n"
	"	ORDER BY lease_until\n"
	"	LIMIT 1\n"
	"	FOR NO KEY UPDATE SKIP LOCKED)\n"
	TAKE_OVER("$1", "$2")
	"FROM due\n"
	"WHERE o.id = due.id\n"
	TAKEN};

/* The same for the one that the key's first request has left lying. */
const struct pg_statement orders_take_keyed = {"orders_take_keyed", PG_WRITE,
	TAKE_OVER("$4", "$5")
	"FROM idempotency_keys mine\n"
	"WHERE mine.caller = $1 AND mine.operation = $2 AND mine.key = $3\n"
	"	AND mine.status IS NULL AND o.id = mine.order_id\n"
	"	AND o.step <> 'idle' AND o.lease_until <= now()\n"
	TAKEN};

/* What the step works with; why the last payment was declined, if it was. */
const struct pg_statement orders_work = {"orders_work", PG_READ,
	"SELECT o.currency, p.attempt, p.method, p.amount_minor, p.token, p.is_last, p.sold,\n"
	"	p.created_at <= now() - $2::bigint * interval '1 microsecond',\n"
	"	r.id, r.attempt, f.method, r.amount_minor, r.restock, o.cancel_by IS NOT NULL,\n"
	"	d.decline_code, d.decline_message, o.revision, o.shipping_minor,\n"
	"	o.tax_minor, o.step_items\n"
	"FROM orders o\n"
	"LEFT JOIN order_payments p ON p.order_id = o.id AND p.status = 'processing'\n"
	"LEFT JOIN order_refunds r ON r.order_id = o.id AND r.status = 'processing'\n"
	"LEFT JOIN order_payments f ON f.order_id = r.order_id AND f.attempt = r.attempt\n"
	"LEFT JOIN LATERAL (\n"
	"	SELECT decline_code, decline_message FROM order_payments\n"
	"	WHERE order_id = o.id\n"
	"	ORDER BY attempt DESC\n"
	"	LIMIT 1) d ON true\n"
	"WHERE o.id = $1"};

const struct pg_statement orders_take_expired = {"orders_take_expired", PG_WRITE,
	"WITH due AS (\n"
	"	SELECT id FROM orders\n"
	"	WHERE step = 'idle' AND status IN ('pending', 'confirmed') AND expires_at <= now()\n"
	"	ORDER BY expires_at\n"
	"	LIMIT 1\n"
	"	FOR NO KEY UPDATE SKIP LOCKED)\n"
	"UPDATE orders o\n"
	"SET step = 'cancelling', step_goal = 'expired', step_actor = 'system',\n"
	"	step_note = 'not paid in time', lease_token = lease_token + 1,\n"
	"	lease_until = now() + $1::bigint * interval '1 microsecond', attempts = 0\n"
	"FROM due\n"
	"WHERE o.id = due.id\n" TAKEN};

const struct pg_statement orders_attention = {
	"orders_attention", PG_READ, "SELECT count(*) FROM orders WHERE needs_attention"};

/* ---- reads ---- */

/* Rows of one order per item (one row without items); what is large comes with the first one. */
#define ORDER_ROWS(page)                                                                   \
	"WITH page AS (\n" page ")\n"                                                      \
	"SELECT o.id, o.user_id, o.status, o.version, o.currency, o.subtotal_minor,\n"     \
	"	o.shipping_minor, o.tax_minor, o.total_minor, o.tracking_number,\n"              \
	"	o.needs_attention, o.created_at, o.updated_at, o.expires_at, o.step,\n"          \
	"	CASE WHEN row_number() OVER items = 1 THEN o.shipping_address END,\n"            \
	"	CASE WHEN row_number() OVER items = 1 THEN o.metadata END,\n"                    \
	"	p.attempt, p.method, p.status, p.reference, p.amount_minor, p.refunded_minor,\n" \
	"	p.decline_code, p.decline_message, p.updated_at,\n"                              \
	"	i.id, i.product_id, i.seller_id, i.name, i.quantity, i.unit_price_minor\n"       \
	"FROM page o\n"                                                                    \
	"LEFT JOIN order_items i ON i.order_id = o.id\n"                                   \
	"LEFT JOIN LATERAL (\n"                                                            \
	"	SELECT attempt, method, status, reference, amount_minor, refunded_minor,\n"      \
	"		decline_code, decline_message, updated_at\n"                                    \
	"	FROM order_payments\n"                                                           \
	"	WHERE order_id = o.id\n"                                                         \
	"	ORDER BY attempt DESC\n"                                                         \
	"	LIMIT 1) p ON true\n"                                                            \
	"WINDOW items AS (PARTITION BY o.id ORDER BY i.id)\n"                              \
	"ORDER BY o.created_at DESC, o.id DESC, i.id"

const struct pg_statement orders_get = {"orders_get", PG_READ,
	ORDER_ROWS("	SELECT * FROM orders WHERE id = $1 AND status <> 'reserving'")};

const struct pg_statement orders_list = {"orders_list", PG_SLOW,
	ORDER_ROWS("	SELECT * FROM orders\n"
		   "	WHERE status <> 'reserving' AND (created_at, id) < ($1, $2)\n"
		   "	ORDER BY created_at DESC, id DESC\n"
		   "	OFFSET $3 LIMIT $4")};

const struct pg_statement orders_list_user = {"orders_list_user", PG_READ,
	ORDER_ROWS("	SELECT * FROM orders\n"
		   "	WHERE user_id = $5 AND status <> 'reserving' AND (created_at, id) < ($1, "
		   "$2)\n"
		   "	ORDER BY created_at DESC, id DESC\n"
		   "	OFFSET $3 LIMIT $4")};

const struct pg_statement orders_list_status = {"orders_list_status", PG_SLOW,
	ORDER_ROWS("	SELECT * FROM orders\n"
		   "	WHERE status = $5 AND status <> 'reserving' AND (created_at, id) < ($1, "
		   "$2)\n"
		   "	ORDER BY created_at DESC, id DESC\n"
		   "	OFFSET $3 LIMIT $4")};

const struct pg_statement orders_list_user_status = {"orders_list_user_status", PG_SLOW,
	ORDER_ROWS("	SELECT * FROM orders\n"
		   "	WHERE user_id = $5 AND status = $6 AND status <> 'reserving'\n"
		   "		AND (created_at, id) < ($1, $2)\n"
		   "	ORDER BY created_at DESC, id DESC\n"
		   "	OFFSET $3 LIMIT $4")};

const struct pg_statement orders_history = {"orders_history", PG_READ,
	"SELECT from_status, to_status, actor, note, at, version\n"
	"FROM order_history\n"
	"WHERE order_id = $1\n"
	"ORDER BY version"};

const struct pg_statement orders_refunds = {"orders_refunds", PG_READ,
	"SELECT id, amount_minor, restock, status, actor, note, created_at, updated_at\n"
	"FROM order_refunds\n"
	"WHERE order_id = $1\n"
	"ORDER BY created_at, id"};

static const struct pg_statement *const statements[] = {
	&orders_begin,
	&orders_place,
	&orders_abandon,
	&orders_abandon_keyed,
	&orders_refuse,
	&orders_key_claim,
	&orders_key_answer,
	&orders_key_free,
	&orders_forget_answers,
	&keyed_read,
	&keyed_keep,
	&keyed_recorded,
	&keyed_forget,
	&orders_change,
	&orders_take,
	&orders_take_payment,
	&orders_take_refund,
	&orders_take_items,
	&orders_amend,
	&orders_owe,
	&orders_advance,
	&orders_finish,
	&orders_postpone,
	&orders_ask_cancel,
	&orders_told,
	&orders_count_open,
	&orders_cancel_all,
	&orders_ask_cancel_all,
	&orders_forget_intents,
	&orders_forget_person,
	&orders_take_stalled,
	&orders_work,
	&orders_take_keyed,
	&orders_take_expired,
	&orders_attention,
	&orders_get,
	&orders_list,
	&orders_list_user,
	&orders_list_status,
	&orders_list_user_status,
	&orders_history,
	&orders_refunds,
};

static const struct pg_statement *const telling[] = {
	&orders_place,
	&orders_change,
	&orders_take_payment,
	&orders_amend,
	&orders_advance,
	&orders_finish,
	&orders_forget_person,
};

static const struct pg_constraint constraints[] = {
	{"orders_total_check", FAULT_INVALID, "items", "the order's total is too large"},
	{"orders_transition_check", FAULT_INVALID_TRANSITION, NULL,
		"the order's state does not allow this"},
};

const struct pg_schema store_schema = {
	.statements = statements,
	.statement_count = sizeof statements / sizeof statements[0],
	.telling = telling,
	.telling_count = sizeof telling / sizeof telling[0],
	.constraints = constraints,
	.constraint_count = sizeof constraints / sizeof constraints[0],
	.migration_newest = "00005",
};
