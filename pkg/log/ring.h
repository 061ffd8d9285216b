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

/* All of s or, when there is no room, nothing. Returns how much lies there then, 0 for no room. */
size_t ring_put(struct ring *r, struct str s);

/* What lies there, in two pieces (it may reach over the end of the memory), and how much: whole
 * puts only. Stays until ring_drop. */
size_t ring_peek(struct ring *r, struct str pieces[2]);
void ring_drop(struct ring *r, size_t count);
