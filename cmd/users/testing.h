/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the service's tests share: a migrated schema of the test's own with pools on it. */
#include "migrate/testing.h"

#include "store.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static inline int users_world_begin(const char *name)
{
	return migrated_world_begin(name, "users", &store_schema, 4);
}

static inline void forget_users(void)
{
	observe("TRUNCATE users, sessions, refresh_tokens, outbox");
}
