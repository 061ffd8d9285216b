/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/token.h"
#include "base/buf.h"
#include "json/field.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

enum { NOW_S = 1800000000 };

/* A verifier that trusts one key, and everything that an attacker may have: that key's public part,
 * good tokens of it, keys of their own. A raw key that is trusted too makes tokens that nobody else
 * could: well signed, with the wrong claims. */
struct fixture {
	struct scope scope;
	struct token_rules rules;
	struct signing_key *key;
	EVP_PKEY *raw;
	struct verifier *verifier;
	struct caller caller;
	struct str good;
};

/* Making RSA keys takes longer than all the tests; each test owns its fixture, but not these. */
static struct signing_key *shared_key;
static EVP_PKEY *shared_raw;

#define RAW_KID "raw"
#define GOOD_CLAIMS                                         \
	"\"sub\":\"0192f0c1-2b3c-7def-8123-456789abcdef\"," \
	"\"sid\":\"0192f0c1-2b3c-7def-8123-456789abcde0\",\"role\":\"admin\",\"exp\":1800000900"

static struct str raw_jwk(struct fixture *f);

static struct str keys_document(struct scope *s, struct str first, struct str second)
{
	return scope_format(s, "{\"keys\":[%.*s%s%.*s]}", STR_ARG(first),
		first.len > 0 && second.len > 0 ? "," : "", STR_ARG(second));
}

static int set_up(void **state)
{
	struct fixture *const f = test_calloc(1, sizeof *f);
	struct scope *const s = &f->scope;

	scope_begin(s);
	f->rules = (struct token_rules){STR("bodega"), STR("shop")};
	f->key = shared_key;
	f->raw = shared_raw;
	EVP_PKEY_up_ref(f->raw);
	f->verifier = verifier_new(&f->rules);
	f->caller = (struct caller){
		.user_id = uuid_new(), .session_id = uuid_new(), .role = ROLE_SELLER};
	assert_true(verifier_set_keys(
		f->verifier, s, keys_document(s, signing_key_jwk(f->key, s->arena), raw_jwk(f))));
	f->good = token_sign(f->key, &f->rules, &f->caller, NOW_S, s->arena);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *const f = *state;

	verifier_free(f->verifier);
	EVP_PKEY_free(f->raw);
	scope_end(&f->scope);
	test_free(f);
	return 0;
}

static int set_up_group(void **state)
{
	(void)state;
	shared_key = signing_key_new();
	shared_raw = EVP_RSA_gen(2048);
	return 0;
}

static int tear_down_group(void **state)
{
	(void)state;
	signing_key_free(shared_key);
	EVP_PKEY_free(shared_raw);
	return 0;
}

/* ---- an attacker's tools ---- */

static struct str encode(struct fixture *f, struct str bytes)
{
	return base64_encode(f->scope.arena, BASE64URL, bytes);
}

static struct str number(struct fixture *f, EVP_PKEY *key, const char *name)
{
	BIGNUM *n = NULL;
	char bytes[512];
	int len;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	len = BN_bn2bin(n, (unsigned char *)bytes);
	BN_free(n);
	return encode(f, str_of(bytes, (size_t)len));
}

static struct str raw_jwk(struct fixture *f)
{
	return scope_format(&f->scope,
		"{\"kty\":\"RSA\",\"kid\":\"" RAW_KID "\",\"n\":\"%s\",\"e\":\"%s\"}",
		number(f, f->raw, OSSL_PKEY_PARAM_RSA_N).at,
		number(f, f->raw, OSSL_PKEY_PARAM_RSA_E).at);
}

static struct str unsigned_token(struct fixture *f, struct str header, struct str claims)
{
	return scope_format(&f->scope, "%s.%s", encode(f, header).at, encode(f, claims).at);
}

static struct str with_signature(struct fixture *f, struct str text, struct str signature)
{
	return scope_format(&f->scope, "%s.%s", text.at, encode(f, signature).at);
}

