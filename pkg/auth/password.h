/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fiber/blocking.h"

enum { PASSWORD_HASH_MAX = 128 };

/* bcrypt over base64(HMAC-SHA-256(pepper, password)) with a versioned prefix ("v1$2b$12$…"),
 * because bcrypt alone ignores what follows 72 bytes; on threads of their own. */
struct password_config {
	struct str pepper; /* at least 32 bytes */
	unsigned cost; /* 4–16; 12 in production */
	struct blocking_pool *threads;
};

/* Makes a hash with the configured cost into `hash`. Suspends. */
enum fault password_hash(struct task *t, const struct password_config *config, struct str password,
	char hash[PASSWORD_HASH_MAX]) MUST_CHECK;

/* The same on the caller's own thread, which it blocks: for tools. `threads` is not used. */
void password_hash_blocking(
	const struct password_config *config, struct str password, char hash[PASSWORD_HASH_MAX]);

/* OK when the password belongs to the hash; else FAULT_BAD_CREDENTIALS. With STR_NONE as hash (no
 * such account) it takes the same time and never fits. *rehash: it fits, and the hash's cost is
 * lower than the configured one. Padded to cost_max, the highest cost in use. Suspends. */
enum fault password_verify(struct task *t, const struct password_config *config,
	struct str password, struct str hash, unsigned cost_max, bool *rehash) MUST_CHECK;

/* bcrypt rounds done so far, by any thread: a metric, and how tests compare work. */
uint64_t password_rounds(void);

/* Among the most common passwords (8 characters and up). */
bool password_is_common(struct str password);
