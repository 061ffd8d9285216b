/* SPDX-License-Identifier: Apache-2.0
 * Random bytes come from the kernel, a buffer of them at a time for each thread, and are wiped as
 * they are handed out. After a fork the child must not hand out what its parent will: a counter of
 * forks makes it throw the buffer away. */
#include "base/random.h"

#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

enum { BUFFER_BYTES = 512 };

static _Thread_local struct {
	unsigned char bytes[BUFFER_BYTES];
	size_t left; /* at the buffer's end */
	unsigned forks;
} buffer;

static _Thread_local struct {
	uint64_t state;
	bool seeded;
} fast;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_uint forks;

static void watch_forks(void);
static void count_fork(void);
static void from_kernel(unsigned char *out, size_t size);
static uint64_t next(void);

void random_bytes(void *out, size_t size)
{
	unsigned char *at = buffer.bytes + BUFFER_BYTES - buffer.left;
	unsigned now;

	if (size > BUFFER_BYTES / 2) {
		from_kernel(out, size);
		return;
	}
	pthread_once(&once, watch_forks);
	now = atomic_load_explicit(&forks, memory_order_relaxed);
	if (buffer.left < size || buffer.forks != now) {
		from_kernel(buffer.bytes, BUFFER_BYTES);
		buffer.left = BUFFER_BYTES;
		buffer.forks = now;
		at = buffer.bytes;
	}
	memcpy(out, at, size);
	explicit_bzero(at, size);
	buffer.left -= size;
}

/* The high half of a 64 × 64 bit product is even below `bound` once the low halves that would come
 * up once too often are refused (Lemire, 2019). */
uint64_t random_below(uint64_t bound)
{
	const uint64_t refuse_below = -bound % (bound > 0 ? bound : 1);
	unsigned __int128 product;

	CHECK(bound > 0);
	do
		product = (unsigned __int128)next() * bound;
	while ((uint64_t)product < refuse_below);
	return (uint64_t)(product >> 64);
}

void random_seed(uint64_t seed)
{
	fast.state = seed;
	fast.seeded = true;
}

static void watch_forks(void)
{
	CHECK(pthread_atfork(NULL, NULL, count_fork) == 0);
}

static void count_fork(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void from_kernel(unsigned char *out, size_t size)
{
	while (size > 0) {
		const ssize_t got = getrandom(out, size, 0);

		CHECK(got > 0 || errno == EINTR);
		if (got > 0) {
			out += got;
			size -= (size_t)got;
		}
	}
}

/* SplitMix64. */
static uint64_t next(void)
{
	uint64_t z;

	if (!fast.seeded) {
		random_bytes(&fast.state, sizeof fast.state);
		fast.seeded = true;
	}
	z = fast.state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}
