/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

#define PROBLEM_TYPE_PREFIX "https://bodega.example/problems/"
#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* The problem document (RFC 9457) of a fault: its code and title, what s recorded of it (detail,
 * bad fields, further members), `instance` (the path asked for) and the trace to look for in logs;
 * both may be STR_NONE. FAULT_INTERNAL's detail stays inside. Lives in s. */
struct str problem_write(
	struct scope *s, enum fault fault, struct str instance, struct str traceparent);
