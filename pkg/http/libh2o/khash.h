/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* h2o/http2_internal.h asks for klib's khash.h, which Debian leaves out. This is what libh2o 2.2.5
 * was built with, as far as looking up a stream by its number goes. */

#include <stdint.h>

#define khash_t(name) struct kh_##name
#define khiter_t uint32_t
#define kh_end(table) ((table)->n_buckets)
#define kh_val(table, at) ((table)->vals[at])
#define kh_get(name, table, key) kh_get_##name((table), (key))

/* Of two bits a bucket 2 says that it was never used, 1 that it is not any more. */
#define KHASH_MAP_INIT_INT64(name, type)                                                      \
	khash_t(name)                                                                         \
	{                                                                                     \
		uint32_t n_buckets, size, n_occupied, upper_bound;                            \
		uint32_t *flags;                                                              \
		uint64_t *keys;                                                               \
		type *vals;                                                                   \
	};                                                                                    \
	static inline uint32_t kh_get_##name(const khash_t(name) * table, uint64_t key)       \
	{                                                                                     \
		const uint32_t mask = table->n_buckets - 1;                                   \
		uint32_t at = (uint32_t)(key >> 33 ^ key ^ key << 11) & mask, step = 0;       \
                                                                                              \
		for (; step < table->n_buckets; at = (at + ++step) & mask) {                  \
			const uint32_t flags = table->flags[at >> 4] >> ((at & 15) << 1) & 3; \
                                                                                              \
			if ((flags & 2) != 0)                                                 \
				break;                                                        \
			if (flags == 0 && table->keys[at] == key)                             \
				return at;                                                    \
		}                                                                             \
		return table->n_buckets;                                                      \
	}
