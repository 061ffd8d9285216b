/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "service/cpu.h"

#include <stdlib.h>
#include <sys/stat.h>

/* A machine's files, as far as quotas go, in a folder of its own. */
static char root[64];

static void put(const char *path, const char *text)
{
	char whole[256];
	FILE *file;

	snprintf(whole, sizeof whole, "%s%s", root, path);
	for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(whole, 0700);
		*at = '/';
	}
	file = fopen(whole, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/bodega-cpu-XXXXXX");
	return mkdtemp(root) == NULL;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf '%s'", root);
	return system(command);
}

static void without_a_quota_it_is_none(void **state)
{
	(void)state;
	assert_int_equal(cpu_quota(root), 0);
	put("/proc/self/cgroup", "0::/\n");
	assert_int_equal(cpu_quota(root), 0);
	put("/sys/fs/cgroup/cpu.max", "max 100000\n");
	assert_int_equal(cpu_quota(root), 0);
	put("/sys/fs/cgroup/cpu.max", "nonsense\n");
	assert_int_equal(cpu_quota(root), 0);
}

static void version_2(void **state)
{
	static const struct {
		const char *text;
		unsigned cpus;
	} rows[] = {{"200000 100000\n", 2}, {"150000 100000\n", 2}, {"50000 100000\n", 1},
		{"1000 100000\n", 1}, {"1600000 100000\n", 16}};

	(void)state;
	put("/proc/self/cgroup", "0::/\n");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		put("/sys/fs/cgroup/cpu.max", rows[i].text);
		assert_int_equal(cpu_quota(root), rows[i].cpus);
	}
}

static void the_tightest_on_the_way_up_counts(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a/b/c\n");
	put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
	assert_int_equal(cpu_quota(root), 4);
	put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
	assert_int_equal(cpu_quota(root), 3);
	put("/sys/fs/cgroup/a/b/c/cpu.max", "100000 100000\n");
	assert_int_equal(cpu_quota(root), 1);
}

static void version_1(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "12:cpuset:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/x\n");
	put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpu_quota(root), 0);
	put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n");
	assert_int_equal(cpu_quota(root), 3);
	put("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "200000\n");
	put("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpu_quota(root), 2);
}

static void threads_are_a_few(void **state)
{
	(void)state;
	assert_in_range(cpu_workers(), 1, WORKERS_BY_ITSELF_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(without_a_quota_it_is_none),
		TEST(version_2),
		TEST(the_tightest_on_the_way_up_counts),
		TEST(version_1),
		TEST(threads_are_a_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
