/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* For our own bugs, never for input; kept in release builds. Prints where and what, then aborts. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

_Noreturn void check_failed(const char *condition, const char *file, int line);

/* Objects that come back through a callback's void * begin with a magic number. */
#define CHECK_MAGIC(object, value) CHECK((object) != NULL && (object)->magic == (value))
