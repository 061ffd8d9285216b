/* SPDX-License-Identifier: Apache-2.0
 * Stacks and the switch between them. A mapping is, from below: a guard page that nothing may
 * touch, the stack, and at its top the struct fiber itself. A fiber never leaves its stack's first
 * function, which runs one piece of work after another; so giving a pooled fiber new work is two
 * stores, and the sanitizers, which are told of every switch, see each stack made once and ended
 * once. */
#include "fiber/fiber.h"

#include "base/check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(FIBER_UCONTEXT)
#define FIBER_UCONTEXT 1
#endif
#ifdef FIBER_UCONTEXT
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#elif __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

enum { FIBER_MAGIC = 0x46494252, STACK_ALIGN = 16, PAGES_MAX = 1024 };

struct fiber {
	unsigned magic;
	bool ended;
	void (*fn)(void *arg); /* NULL asks the stack's first function to end */
	void *arg;
	struct list link; /* in the pool */
	char *map;
	size_t map_bytes;
#ifdef FIBER_UCONTEXT
	ucontext_t context;
	ucontext_t loop_context;
#else
	void *stack_pointer; /* while it is left */
	void *loop_stack_pointer; /* while it runs */
#endif
#ifdef FIBER_ASAN
	void *fake_stack;
	const void *loop_stack;
	size_t loop_stack_bytes;
#endif
#ifdef FIBER_TSAN
	void *tsan;
	void *loop_tsan;
#endif
};

static atomic_size_t high_water;

static struct fiber *map_fiber(size_t stack_bytes);
static void unmap_fiber(struct fiber *f);
static void prepare(struct fiber *f);
static void run(struct fiber *f);
static void enter(struct fiber *f);
static void leave(struct fiber *f, bool for_ever);
static void note_depth(const struct fiber *f);
static size_t page_bytes(void);

void fiber_pool_init(struct fiber_pool *p, size_t stack_bytes, size_t spare_max)
{
	const size_t page = page_bytes();

	*p = (struct fiber_pool){
		.stack_bytes = (stack_bytes + page - 1) / page * page,
		.spare_max = spare_max,
	};
	CHECK(p->stack_bytes >= page && p->stack_bytes / page < PAGES_MAX);
	list_init(&p->spare);
}

void fiber_pool_clear(struct fiber_pool *p)
{
	struct list *link;

	while ((link = list_take(&p->spare)) != NULL)
		unmap_fiber(CONTAINER_OF(link, struct fiber, link));
	p->spare_count = 0;
}

struct fiber *fiber_new(struct fiber_pool *p, void (*fn)(void *arg), void *arg)
{
	struct list *link = list_take(&p->spare);
	struct fiber *f;

	if (link != NULL) {
		f = CONTAINER_OF(link, struct fiber, link);
		p->spare_count--;
	} else {
		f = map_fiber(p->stack_bytes);
		if (f == NULL)
			return NULL;
	}
	f->fn = fn;
	f->arg = arg;
	f->ended = false;
	return f;
}

void fiber_free(struct fiber_pool *p, struct fiber *f)
{
	const bool keep = p->spare_count < p->spare_max;

	CHECK_MAGIC(f, FIBER_MAGIC);
	CHECK(f->ended);
	if (p->freed++ % FIBER_SAMPLE == 0 || !keep)
		note_depth(f);
	if (!keep) {
		unmap_fiber(f);
		return;
	}
	/* the one whose stack is warm goes out first */
	list_prepend(&p->spare, &f->link);
	p->spare_count++;
}

bool fiber_resume(struct fiber *f)
{
	CHECK_MAGIC(f, FIBER_MAGIC);
	CHECK(!f->ended);
	enter(f);
	return !f->ended;
}

void fiber_suspend(struct fiber *f)
{
	leave(f, false);
}

size_t fiber_high_water(void)
{
	return atomic_load_explicit(&high_water, memory_order_relaxed);
}

