/* SPDX-License-Identifier: Apache-2.0
 * keyed_run works in a transaction that begins with a lock on the key (tried, not waited for) and
 * its row; the answer goes into that row before the commit. A refusal has aborted the transaction,
 * and has had no effect, so it is written down by itself afterwards. A row without a status belongs
 * to an operation of several steps that is under way, however long that takes: nobody else may
 * have the key until it is over. */
#include "service/keyed.h"

#include "auth/crypto.h"
#include "base/check.h"
#include "http/problem.h"
#include "http/reply.h"

#include <stdatomic.h>

enum { SWEPT_AT_ONCE = 1000 }; /* rows: a statement has but seconds */

static const struct secret none = {.current = {"", 0}}; /* of tests: services have one */
static _Atomic(const struct secret *) secret = &none;

static enum fault run_claimed(struct task *t, const struct keyed *keyed,
	const struct request *request, struct reply *reply, keyed_fn *work, void *arg,
	struct pg_tx **tx, bool *ran);
static enum fault replay(
	struct task *t, struct pg_tx *tx, const struct keyed *keyed, struct reply *reply);
static struct str derive(struct scope *s, struct str key);
static struct str fingerprint_of(
	struct scope *s, struct str secret_key, const struct keyed *keyed, struct str body);

const struct pg_statement keyed_lock = {
	"keyed_lock",
	PG_WRITE,
	"SELECT pg_try_advisory_xact_lock(hashtextextended("
	"	$1::uuid || ' ' || $2::text || ' ' || $3::text, 0))",
};

const struct pg_statement keyed_claim = {
	"keyed_claim",
	PG_WRITE,
	"INSERT INTO idempotency_keys AS k (caller, operation, key, fingerprint) "
	"VALUES ($1::uuid, $2::text, $3::text, $4::bytea) "
	"ON CONFLICT (caller, operation, key) DO UPDATE "
	"SET fingerprint = excluded.fingerprint, created_at = now(), status = NULL, "
	"	content_type = NULL, etag = NULL, location = NULL, body = NULL "
	"WHERE k.created_at < now() - interval '24 hours' AND k.status IS NOT NULL "
	"RETURNING true",
};

const struct pg_statement keyed_read = {
	"keyed_read",
	PG_READ,
	"SELECT coalesce(fingerprint IN ($4::bytea, $5::bytea), false), status IS NOT NULL, "
	"status, content_type, etag, "
	"	location, body "
	"FROM idempotency_keys "
	"WHERE caller = $1::uuid AND operation = $2::text AND key = $3::text "
	"	AND (created_at >= now() - interval '24 hours' OR status IS NULL)",
};

const struct pg_statement keyed_keep = {
	"keyed_keep",
	PG_WRITE,
	"UPDATE idempotency_keys "
	"SET status = $5::integer, content_type = $6::text, etag = $7::text, "
	"	location = $8::text, body = $9::text "
	"WHERE caller = $1::uuid AND operation = $2::text AND key = $3::text "
	"	AND fingerprint = $4::bytea AND status IS NULL",
};

const struct pg_statement keyed_recorded = {
	"keyed_recorded",
	PG_WRITE,
	"INSERT INTO idempotency_keys AS k (caller, operation, key, fingerprint, status, "
	"	content_type, etag, location, body) "
	"VALUES ($1::uuid, $2::text, $3::text, $4::bytea, $5::integer, $6::text, $7::text, "
	"	$8::text, $9::text) "
	"ON CONFLICT (caller, operation, key) DO UPDATE "
	"SET fingerprint = excluded.fingerprint, created_at = now(), status = excluded.status, "
	"	content_type = excluded.content_type, etag = excluded.etag, "
	"	location = excluded.location, body = excluded.body "
	"WHERE k.created_at < now() - interval '24 hours' AND k.status IS NOT NULL",
};

const struct pg_statement keyed_forget = {
	"keyed_forget",
	PG_WRITE,
	"DELETE FROM idempotency_keys "
	"WHERE ctid = ANY (ARRAY("
	"	SELECT ctid FROM idempotency_keys "
	"	WHERE created_at < now() - interval '24 hours' AND status IS NOT NULL "
	"	ORDER BY created_at "
	"	LIMIT $1::bigint "
	"	FOR UPDATE SKIP LOCKED))",
};

