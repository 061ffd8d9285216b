/* SPDX-License-Identifier: Apache-2.0
 * The keys that users signs with. A key's id is the thumbprint of its public part (RFC 7638), so
 * the same key has the same id wherever it is read, and an id never comes back with another key.
 *
 * Sealed: version, nonce, tag, and the private key in DER encrypted with AES-256-GCM, with the id
 * as associated data: a row's key cannot be put under another row's id. */
#include "auth/token.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/role.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/random.h"

#include <jwt.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

enum {
	KEY_BITS = 2048,
	KID_LEN = 43, /* 32 bytes in base64url */
	SEAL_VERSION = 1,
	NONCE_BYTES = 12,
	TAG_BYTES = 16,
	SEAL_HEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES
};

struct signing_key {
	EVP_PKEY *pkey;
	char kid[KID_LEN + 1];
};

static struct signing_key *key_of(EVP_PKEY *pkey);
static struct str number_of(const EVP_PKEY *pkey, const char *name, struct arena *arena);
static bool seal_run(bool encrypt, struct str secret, struct str kid, const char *nonce, char *tag,
	struct str in, char *out);
static struct str claims_of(const struct token_rules *rules, const struct caller *caller,
	int64_t now_s, struct arena *arena);

struct signing_key *signing_key_new(void)
{
	EVP_PKEY *const pkey = EVP_RSA_gen(KEY_BITS);

	CHECK(pkey != NULL);
	return key_of(pkey);
}

void signing_key_free(struct signing_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

struct str signing_key_id(const struct signing_key *key)
{
	return str_of(key->kid, KID_LEN);
}

struct str signing_key_seal(const struct signing_key *key, struct str secret, struct arena *arena)
{
	unsigned char *der = NULL;
	const int der_bytes = i2d_PrivateKey(key->pkey, &der);
	char *sealed;

	CHECK(der_bytes > 0);
	sealed = arena_bytes(arena, SEAL_HEAD_BYTES + (size_t)der_bytes);
	sealed[0] = SEAL_VERSION;
	random_bytes(sealed + 1, NONCE_BYTES);
	CHECK(seal_run(true, secret, signing_key_id(key), sealed + 1, sealed + 1 + NONCE_BYTES,
		str_of((const char *)der, (size_t)der_bytes), sealed + SEAL_HEAD_BYTES));
	OPENSSL_clear_free(der, (size_t)der_bytes);
	return str_of(sealed, SEAL_HEAD_BYTES + (size_t)der_bytes);
}

struct signing_key *signing_key_open(struct str sealed, struct str kid, struct str secret)
{
	const size_t der_bytes = sealed.len - SEAL_HEAD_BYTES;
	EVP_PKEY *pkey = NULL;
	char tag[TAG_BYTES];
	char *der;

	if (sealed.len <= SEAL_HEAD_BYTES || sealed.at[0] != SEAL_VERSION)
		return NULL;
	der = malloc(der_bytes);
	CHECK(der != NULL);
	memcpy(tag, sealed.at + 1 + NONCE_BYTES, TAG_BYTES);
	if (seal_run(false, secret, kid, sealed.at + 1, tag,
		    str_of(sealed.at + SEAL_HEAD_BYTES, der_bytes), der)) {
		const unsigned char *at = (const unsigned char *)der;

		pkey = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &at, (long)der_bytes);
	}
	OPENSSL_cleanse(der, der_bytes);
	free(der);
	return pkey != NULL ? key_of(pkey) : NULL;
}

struct str signing_key_jwk(const struct signing_key *key, struct arena *arena)
{
	const struct str n = number_of(key->pkey, OSSL_PKEY_PARAM_RSA_N, arena);
	const struct str e = number_of(key->pkey, OSSL_PKEY_PARAM_RSA_E, arena);
	struct buf b = buf_new(arena);

	buf_format(&b,
		"{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"%s\",\"n\":\"%s\","
		"\"e\":\"%s\"}",
		key->kid, n.at, e.at);
	return buf_str(&b);
}

struct str token_sign(const struct signing_key *key, const struct token_rules *rules,
	const struct caller *caller, int64_t now_s, struct arena *arena)
{
	const struct str claims = claims_of(rules, caller, now_s, arena);
	EVP_MD_CTX *const ctx = EVP_MD_CTX_new();
	unsigned char signature[KEY_BITS / 8];
	size_t signature_bytes = sizeof signature;
	struct buf head = buf_new(arena);
	struct buf token = buf_new(arena);

	buf_format(&head, "{\"alg\":\"RS256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", key->kid);
	buf_add(&token, base64_encode(arena, BASE64URL, buf_str(&head)));
	buf_char(&token, '.');
	buf_add(&token, base64_encode(arena, BASE64URL, claims));

	CHECK(ctx != NULL);
	CHECK(EVP_DigestSignInit(ctx, NULL, crypto_md(), NULL, key->pkey) == 1);
	CHECK(EVP_DigestSign(ctx, signature, &signature_bytes, (const unsigned char *)token.at,
		      token.len) == 1);
	EVP_MD_CTX_free(ctx);
	buf_char(&token, '.');
	buf_add(&token,
		base64_encode(arena, BASE64URL, str_of((const char *)signature, signature_bytes)));
	return buf_str(&token);
}

