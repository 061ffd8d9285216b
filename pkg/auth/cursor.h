/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "auth/secret.h"
#include "base/uuid.h"

/* Where a page ended: base64url(version, sort, hash of the filters, exact database key, id, 8-byte
 * HMAC). */
struct cursor {
	uint8_t sort; /* which order the list has */
	uint64_t filters; /* hash of the query's filters: a cursor is good for its own list only */
	int64_t number; /* the key, when it is a number (time in microseconds, price, position) */
	struct str text; /* the key, when it is a text */
	struct uuid id; /* decides between equal keys */
};

/* What cursors are signed with, for the whole process: first before threads start, then whenever it
 * changes. Borrowed; what was in use must stay for as long as a task may use it. */
void cursor_set_secret(const struct secret *secret);

struct str cursor_write(struct scope *s, const struct cursor *cursor);

/* FAULT_BAD_CURSOR when it was not made by cursor_write for this sort and these filters. */
enum fault cursor_read(struct scope *s, struct str text, uint8_t sort, uint64_t filters,
	struct cursor *cursor) MUST_CHECK;

/* A running hash of the filters: start with 0. */
uint64_t cursor_hash(uint64_t hash, struct str text);
