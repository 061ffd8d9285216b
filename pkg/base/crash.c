/* SPDX-License-Identifier: Apache-2.0
 * Each CRASH_POINT leaves a pointer to its name in a section of its own, between whose ends the
 * linker lets us look: no list of them can go stale. */
#include "base/crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef BODEGA_FAULTS

/* Absent from programs without any point. */
extern const char *const first_point[] __asm__("__start_crash_points") __attribute__((weak));
extern const char *const points_end[] __asm__("__stop_crash_points") __attribute__((weak));

/* Written once, before threads start. */
static const char *armed;
static atomic_llong passings_left;

static const char *find(struct str name);

enum fault crash_points_arm(struct scope *s)
{
	struct str rest = str_from(getenv("BODEGA_FAULT"));
	struct str name;
	int64_t nth = 1;

	if (!str_cut(&rest, ':', &name) || name.len == 0)
		return OK;
	armed = find(name);
	if (armed == NULL)
		return fail_field(s, STR("BODEGA_FAULT"), "value",
			"must be a point that --crash-points lists, not %.*s", STR_ARG(name));
	if (rest.at != NULL && (!str_to_int64(rest, &nth) || nth < 1))
		return fail_field(s, STR("BODEGA_FAULT"), "format",
			"must be a point's name, or with the number of its passing: %s:2", armed);
	atomic_store(&passings_left, nth);
	return OK;
}

void crash_points_list(void (*print)(const char *name))
{
	/* cppcheck-suppress comparePointers; the linker puts them around one section */
	for (const char *const *point = first_point; point < points_end; point++)
		print(*point);
}

void crash_point_pass(const char *name)
{
	if (armed == NULL || !str_eq(str_from(armed), str_from(name)))
		return;
	if (atomic_fetch_sub(&passings_left, 1) == 1) {
		raise(SIGKILL);
		_exit(128 + SIGKILL);
	}
}

static const char *find(struct str name)
{
	/* cppcheck-suppress comparePointers; the linker puts them around one section */
	for (const char *const *point = first_point; point < points_end; point++) {
		if (str_eq(str_from(*point), name))
			return *point;
	}
	return NULL;
}

#else

enum fault crash_points_arm(struct scope *s)
{
	(void)s;
	return OK;
}

void crash_points_list(void (*print)(const char *name))
{
	(void)print;
}

#endif
