/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* Checks that the text is one JSON value by the grammar of RFC 8259, in UTF-8, without lone
 * surrogates, not deeper than JSON_DEPTH_MAX, of at most tokens_max names and values; counts them.
 * In linear time and constant memory. FAULT_BAD_JSON says where and what was expected. */
enum fault json_scan(
	struct scope *s, struct str text, size_t tokens_max, size_t *tokens) MUST_CHECK;

/* The code unit that four hexadecimal digits stand for; -1 when they are none. */
int json_hex4(struct str digits);
