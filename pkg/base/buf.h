/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"

/* Text that grows at its end, in an arena. */
struct buf {
	struct arena *arena;
	char *at;
	size_t len;
	size_t cap;
};

static inline struct buf buf_new(struct arena *arena)
{
	return (struct buf){.arena = arena};
}

/* Makes room for `more` bytes and returns where they go; the caller adds to len what it wrote. */
char *buf_room(struct buf *b, size_t more);

void buf_add(struct buf *b, struct str s);
void buf_char(struct buf *b, char c);
void buf_int64(struct buf *b, int64_t value);
void buf_format(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* What was added so far; valid until the next addition. Never "not given": empty text has a
 * pointer. */
struct str buf_str(const struct buf *b);