static struct str rsa_token(struct fixture *f, EVP_PKEY *key, const EVP_MD *md, struct str text)
{
	EVP_MD_CTX *const ctx = EVP_MD_CTX_new();
	char signature[512];
	size_t len = sizeof signature;

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(ctx, (unsigned char *)signature, &len,
				 (const unsigned char *)text.at, text.len),
		1);
	EVP_MD_CTX_free(ctx);
	return with_signature(f, text, str_of(signature, len));
}

/* Signed with the raw key, which is trusted. */
static struct str claims_token(struct fixture *f, const char *claims)
{
	return rsa_token(f, f->raw, EVP_sha256(),
		unsigned_token(
			f, STR("{\"alg\":\"RS256\",\"kid\":\"" RAW_KID "\"}"), str_from(claims)));
}

static struct str part_of(struct str token, int part)
{
	struct str piece = STR_NONE;

	for (int i = 0; i <= part; i++)
		assert_true(str_cut(&token, '.', &piece));
	return piece;
}

static struct str header_for(struct fixture *f, const char *alg, struct str kid)
{
	return scope_format(
		&f->scope, "{\"alg\":\"%s\",\"kid\":\"%.*s\",\"typ\":\"JWT\"}", alg, STR_ARG(kid));
}

static struct str claims_of_good(struct fixture *f)
{
	struct str claims;

	assert_true(base64_decode(f->scope.arena, BASE64URL, part_of(f->good, 1), &claims));
	return claims;
}

static enum fault check_at(struct fixture *f, struct str token, int64_t now_s)
{
	struct caller caller = {0};
	enum fault fault;

	scope_forgive(&f->scope);
	fault = verifier_check(f->verifier, &f->scope, token, now_s, &caller);
	if (fault != OK)
		assert_int_equal(caller.role, ROLE_NONE);
	return fault;
}

static enum fault check(struct fixture *f, struct str token)
{
	return check_at(f, token, NOW_S);
}

/* ---- tests ---- */

static void a_good_token_says_who_calls(void **state)
{
	struct fixture *const f = *state;

	for (int i = 0; i < 3; i++) { /* the first time by its signature, then from the cache */
		struct caller caller = {0};

		assert_int_equal(
			verifier_check(f->verifier, &f->scope, f->good, NOW_S, &caller), OK);
		assert_true(uuid_eq(&caller.user_id, &f->caller.user_id));
		assert_true(uuid_eq(&caller.session_id, &f->caller.session_id));
		assert_int_equal(caller.role, ROLE_SELLER);
		assert_null(caller.service.at);
	}
	assert_int_equal(
		check(f, claims_token(f, "{\"iss\":\"bodega\",\"aud\":\"shop\"," GOOD_CLAIMS "}")),
		OK);
}

