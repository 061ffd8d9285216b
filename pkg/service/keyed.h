/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "auth/secret.h"
#include "http/route.h"
#include "pg/pg.h"

/* Idempotency-Key: what an operation did, or why it refused, is kept under caller, method, path and
 * key for 24 hours, and a repeat is answered with the same bytes. keyed_run does all of it for
 * operations whose effect is one transaction of the service's own database. Operations of several
 * steps put the parts together themselves (cmd/orders/keys.h): they write the key with their first
 * step and the answer with the one that decides, so that whoever ends the operation answers for it.
 * A service lists the statements in its schema and has the table idempotency_keys (its
 * migrations). */
extern const struct pg_statement keyed_lock, keyed_claim, keyed_read, keyed_keep, keyed_recorded,
	keyed_forget;

enum { KEY_CHARS_MAX = 255 };

/* What bodies are fingerprinted with, the same on each replica: first before threads start, then
 * whenever it changes. What is made of it lives in s, and must stay for as long as a task may use
 * it. */
void keyed_set_secret(struct scope *s, const struct secret *secret);

/* ---- one transaction ---- */

/* The operation. `tx` is NULL when the request has no key: then its statement commits by itself.
 * All it writes must go through tx; what it does outside the database must wait until keyed_run
 * has returned OK. Fills the reply. */
typedef enum fault keyed_fn(struct task *t, struct pg_tx *tx, const struct request *request,
	struct reply *reply, void *arg);

/* Runs work once for the caller, method, path and key, and answers repeats for 24 hours with the
 * bytes of the first answer, whether it took effect or was refused (402, 404, 409). *ran (may be
 * NULL) tells whether it took effect now. FAULT_KEY_REUSED: the key came with another body;
 * FAULT_KEY_BUSY: the first is still running. Suspends. */
enum fault keyed_run(struct task *t, const struct request *request, struct reply *reply,
	keyed_fn *work, void *arg, bool *ran) MUST_CHECK;

/* ---- parts ---- */

/* A request's key and whose it is. */
struct keyed {
	struct uuid caller;
	struct str operation; /* method and path: "POST /api/v1/orders" */
	struct str key;
	struct str fingerprint; /* of the body: its HMAC */
	struct str former; /* by the previous secret; STR_NONE: there is none */
	bool claimed; /* its row was written for this request, or that is not known */
	bool answered; /* and the answer, which is the reply */
};

/* The first parameters of every statement on keys. */
#define KEYED_VALUES(keyed)                                                            \
	pg_uuid(&(keyed)->caller), pg_text((keyed)->operation), pg_text((keyed)->key), \
		pg_bytes((keyed)->fingerprint)

/* *has: the request has a key. FAULT_INVALID when it is none of 1 to KEY_CHARS_MAX visible ASCII
 * characters. */
enum fault keyed_from(
	struct scope *s, const struct request *request, struct keyed *keyed, bool *has) MUST_CHECK;

/* The same check for operations that look after their repeats in another way. */
enum fault keyed_check(struct scope *s, struct str key) MUST_CHECK;

enum keyed_state {
	KEYED_NEW,
	KEYED_RUNNING,
	KEYED_ANSWERED, /* the reply is what was answered */
};

/* What has become of the key; tx may be NULL. FAULT_KEY_REUSED. Suspends. */
enum fault keyed_find(struct task *t, struct pg_tx *tx, const struct keyed *keyed,
	struct reply *reply, enum keyed_state *state) MUST_CHECK;

/* Refused for what the data say, so that a repeat is refused too: 402, 404 and 409, but not what
 * passes by itself. Anything else may be tried again. */
bool keyed_is_refusal(enum fault fault);

/* The fault's problem document, with what the scope says of it, as the reply; `path` is the
 * operation's. */
void keyed_problem(struct task *t, enum fault fault, struct str path, struct reply *reply);

/* Keeps the answer of an operation whose key has been claimed. *kept: false when somebody has
 * answered already. tx may be NULL. Suspends. */
enum fault keyed_answer(struct task *t, struct pg_tx *tx, const struct keyed *keyed,
	const struct reply *reply, bool *kept) MUST_CHECK;

/* Keeps an answer for which no key was claimed before, such as a refusal that wrote nothing. *kept:
 * false when the key is another's by now. Suspends. */
enum fault keyed_record(struct task *t, const struct keyed *keyed, const struct reply *reply,
	bool *kept) MUST_CHECK;

/* What is kept of a reply, in this order: status, content type, ETag, Location, body. */
#define KEYED_REPLY_VALUES(reply)                                                          \
	pg_int32((reply)->status), pg_text((reply)->content_type), pg_text((reply)->etag), \
		pg_text(keyed_location(reply)), pg_text((reply)->body)
struct str keyed_location(const struct reply *reply);

/* A job: forgets what was answered more than 24 hours ago. Suspends. */
enum fault keyed_sweep(struct task *t) MUST_CHECK;
