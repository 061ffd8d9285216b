/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* The target of a request ("/a/b%20c?x=1"), read once and strictly: what is routed, authorised and
 * logged is the same bytes. */
enum { TARGET_BYTES_MAX = 8 << 10, TARGET_SEGMENTS_MAX = 16 };

struct target {
	struct str path; /* percent-decoded, without query and trailing slash; "/" for the root */
	struct str query; /* raw, without '?' */
	struct str segments[TARGET_SEGMENTS_MAX]; /* of path; an empty one ("//") matches nothing */
	size_t count; /* TARGET_SEGMENTS_MAX + 1: more than that */
};

/* FAULT_URI_TOO_LONG; FAULT_BAD_REQUEST with a sentence when it does not start with '/', has a
 * byte outside visible ASCII, a bad escape, an escaped slash or control character, "." or ".."
 * as a segment, or is not UTF-8 when decoded. Texts are slices of `raw` or live in s. */
enum fault target_read(struct scope *s, struct str raw, struct target *target) MUST_CHECK;
