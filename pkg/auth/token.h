/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/request.h"

/* Access tokens: JWT signed with RS256 (RFC 7519, RFC 7518), 15 minutes, clocks may differ by 30 s.
 * Only that algorithm is accepted, whatever the token says. */

enum { TOKEN_TTL_S = 900, TOKEN_LEEWAY_S = 30, TOKEN_CACHE_MAX = 4096, TOKEN_BYTES_MAX = 4096 };

struct token_rules {
	struct str issuer;
	struct str audience;
};

/* ---- signing (users) ---- */

struct signing_key; /* an RSA private key of 2048 bits with its kid */

/* A new key; blocking, for worker threads or start-up. */
struct signing_key *signing_key_new(void);
void signing_key_free(struct signing_key *key);
struct str signing_key_id(const struct signing_key *key);

/* The private part, encrypted with AES-256-GCM under the 32-byte secret, in arena; and back. */
struct str signing_key_seal(const struct signing_key *key, struct str secret, struct arena *arena);
struct signing_key *signing_key_open(struct str sealed, struct str kid, struct str secret);

/* Its public part as one JWK object (RFC 7517), in arena. */
struct str signing_key_jwk(const struct signing_key *key, struct arena *arena);

/* Signs a token for the caller; `now_s` and the claims iss, aud, sub, sid, role, iat, nbf, exp,
 * jti. Blocking (RSA): about 1 ms. Text in arena. */
struct str token_sign(const struct signing_key *key, const struct token_rules *rules,
	const struct caller *caller, int64_t now_s, struct arena *arena);

/* ---- verifying (every service) ---- */

/* A thread's public keys and its cache of verified tokens. */
struct verifier;

struct verifier *verifier_new(const struct token_rules *rules);
void verifier_free(struct verifier *v);

/* Replaces the keys by those of a JWKS document; tokens of removed keys are forgotten. False (and
 * nothing changes) when it holds no usable key. */
bool verifier_set_keys(struct verifier *v, struct scope *s, struct str jwks);
bool verifier_has_keys(const struct verifier *v);

/* OK with the caller; FAULT_UNAUTHORIZED or FAULT_TOKEN_EXPIRED with a sentence; FAULT_NOT_FOUND
 * when the kid is not known (the keys may be stale: fetch them and try again). */
enum fault verifier_check(struct verifier *v, struct scope *s, struct str token, int64_t now_s,
	struct caller *caller) MUST_CHECK;

/* A session was ended: its tokens are refused until they would have expired. */
void verifier_refuse_session(struct verifier *v, const struct uuid *session_id, int64_t until_s);
bool verifier_session_refused(
	const struct verifier *v, const struct uuid *session_id, int64_t now_s);
