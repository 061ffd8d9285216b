/* SPDX-License-Identifier: Apache-2.0
 * Checks access tokens. The order matters: nothing of a token is believed, and libjwt sees none of
 * it, before its signature was verified with a key of ours and the one algorithm that we use. Of
 * the header only `kid` is taken, to choose the key. */
#include "auth/verifier.h"

#include "auth/base64.h"
#include "auth/role.h"
#include "base/check.h"
#include "json/field.h"

#include <jwt.h>
#include <openssl/evp.h>
#include <stdlib.h>

/* 9999-12-31: nothing of ours is good for longer. */
#define TIME_S_MAX INT64_C(253402300799)

struct verifier {
	struct token_rules rules;
	struct arena *arena; /* of the rules */
	struct verify_keys keys;
	struct token_cache cache;
};

/* What stands between the dots. */
struct token_parts {
	struct str header;
	struct str claims;
	struct str signature;
	struct str signed_text; /* header, dot, claims */
};

struct token_header {
	struct str alg;
	struct str kid;
	struct texts crit; /* extensions that must be understood: we know none */
};

static const struct field header_fields[] = {
	FIELD(struct token_header, alg, TEXT, REQUIRED, .max = 16),
	FIELD(struct token_header, kid, TEXT, OPTIONAL, .max = KID_BYTES_MAX),
	FIELD(struct token_header, crit, TEXTS, OPTIONAL, .max = 8, .of_max = 64),
};
static const struct field_table header_table = FIELD_TABLE(struct token_header, header_fields);

static enum fault verify(struct verifier *v, struct scope *s, struct str token, int64_t now_s,
	struct cached_token *found);
static enum fault split(struct scope *s, struct str token, struct token_parts *parts);
static enum fault choose_key(const struct verifier *v, struct scope *s, struct str header,
	const struct verify_key **key);
static enum fault check_claims(const struct verifier *v, struct scope *s, jwt_t *jwt, int64_t now_s,
	struct cached_token *found);
static struct str claim(jwt_t *jwt, const char *name);
static enum fault refuse(struct scope *s, const char *why);

struct verifier *verifier_new(const struct token_rules *rules)
{
	struct verifier *const v = calloc(1, sizeof *v);

	CHECK(v != NULL);
	v->arena = arena_new();
	v->rules.issuer = arena_dup(v->arena, rules->issuer);
	v->rules.audience = arena_dup(v->arena, rules->audience);
	token_cache_init(&v->cache);
	return v;
}

void verifier_free(struct verifier *v)
{
	if (v == NULL)
		return;
	verify_keys_clear(&v->keys);
	token_cache_free(&v->cache);
	arena_unref(v->arena);
	free(v);
}

bool verifier_set_keys(struct verifier *v, struct scope *s, struct str jwks)
{
	struct verify_keys keys;
	int moved[VERIFY_KEYS_MAX];

	if (!verify_keys_read(s, jwks, &keys))
		return false;
	for (size_t i = 0; i < VERIFY_KEYS_MAX; i++) {
		const struct verify_key *const old = &v->keys.at[i];
		const struct verify_key *same = NULL;

		if (i < v->keys.count)
			same = verify_keys_find(&keys, str_of(old->kid, old->kid_len));
		if (same != NULL && EVP_PKEY_eq(same->pkey, old->pkey) == 1)
			moved[i] = (int)(same - keys.at);
		else
			moved[i] = -1;
	}
	token_cache_move_keys(&v->cache, moved);
	verify_keys_clear(&v->keys);
	v->keys = keys;
	return true;
}

bool verifier_has_keys(const struct verifier *v)
{
	return v->keys.count > 0;
}

enum fault verifier_check(
	struct verifier *v, struct scope *s, struct str token, int64_t now_s, struct caller *caller)
{
	uint8_t digest[SHA256_BYTES];
	struct cached_token fresh;
	const struct cached_token *found;

	if (token.len > TOKEN_BYTES_MAX)
		return fail(s, FAULT_UNAUTHORIZED, "the access token is longer than %d bytes",
			TOKEN_BYTES_MAX);
	crypto_sha256(token, digest);
	found = token_cache_find(&v->cache, digest, now_s);
	if (found == NULL) {
		TRY(verify(v, s, token, now_s, &fresh));
		memcpy(fresh.digest, digest, sizeof digest);
		token_cache_put(&v->cache, &fresh);
		found = &fresh;
	}
	*caller = (struct caller){
		.user_id = found->user_id,
		.session_id = found->session_id,
		.role = (enum role)found->role,
		.expires_s = found->until_s - TOKEN_LEEWAY_S,
	};
	return OK;
}

