/* SPDX-License-Identifier: Apache-2.0
 * Access tokens and key documents of strangers: no bytes are a token, and none do harm. The first
 * byte chooses: the whole token, its header, or a JWKS document. */
#include "auth/base64.h"
#include "auth/token.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any odd number of 2048 bits will do: what is signed with it nobody knows. */
static struct str trusted_keys(struct scope *s)
{
	char n[256];

	memset(n, 0xa5, sizeof n);
	return scope_format(s,
		"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":\"AQAB\"}]}",
		base64_encode(s->arena, BASE64URL, str_of(n, sizeof n)).at);
}

/* One for all inputs: it is large, and must be the same after each of them. */
static struct verifier *the_verifier(void)
{
	static struct verifier *v;
	static const struct token_rules rules = {{"bodega", 6}, {"bodega", 6}};

	if (v == NULL)
		v = verifier_new(&rules);
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verifier *const v = the_verifier();
	struct caller caller;
	struct str text;
	struct scope s;

	if (size == 0)
		return 0;
	scope_begin(&s);
	text = str_of((const char *)data + 1, size - 1);
	if (data[0] % 3 == 2) {
		CHECK(verifier_set_keys(v, &s, text) <= verifier_has_keys(v));
		scope_end(&s);
		return 0;
	}
	CHECK(verifier_set_keys(v, &s, trusted_keys(&s)));
	if (data[0] % 3 == 1)
		text = scope_format(&s, "%s.e30.AAAA", base64_encode(s.arena, BASE64URL, text).at);
	CHECK(verifier_check(v, &s, text, 1800000000, &caller) != OK);
	scope_end(&s);
	return 0;
}