void keyed_set_secret(struct scope *s, const struct secret *next)
{
	struct secret *const own = scope_alloc(s, sizeof *own);

	*own = (struct secret){
		.current = derive(s, next->current),
		.previous = next->previous.at != NULL ? derive(s, next->previous) : STR_NONE,
	};
	atomic_store(&secret, own);
}

/* Not the secret itself, which others use for other things. */
static struct str derive(struct scope *s, struct str key)
{
	uint8_t *const mac = scope_alloc(s, SHA256_BYTES);

	crypto_hmac(key, STR("idempotency"), mac);
	return str_of((const char *)mac, SHA256_BYTES);
}

enum fault keyed_run(struct task *t, const struct request *request, struct reply *reply,
	keyed_fn *work, void *arg, bool *ran)
{
	struct scope *s = &t->scope;
	struct pg_tx *tx = NULL;
	struct keyed keyed;
	struct pg_rows rows;
	struct pg_row row;
	bool has, ran_here = false;
	enum fault fault;

	if (ran == NULL)
		ran = &ran_here;
	*ran = false;
	TRY(keyed_from(s, request, &keyed, &has));
	if (!has) {
		fault = work(t, NULL, request, reply, arg);
		*ran = fault == OK;
		return fault;
	}
	TRY(pg_begin(t, &tx));
	TRY(pg_tx_query(
		t, tx, &keyed_lock, (const struct pg_value[]){KEYED_VALUES(&keyed)}, 3, &rows));
	row = pg_row(&rows, 0);
	if (!pg_take_bool(&row))
		return fail(s, FAULT_KEY_BUSY, "a request with this Idempotency-Key is running");
	TRY(pg_tx_query(t, tx, &keyed_claim, PG_VALUES(KEYED_VALUES(&keyed)), &rows));
	if (rows.count == 0)
		return replay(t, tx, &keyed, reply);
	fault = run_claimed(t, &keyed, request, reply, work, arg, &tx, ran);
	if (fault == OK)
		return OK;
	pg_rollback(&tx);
	if (!keyed_is_refusal(fault))
		return fault;
	keyed_problem(t, fault, request->path, reply);
	scope_forgive(s);
	return keyed_record(t, &keyed, reply, &has);
}

static enum fault run_claimed(struct task *t, const struct keyed *keyed,
	const struct request *request, struct reply *reply, keyed_fn *work, void *arg,
	struct pg_tx **tx, bool *ran)
{
	bool kept;

	TRY(work(t, *tx, request, reply, arg));
	TRY(keyed_answer(t, *tx, keyed, reply, &kept));
	CHECK(kept);
	TRY(pg_commit(t, tx));
	*ran = true;
	return OK;
}

static enum fault replay(
	struct task *t, struct pg_tx *tx, const struct keyed *keyed, struct reply *reply)
{
	enum keyed_state state;

	TRY(keyed_find(t, tx, keyed, reply, &state));
	if (state != KEYED_ANSWERED) /* it was forgotten this moment */
		return fail(&t->scope, FAULT_KEY_BUSY, "the Idempotency-Key has just run out");
	return OK;
}

/* ---- parts ---- */

enum fault keyed_from(
	struct scope *s, const struct request *request, struct keyed *keyed, bool *has)
{
	const struct str key = request_header(request, STR("idempotency-key"));
	const struct secret *const secrets = atomic_load(&secret);

	*has = key.at != NULL;
	if (!*has)
		return OK;
	TRY(keyed_check(s, key));
	*keyed = (struct keyed){
		.caller = request->caller.user_id,
		.operation = scope_format(
			s, "%.*s %.*s", STR_ARG(request->method), STR_ARG(request->path)),
		.key = key,
	};
	keyed->fingerprint = fingerprint_of(s, secrets->current, keyed, request->body);
	if (secrets->previous.at != NULL)
		keyed->former = fingerprint_of(s, secrets->previous, keyed, request->body);
	return OK;
}

/* Quotes round it, as round a string of RFC 8941, are part of the key. */
enum fault keyed_check(struct scope *s, struct str key)
{
	bool fine = key.len > 0 && key.len <= KEY_CHARS_MAX;