static void every_claim_counts(void **state)
{
	struct fixture *const f = *state;
	static const struct {
		const char *claims;
		enum fault fault;
	} rows[] = {
		{"{\"iss\":\"other\",\"aud\":\"shop\"," GOOD_CLAIMS "}", FAULT_UNAUTHORIZED},
		{"{\"aud\":\"shop\"," GOOD_CLAIMS "}", FAULT_UNAUTHORIZED},
		{"{\"iss\":\"bodega\",\"aud\":\"other\"," GOOD_CLAIMS "}", FAULT_UNAUTHORIZED},
		{"{\"iss\":\"bodega\"," GOOD_CLAIMS "}", FAULT_UNAUTHORIZED},
		{"{\"iss\":\"bodega\",\"aud\":[\"shop\"]," GOOD_CLAIMS "}", FAULT_UNAUTHORIZED},
		{"{\"iss\":\"bodega\",\"aud\":\"shop\",\"nbf\":1800000031," GOOD_CLAIMS "}",
			FAULT_UNAUTHORIZED},
		{"{\"iss\":\"bodega\",\"aud\":\"shop\",\"nbf\":1800000030," GOOD_CLAIMS "}", OK},
		{"{\"iss\":\"bodega\",\"aud\":\"shop\","
		 "\"sub\":\"0192f0c1-2b3c-7def-8123-456789abcdef\","
		 "\"sid\":\"0192f0c1-2b3c-7def-8123-456789abcde0\",\"role\":\"admin\"}",
			FAULT_UNAUTHORIZED}, /* no exp */
		{"{\"iss\":\"bodega\",\"aud\":\"shop\","
		 "\"sub\":\"0192f0c1-2b3c-7def-8123-456789abcdef\","
		 "\"sid\":\"0192f0c1-2b3c-7def-8123-456789abcde0\",\"role\":\"admin\","
		 "\"exp\":\"1800000900\"}",
			FAULT_UNAUTHORIZED}, /* exp as text */
		{"{\"iss\":\"bodega\",\"aud\":\"shop\","
		 "\"sub\":\"0192f0c1-2b3c-7def-8123-456789abcdef\","
		 "\"sid\":\"0192f0c1-2b3c-7def-8123-456789abcde0\",\"role\":\"admin\","
		 "\"exp\":9223372036854775807}",
			FAULT_UNAUTHORIZED},
		{"{\"iss\":\"bodega\",\"aud\":\"shop\",\"sub\":\"7\","
		 "\"sid\":\"0192f0c1-2b3c-7def-8123-456789abcde0\",\"role\":\"admin\","
		 "\"exp\":1800000900}",
			FAULT_UNAUTHORIZED},
		{"{\"iss\":\"bodega\",\"aud\":\"shop\","
		 "\"sub\":\"0192f0c1-2b3c-7def-8123-456789abcdef\","
		 "\"sid\":\"0192f0c1-2b3c-7def-8123-456789abcde0\",\"role\":\"king\","
		 "\"exp\":1800000900}",
			FAULT_UNAUTHORIZED},
		{"{\"iss\":\"bodega\",\"aud\":\"shop\","
		 "\"sub\":\"0192f0c1-2b3c-7def-8123-456789abcdef\","
		 "\"sid\":\"0192f0c1-2b3c-7def-8123-456789abcde0\",\"role\":\"admin\","
		 "\"exp\":1799999969}",
			FAULT_TOKEN_EXPIRED},
		{"[]", FAULT_UNAUTHORIZED},
		{"not JSON", FAULT_UNAUTHORIZED},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const enum fault fault = check(f, claims_token(f, rows[i].claims));

		if (fault != rows[i].fault)
			fail_row(i, "got %s: %s", fault_info(fault)->name, rows[i].claims);
	}
}

static void it_ends_with_its_time(void **state)
{
	struct fixture *const f = *state;
	const int64_t last_s = NOW_S + TOKEN_TTL_S + TOKEN_LEEWAY_S;

	assert_int_equal(check_at(f, f->good, NOW_S - TOKEN_LEEWAY_S - 1), FAULT_UNAUTHORIZED);
	assert_int_equal(check_at(f, f->good, last_s + 1), FAULT_TOKEN_EXPIRED);
	assert_int_equal(check_at(f, f->good, last_s), OK);
	/* and is not kept alive by the cache */
	assert_int_equal(check_at(f, f->good, last_s + 1), FAULT_TOKEN_EXPIRED);
}

