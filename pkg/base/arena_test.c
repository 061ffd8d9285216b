/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/arena.h"
#include "base/buf.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void memory_is_aligned_zeroed_and_apart(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 4000, 4096, 5000, 65536, 1 << 20};
	enum { COUNT = sizeof sizes / sizeof *sizes, ROUNDS = 50 };
	struct arena *a = arena_new();
	unsigned char *taken[COUNT * ROUNDS];

	(void)state;
	for (size_t i = 0; i < COUNT * ROUNDS; i++) {
		const size_t size = sizes[i % COUNT];

		taken[i] = arena_alloc(a, size);
		assert_int_equal((uintptr_t)taken[i] % 16, 0);
		for (size_t at = 0; at < size; at++)
			if (taken[i][at] != 0)
				fail_row(i, "byte %zu is %u", at, taken[i][at]);
		memset(taken[i], (int)(i % 251) + 1, size);
	}
	for (size_t i = 0; i < COUNT * ROUNDS; i++)
		for (size_t at = 0; at < sizes[i % COUNT]; at++)
			if (taken[i][at] != i % 251 + 1)
				fail_row(i, "overwritten at %zu", at);
	arena_unref(a);
}

static void recycled_memory_is_zeroed_again(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		struct arena *a = arena_new();
		unsigned char *p = arena_alloc(a, 1000);

		assert_int_equal(p[0] | p[999], 0);
		memset(p, 0xff, 1000);
		arena_unref(a);
	}
}

static void the_last_count_frees(void **state)
{
	struct arena *a = arena_new();
	struct str s;

	(void)state;
	assert_ptr_equal(arena_ref(a), a);
	s = arena_dup(a, STR("still read by the connection"));
	arena_unref(a);
	assert_str_equal(s, STR("still read by the connection"));
	arena_unref(a);
	arena_unref(NULL);
}

static void a_chunk_is_used_again(void **state)
{
	struct arena *first = arena_new();
	struct arena *second;

	(void)state;
	arena_unref(first);
	second = arena_new();
	assert_ptr_equal(second, first);
	arena_unref(second);
	arena_trim();
}

/* By the heap's own count, which sanitizers leave at zero. */
static void spare_chunks_are_bounded(void **state)
{
	enum { ARENAS = 100, BOUND = 3 << 20 };
	struct arena *arenas[ARENAS];
	size_t before;

	(void)state;
	arena_trim();
	before = mallinfo2().uordblks;
	for (int i = 0; i < ARENAS; i++) {
		arenas[i] = arena_new();
		while (arena_size(arenas[i]) < 100 << 10)
			arena_bytes(arenas[i], 4000);
	}
	for (int i = 0; i < ARENAS; i++)
		arena_unref(arenas[i]);
	assert_in_range(mallinfo2().uordblks - before, 0, BOUND);
	arena_trim();
	assert_in_range(mallinfo2().uordblks - before, 0, 4096);
}

static void *leave_a_spare_chunk(void *arg)
{
	arena_unref(arena_new());
	return arg;
}

/* LeakSanitizer is the judge. */
static void a_threads_spare_chunks_end_with_it(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, leave_a_spare_chunk, NULL), 0);
	pthread_join(thread, NULL);
}

static void size_counts_what_the_system_gave(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	assert_int_equal(arena_size(a), 2048);
	arena_alloc(a, 100000);
	assert_in_range(arena_size(a), 102048, 102048 + 256);
	arena_unref(a);
}

static void a_copy_ends_in_nul(void **state)
{
	struct arena *a = arena_new();
	struct str copy = arena_dup(a, str_of("abcdef", 3));

	(void)state;
	assert_str_equal(copy, STR("abc"));
	assert_int_equal(copy.at[3], 0);
	assert_str_equal(arena_dup(a, STR_NONE), STR_NONE);
	assert_str_equal(arena_dup(a, STR("")), STR(""));
	arena_unref(a);
}

static void dies(void (*fn)(void))
{
	const pid_t child = fork();
	int status;

	if (child == 0) {
		close(STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void overflow(void)
{
	volatile size_t half = SIZE_MAX / 2;

	arena_alloc_array(arena_new(), half, 3);
}

static void unref_too_often(void)
{
	struct arena *a = arena_new();

	arena_alloc(a, 1);
	arena_unref(a);
	arena_unref(a);
}

static void misuse_ends_the_process(void **state)
{
	(void)state;
	dies(overflow);
	dies(unref_too_often);
}

#ifdef __SANITIZE_ADDRESS__
static void write_past_the_end(void)
{
	((volatile char *)arena_bytes(arena_new(), 10))[10] = 1;
}

static void read_after_free(void)
{
	struct arena *a = arena_new();
	volatile char *p = arena_bytes(a, 10);

	arena_unref(a);
	(void)*p;
}

static void the_sanitizer_sees_wrong_accesses(void **state)
{
	(void)state;
	dies(write_past_the_end);
	dies(read_after_free);
}
#endif

static void text_grows(void **state)
{
	struct arena *a = arena_new();
	struct buf b = buf_new(a);
	struct str text;

	(void)state;
	assert_str_equal(buf_str(&b), STR(""));
	buf_add(&b, STR("a"));
	buf_add(&b, STR_NONE);
	buf_char(&b, ' ');
	buf_int64(&b, INT64_MIN);
	buf_char(&b, ' ');
	buf_int64(&b, 0);
	buf_format(&b, " %s", "x");
	assert_str_equal(buf_str(&b), STR("a -9223372036854775808 0 x"));
	b.len = 0;
	for (int i = 0; i < 10000; i++)
		buf_format(&b, "%04d", i);
	text = buf_str(&b);
	assert_int_equal(text.len, 40000);
	assert_str_equal(str_of(text.at + 4 * 1234, 8), STR("12341235"));
	arena_unref(a);
}

static void formatting_past_the_room_is_whole(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	for (int len = 100; len < 300; len++) {
		struct buf b = buf_new(a);

		buf_format(&b, "%0*d", len, 7);
		assert_int_equal(buf_str(&b).len, len);
		assert_int_equal(buf_str(&b).at[len - 1], '7');
	}
	arena_unref(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_aligned_zeroed_and_apart),
		cmocka_unit_test(recycled_memory_is_zeroed_again),
		cmocka_unit_test(the_last_count_frees),
		cmocka_unit_test(a_chunk_is_used_again),
		cmocka_unit_test(spare_chunks_are_bounded),
		cmocka_unit_test(a_threads_spare_chunks_end_with_it),
		cmocka_unit_test(size_counts_what_the_system_gave),
		cmocka_unit_test(a_copy_ends_in_nul),
		cmocka_unit_test(misuse_ends_the_process),
#ifdef __SANITIZE_ADDRESS__
		cmocka_unit_test(the_sanitizer_sees_wrong_accesses),
#endif
		cmocka_unit_test(text_grows),
		cmocka_unit_test(formatting_past_the_room_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
