/* SPDX-License-Identifier: Apache-2.0
 * How many CPUs a container may use is in none of the usual places: the scheduler's affinity shows
 * the machine's, the quota stands in files of the cgroup. A container sees its own cgroup at the
 * mount's root although /proc/self/cgroup may name a path outside, so every folder from that path
 * up to the root is tried and those that are not there are passed over. */
#include "service/cpu.h"

#include "base/fault.h"
#include "base/str.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_BYTES = 512, TEXT_MAX = 1024 };

static unsigned tightest(unsigned a, unsigned b);
static unsigned quota_of_line(const char *root, struct str line);
static unsigned v2_quota(const char *root, struct str folder);
static unsigned v1_quota(const char *root, struct str controllers, struct str folder);
static int64_t v1_number(const char *root, struct str mount, struct str folder, const char *what);
static unsigned cpus_of(int64_t quota_us, int64_t period_us);
static bool has_word(struct str list, struct str word);
static struct str read_text(char text[TEXT_MAX], const char *format, ...) PRINTF_LIKE(2, 3);

unsigned cpu_quota(const char *root)
{
	char text[TEXT_MAX];
	struct str rest = read_text(text, "%s/proc/self/cgroup", root);
	struct str line;
	unsigned cpus = 0;

	while (str_cut(&rest, '\n', &line))
		cpus = tightest(cpus, quota_of_line(root, line));
	return cpus;
}

unsigned cpu_workers(void)
{
	cpu_set_t set;

	return cpu_workers_of(
		sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 0,
		cpu_quota(""));
}

unsigned cpu_workers_of(unsigned cpus, unsigned quota)
{
	const unsigned least = tightest(tightest(cpus, quota), WORKERS_BY_ITSELF_MAX);

	return cpus == 0 && quota == 0 ? 1 : least;
}

/* 0 is none. */
static unsigned tightest(unsigned a, unsigned b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

/* "0::/path" is version 2, "4:cpu,cpuacct:/path" version 1. */
static unsigned quota_of_line(const char *root, struct str line)
{
	struct str number, controllers;
	unsigned cpus = 0;

	if (!str_cut(&line, ':', &number) || !str_cut(&line, ':', &controllers))
		return 0;
	for (;;) {
		if (str_eq(number, STR("0")) && controllers.len == 0)
			cpus = tightest(cpus, v2_quota(root, line));
		else if (has_word(controllers, STR("cpu")))
			cpus = tightest(cpus, v1_quota(root, controllers, line));
		if (line.len == 0)
			return cpus;
		do
			line.len--;
		while (line.len > 0 && line.at[line.len] != '/');
	}
}

/* "max 100000" or "150000 100000" */
static unsigned v2_quota(const char *root, struct str folder)
{
	char text[TEXT_MAX];
	struct str rest =
		str_trim(read_text(text, "%s/sys/fs/cgroup%.*s/cpu.max", root, STR_ARG(folder)));
	struct str quota;
	int64_t quota_us, period_us;

	if (!str_cut(&rest, ' ', &quota) || !str_to_int64(quota, &quota_us) ||
		!str_to_int64(rest, &period_us))
		return 0;
	return cpus_of(quota_us, period_us);
}

/* The hierarchy is mounted by its controllers' names, "cpu,cpuacct"; "cpu" is a link to it, where
 * somebody has made one. */
static unsigned v1_quota(const char *root, struct str controllers, struct str folder)
{
	const struct str mounts[] = {
		controllers, STR("cpu"), STR("cpu,cpuacct"), STR("cpuacct,cpu")};
	unsigned cpus = 0;

	for (size_t i = 0; i < sizeof mounts / sizeof *mounts && cpus == 0; i++)
		cpus = cpus_of(v1_number(root, mounts[i], folder, "quota"),
			v1_number(root, mounts[i], folder, "period"));
	return cpus;
}

/* 0 when there is none. */
static int64_t v1_number(const char *root, struct str mount, struct str folder, const char *what)
{
	char text[TEXT_MAX];
	int64_t us;

	return str_to_int64(str_trim(read_text(text, "%s/sys/fs/cgroup/%.*s%.*s/cpu.cfs_%s_us",
				    root, STR_ARG(mount), STR_ARG(folder), what)),
		       &us)
	               ? us
	               : 0;
}

static unsigned cpus_of(int64_t quota_us, int64_t period_us)
{
	if (quota_us <= 0 || period_us <= 0 || quota_us / period_us >= INT_MAX)
		return 0;
	return (unsigned)((quota_us + period_us - 1) / period_us);
}

static bool has_word(struct str list, struct str word)
{
	struct str piece;

	while (str_cut(&list, ',', &piece))
		if (str_eq(piece, word))
			return true;
	return false;
}

/* Empty when there is no such file. */
static struct str read_text(char text[TEXT_MAX], const char *format, ...)
{
	char path[PATH_BYTES];
	va_list args;
	ssize_t got;
	int fd, len;

	va_start(args, format);
	len = vsnprintf(path, sizeof path, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof path)
		return STR("");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return STR("");
	got = read(fd, text, TEXT_MAX);
	close(fd);
	return got > 0 ? str_of(text, (size_t)got) : STR("");
}
