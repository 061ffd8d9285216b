/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "auth/secret.h"
#include "auth/token.h"
#include "fiber/blocking.h"
#include "http/request.h"

/* The keys that sign access tokens: rows of the database, loaded into this process. */

/* The 32 bytes that seal private keys, or two such values: see service_secret. Keys that are sealed
 * with the second are sealed anew with the first. */
enum fault keys_take_secret(struct scope *s, struct str text) MUST_CHECK;
void keys_set_secret(const struct secret *secret); /* borrowed */

/* Before threads start: the threads that sign, which keys_free ends after all others have ended,
 * and what tokens say of us. */
void keys_use(struct blocking_pool *signers, const struct token_rules *rules);
void keys_free(void);

/* Loads the keys, and makes the first one when there is none yet. A service job. Suspends. */
enum fault keys_load(struct task *t) MUST_CHECK;

/* There is a key to sign with. */
bool keys_ready(struct str *why);

/* The public keys as a JWKS document (RFC 7517) in the task's scope. Suspends. */
enum fault keys_document(struct task *t, struct str *jwks) MUST_CHECK;

/* Signs an access token for the caller into the task's scope; FAULT_UNAVAILABLE until a key is
 * loaded. Suspends. */
enum fault keys_sign(struct task *t, const struct caller *caller, struct str *token) MUST_CHECK;
