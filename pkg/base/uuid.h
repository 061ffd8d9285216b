/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

enum { UUID_TEXT_LEN = 36 };

struct uuid {
	uint8_t bytes[16];
};

struct uuids {
	struct uuid *at;
	size_t count;
};

/* A version 7 UUID (RFC 9562): later ones sort after earlier ones of the same thread. */
struct uuid uuid_new(void);

/* The 8-4-4-4-12 form in either case, any version. False when it is none. */
bool uuid_parse(struct str text, struct uuid *id);

/* Lower case, with a NUL. */
struct str uuid_format(const struct uuid *id, char out[UUID_TEXT_LEN + 1]);

static inline bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static inline int uuid_compare(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

/* All zero: "none". */
bool uuid_is_nil(const struct uuid *id);
