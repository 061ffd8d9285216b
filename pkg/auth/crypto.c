/* SPDX-License-Identifier: Apache-2.0
 * Fetching an algorithm costs OpenSSL 3 more than hashing a token with it, so it is fetched once
 * and kept. */
#include "auth/crypto.h"

#include "base/check.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

static EVP_MD *md;

static void fetch(void)
{
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
	CHECK(md != NULL);
}

const EVP_MD *crypto_md(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fetch);
	return md;
}

void crypto_sha256(struct str bytes, uint8_t digest[SHA256_BYTES])
{
	CHECK(EVP_Digest(bytes.at, bytes.len, digest, NULL, crypto_md(), NULL) == 1);
}

void crypto_hmac(struct str key, struct str bytes, uint8_t mac[SHA256_BYTES])
{
	const unsigned char *const at = (const unsigned char *)(bytes.len > 0 ? bytes.at : "");

	CHECK(HMAC(crypto_md(), key.at, (int)key.len, at, bytes.len, mac, NULL) != NULL);
}
