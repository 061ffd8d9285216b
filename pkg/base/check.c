/* SPDX-License-Identifier: Apache-2.0
 * The end of a process that has found a bug in itself. Plain write: the heap and stdio may be what
 * is broken. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void check_failed(const char *condition, const char *file, int line)
{
	char text[256];
	const int len =
		snprintf(text, sizeof text, "%s:%d: check failed: %s\n", file, line, condition);
	const size_t shown = len < (int)sizeof text ? (size_t)len : sizeof text - 1;

	if (write(STDERR_FILENO, text, shown) < 0)
		_exit(134);
	abort();
}
