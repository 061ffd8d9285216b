/* SPDX-License-Identifier: Apache-2.0
 * The process' own metrics, by the names that Prometheus' client libraries give them. What cannot
 * be read is left out. */
#include "metrics/cells.h"

#include "base/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STAT_START_FIELD = 22, PROC_TEXT_MAX = 1024 };

static void write_one(struct buf *out, const char *name, const char *type, const char *help,
	double value, int decimals);
static double clock_seconds(clockid_t id);
static bool resident_bytes(double *bytes);
static bool open_descriptors(double *count);
static bool start_seconds(double *seconds);
static bool start_ticks(unsigned long long *ticks);
static bool read_proc(const char *path, char text[PROC_TEXT_MAX]);

void process_write(struct buf *out)
{
	struct rlimit limit;
	double value;

	write_one(out, "process_cpu_seconds_total", "counter",
		"User and system CPU time in seconds.", clock_seconds(CLOCK_PROCESS_CPUTIME_ID), 6);
	if (resident_bytes(&value))
		write_one(out, "process_resident_memory_bytes", "gauge",
			"Resident memory in bytes.", value, 0);
	if (open_descriptors(&value))
		write_one(out, "process_open_fds", "gauge", "Open file descriptors.", value, 0);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		write_one(out, "process_max_fds", "gauge", "Most open file descriptors allowed.",
			(double)limit.rlim_cur, 0);
	if (start_seconds(&value))
		write_one(out, "process_start_time_seconds", "gauge",
			"Start of the process in seconds since 1970.", value, 2);
}

static void write_one(struct buf *out, const char *name, const char *type, const char *help,
	double value, int decimals)
{
	buf_format(out, "# HELP %s %s\n# TYPE %s %s\n%s %.*f\n", name, help, name, type, name,
		decimals, value);
}

static double clock_seconds(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool resident_bytes(double *bytes)
{
	char text[PROC_TEXT_MAX];
	const char *second;

	if (!read_proc("/proc/self/statm", text))
		return false;
	second = strchr(text, ' ');
	if (second == NULL)
		return false;
	*bytes = (double)strtoul(second, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
	return true;
}

static bool open_descriptors(double *count)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned seen = 0;

	if (d == NULL)
		return false;
	while ((entry = readdir(d)) != NULL)
		seen += entry->d_name[0] != '.';
	closedir(d);
	*count = seen - 1; /* without the one for looking */
	return true;
}

static bool start_seconds(double *seconds)
{
	static double known; /* by the first scrape; the same for every later one */
	unsigned long long ticks;

	if (known == 0) {
		if (!start_ticks(&ticks))
			return false;
		known = clock_seconds(CLOCK_REALTIME) - clock_seconds(CLOCK_BOOTTIME) +
		        (double)ticks / (double)sysconf(_SC_CLK_TCK);
	}
	*seconds = known;
	return true;
}

/* Field 22 of /proc/self/stat; field 2, the program's name, may hold blanks and brackets. */
static bool start_ticks(unsigned long long *ticks)
{
	char text[PROC_TEXT_MAX];
	const char *at;

	if (!read_proc("/proc/self/stat", text))
		return false;
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < STAT_START_FIELD; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		return false;
	*ticks = strtoull(at, NULL, 10);
	return true;
}

static bool read_proc(const char *path, char text[PROC_TEXT_MAX])
{
	FILE *f = fopen(path, "re");
	size_t len;

	if (f == NULL)
		return false;
	len = fread(text, 1, PROC_TEXT_MAX - 1, f);
	fclose(f);
	text[len] = '\0';
	return len > 0;
}
