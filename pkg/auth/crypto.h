/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* OpenSSL's algorithms, fetched once for the process. Any thread. */

enum { SHA256_BYTES = 32, SECRET_BYTES_MIN = 32 };

struct evp_md_st;

/* SHA-256, for calls of libcrypto. */
const struct evp_md_st *crypto_md(void);

void crypto_sha256(struct str bytes, uint8_t digest[SHA256_BYTES]);

/* HMAC-SHA-256 (RFC 2104). */
void crypto_hmac(struct str key, struct str bytes, uint8_t mac[SHA256_BYTES]);
