/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/random.h"

#include <sys/wait.h>
#include <unistd.h>

static void bytes_differ_and_fill_what_was_asked(void **state)
{
	static const size_t sizes[] = {8, 16, 32, 255, 256, 257, 512, 4096};
	static unsigned char a[4097], b[4097];

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		memset(a, 0x5a, sizeof a);
		memset(b, 0x5a, sizeof b);
		random_bytes(a, sizes[i]);
		random_bytes(b, sizes[i]);
		assert_memory_not_equal(a, b, sizes[i]);
		assert_memory_not_equal(a + sizes[i] - 8, b + sizes[i] - 8, 8);
		assert_int_equal(a[sizes[i]], 0x5a);
	}
}

static void a_child_gets_bytes_of_its_own(void **state)
{
	unsigned char ours[16], theirs[16];
	int ends[2];
	pid_t child;

	(void)state;
	random_bytes(ours, sizeof ours); /* so that the buffer is filled */
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		random_bytes(theirs, sizeof theirs);
		_exit(write(ends[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
	}
	random_bytes(ours, sizeof ours);
	assert_int_equal(read(ends[0], theirs, sizeof theirs), sizeof theirs);
	assert_memory_not_equal(ours, theirs, sizeof ours);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ends[0]);
	close(ends[1]);
}

static void numbers_are_even_below_their_bound(void **state)
{
	unsigned seen[10] = {0};

	(void)state;
	random_seed(1);
	for (int i = 0; i < 100000; i++) {
		const uint64_t n = random_below(10);

		assert_in_range(n, 0, 9);
		seen[n]++;
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(seen[i], 9500, 10500);
	assert_int_equal(random_below(1), 0);
}

static void a_seed_repeats(void **state)
{
	uint64_t first[8];

	(void)state;
	random_seed(42);
	for (int i = 0; i < 8; i++)
		first[i] = random_below(UINT64_MAX);
	random_seed(42);
	for (int i = 0; i < 8; i++)
		assert_int_equal(random_below(UINT64_MAX), first[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_differ_and_fill_what_was_asked),
		cmocka_unit_test(a_child_gets_bytes_of_its_own),
		cmocka_unit_test(numbers_are_even_below_their_bound),
		cmocka_unit_test(a_seed_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