	for (size_t i = 0; i < key.len && fine; i++)
		fine = key.at[i] > ' ' && key.at[i] <= '~';
	if (fine)
		return OK;
	return fail_field(s, STR("Idempotency-Key"), "format",
		"must be 1 to %d visible ASCII characters", KEY_CHARS_MAX);
}

/* With a key of its own for each Idempotency-Key, so that equal bodies are not seen to be equal. */
static struct str fingerprint_of(
	struct scope *s, struct str secret_key, const struct keyed *keyed, struct str body)
{
	uint8_t own[SHA256_BYTES];
	uint8_t *const mac = scope_alloc(s, SHA256_BYTES);

	crypto_hmac(secret_key, keyed->key, own);
	crypto_hmac(str_of((const char *)own, sizeof own), body, mac);
	return str_of((const char *)mac, SHA256_BYTES);
}

enum fault keyed_find(struct task *t, struct pg_tx *tx, const struct keyed *keyed,
	struct reply *reply, enum keyed_state *state)
{
	const struct pg_value values[] = {KEYED_VALUES(keyed), pg_bytes(keyed->former)};
	const size_t count = sizeof values / sizeof values[0];
	struct scope *s = &t->scope;
	struct pg_rows rows;
	struct pg_row row;
	struct str location;

	*state = KEYED_NEW;
	TRY(tx != NULL ? pg_tx_query(t, tx, &keyed_read, values, count, &rows)
		       : pg_query(t, &keyed_read, values, count, &rows));
	if (rows.count == 0)
		return OK;
	row = pg_row(&rows, 0);
	if (!pg_take_bool(&row))
		return fail(s, FAULT_KEY_REUSED, "the Idempotency-Key came with another body");
	*state = pg_take_bool(&row) ? KEYED_ANSWERED : KEYED_RUNNING;
	if (*state == KEYED_RUNNING)
		return OK;
	reply_reset(reply);
	reply->status = pg_take_int32(&row);
	reply->content_type = scope_dup(s, pg_take_text(&row));
	reply->etag = scope_dup(s, pg_take_text(&row));
	location = scope_dup(s, pg_take_text(&row));
	reply->body = scope_dup(s, pg_take_text(&row));
	if (location.at != NULL)
		reply_header(reply, "location", location);
	return OK;
}

bool keyed_is_refusal(enum fault fault)
{
	const struct fault_info *info = fault_info(fault);

	return !info->retry && (info->status == 402 || info->status == 404 || info->status == 409);
}

void keyed_problem(struct task *t, enum fault fault, struct str path, struct reply *reply)
{
	reply_reset(reply);
	reply->status = fault_info(fault)->status;
	reply->content_type = STR(PROBLEM_CONTENT_TYPE);
	reply->body = problem_write(&t->scope, fault, path, t->traceparent);
}

enum fault keyed_answer(struct task *t, struct pg_tx *tx, const struct keyed *keyed,
	const struct reply *reply, bool *kept)
{
	const struct pg_value values[] = {KEYED_VALUES(keyed), KEYED_REPLY_VALUES(reply)};
	const size_t count = sizeof values / sizeof values[0];
	struct pg_rows rows;

	TRY(tx != NULL ? pg_tx_query(t, tx, &keyed_keep, values, count, &rows)
		       : pg_query(t, &keyed_keep, values, count, &rows));
	*kept = rows.affected > 0;
	return OK;
}

enum fault keyed_record(
	struct task *t, const struct keyed *keyed, const struct reply *reply, bool *kept)
{
	struct pg_rows rows;

	TRY(pg_query(t, &keyed_recorded, PG_VALUES(KEYED_VALUES(keyed), KEYED_REPLY_VALUES(reply)),
		&rows));
	*kept = rows.affected > 0;
	return OK;
}

struct str keyed_location(const struct reply *reply)
{
	for (size_t i = 0; i < reply->header_count; i++)
		if (str_eq(reply->headers[i].name, STR("location")))
			return reply->headers[i].value;
	return STR_NONE;
}

enum fault keyed_sweep(struct task *t)
{
	struct pg_rows rows;

	do
		TRY(pg_query(t, &keyed_forget, PG_VALUES(pg_int64(SWEPT_AT_ONCE)), &rows));
	while (rows.affected == SWEPT_AT_ONCE);
	return OK;
}