static void other_algorithms_are_refused(void **state)
{
	struct fixture *const f = *state;
	const struct str kid = signing_key_id(f->key);
	const struct str claims = claims_of_good(f);
	static const char *const names[] = {
		"none", "None", "NONE", "", "HS256", "RS512", "PS256", "ES256", "RS256 ", "rs256"};
	struct str forged;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const struct str text = unsigned_token(f, header_for(f, names[i], kid), claims);

		/* with nothing, an empty signature, and the good token's one */
		assert_int_equal(check(f, text), FAULT_UNAUTHORIZED);
		assert_int_equal(
			check(f, scope_format(&f->scope, "%s.", text.at)), FAULT_UNAUTHORIZED);
		forged = scope_format(&f->scope, "%s.%.*s", text.at, STR_ARG(part_of(f->good, 2)));
		assert_int_equal(check(f, forged), FAULT_UNAUTHORIZED);
	}
	/* well signed by a trusted key, but with another hash than RS256's */
	forged = unsigned_token(f, header_for(f, "RS512", STR(RAW_KID)), claims);
	assert_int_equal(check(f, rsa_token(f, f->raw, EVP_sha512(), forged)), FAULT_UNAUTHORIZED);
	assert_int_equal(check(f, rsa_token(f, f->raw, EVP_sha256(), forged)), FAULT_UNAUTHORIZED);
	forged = unsigned_token(f, header_for(f, "RS256", STR(RAW_KID)), claims);
	assert_int_equal(check(f, rsa_token(f, f->raw, EVP_sha512(), forged)), FAULT_UNAUTHORIZED);
	assert_int_equal(check(f, rsa_token(f, f->raw, EVP_sha256(), forged)), OK);
}

/* HS256 with what everybody knows of our key: its PEM, its DER, its modulus. */
static void the_public_key_is_no_secret(void **state)
{
	struct fixture *const f = *state;
	const struct str claims = claims_of_good(f);
	BIO *const bio = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	const int der_len = i2d_PUBKEY(f->raw, &der);
	struct str keys[3];
	char *pem;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, f->raw), 1);
	keys[0].len = (size_t)BIO_get_mem_data(bio, &pem);
	keys[0].at = pem;
	keys[1] = str_of((const char *)der, (size_t)der_len);
	keys[2] = number(f, f->raw, OSSL_PKEY_PARAM_RSA_N);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"HS256", "RS256"};

		for (size_t k = 0; k < 2; k++) {
			const struct str text =
				unsigned_token(f, header_for(f, names[k], STR(RAW_KID)), claims);
			uint8_t mac[SHA256_BYTES];

			crypto_hmac(keys[i], text, mac);
			if (check(f, with_signature(f, text, str_of((char *)mac, sizeof mac))) !=
				FAULT_UNAUTHORIZED)
				fail_row(i, "%s", names[k]);
		}
	}
	OPENSSL_free(der);
	BIO_free(bio);
}

static void foreign_keys_are_refused(void **state)
{
	struct fixture *const f = *state;
	struct signing_key *const foreign = signing_key_new();
	EVP_PKEY *const thief = EVP_RSA_gen(2048);
	const struct str kid = signing_key_id(f->key);
	struct str text = unsigned_token(f, header_for(f, "RS256", kid), claims_of_good(f));

	/* another kid: perhaps a new key of ours, so the caller is to fetch them */
	assert_int_equal(
		check(f, token_sign(foreign, &f->rules, &f->caller, NOW_S, f->scope.arena)),
		FAULT_NOT_FOUND);
	text = unsigned_token(f, STR("{\"alg\":\"RS256\"}"), claims_of_good(f));
	assert_int_equal(check(f, rsa_token(f, thief, EVP_sha256(), text)), FAULT_NOT_FOUND);
	/* our kid */
	text = unsigned_token(f, header_for(f, "RS256", kid), claims_of_good(f));
	assert_int_equal(check(f, rsa_token(f, thief, EVP_sha256(), text)), FAULT_UNAUTHORIZED);
	/* a key that the token brings along */
	text = unsigned_token(f,
		scope_format(&f->scope,
			"{\"alg\":\"RS256\",\"kid\":\"%.*s\",\"jku\":\"http://evil/\",\"jwk\":{"
			"\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}}",
			STR_ARG(kid), number(f, thief, OSSL_PKEY_PARAM_RSA_N).at),
		claims_of_good(f));
	assert_int_equal(check(f, rsa_token(f, thief, EVP_sha256(), text)), FAULT_UNAUTHORIZED);
	/* an extension that we do not know must not be passed over (RFC 7515, 4.1.11) */
	text = unsigned_token(f,
		STR("{\"alg\":\"RS256\",\"kid\":\"" RAW_KID "\",\"crit\":[\"exp\"],\"exp\":1}"),
		claims_of_good(f));
	assert_int_equal(check(f, rsa_token(f, f->raw, EVP_sha256(), text)), FAULT_UNAUTHORIZED);
	signing_key_free(foreign);
	EVP_PKEY_free(thief);
}

