/* SPDX-License-Identifier: Apache-2.0
 * The producer releases `written` after it has copied, the consumer releases `read` after it is
 * done with the bytes: each side may touch only what the other has released. `written` is
 * sequentially consistent on top of that: log.c relies on it to decide who wakes whom. */
#include "log/ring.h"

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t ring_put(struct ring *r, struct str s)
{
	const size_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
	const size_t read = atomic_load_explicit(&r->read, memory_order_acquire);
	const size_t at = written % RING_BYTES;
	const size_t first = min_size(s.len, RING_BYTES - at);

	if (s.len > RING_BYTES - (written - read))
		return 0;
	memcpy(r->bytes + at, s.at, first);
	memcpy(r->bytes, s.at + first, s.len - first);
	atomic_store(&r->written, written + s.len);
	return written + s.len - read;
}

size_t ring_peek(struct ring *r, struct str pieces[2])
{
	const size_t written = atomic_load(&r->written);
	const size_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
	const size_t at = read % RING_BYTES;
	const size_t first = min_size(written - read, RING_BYTES - at);

	pieces[0] = str_of(r->bytes + at, first);
	pieces[1] = str_of(r->bytes, written - read - first);
	return written - read;
}

void ring_drop(struct ring *r, size_t count)
{
	atomic_fetch_add_explicit(&r->read, count, memory_order_release);
}
