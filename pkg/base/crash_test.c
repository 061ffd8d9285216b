/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/crash.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned listed;

static void count(const char *name)
{
	listed += strcmp(name, "test.here") == 0 || strcmp(name, "test.there") == 0;
}

/* Passes the points until the process dies or has had enough; its status says how far it came. */
static _Noreturn void pass_points(const char *fault)
{
	struct scope s;

	setenv("BODEGA_FAULT", fault, 1);
	scope_begin(&s);
	if (crash_points_arm(&s) != OK)
		_exit(78);
	scope_end(&s);
	for (int i = 0; i < 3; i++) {
		CRASH_POINT("test.here");
		CRASH_POINT("test.there");
	}
	_exit(0);
}

/* The exit status of a process with that BODEGA_FAULT; minus the signal that ended it. */
static int end_with(const char *fault)
{
	const pid_t child = fork();
	int status;

	if (child == 0)
		pass_points(fault);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

#ifdef BODEGA_FAULTS

static void the_armed_point_ends_the_process(void **state)
{
	static const struct {
		const char *fault;
		int end;
	} rows[] = {
		{"", 0},
		{"test.here", -SIGKILL},
		{"test.there:3", -SIGKILL},
		{"test.there:4", 0},
		{"test.nowhere", 78},
		{"test", 78},
		{"test.here:", 78},
		{"test.here:0", 78},
		{"test.here:x", 78},
		{"test.here:1:2", 78},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const int end = end_with(rows[i].fault);
		if (end != rows[i].end)
			fail_row(i, "%s: ended with %d", rows[i].fault, end);
	}
	crash_points_list(count);
	assert_int_equal(listed, 2);
}

#else

static void a_release_has_no_points(void **state)
{
	(void)state;
	assert_int_equal(end_with("test.here"), 0);
	crash_points_list(count);
	assert_int_equal(listed, 0);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef BODEGA_FAULTS
		cmocka_unit_test(the_armed_point_ends_the_process),
#else
		cmocka_unit_test(a_release_has_no_points),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
