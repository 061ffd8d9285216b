/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every unit test includes first: CMocka with the headers it needs before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* `fail` is a function of ours. */
#undef fail
#undef fail_msg
#define fail_msg(...)                      \
	do {                               \
		print_error(__VA_ARGS__);  \
		print_error("\n");         \
		_fail(__FILE__, __LINE__); \
	} while (0)

#include "base/str.h"

enum { TEST_SHOWN_MAX = 512 };

static inline const char *test_shown(struct str s, char out[TEST_SHOWN_MAX])
{
	const size_t len = s.len < TEST_SHOWN_MAX - 1 ? s.len : TEST_SHOWN_MAX - 1;

	if (s.at == NULL)
		return "(not given)";
	memcpy(out, s.at, len);
	out[len] = '\0';
	return out;
}

/* Like assert_string_equal, for struct str. */
#define assert_str_equal(actual, expected) test_str_equal((actual), (expected), __FILE__, __LINE__)

static inline void test_str_equal(
	struct str actual, struct str expected, const char *file, int line)
{
	char a[TEST_SHOWN_MAX], b[TEST_SHOWN_MAX];

	if (str_eq(actual, expected) && (actual.at == NULL) == (expected.at == NULL))
		return;
	print_error("got  \"%s\" (%zu bytes)\nwant \"%s\" (%zu bytes)\n", test_shown(actual, a),
		actual.len, test_shown(expected, b), expected.len);
	_fail(file, line);
}

/* For tables: says which row it was, then fails. */
#define fail_row(row, format, ...) fail_msg("row %zu: " format, (size_t)(row), __VA_ARGS__)
