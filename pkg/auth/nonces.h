/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* The nonces of the last minutes, for all threads of the process; private to the package. */
struct nonces;

enum nonce_state { NONCE_NEW, NONCE_SEEN, NONCE_FULL };

struct nonces *nonces_new(void);
void nonces_free(struct nonces *n);

/* Records the nonce of a call made at time_s, which lies within a minute of now_s. */
enum nonce_state nonces_add(struct nonces *n, struct str nonce, int64_t time_s, int64_t now_s);