static struct fiber *map_fiber(size_t stack_bytes)
{
	const size_t guard = page_bytes();
	const size_t bytes = guard + stack_bytes;
	const size_t top =
		(bytes - sizeof(struct fiber)) / _Alignof(max_align_t) * _Alignof(max_align_t);
	char *map = mmap(NULL, bytes, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	struct fiber *f;

	if (map == MAP_FAILED)
		return NULL;
	if (mprotect(map + guard, stack_bytes, PROT_READ | PROT_WRITE) != 0) {
		munmap(map, bytes);
		return NULL;
	}
	f = (void *)(map + top);
	*f = (struct fiber){.magic = FIBER_MAGIC, .map = map, .map_bytes = bytes};
	prepare(f);
	return f;
}

/* The stack's first function ends first, so that the sanitizers forget the stack. */
static void unmap_fiber(struct fiber *f)
{
	f->fn = NULL;
	enter(f);
#ifdef FIBER_TSAN
	__tsan_destroy_fiber(f->tsan);
#endif
	f->magic = 0;
	munmap(f->map, f->map_bytes);
}

/* Where a stack begins. Not built for TSan: it would count an entry for which there is no exit. */
__attribute__((no_sanitize("thread"))) static void run(struct fiber *f)
{
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(NULL, &f->loop_stack, &f->loop_stack_bytes);
#endif
	while (f->fn != NULL) {
		f->fn(f->arg);
		f->ended = true;
		leave(f, false);
	}
	leave(f, true);
	check_failed("a fiber went on after its end", __FILE__, __LINE__);
}

#ifdef FIBER_UCONTEXT

static void run_halves(unsigned high, unsigned low)
{
	run((void *)((uintptr_t)high << 32 | low)); /* makecontext passes ints only */
}

static void prepare(struct fiber *f)
{
	const size_t guard = page_bytes();
	const uint64_t address = (uintptr_t)f;

	CHECK(getcontext(&f->context) == 0);
	f->context.uc_stack.ss_sp = f->map + guard;
	f->context.uc_stack.ss_size = (size_t)((char *)f - f->map) - guard;
	makecontext(&f->context, (void (*)(void))run_halves, 2, (unsigned)(address >> 32),
		(unsigned)address);
#ifdef FIBER_TSAN
	f->tsan = __tsan_create_fiber(0);
#endif
}

static inline void switch_to_fiber(struct fiber *f)
{
	swapcontext(&f->loop_context, &f->context);
}

static inline void switch_to_loop(struct fiber *f)
{
	swapcontext(&f->context, &f->loop_context);
}

#else

void fiber_switch(void **from, void *to);
void fiber_start(void);

/* What fiber_switch will take off the stack: see switch.S. */
static void prepare(struct fiber *f)
{
	uintptr_t *sp = (void *)((uintptr_t)f / STACK_ALIGN * STACK_ALIGN);

#if defined(__x86_64__)
	sp -= 2; /* fiber_start finds the stack as a call leaves it */
	sp -= 8;
	sp[0] = UINT64_C(0x037f00001f80); /* the control words' defaults */
	sp[3] = (uintptr_t)run; /* r13 */
	sp[4] = (uintptr_t)f; /* r12 */
	sp[7] = (uintptr_t)fiber_start; /* where ret goes */
#elif defined(__aarch64__)
	sp -= 20;
	sp[0] = (uintptr_t)f; /* x19 */
	sp[1] = (uintptr_t)run; /* x20 */
	sp[11] = (uintptr_t)fiber_start; /* x30 */
#endif
	f->stack_pointer = sp;
#ifdef FIBER_TSAN
	f->tsan = __tsan_create_fiber(0);
#endif
}

static inline void switch_to_fiber(struct fiber *f)
{
	fiber_switch(&f->loop_stack_pointer, f->stack_pointer);
}

static inline void switch_to_loop(struct fiber *f)
{
	fiber_switch(&f->stack_pointer, f->loop_stack_pointer);
}

#endif

static void enter(struct fiber *f)
{
#ifdef FIBER_ASAN
	const size_t guard = page_bytes();
	void *fake_stack;

	__sanitizer_start_switch_fiber(
		&fake_stack, f->map + guard, (size_t)((char *)f - f->map) - guard);
#endif
#ifdef FIBER_TSAN
	f->loop_tsan = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(f->tsan, 0);
#endif
	switch_to_fiber(f);
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
#endif
}

static void leave(struct fiber *f, bool for_ever)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(
		for_ever ? NULL : &f->fake_stack, f->loop_stack, f->loop_stack_bytes);
#endif
#ifdef FIBER_TSAN
	__tsan_switch_to_fiber(f->loop_tsan, 0);
#endif
	(void)for_ever;
	switch_to_loop(f);
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(f->fake_stack, &f->loop_stack, &f->loop_stack_bytes);
#endif
}

/* A page that was ever touched is resident: the lowest one is how deep the stack has been. */
static void note_depth(const struct fiber *f)
{
	const size_t page = page_bytes();
	const size_t pages = f->map_bytes / page - 1;
	unsigned char resident[PAGES_MAX];
	size_t untouched = 0, depth, seen;

	if (mincore(f->map + page, pages * page, resident) != 0)
		return;
	while (untouched < pages && (resident[untouched] & 1) == 0)
		untouched++;
	depth = (pages - untouched) * page;
	seen = atomic_load_explicit(&high_water, memory_order_relaxed);
	while (depth > seen && !atomic_compare_exchange_weak_explicit(&high_water, &seen, depth,
				       memory_order_relaxed, memory_order_relaxed))
		;
}

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}
