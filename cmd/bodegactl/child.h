/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* Other programs, run as children; each call waits for their end. */

enum { CHILD_OUTPUT_BYTES_MAX = 16 << 20 };

/* Runs argv (NULL at its end; argv[0] is looked up in PATH) with `input` on its standard input;
 * what it prints is in *output, which lives in s, its standard error is ours. *status is its exit
 * status, 128 + the signal when one ended it. FAULT_UNAVAILABLE: it cannot be run. */
enum fault child_run(struct scope *s, const char *const *argv, struct str input, struct str *output,
	int *status) MUST_CHECK;

/* The same with our own standard output. */
enum fault child_show(struct scope *s, const char *const *argv, int *status) MUST_CHECK;
