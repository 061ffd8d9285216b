/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

enum { HEAD_BYTES_MAX = 16 << 10 };

/* Looks at the raw head of an HTTP/1 request again, strictly (RFC 9112), because libh2o's parser
 * forgives what request smuggling is made of. `input` starts with the head; what follows it is
 * not looked at. FAULT_HEAD_TOO_LARGE, or FAULT_BAD_REQUEST with a sentence for: a line that ends
 * without CR or starts with a space, a name that is no token, a control character, no or two Host
 * headers, one that is no authority, two Content-Lengths or one that is no number, a
 * Transfer-Encoding that is not one "chunked", comes with a Content-Length or in HTTP/1.0. */
enum fault head_check(struct scope *s, struct str input) MUST_CHECK;

/* A host with an optional port; empty is valid too (RFC 9110 7.2). */
bool head_authority_is_valid(struct str authority);