static void garbage_is_refused(void **state)
{
	struct fixture *const f = *state;
	struct scope *const s = &f->scope;
	const struct str signed_text =
		str_of(f->good.at, f->good.len - part_of(f->good, 2).len - 1);
	const struct str rows[] = {
		STR(""), STR("."), STR(".."), STR("..."), STR("a.b.c"), STR("null"),
		STR("{}.{}.{}"),
		scope_format(s, "%.*s.extra", STR_ARG(f->good)), /* a fourth part */
		scope_format(s, "%.*s.", STR_ARG(f->good)),
		scope_format(s, ".%.*s", STR_ARG(f->good)),
		scope_format(s, "%.*s.", STR_ARG(signed_text)), /* no signature */
		signed_text, scope_format(s, "%.*s=", STR_ARG(f->good)),
		scope_format(s, " %.*s", STR_ARG(f->good)),
		scope_format(s, "%.*s\n", STR_ARG(f->good)), str_of(f->good.at, f->good.len - 1),
		scope_format(s, "%.*s%0*d", STR_ARG(f->good), TOKEN_BYTES_MAX, 0), /* too long */
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (check(f, rows[i]) != FAULT_UNAUTHORIZED)
			fail_row(i, "%.*s", STR_ARG(rows[i]));
	/* the last one was not even looked at */
	assert_true(str_ends(f->scope.detail, STR("longer than 4096 bytes")));
}

static void one_changed_byte_is_refused(void **state)
{
	struct fixture *const f = *state;
	char *const changed = (char *)(uintptr_t)scope_dup(&f->scope, f->good).at;

	assert_int_equal(check(f, f->good), OK);
	for (size_t i = 0; i < f->good.len; i++) {
		const char was = changed[i];

		changed[i] = was == 'A' ? 'B' : 'A';
		if (check(f, str_of(changed, f->good.len)) == OK)
			fail_row(i, "%s", "was taken");
		changed[i] = was;
	}
}

static void a_removed_key_forgets_its_tokens(void **state)
{
	struct fixture *const f = *state;
	struct scope *const s = &f->scope;
	const struct str other =
		claims_token(f, "{\"iss\":\"bodega\",\"aud\":\"shop\"," GOOD_CLAIMS "}");

	assert_int_equal(check(f, f->good), OK);
	assert_int_equal(check(f, other), OK);
	/* the raw key moves to the front, the other one goes */
	assert_true(verifier_set_keys(f->verifier, s, keys_document(s, raw_jwk(f), STR_NONE)));
	assert_int_equal(check(f, f->good), FAULT_NOT_FOUND);
	assert_int_equal(check(f, other), OK);
	/* a kid that comes back with another key is another key */
	EVP_PKEY_free(f->raw);
	f->raw = EVP_RSA_gen(2048);
	assert_true(verifier_set_keys(f->verifier, s, keys_document(s, raw_jwk(f), STR_NONE)));
	assert_int_equal(check(f, other), FAULT_UNAUTHORIZED);
}

static void an_ended_session_is_refused(void **state)
{
	struct fixture *const f = *state;
	const int64_t until_s = NOW_S + TOKEN_TTL_S + TOKEN_LEEWAY_S;
	struct caller other = f->caller;
	struct str token;

	other.session_id = uuid_new();
	token = token_sign(f->key, &f->rules, &other, NOW_S, f->scope.arena);
	assert_int_equal(check(f, f->good), OK);
	assert_int_equal(check(f, token), OK);
	verifier_refuse_session(f->verifier, &f->caller.session_id, until_s);
	assert_int_equal(check(f, f->good), FAULT_UNAUTHORIZED);
	assert_int_equal(check(f, token), OK);
	/* many others later it is still refused */
	for (int i = 0; i < 1000; i++) {
		const struct uuid id = uuid_new();

		verifier_refuse_session(f->verifier, &id, until_s + i % 900);
	}
	assert_int_equal(check(f, f->good), FAULT_UNAUTHORIZED);
	assert_int_equal(check(f, token), OK);
}

static void unusable_keys_are_passed_over(void **state)
{
	struct fixture *const f = *state;
	struct scope *const s = &f->scope;
	static const char *const rows[] = {"", "[]", "{}", "{\"keys\":[]}", "{\"keys\":{}}",
		"{\"keys\":[{\"kty\":\"EC\",\"kid\":\"a\"}]}",
		"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AAAA\"}]}",
		"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
		"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\"}]}"};
	struct verifier *const v = verifier_new(&f->rules);
	const char *const at = raw_jwk(f).at;

	assert_false(verifier_has_keys(v));
	assert_int_equal(verifier_check(v, s, f->good, NOW_S, &f->caller), FAULT_NOT_FOUND);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (verifier_set_keys(v, s, str_from(rows[i])) || verifier_has_keys(v))
			fail_row(i, "%s", rows[i]);
	/* for encryption, for another algorithm, without a name */
	assert_false(verifier_set_keys(
		v, s, scope_format(s, "{\"keys\":[{\"use\":\"enc\",%s]}", at + 1)));
	assert_false(verifier_set_keys(
		v, s, scope_format(s, "{\"keys\":[{\"alg\":\"RS512\",%s]}", at + 1)));
	assert_false(verifier_set_keys(v, s,
		scope_format(s, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}]}",
			number(f, f->raw, OSSL_PKEY_PARAM_RSA_N).at)));
	/* beside one that can be used they do no harm */
	assert_true(verifier_set_keys(v, s,
		scope_format(
			s, "{\"more\":1,\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\"},%s]}", at)));
	assert_true(verifier_has_keys(v));
	verifier_free(v);
}

