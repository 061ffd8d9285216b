/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/request.h"
#include "upstream/upstream.h"

/* Service-to-service authentication: HMAC-SHA-256 with the pair's own secret over method, path with
 * query, body digest, caller, callee, actor, deadline, time (± 60 s) and nonce (remembered 120 s).
 * Header: Bodega-Mac. */

struct mac_secret {
	struct str caller;
	struct str callee;
	struct str current; /* signs */
	struct str previous; /* still verifies; STR_NONE when there is none */
};

struct mac_secrets {
	struct mac_secret *at;
	size_t count;
};

/* From lines "caller callee current [previous]" (base64, at least 32 bytes each); '#' starts a
 * comment. */
enum fault mac_secrets_read(
	struct scope *s, struct str text, struct mac_secrets *secrets) MUST_CHECK;

/* NULL: there are none for the pair. */
const struct mac_secret *mac_secret_find(
	const struct mac_secrets *secrets, struct str caller, struct str callee);

/* The secrets that are in use now. Others take their place while calls are made: what was in use
 * must stay for as long as a task may. */
struct mac_ring {
	_Atomic(const struct mac_secrets *) secrets;
};

/* For upstream_config.sign: sign_key is a struct mac_pair, for which the ring has a secret. */
struct mac_pair {
	const struct mac_ring *ring;
	struct str caller;
	struct str callee;
};
void mac_sign(
	struct task *t, const struct upstream_config *config, struct upstream_request *request);

/* The process' record of nonces seen: a call may be repeated on another connection, which another
 * thread serves. Any thread. The ring is borrowed. */
struct mac_verifier;
struct mac_verifier *mac_verifier_new(struct str callee, const struct mac_ring *ring);
void mac_verifier_free(struct mac_verifier *v);

/* Fills caller->service and actor. FAULT_UNAUTHORIZED with a sentence. */
enum fault mac_check(struct mac_verifier *v, struct scope *s, const struct request *request,
	int64_t now_s, struct caller *caller) MUST_CHECK;
