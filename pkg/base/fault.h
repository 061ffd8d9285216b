/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* How an operation ended: OK, or one of fault.def's names as FAULT_<NAME>. */
enum fault {
	OK = 0,
#define FAULT(name, status, code, title, retry, level) FAULT_##name,
#include "base/fault.def"
#undef FAULT
	FAULT_COUNT
};

enum level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };

struct fault_info {
	const char *name; /* "INVALID" */
	int status; /* HTTP */
	const char *code; /* "invalid": stable, in the problem document */
	const char *title; /* one sentence for people */
	bool retry; /* the answer carries Retry-After */
	enum level level; /* of its log line */
};

const struct fault_info *fault_info(enum fault fault);

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* Returns from the calling function with the fault of x, unless x is OK. */
#define TRY(x)                               \
	do {                                 \
		const enum fault try_ = (x); \
		if (try_ != OK)              \
			return try_;         \
	} while (0)

/* One bad field of a request: which, a stable code, and what would be right. */
struct field_error {
	struct field_error *next;
	struct str field; /* "items[2].quantity" */
	const char *code; /* "required", "unknown", "duplicate", "type", "range", "length",
	                     "format", "value", "unknown_product" */
	struct str message;
};

struct scope;

/* Records what went wrong, for the log line and the problem document, and returns the fault:
 * `return fail(s, …)`. The first record of a scope stays; a later one replaces it only after
 * scope_forgive. */
enum fault fail(struct scope *s, enum fault fault, const char *format, ...) PRINTF_LIKE(3, 4);

enum { FIELD_ERRORS_MAX = 64 };

/* Adds one bad field (at most FIELD_ERRORS_MAX are kept) and returns FAULT_INVALID. `code` must be
 * a literal. */
enum fault fail_field(struct scope *s, struct str field, const char *code, const char *format, ...)
	PRINTF_LIKE(4, 5);

/* Analysers look into one file at a time and would follow paths on which fail() returns OK. */
#ifdef __clang_analyzer__
#define fail(s, fault_, ...) ((void)fail(s, fault_, __VA_ARGS__), (fault_))
#define fail_field(...) ((void)fail_field(__VA_ARGS__), FAULT_INVALID)
#endif

/* Forgets what fail() recorded: the fault was dealt with. */
void scope_forgive(struct scope *s);
