/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"

#include <stdarg.h>

struct deferred;

/* What a piece of work owns: memory, clean-ups to run at its end, and what went wrong. Lives in a
 * task or on a stack; nothing in it suspends, and clean-ups never wait. */
struct scope {
	struct arena *arena;
	struct deferred *deferred; /* newest first */
	struct str detail; /* of the fault: a sentence, or STR_NONE */
	struct str extra; /* members for the problem document: JSON without braces, or STR_NONE */
	struct field_error *errors; /* in the order they were found */
	struct field_error **errors_end;
	unsigned error_count;
};

void scope_begin(struct scope *s);

/* Runs the clean-ups, newest first, and drops the arena's count. */
void scope_end(struct scope *s);

/* Runs fn(arg) at the scope's end. */
struct deferred *scope_defer(struct scope *s, void (*fn)(void *arg), void *arg);

/* Takes a clean-up back: what it would have freed was freed or moved. Clears *deferred; NULL in it
 * is allowed. */
void scope_undefer(struct scope *s, struct deferred **deferred);

static inline void *scope_alloc(struct scope *s, size_t size)
{
	return arena_alloc(s->arena, size);
}

/* Formatted text that lives in s; a NUL follows it. */
struct str scope_format(struct scope *s, const char *format, ...) PRINTF_LIKE(2, 3);
struct str scope_vformat(struct scope *s, const char *format, va_list args) PRINTF_LIKE(2, 0);

static inline struct str scope_dup(struct scope *s, struct str text)
{
	return arena_dup(s->arena, text);
}