void verifier_refuse_session(struct verifier *v, const struct uuid *session_id, int64_t until_s)
{
	token_cache_refuse(&v->cache, session_id, until_s);
}

bool verifier_session_refused(
	const struct verifier *v, const struct uuid *session_id, int64_t now_s)
{
	return token_cache_refused(&v->cache, session_id, now_s);
}

static enum fault verify(struct verifier *v, struct scope *s, struct str token, int64_t now_s,
	struct cached_token *found)
{
	const struct verify_key *key;
	struct token_parts parts;
	struct str signature;
	enum fault fault;
	jwt_t *jwt;

	TRY(split(s, token, &parts));
	TRY(choose_key(v, s, parts.header, &key));
	if (!base64_decode(s->arena, BASE64URL, parts.signature, &signature) ||
		!verify_key_fits(key, parts.signed_text, signature))
		return refuse(s, "its signature is not ours");

	/* without a key libjwt reads and checks nothing, which is all that is left to do */
	if (jwt_decode(&jwt, scope_dup(s, token).at, NULL, 0) != 0)
		return refuse(s, "its claims cannot be read");
	fault = check_claims(v, s, jwt, now_s, found);
	jwt_free(jwt);
	found->key = (uint8_t)(key - v->keys.at);
	return fault;
}

static enum fault split(struct scope *s, struct str token, struct token_parts *parts)
{
	struct str rest = token;

	if (!str_cut(&rest, '.', &parts->header) || !str_cut(&rest, '.', &parts->claims) ||
		parts->header.len == 0 || parts->claims.len == 0 || rest.len == 0)
		return refuse(s, "it does not have three parts");
	parts->signature = rest; /* with a dot in it, it is no base64url */
	parts->signed_text = str_of(token.at, (size_t)(rest.at - 1 - token.at));
	return OK;
}

static enum fault choose_key(
	const struct verifier *v, struct scope *s, struct str header, const struct verify_key **key)
{
	struct token_header h = {0};
	struct str json;

	if (!base64_decode(s->arena, BASE64URL, header, &json))
		return refuse(s, "its header cannot be read");
	if (json_read_lenient(s, json, &header_table, &h) != OK) {
		scope_forgive(s);
		return refuse(s, "its header cannot be read");
	}
	if (h.crit.count > 0)
		return refuse(s, "its header asks for what we do not know");
	if (!str_eq(h.alg, STR("RS256")))
		return refuse(s, "it is not signed with RS256");
	*key = verify_keys_find(&v->keys, h.kid);
	if (*key == NULL)
		return fail(s, FAULT_NOT_FOUND, "the access token's key is not known");
	return OK;
}

static enum fault check_claims(const struct verifier *v, struct scope *s, jwt_t *jwt, int64_t now_s,
	struct cached_token *found)
{
	const int64_t expires_s = jwt_get_grant_int(jwt, "exp");
	const int64_t begins_s = jwt_get_grant_int(jwt, "nbf");

	*found = (struct cached_token){
		.role = (uint8_t)role_parse(claim(jwt, "role")),
	};
	if (!str_eq(claim(jwt, "iss"), v->rules.issuer))
		return refuse(s, "it is from another issuer");
	if (!str_eq(claim(jwt, "aud"), v->rules.audience))
		return refuse(s, "it is for another audience");
	if (expires_s <= 0 || expires_s > TIME_S_MAX)
		return refuse(s, "it does not say until when it is good");
	found->until_s = expires_s + TOKEN_LEEWAY_S;
	if (!uuid_parse(claim(jwt, "sub"), &found->user_id) ||
		!uuid_parse(claim(jwt, "sid"), &found->session_id) || found->role == ROLE_NONE)
		return refuse(s, "it does not say whose it is");
	if (begins_s > now_s + TOKEN_LEEWAY_S)
		return refuse(s, "it is not good yet");
	if (found->until_s < now_s)
		return fail(s, FAULT_TOKEN_EXPIRED, "the access token has expired; refresh it");
	if (token_cache_refused(&v->cache, &found->session_id, now_s))
		return refuse(s, "its session has ended");
	return OK;
}

static struct str claim(jwt_t *jwt, const char *name)
{
	return str_from(jwt_get_grant(jwt, name));
}

static enum fault refuse(struct scope *s, const char *why)
{
	return fail(s, FAULT_UNAUTHORIZED, "the access token is refused: %s", why);
}
