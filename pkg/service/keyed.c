/* SPDX-License-Identifier: Apache-2.0
 * A request with an Idempotency-Key runs in a transaction that begins with a lock on the key
 * (tried, not waited for) and its row; the answer goes into that row before the commit. A refusal
 * has aborted the transaction, and has had no effect, so it is written down by itself afterwards.
 */
#include "service/keyed.h"

#include "http/problem.h"
#include "http/reply.h"

static enum fault run_claimed(struct task *t, const struct request *request, struct reply *reply,
	keyed_fn *work, void *arg, struct pg_tx **tx, bool *ran);
static enum fault replay(
	struct task *t, struct pg_tx *tx, const struct request *request, struct reply *reply);
static enum fault refuse(
	struct task *t, const struct request *request, struct reply *reply, enum fault fault);
static struct str location_of(const struct reply *reply);
static struct str operation_of(struct scope *s, const struct request *request);

/* Each begins with the key's parts: $1 caller, $2 operation, $3 key, $4 body. */
#define KEY(s, request)                                                             \
	pg_uuid(&(request)->caller.user_id), pg_text(operation_of((s), (request))), \
		pg_text(request_header((request), STR("idempotency-key"))),         \
		pg_bytes((request)->body)

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
	"VALUES ($1::uuid, $2::text, $3::text, sha256($4::bytea)) "
	"ON CONFLICT (caller, operation, key) DO UPDATE "
	"SET fingerprint = excluded.fingerprint, created_at = now() "
	"WHERE k.created_at < now() - interval '24 hours' "
	"RETURNING true",
};

const struct pg_statement keyed_read = {
	"keyed_read",
	PG_WRITE,
	"SELECT fingerprint = sha256($4::bytea), status, content_type, etag, location, body "
	"FROM idempotency_keys "
	"WHERE caller = $1::uuid AND operation = $2::text AND key = $3::text",
};

const struct pg_statement keyed_keep = {
	"keyed_keep",
	PG_WRITE,
	"UPDATE idempotency_keys "
	"SET status = $5::integer, content_type = $6::text, etag = $7::text, "
	"	location = $8::text, body = $9::text "
	"WHERE caller = $1::uuid AND operation = $2::text AND key = $3::text "
	"	AND fingerprint = sha256($4::bytea)",
};

const struct pg_statement keyed_refuse = {
	"keyed_refuse",
	PG_WRITE,
	"INSERT INTO idempotency_keys AS k (caller, operation, key, fingerprint, status, "
	"	content_type, body) "
	"VALUES ($1::uuid, $2::text, $3::text, sha256($4::bytea), $5::integer, $6::text, "
	"	$7::text) "
	"ON CONFLICT (caller, operation, key) DO UPDATE "
	"SET fingerprint = excluded.fingerprint, created_at = now(), status = excluded.status, "
	"	content_type = excluded.content_type, etag = NULL, location = NULL, "
	"	body = excluded.body "
	"WHERE k.created_at < now() - interval '24 hours'",
};

const struct pg_statement keyed_forget = {
	"keyed_forget",
	PG_WRITE,
	"DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'",
};

enum fault keyed_run(struct task *t, const struct request *request, struct reply *reply,
	keyed_fn *work, void *arg, bool *ran)
{
	const struct str key = request_header(request, STR("idempotency-key"));
	struct scope *s = &t->scope;
	struct pg_tx *tx = NULL;
	struct pg_rows rows;
	struct pg_row row;
	bool ran_here = false;
	enum fault fault;

	if (ran == NULL)
		ran = &ran_here;
	if (key.at == NULL) {
		fault = work(t, NULL, request, reply, arg);
		*ran = fault == OK;
		return fault;
	}
	*ran = false;
	TRY(keyed_check(s, key));
	TRY(pg_begin(t, &tx));
	TRY(pg_tx_query(t, tx, &keyed_lock, (const struct pg_value[]){KEY(s, request)}, 3, &rows));
	row = pg_row(&rows, 0);
	if (!pg_take_bool(&row))
		return fail(s, FAULT_KEY_BUSY, "a request with this Idempotency-Key is running");
	TRY(pg_tx_query(t, tx, &keyed_claim, PG_VALUES(KEY(s, request)), &rows));
	if (rows.count == 0)
		return replay(t, tx, request, reply);
	fault = run_claimed(t, request, reply, work, arg, &tx, ran);
	if (fault == OK)
		return OK;
	pg_rollback(&tx);
	return refuse(t, request, reply, fault);
}

static enum fault run_claimed(struct task *t, const struct request *request, struct reply *reply,
	keyed_fn *work, void *arg, struct pg_tx **tx, bool *ran)
{
	struct scope *s = &t->scope;

	TRY(work(t, *tx, request, reply, arg));
	TRY(pg_tx_query(t, *tx, &keyed_keep,
		PG_VALUES(KEY(s, request), pg_int32(reply->status), pg_text(reply->content_type),
			pg_text(reply->etag), pg_text(location_of(reply)), pg_text(reply->body)),
		NULL));
	TRY(pg_commit(t, tx));
	*ran = true;
	return OK;
}

static enum fault replay(
	struct task *t, struct pg_tx *tx, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct pg_rows rows;
	struct pg_row row;
	struct str location;

	TRY(pg_tx_query(t, tx, &keyed_read, PG_VALUES(KEY(s, request)), &rows));
	if (rows.count == 0) /* it was forgotten this moment */
		return fail(s, FAULT_KEY_BUSY, "the Idempotency-Key has just run out");
	row = pg_row(&rows, 0);
	if (!pg_take_bool(&row))
		return fail(s, FAULT_KEY_REUSED, "the Idempotency-Key came with another body");
	reply->status = pg_take_int32(&row);
	reply->content_type = scope_dup(s, pg_take_text(&row));
	reply->etag = scope_dup(s, pg_take_text(&row));
	location = scope_dup(s, pg_take_text(&row));
	reply->body = scope_dup(s, pg_take_text(&row));
	if (location.at != NULL)
		reply_header(reply, "location", location);
	return OK;
}

/* What was refused for what the data say stays refused; anything else may be tried again. */
static enum fault refuse(
	struct task *t, const struct request *request, struct reply *reply, enum fault fault)
{
	const struct fault_info *info = fault_info(fault);
	struct scope *s = &t->scope;
	struct str body;

	if (info->retry || (info->status != 402 && info->status != 404 && info->status != 409))
		return fault;
	body = problem_write(s, fault, request->path, t->traceparent);
	scope_forgive(s);
	TRY(pg_query(t, &keyed_refuse,
		PG_VALUES(KEY(s, request), pg_int32(info->status),
			pg_text(STR(PROBLEM_CONTENT_TYPE)), pg_text(body)),
		NULL));
	reply->status = info->status;
	reply->content_type = STR(PROBLEM_CONTENT_TYPE);
	reply->body = body;
	return OK;
}

/* As RFC 8941 strings are sent and as they are, without quotes, alike. */
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

static struct str operation_of(struct scope *s, const struct request *request)
{
	return scope_format(s, "%.*s %.*s", STR_ARG(request->method), STR_ARG(request->path));
}

static struct str location_of(const struct reply *reply)
{
	for (size_t i = 0; i < reply->header_count; i++)
		if (str_eq(reply->headers[i].name, STR("location")))
			return reply->headers[i].value;
	return STR_NONE;
}

enum fault keyed_sweep(struct task *t)
{
	return pg_query(t, &keyed_forget, PG_NO_VALUES, NULL);
}
