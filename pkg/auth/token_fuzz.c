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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct token_rules rules = {STR("bodega"), STR("bodega")};
	struct verifier *const v = verifier_new(&rules);
	struct caller caller;
	struct str text;
	struct scope s;

	if (size == 0) {
		verifier_free(v);
		return 0;
	}
	scope_begin(&s);
	CHECK(verifier_set_keys(v, &s, trusted_keys(&s)));
	text = str_of((const char *)data + 1, size - 1);
	if (data[0] % 3 == 1)
		text = scope_format(&s, "%s.e30.AAAA", base64_encode(s.arena, BASE64URL, text).at);
	if (data[0] % 3 == 2)
		(void)verifier_set_keys(v, &s, text);
	else
		CHECK(verifier_check(v, &s, text, 1800000000, &caller) != OK);
	scope_end(&s);
	verifier_free(v);
	return 0;
}
