/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

#include <stdatomic.h>

enum { RING_BYTES = 64 << 10 }; /* a power of two */

/* Bytes from one thread to another without a lock. Positions only grow; their difference is what
 * lies between. */
struct ring {
	_Alignas(64) atomic_size_t written; /* by the producer */
	_Alignas(64) atomic_size_t read; /* by the consumer */
	_Alignas(64) char bytes[RING_BYTES];
};

/* All of s or, when there is no room, nothing. */
bool ring_put(struct ring *r, struct str s);

/* What lies there in one piece; empty when there is nothing. Stays until ring_drop. */
struct str ring_peek(struct ring *r);
void ring_drop(struct ring *r, size_t count);
