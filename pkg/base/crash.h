/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* Named points at which a test lets the process die as by kill -9: no clean-up, nothing flushed.
 * BODEGA_FAULT=<name> names one, BODEGA_FAULT=<name>:<n> its nth passing. A release has none. */
#ifdef BODEGA_FAULTS
#define CRASH_POINT(name)                                                                       \
	do {                                                                                    \
		static const char *const point __attribute__((section("crash_points"), used)) = \
			"" name;                                                                \
		crash_point_pass(point);                                                        \
	} while (0)
#else
#define CRASH_POINT(name) ((void)0)
#endif

/* Reads BODEGA_FAULT. FAULT_INVALID, with a field error: the program has no such point. */
enum fault crash_points_arm(struct scope *s) MUST_CHECK;

/* Calls print(name) for each point of the program; of a name used twice, twice. */
void crash_points_list(void (*print)(const char *name));

/* For CRASH_POINT: ends the process when the point is the armed one and it is its turn. */
void crash_point_pass(const char *name);
