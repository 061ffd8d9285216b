/* SPDX-License-Identifier: Apache-2.0
 * Public keys of a JWKS document (RFC 7517), parsed once: parsing costs OpenSSL twenty times what
 * a signature does. What is not an RSA signing key for RS256 is passed over, so that other kinds of
 * keys may be published one day. */
#include "auth/verifier.h"

#include "auth/base64.h"
#include "base/check.h"
#include "json/field.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

enum { MODULUS_BYTES_MIN = 2048 / 8, MODULUS_BYTES_MAX = 4096 / 8, EXPONENT_BYTES_MAX = 8 };

struct jwk {
	struct str kty;
	struct str use;
	struct str alg;
	struct str kid;
	struct str n;
	struct str e;
};

struct jwks {
	struct items keys;
};

static const struct field jwk_fields[] = {
	FIELD(struct jwk, kty, TEXT, OPTIONAL, .max = 16),
	FIELD(struct jwk, use, TEXT, OPTIONAL, .max = 16),
	FIELD(struct jwk, alg, TEXT, OPTIONAL, .max = 16),
	FIELD(struct jwk, kid, TEXT, OPTIONAL, .max = KID_BYTES_MAX),
	FIELD(struct jwk, n, TEXT, OPTIONAL, .max = 1024),
	FIELD(struct jwk, e, TEXT, OPTIONAL, .max = 1024),
};
static const struct field_table jwk_table = FIELD_TABLE(struct jwk, jwk_fields);

static const struct field jwks_fields[] = {
	FIELD(struct jwks, keys, ARRAY, REQUIRED, .max = VERIFY_KEYS_MAX, .of = &jwk_table),
};
static const struct field_table jwks_table = FIELD_TABLE(struct jwks, jwks_fields);

static EVP_PKEY *public_key(struct scope *s, const struct jwk *jwk);

bool verify_keys_read(struct scope *s, struct str text, struct verify_keys *keys)
{
	struct jwks jwks = {0};
	const struct jwk *jwk;

	*keys = (struct verify_keys){0};
	if (json_read_lenient(s, text, &jwks_table, &jwks) != OK) {
		scope_forgive(s);
		return false;
	}
	jwk = jwks.keys.at;
	for (size_t i = 0; i < jwks.keys.count; i++) {
		struct verify_key *const key = &keys->at[keys->count];

		if (jwk[i].kid.len == 0 || jwk[i].kid.len > KID_BYTES_MAX ||
			verify_keys_find(keys, jwk[i].kid) != NULL)
			continue;
		key->pkey = public_key(s, &jwk[i]);
		if (key->pkey == NULL)
			continue;
		memcpy(key->kid, jwk[i].kid.at, jwk[i].kid.len);
		key->kid_len = jwk[i].kid.len;
		keys->count++;
	}
	return keys->count > 0;
}

void verify_keys_clear(struct verify_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		EVP_PKEY_free(keys->at[i].pkey);
	keys->count = 0;
}

const struct verify_key *verify_keys_find(const struct verify_keys *keys, struct str kid)
{
	for (size_t i = 0; i < keys->count; i++)
		if (str_eq(kid, str_of(keys->at[i].kid, keys->at[i].kid_len)))
			return &keys->at[i];
	return NULL;
}

bool verify_key_fits(const struct verify_key *key, struct str text, struct str signature)
{
	EVP_MD_CTX *const ctx = EVP_MD_CTX_new();
	bool fits;

	CHECK(ctx != NULL);
	fits = EVP_DigestVerifyInit(ctx, NULL, crypto_md(), NULL, key->pkey) == 1 &&
	       EVP_DigestVerify(ctx, (const unsigned char *)signature.at, signature.len,
		       (const unsigned char *)text.at, text.len) == 1;
	EVP_MD_CTX_free(ctx);
	return fits;
}

/* NULL when it is not a key that may verify RS256. */
static EVP_PKEY *public_key(struct scope *s, const struct jwk *jwk)
{
	struct str n, e;
	OSSL_PARAM params[3];
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *pkey = NULL;
	char *n_native, *e_native;

	if (!str_eq(jwk->kty, STR("RSA")) ||
		(jwk->use.at != NULL && !str_eq(jwk->use, STR("sig"))) ||
		(jwk->alg.at != NULL && !str_eq(jwk->alg, STR("RS256"))) ||
		!base64_decode(s->arena, BASE64URL, jwk->n, &n) || n.len < MODULUS_BYTES_MIN ||
		n.len > MODULUS_BYTES_MAX || !base64_decode(s->arena, BASE64URL, jwk->e, &e) ||
		e.len == 0 || e.len > EXPONENT_BYTES_MAX)
		return NULL;
	/* OSSL_PARAM numbers are in the machine's byte order, a JWK's begin with the highest */
	n_native = scope_alloc(s, n.len);
	e_native = scope_alloc(s, e.len);
	for (size_t i = 0; i < n.len; i++)
		n_native[i] = n.at[n.len - 1 - i];
	for (size_t i = 0; i < e.len; i++)
		e_native[i] = e.at[e.len - 1 - i];
	params[0] =
		OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, (unsigned char *)n_native, n.len);
	params[1] =
		OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, (unsigned char *)e_native, e.len);
	params[2] = OSSL_PARAM_construct_end();
	ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	CHECK(ctx != NULL);
	if (EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}
