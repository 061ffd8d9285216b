/* SPDX-License-Identifier: Apache-2.0
 * The table of faults, and how a scope remembers one: the first record is the cause, what follows
 * is its echo on the way out. */
#include "base/fault.h"

#include "base/check.h"
#include "base/scope.h"

#include <stdarg.h>
#include <stdio.h>

static const struct fault_info table[FAULT_COUNT] = {
	[OK] = {"OK", 200, "ok", "All is well", false, LEVEL_DEBUG},
#define FAULT(name, status, code, title, retry, level) \
	[FAULT_##name] = {#name, status, code, title, retry, LEVEL_##level},
#include "base/fault.def"
#undef FAULT
};

const struct fault_info *fault_info(enum fault fault)
{
	CHECK(fault < FAULT_COUNT);
	return &table[fault];
}

enum fault(fail)(struct scope *s, enum fault fault, const char *format, ...)
{
	va_list args;

	CHECK(fault != OK);
	if (s->detail.at != NULL)
		return fault;
	va_start(args, format);
	s->detail = scope_vformat(s, format, args);
	va_end(args);
	return fault;
}

enum fault(fail_field)(struct scope *s, struct str field, const char *code, const char *format, ...)
{
	struct field_error *error;
	va_list args;

	if (s->error_count == FIELD_ERRORS_MAX)
		return FAULT_INVALID;
	error = scope_alloc(s, sizeof *error);
	error->field = scope_dup(s, field);
	error->code = code;
	va_start(args, format);
	error->message = scope_vformat(s, format, args);
	va_end(args);
	*s->errors_end = error;
	s->errors_end = &error->next;
	s->error_count++;
	return FAULT_INVALID;
}

void scope_forgive(struct scope *s)
{
	s->detail = STR_NONE;
	s->extra = STR_NONE;
	s->errors = NULL;
	s->errors_end = &s->errors;
	s->error_count = 0;
}
