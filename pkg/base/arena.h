/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* Memory that is freed all at once. Counted, because a reply's bytes are still read by the
 * connection after the task that wrote them has ended: one count for the task, one for the request.
 * One thread at a time; chunks are kept for the next arena of the thread. Out of memory ends the
 * process. */
struct arena;

/* A new one with a count of one. */
struct arena *arena_new(void);

struct arena *arena_ref(struct arena *a);

/* Gives one count back; the last one frees everything. NULL is allowed. */
void arena_unref(struct arena *a);

/* Zeroed, aligned for any type; lives as long as the arena. */
void *arena_alloc(struct arena *a, size_t size);

/* As above for `count` elements; a product that overflows ends the process. */
void *arena_alloc_array(struct arena *a, size_t count, size_t size);

/* Not zeroed, not aligned: for bytes. */
char *arena_bytes(struct arena *a, size_t size);

/* A copy with a NUL behind it that is not counted in its length. STR_NONE stays STR_NONE. */
struct str arena_dup(struct arena *a, struct str s);

/* Bytes taken from the system, for metrics. */
size_t arena_size(const struct arena *a);

/* Gives the thread's spare chunks back; the thread's end does so too. */
void arena_trim(void);
