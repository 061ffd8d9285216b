/* SPDX-License-Identifier: Apache-2.0
 * Bump allocation in chunks that double from 2 KiB to 64 KiB; what does not fit a chunk of the
 * next size gets one of its own. An arena's own struct is the first thing in its first chunk, so a
 * task's arena is one chunk as a rule, taken from the thread's spare ones and given back to them.
 * Spare chunks and unused tails are poisoned under AddressSanitizer. */
#include "base/arena.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#endif

#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#define POISON(at, size) ASAN_POISON_MEMORY_REGION(at, size)
#define UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
enum { BYTES_ALIGN = 16, GAP = 16 }; /* so that running over the end is seen */
#else
#define POISON(at, size) ((void)(at), (void)(size))
#define UNPOISON(at, size) ((void)(at), (void)(size))
enum { BYTES_ALIGN = 1, GAP = 0 };
#endif

enum {
	CHUNK_MIN = 2 << 10,
	CHUNK_CLASSES = 6, /* 2, 4, 8, 16, 32, 64 KiB */
	CHUNK_OWN = CHUNK_CLASSES, /* the class of a chunk made for one allocation */
	SPARE_BYTES_MAX = 2 << 20, /* of a thread */
	ALIGN = 16,
};

struct chunk {
	struct chunk *next;
	size_t size; /* with this head */
	unsigned class;
};

struct arena {
	struct chunk *chunks; /* newest first */
	char *at; /* free bytes of the chunk allocated from */
	char *end;
	size_t size;
	unsigned refs;
	unsigned next_class;
};

enum { HEAD = (sizeof(struct chunk) + ALIGN - 1) / ALIGN * ALIGN };

static _Thread_local struct {
	struct chunk *free[CHUNK_CLASSES];
	size_t bytes;
	bool freed_at_exit;
} spare;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit; /* for its destructor */

static void *take(struct arena *a, size_t size, size_t align);
static void *take_slow(struct arena *a, size_t size);
static struct chunk *chunk_new(unsigned class, size_t size);
static void chunk_free(struct chunk *c);
static void make_key(void);
static void free_at_exit(void *unused);
_Noreturn static void out_of_memory(void);

struct arena *arena_new(void)
{
	struct chunk *c = chunk_new(0, CHUNK_MIN);
	struct arena *a = (void *)((char *)c + HEAD);

	UNPOISON(a, sizeof *a);
	*a = (struct arena){
		.chunks = c,
		.at = (char *)a + (sizeof *a + ALIGN - 1) / ALIGN * ALIGN,
		.end = (char *)c + c->size,
		.size = c->size,
		.refs = 1,
		.next_class = 0, /* most need little more than the first */
	};
	return a;
}

struct arena *arena_ref(struct arena *a)
{
	CHECK(a->refs > 0);
	a->refs++;
	return a;
}

void arena_unref(struct arena *a)
{
	if (a == NULL)
		return;
	CHECK(a->refs > 0);
	if (--a->refs > 0)
		return;
	for (struct chunk *c = a->chunks, *next; c != NULL; c = next) {
		next = c->next;
		chunk_free(c);
	}
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *at = take(a, size, ALIGN);

	return memset(at, 0, size);
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		out_of_memory();
	return arena_alloc(a, total);
}

char *arena_bytes(struct arena *a, size_t size)
{
	return take(a, size, BYTES_ALIGN);
}

struct str arena_dup(struct arena *a, struct str s)
{
	char *copy;

	if (s.at == NULL)
		return STR_NONE;
	copy = arena_bytes(a, s.len + 1);
	memcpy(copy, s.at, s.len);
	copy[s.len] = '\0';
	return str_of(copy, s.len);
}

size_t arena_size(const struct arena *a)
{
	return a->size;
}

void arena_trim(void)
{
	for (unsigned class = 0; class < CHUNK_CLASSES; class ++) {
		while (spare.free[class] != NULL) {
			struct chunk *c = spare.free[class];

			spare.free[class] = c->next;
			UNPOISON(c, c->size);
			free(c);
		}
	}
	spare.bytes = 0;
}

static void *take(struct arena *a, size_t size, size_t align)
{
	const size_t pad = -(size_t)a->at & (align - 1);
	const size_t left = (size_t)(a->end - a->at);
	char *at;

	if (size > SIZE_MAX / 2)
		out_of_memory();
	if (pad + size + GAP > left)
		return take_slow(a, size);
	at = a->at + pad;
	a->at = at + size + GAP;
	UNPOISON(at, size);
	return at;
}

static void *take_slow(struct arena *a, size_t size)
{
	const size_t chunk_size = (size_t)CHUNK_MIN << a->next_class;
	const size_t needed = HEAD + size + GAP;
	const bool own = needed > chunk_size;
	struct chunk *c = own ? chunk_new(CHUNK_OWN, needed) : chunk_new(a->next_class, chunk_size);
	char *at = (char *)c + HEAD;

	a->size += c->size;
	c->next = a->chunks;
	a->chunks = c;
	if (!own) {
		a->at = at + size + GAP;
		a->end = (char *)c + c->size;
		if (a->next_class + 1 < CHUNK_CLASSES)
			a->next_class++;
	}
	UNPOISON(at, size);
	return at;
}

static struct chunk *chunk_new(unsigned class, size_t size)
{
	struct chunk *c = class < CHUNK_CLASSES ? spare.free[class] : NULL;

	if (c != NULL) {
		spare.free[class] = c->next;
		spare.bytes -= size;
		c->next = NULL;
		return c;
	}
	c = malloc(size);
	CHECK(c != NULL);
	*c = (struct chunk){.size = size, .class = class};
	POISON((char *)c + HEAD, size - HEAD);
	return c;
}

static void chunk_free(struct chunk *c)
{
	if (c->class >= CHUNK_CLASSES || spare.bytes + c->size > SPARE_BYTES_MAX) {
		UNPOISON(c, c->size);
		free(c);
		return;
	}
	if (!spare.freed_at_exit) {
		pthread_once(&once, make_key);
		pthread_setspecific(at_exit, &spare);
		spare.freed_at_exit = true;
	}
	c->next = spare.free[c->class];
	spare.free[c->class] = c;
	spare.bytes += c->size;
	POISON((char *)c + HEAD, c->size - HEAD);
}

static void make_key(void)
{
	CHECK(pthread_key_create(&at_exit, free_at_exit) == 0);
}

static void free_at_exit(void *unused)
{
	(void)unused;
	arena_trim();
	spare.freed_at_exit = false; /* a later destructor may free an arena */
}

_Noreturn static void out_of_memory(void)
{
	check_failed("out of memory", __FILE__, __LINE__);
}