static struct str claims_of(const struct token_rules *rules, const struct caller *caller,
	int64_t now_s, struct arena *arena)
{
	const struct uuid token_id = uuid_new();
	char text[UUID_TEXT_LEN + 1];
	struct str claims;
	char *json;
	jwt_t *jwt;
	int bad;

	CHECK(jwt_new(&jwt) == 0);
	bad = jwt_add_grant(jwt, "iss", arena_dup(arena, rules->issuer).at);
	bad |= jwt_add_grant(jwt, "aud", arena_dup(arena, rules->audience).at);
	bad |= jwt_add_grant(jwt, "sub", uuid_format(&caller->user_id, text).at);
	bad |= jwt_add_grant(jwt, "sid", uuid_format(&caller->session_id, text).at);
	bad |= jwt_add_grant(jwt, "jti", uuid_format(&token_id, text).at);
	bad |= jwt_add_grant(jwt, "role", role_name(caller->role).at);
	bad |= jwt_add_grant_int(jwt, "iat", now_s);
	bad |= jwt_add_grant_int(jwt, "nbf", now_s);
	bad |= jwt_add_grant_int(jwt, "exp", now_s + TOKEN_TTL_S);
	json = jwt_get_grants_json(jwt, NULL);
	CHECK(bad == 0 && json != NULL);
	claims = arena_dup(arena, str_from(json));
	free(json);
	jwt_free(jwt);
	return claims;
}

/* Takes pkey over. */
static struct signing_key *key_of(EVP_PKEY *pkey)
{
	struct signing_key *const key = calloc(1, sizeof *key);
	struct arena *const arena = arena_new();
	struct buf b = buf_new(arena);
	uint8_t thumbprint[SHA256_BYTES];
	struct str kid;

	CHECK(key != NULL);
	key->pkey = pkey;
	buf_format(&b, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}",
		number_of(pkey, OSSL_PKEY_PARAM_RSA_E, arena).at,
		number_of(pkey, OSSL_PKEY_PARAM_RSA_N, arena).at);
	crypto_sha256(buf_str(&b), thumbprint);
	kid = base64_encode(arena, BASE64URL, str_of((const char *)thumbprint, sizeof thumbprint));
	CHECK(kid.len == KID_LEN);
	memcpy(key->kid, kid.at, KID_LEN);
	arena_unref(arena);
	return key;
}

/* In base64url, as JWKs have it. */
static struct str number_of(const EVP_PKEY *pkey, const char *name, struct arena *arena)
{
	BIGNUM *number = NULL;
	struct str text;
	char *bytes;

	CHECK(EVP_PKEY_get_bn_param(pkey, name, &number) == 1);
	bytes = arena_bytes(arena, (size_t)BN_num_bytes(number));
	text = str_of(bytes, (size_t)BN_bn2bin(number, (unsigned char *)bytes));
	BN_free(number);
	return base64_encode(arena, BASE64URL, text);
}

/* `in` to `out` of the same length; writes the tag, or checks it and is false when it is wrong. */
static bool seal_run(bool encrypt, struct str secret, struct str kid, const char *nonce, char *tag,
	struct str in, char *out)
{
	EVP_CIPHER_CTX *const ctx = EVP_CIPHER_CTX_new();
	const unsigned char *const in_at = (const unsigned char *)in.at;
	unsigned char *const out_at = (unsigned char *)out;
	int len = 0;
	int good;

	CHECK(ctx != NULL && secret.len == SECRET_BYTES_MIN);
	good = EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), (const unsigned char *)secret.at,
		(const unsigned char *)nonce, encrypt, NULL);
	good = good &&
	       EVP_CipherUpdate(ctx, NULL, &len, (const unsigned char *)kid.at, (int)kid.len);
	good = good && EVP_CipherUpdate(ctx, out_at, &len, in_at, (int)in.len);
	if (!encrypt)
		good = good && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag);
	good = good && EVP_CipherFinal_ex(ctx, out_at + len, &len);
	if (encrypt)
		good = good && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag);
	EVP_CIPHER_CTX_free(ctx);
	return good == 1;
}
