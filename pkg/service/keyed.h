/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/route.h"
#include "pg/pg.h"

/* Idempotency-Key for operations whose effect is one transaction of the service's own database: the
 * key, the effect and the answer are committed together, so a repeat finds either all or nothing.
 * A service that has such operations lists the four statements in its schema and has the table
 * idempotency_keys (migrations/products/00004_idempotency_keys.sql). */
extern const struct pg_statement keyed_lock, keyed_claim, keyed_read, keyed_keep, keyed_refuse,
	keyed_forget;

enum { KEY_CHARS_MAX = 255 };

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

/* Whether an Idempotency-Key is of 1 to KEY_CHARS_MAX visible ASCII characters: for operations that
 * look after their repeats themselves. */
enum fault keyed_check(struct scope *s, struct str key) MUST_CHECK;

/* A job: forgets keys that are older than that. */
enum fault keyed_sweep(struct task *t);
