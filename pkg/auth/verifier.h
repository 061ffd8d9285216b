/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "auth/crypto.h"
#include "auth/token.h"

/* The parts of a verifier, private to the package: public keys (verify_key.c), and what was found
 * out about tokens and sessions already (token_cache.c). */

enum { VERIFY_KEYS_MAX = 16, KID_BYTES_MAX = 128, REFUSED_SESSIONS_MAX = 8192 };

struct verify_key {
	struct evp_pkey_st *pkey;
	char kid[KID_BYTES_MAX];
	size_t kid_len;
};

struct verify_keys {
	struct verify_key at[VERIFY_KEYS_MAX];
	size_t count;
};

/* The usable keys of a JWKS document: RSA for signatures, RS256. False when there are none. */
bool verify_keys_read(struct scope *s, struct str jwks, struct verify_keys *keys);
void verify_keys_clear(struct verify_keys *keys);
const struct verify_key *verify_keys_find(const struct verify_keys *keys, struct str kid);

/* Whether the signature of `text` is this key's. */
bool verify_key_fits(const struct verify_key *key, struct str text, struct str signature);

/* ---- tokens and sessions ---- */

struct cached_token {
	uint8_t digest[SHA256_BYTES]; /* of the whole token */
	int64_t until_s; /* 0: the place is free */
	struct uuid user_id;
	struct uuid session_id;
	uint8_t role;
	uint8_t key; /* index into the keys */
};

struct refused_session {
	struct uuid id;
	int64_t until_s;
};

struct token_cache {
	struct cached_token *tokens; /* TOKEN_CACHE_MAX; sets of a few places each */
	struct refused_session *refused;
	size_t refused_count;
	size_t refused_room;
};

void token_cache_init(struct token_cache *c);
void token_cache_free(struct token_cache *c);

/* NULL when the token is not known to be good at this time. */
const struct cached_token *token_cache_find(
	const struct token_cache *c, const uint8_t digest[SHA256_BYTES], int64_t now_s);

/* In place of the one of its set that ends first. */
void token_cache_put(struct token_cache *c, const struct cached_token *token);

/* Key i is now moved[i]; a negative one was removed, and its tokens are forgotten. */
void token_cache_move_keys(struct token_cache *c, const int moved[VERIFY_KEYS_MAX]);

/* Forgets the session's tokens, too. */
void token_cache_refuse(struct token_cache *c, const struct uuid *session_id, int64_t until_s);
bool token_cache_refused(const struct token_cache *c, const struct uuid *session_id, int64_t now_s);
