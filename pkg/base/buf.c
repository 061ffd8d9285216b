/* SPDX-License-Identifier: Apache-2.0
 * Text that grows by doubling. What it leaves behind in the arena while it grows is at most as much
 * as it ends up holding. */
#include "base/buf.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUF_MIN = 128, INT64_TEXT_MAX = 20 };

char *buf_room(struct buf *b, size_t more)
{
	size_t needed, cap;
	char *bigger;

	if (b->cap - b->len >= more && b->at != NULL)
		return b->at + b->len;
	CHECK(!__builtin_add_overflow(b->len, more, &needed) && needed <= SIZE_MAX / 4);
	for (cap = b->cap > 0 ? b->cap : BUF_MIN; cap < needed; cap *= 2)
		;
	bigger = arena_bytes(b->arena, cap);
	if (b->at != NULL)
		memcpy(bigger, b->at, b->len);
	b->at = bigger;
	b->cap = cap;
	return b->at + b->len;
}

void buf_add(struct buf *b, struct str s)
{
	if (s.len == 0)
		return;
	memcpy(buf_room(b, s.len), s.at, s.len);
	b->len += s.len;
}

void buf_char(struct buf *b, char c)
{
	*buf_room(b, 1) = c;
	b->len++;
}

void buf_int64(struct buf *b, int64_t value)
{
	char digits[INT64_TEXT_MAX];
	size_t at = sizeof digits;
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		digits[--at] = '-';
	buf_add(b, str_of(digits + at, sizeof digits - at));
}

void buf_format(struct buf *b, const char *format, ...)
{
	char *at = buf_room(b, 1); /* vsnprintf needs a byte more, for its NUL */
	size_t room = b->cap - b->len;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(at, room, format, args);
	va_end(args);
	CHECK(len >= 0);
	if ((size_t)len >= room) {
		room = (size_t)len + 1;
		at = buf_room(b, room);
		va_start(args, format);
		vsnprintf(at, room, format, args);
		va_end(args);
	}
	b->len += (size_t)len;
}

struct str buf_str(const struct buf *b)
{
	return b->at != NULL ? str_of(b->at, b->len) : STR("");
}
