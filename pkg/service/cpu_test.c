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

enum { FILES_MAX = 6 };

/* A tree of files for each row, and what it allows. */
static void trees(void **state)
{
#define QUOTA(folder, quota)                            \
	{folder "/cpu.cfs_quota_us", quota},            \
	{                                               \
		folder "/cpu.cfs_period_us", "100000\n" \
	}
#define V1 "/sys/fs/cgroup/cpu"
#define V1_BOTH "/sys/fs/cgroup/cpu,cpuacct"
#define V2 "/sys/fs/cgroup"
	static const struct {
		const char *what, *cgroup;
		const char *files[FILES_MAX][2]; /* path, text */
		unsigned cpus;
	} rows[] = {
		{"1: none", "4:cpu,cpuacct:/\n", {QUOTA(V1, "-1\n")}, 0},
		{"1: at the root, as a container sees itself",
			"12:cpuset:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/x\n",
			{QUOTA(V1, "250000\n")}, 3},
		{"1: nested, the inner one is tighter", "4:cpu,cpuacct:/docker/1\n",
			{QUOTA(V1, "400000\n"), QUOTA(V1 "/docker/1", "200000\n")}, 2},
		{"1: nested, the outer one is tighter", "4:cpu,cpuacct:/docker/1\n",
			{QUOTA(V1 "/docker", "100000\n"), QUOTA(V1 "/docker/1", "200000\n")}, 1},
		{"1: without the link", "4:cpu,cpuacct:/\n", {QUOTA(V1_BOTH, "200000\n")}, 2},
		{"1: without the link, the other way round", "4:cpuacct,cpu:/\n",
			{QUOTA("/sys/fs/cgroup/cpuacct,cpu", "200000\n")}, 2},
		{"1: cpu alone", "4:cpu:/\n", {QUOTA(V1, "50000\n")}, 1},
		{"1: a tenth", "4:cpu:/\n", {QUOTA(V1, "10000\n")}, 1},
		{"1: other controllers", "4:cpuset,memory:/\n", {QUOTA(V1, "100000\n")}, 0},
		{"1 and 2 at once", "4:cpu,cpuacct:/a\n0::/b\n",
			{QUOTA(V1 "/a", "300000\n"), {V2 "/b/cpu.max", "max 100000\n"}}, 3},
		{"2: a path of the host", "0::/kubepods.slice/pod1/box\n",
			{{V2 "/cpu.max", "150000 100000\n"}}, 2},
		{"2: a path that leads out", "0::/../../other\n",
			{{V2 "/cpu.max", "50000 100000\n"}}, 1},
		{"2: the pod's is tighter", "0::/pod/box\n",
			{{V2 "/pod/box/cpu.max", "400000 100000\n"},
				{V2 "/pod/cpu.max", "200000 100000\n"}},
			2},
		{"2: another period", "0::/\n", {{V2 "/cpu.max", "20000 10000\n"}}, 2},
		{"2: unlimited", "0::/\n", {{V2 "/cpu.max", "max 100000\n"}}, 0},
		{"2: controller switched off", "0::/\n", {{V2 "/cpu.weight", "100\n"}}, 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(set_up(state), 0);
		put("/proc/self/cgroup", rows[i].cgroup);
		for (size_t k = 0; k < FILES_MAX && rows[i].files[k][0] != NULL; k++)
			put(rows[i].files[k][0], rows[i].files[k][1]);
		if (cpu_quota(root) != rows[i].cpus)
			fail_row(i, "%s: %u", rows[i].what, cpu_quota(root));
		assert_int_equal(tear_down(state), 0);
	}
}

/* Not more than there are, nor than the quota, nor than a few; but one. */
static void workers(void **state)
{
	static const struct {
		unsigned cpus, quota, workers;
	} rows[] = {{1, 0, 1}, {4, 0, 4}, {64, 0, 8}, {4, 2, 2}, {2, 4, 2}, {64, 16, 8}, {4, 1, 1},
		{0, 0, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(cpu_workers_of(rows[i].cpus, rows[i].quota), rows[i].workers);
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
		cmocka_unit_test(trees),
		cmocka_unit_test(workers),
		TEST(threads_are_a_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