static void a_sealed_key_opens_with_its_secret_only(void **state)
{
	struct fixture *const f = *state;
	const struct str secret = STR("0123456789abcdef0123456789abcdef");
	const struct str kid = signing_key_id(f->key);
	const struct str sealed = signing_key_seal(f->key, secret, f->scope.arena);
	char *const changed = (char *)(uintptr_t)scope_dup(&f->scope, sealed).at;
	struct signing_key *const key = signing_key_open(sealed, kid, secret);

	assert_non_null(key);
	assert_str_equal(signing_key_id(key), kid);
	assert_int_equal(
		check(f, token_sign(key, &f->rules, &f->caller, NOW_S, f->scope.arena)), OK);
	signing_key_free(key);
	assert_null(signing_key_open(sealed, kid, STR("0123456789abcdef0123456789abcdeF")));
	assert_null(signing_key_open(sealed, STR("another kid"), secret));
	assert_null(signing_key_open(str_of(sealed.at, sealed.len - 1), kid, secret));
	assert_null(signing_key_open(str_of(sealed.at, 29), kid, secret));
	assert_null(signing_key_open(str_of(sealed.at, 28), kid, secret));
	assert_null(signing_key_open(STR(""), kid, secret));
	for (size_t i = 0; i < sealed.len; i += 7) {
		changed[i] = (char)(changed[i] ^ 1);
		assert_null(signing_key_open(str_of(changed, sealed.len), kid, secret));
		changed[i] = (char)(changed[i] ^ 1);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_good_token_says_who_calls),
		TEST(every_claim_counts),
		TEST(it_ends_with_its_time),
		TEST(other_algorithms_are_refused),
		TEST(the_public_key_is_no_secret),
		TEST(foreign_keys_are_refused),
		TEST(garbage_is_refused),
		TEST(one_changed_byte_is_refused),
		TEST(a_removed_key_forgets_its_tokens),
		TEST(an_ended_session_is_refused),
		TEST(unusable_keys_are_passed_over),
		TEST(a_sealed_key_opens_with_its_secret_only),
	};

	return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
